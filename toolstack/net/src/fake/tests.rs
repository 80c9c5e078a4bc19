use super::*;
use crate::config::NetworkConfig;
use crate::lease::LeasePool;

fn setup() -> (FakeNetwork, Port) {
    let plan = NetworkConfig::default().plan("").unwrap();
    let pod = Uuid::from_u128(1);
    let lease = LeasePool::new(&plan).allocate(pod, None).unwrap();
    (FakeNetwork::new(plan), Port { pod, ifname: IfName::vif(1, 0), lease })
}

#[tokio::test(flavor = "current_thread")]
async fn a_port_is_pinned_before_it_is_up_and_gone_after() {
    let (net, port) = setup();
    assert!(matches!(net.attach(&port).await, Err(NetError::NotReady)));
    assert!(net.reconcile(&[]).await.unwrap().bridge_made);
    assert_eq!(net.attach(&port).await.unwrap(), Change::Made);
    assert_eq!(net.attach(&port).await.unwrap(), Change::AlreadySo);
    assert!(net.world().is_attached(&port));
    let steps: Vec<_> = net.world().log.into_iter().map(|(step, _)| step).skip(2).collect();
    assert_eq!(steps, [Step::Pin, Step::Wait, Step::Enslave, Step::Up]);
    assert!(matches!(net.teardown().await, Err(NetError::InUse { ports, .. }) if ports == "vif1.0"));
    assert_eq!(net.detach(&port).await.unwrap(), Change::Made);
    assert_eq!(net.detach(&port).await.unwrap(), Change::AlreadySo);
    assert_eq!(net.teardown().await.unwrap(), Change::Made);
    let world = net.world();
    assert!(!world.made && world.pinned.is_empty() && world.enslaved.is_empty() && world.up.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_failed_attach_leaves_nothing_whatever_the_step() {
    for step in [Step::Pin, Step::Wait, Step::Enslave, Step::Up] {
        let (net, port) = setup();
        net.reconcile(&[]).await.unwrap();
        net.fail(step, 1);
        assert!(matches!(net.attach(&port).await, Err(NetError::Injected(at)) if at == step), "{step:?}");
        let world = net.world();
        assert!(world.pinned.is_empty() && world.enslaved.is_empty() && world.up.is_empty(), "{step:?}: {world:?}");
        assert_eq!(net.attach(&port).await.unwrap(), Change::Made, "{step:?}: the next one works");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_failed_detach_leaves_reconcile_removes() {
    for step in [Step::Release, Step::Unpin] {
        let (net, port) = setup();
        net.reconcile(&[]).await.unwrap();
        net.attach(&port).await.unwrap();
        net.fail(step, 1);
        assert!(net.detach(&port).await.is_err(), "{step:?}");
        assert!(net.world().pinned.contains_key(&port.ifname));
        assert_eq!(net.reconcile(&[]).await.unwrap().pins_removed, 1);
        assert!(net.world().pinned.is_empty() && net.world().enslaved.is_empty(), "{step:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn links_can_be_the_tests_business() {
    let (net, port) = setup();
    let net = net.with_explicit_links();
    net.reconcile(&[]).await.unwrap();
    assert!(matches!(net.attach(&port).await, Err(NetError::LinkTimeout { .. })));
    assert!(net.world().pinned.is_empty());
    assert_eq!(net.reconcile(std::slice::from_ref(&port)).await.unwrap().missing, std::slice::from_ref(&port));
    net.change(|world| world.links.extend([port.ifname.clone()]));
    assert_eq!(net.attach(&port).await.unwrap(), Change::Made);
    net.change(|world| world.remove_link(&port.ifname));
    assert_eq!(net.detach(&port).await.unwrap(), Change::Made, "its pins were left");
}
