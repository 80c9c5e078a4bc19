//! Signals: states, events, the host.

use super::*;

#[test]
fn changes_are_told() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let mut heard = signals_to(&place.bus.connect().await).await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let pod = PodProxy::builder(&connection).path(&path).build().await.unwrap();
        let force = HashMap::from([("force", Variant::from(true))]);
        done(&connection, &pod.remove(force).await.unwrap()).await;
        let (mut members, mut states) = (Vec::new(), Vec::new());
        while members.iter().filter(|m| *m == "JobRemoved").count() < 2 {
            let message = heard.next().await.unwrap().unwrap();
            let header = message.header();
            let member = header.member().unwrap().to_string();
            if member == "PropertiesChanged" && header.path().is_some_and(|p| p.as_str() == path.as_str()) {
                let body = message.body();
                let (interface, changed, _): (String, HashMap<String, zbus::OwnedVariant>, Vec<String>) =
                    body.deserialize().unwrap();
                assert_eq!(interface, "org.xenpod1.Pod");
                if let Some(state) = changed.get("State") {
                    states.push(String::try_from(state.clone()).unwrap());
                }
            }
            members.push(member);
        }
        for wanted in
            ["PodNew", "JobNew", "InterfacesAdded", "StateChanged", "JobRemoved", "PodRemoved", "InterfacesRemoved"]
        {
            assert!(members.iter().any(|m| m == wanted), "no {wanted} in {members:?}");
        }
        assert!(states.iter().any(|s| s == "running"), "{states:?}");
    });
}

#[test]
fn every_state_is_told_however_late() {
    with_late_service(async |place, mut changes, told| {
        let (connection, manager) = place.client().await;
        let mut heard = signals_to(&place.bus.connect().await).await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let pod = PodProxy::builder(&connection).path(&path).build().await.unwrap();
        done(&connection, &pod.stop(none()).await.unwrap()).await;
        done(&connection, &pod.remove(none()).await.unwrap()).await;
        assert!(place.engine.list().is_empty());
        while let Ok(change) = changes.try_recv() {
            told.send(change).unwrap();
        }
        let container = format!("{}/container/main_2d1", path.as_str());
        let mut states: HashMap<String, Vec<String>> = HashMap::new();
        let mut order = Vec::new();
        loop {
            let message = heard.next().await.unwrap().unwrap();
            let header = message.header();
            let of = header.path().unwrap().to_string();
            match header.member().unwrap().as_str() {
                "PropertiesChanged" => {
                    let body = message.body();
                    let (_, changed, _): (String, HashMap<String, zbus::OwnedVariant>, Vec<String>) =
                        body.deserialize().unwrap();
                    if let Some(state) = changed.get("State") {
                        states.entry(of).or_default().push(String::try_from(state.clone()).unwrap());
                    }
                }
                "StateChanged" => order.push(message.body().deserialize::<(String, String)>().unwrap().0),
                "PodRemoved" => break,
                _ => {}
            }
        }
        let wanted = ["created", "starting", "running", "stopping", "stopped"];
        assert_eq!(states[path.as_str()], wanted);
        assert_eq!(order, wanted);
        assert_eq!(states[&container], ["running", "exited"]);
    });
}

#[test]
fn events_are_told_and_listed() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        manager.subscribe().await.unwrap();
        let mut told = manager.receive_event().await.unwrap();
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let mut heard = Vec::new();
        while heard.last().is_none_or(|(kind, _): &(String, u64)| kind != "job-ended") {
            let event = told.next().await.unwrap();
            let args = event.args().unwrap();
            heard.push((args.kind().clone(), *args.number()));
        }
        let (events, oldest, reached) = manager.list_events(none()).await.unwrap();
        let listed: Vec<(String, u64)> = events.iter().map(|e| (e.2.clone(), e.0)).collect();
        assert_eq!(listed, heard);
        assert_eq!((oldest, reached), (1, heard.len() as u64));
        assert_eq!((events[0].2.as_str(), &events[0].3, events[0].4.as_str()), ("pod-created", &path, "web"));
        assert_eq!(events[0].5["owner"], format!("uid:{}", place.engine.list()[0].owner_uid));
        let only = HashMap::from([("type", Variant::from("container-started")), ("since", Variant::from(1u64))]);
        let (events, ..) = manager.list_events(only).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].3.as_str(), format!("{}/container/main_2d1", path.as_str()));
        let wrong = HashMap::from([("since", Variant::from("yesterday"))]);
        assert_eq!(error(manager.list_events(wrong).await).1, "option since must be of type t");
    });
}

#[test]
fn a_host_that_changes_is_told_to_everybody() {
    with_service(async |place| {
        let (_connection, manager) = place.client().await;
        let stranger = place.bus.connect().await;
        let name = stranger.unique_name().unwrap().to_string();
        place.running.service.callers.masks.lock().unwrap().insert(name, 4001);
        let mut heard = signals_to(&stranger).await;
        assert_eq!(manager.host_state().await.unwrap(), "ready");
        place.facts.become_("degraded", "xenstored does not answer");
        let message = heard.next().await.unwrap().unwrap();
        assert_eq!(message.header().path().unwrap().as_str(), "/org/xenpod1");
        let body = message.body();
        let (interface, changed, _): (String, BTreeMap<String, String>, Vec<String>) = {
            let (interface, changed, gone): (String, HashMap<String, zbus::OwnedVariant>, Vec<String>) =
                body.deserialize().unwrap();
            (interface, changed.into_iter().map(|(k, v)| (k, String::try_from(v).unwrap())).collect(), gone)
        };
        let wanted = [("HostMessage", "xenstored does not answer"), ("HostState", "degraded")];
        assert_eq!(interface, "org.xenpod1.Manager");
        assert_eq!(changed.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), wanted);
        assert_eq!(manager.host_state().await.unwrap(), "degraded");
    });
}
