use std::sync::mpsc;

use super::*;
use crate::kernel::{BootImage, KernelImage, elf_for_tests};

fn config() -> DomainConfig {
    let kernel = elf_for_tests(0x20_0000, &[(0x20_0000, 4096, 8192)]);
    DomainConfig {
        uuid: DomainUuid::random(),
        name: "pod-1".to_owned(),
        memory_kib: 32 * 1024,
        max_memory_kib: 64 * 1024,
        vcpus: 1,
        max_vcpus: 2,
        kernel: KernelImage::new(BootImage::from_bytes("vmlinux", kernel).unwrap()).unwrap(),
        boot_image: None,
        cmdline: "quiet".to_owned(),
    }
}

#[test]
fn a_domain_lives_and_gives_everything_back() {
    let xen = FakeHypervisor::default();
    let (sender, events) = mpsc::channel();
    xen.on_event(move |event| sender.send(event).unwrap());
    let free = xen.host().unwrap().free_memory_kib;

    let config = config();
    let built = xen.build(&config).unwrap();
    let domain = config.reference(built.domid);
    assert_eq!(xen.host().unwrap().free_memory_kib, free - 32 * 1024);
    let info = xen.info(built.domid).unwrap().unwrap();
    assert!(info.paused && !info.running && info.uuid == config.uuid && info.max_vcpus == 2);
    assert_eq!(xen.find(config.uuid).unwrap(), Some(info));
    assert_ne!(built.store_port, built.console_port);

    xen.unpause(domain).unwrap();
    assert!(xen.info(built.domid).unwrap().unwrap().running);
    xen.shut_down(built.domid, ShutdownReason::Poweroff);
    assert_eq!(xen.info(built.domid).unwrap().unwrap().shutdown, Some(ShutdownReason::Poweroff));
    assert_eq!(xen.destroy(domain).unwrap(), Destroyed::Gone);
    assert_eq!(xen.destroy(domain).unwrap(), Destroyed::Gone);
    assert_eq!(xen.host().unwrap().free_memory_kib, free);
    assert_eq!(xen.domains(), []);
    let expected = [
        DomainEvent::Built(domain),
        DomainEvent::Unpaused(domain),
        DomainEvent::ShutDown(domain, ShutdownReason::Poweroff),
        DomainEvent::Gone(domain),
    ];
    assert_eq!(events.try_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn pauses_nest() {
    let xen = FakeHypervisor::default();
    let config = config();
    let domain = config.reference(xen.build(&config).unwrap().domid);
    xen.pause(domain).unwrap();
    xen.unpause(domain).unwrap();
    assert!(xen.info(domain.domid).unwrap().unwrap().paused, "two pauses, one undone");
    xen.unpause(domain).unwrap();
    assert!(!xen.info(domain.domid).unwrap().unwrap().paused);
}

#[test]
fn a_recycled_number_is_another_domain() {
    let xen = FakeHypervisor::default();
    let config = config();
    let old = config.reference(xen.build(&config).unwrap().domid);
    xen.vanish(old.domid);
    xen.set_next_domid(old.domid);
    let stranger = DomainUuid::random();
    assert_eq!(xen.add_domain(stranger, 1024), old.domid);

    assert_eq!(xen.pause(old), Err(HypervisorError::NoSuchDomain(old)));
    assert_eq!(xen.set_max_memory(old, 4096), Err(HypervisorError::NoSuchDomain(old)));
    assert_eq!(xen.destroy(old), Ok(Destroyed::Gone));
    let info = xen.info(old.domid).unwrap().unwrap();
    assert!(info.uuid == stranger && !info.paused, "the stranger is untouched");
}

#[test]
fn a_failure_at_any_step_of_a_build_takes_everything_back() {
    let steps = FakeHypervisor::default();
    steps.build(&config()).unwrap();
    assert_eq!(steps.plan().log().len(), BUILD_STEPS.len());
    for step in 0..BUILD_STEPS.len() {
        let xen = FakeHypervisor::default();
        let free = xen.host().unwrap().free_memory_kib;
        xen.plan().at(step, Step::Fail);
        let error = xen.build(&config()).unwrap_err();
        assert!(matches!(error, HypervisorError::Call { .. }), "{error}");
        assert_eq!((xen.domains(), xen.host().unwrap().free_memory_kib), (vec![], free), "step {step}");
    }
}

#[test]
fn a_crash_leaves_what_was_there_and_stops_everything_until_the_restart() {
    let xen = FakeHypervisor::default();
    xen.plan().at_next("build.load", Step::Crash);
    let config = config();
    xen.build(&config).unwrap_err();
    assert_eq!(xen.domains().len(), 1);
    assert!(matches!(xen.list(), Err(HypervisorError::Unavailable { .. })));
    xen.plan().restart();
    let found = xen.find(config.uuid).unwrap().unwrap();
    assert_eq!(xen.destroy(found.reference()), Ok(Destroyed::Gone));
}

#[test]
fn memory_runs_out_with_figures() {
    let xen = FakeHypervisor::default();
    xen.set_host(|host| host.free_memory_kib = 16 * 1024);
    let error = xen.build(&config()).unwrap_err();
    assert_eq!(error, HypervisorError::NotEnoughMemory { needed_kib: 32 * 1024, free_kib: 16 * 1024 });
    assert_eq!(xen.domains(), []);
}

#[test]
fn held_pages_keep_a_dying_domain() {
    let xen = FakeHypervisor::default();
    let config = config();
    let domain = config.reference(xen.build(&config).unwrap().domid);
    xen.hold_pages(domain.domid, true);
    assert!(matches!(xen.destroy(domain), Ok(Destroyed::Pending { .. })));
    assert!(xen.info(domain.domid).unwrap().unwrap().dying);
    xen.hold_pages(domain.domid, false);
    assert_eq!(xen.destroy(domain), Ok(Destroyed::Gone));
    assert_eq!(xen.info(domain.domid), Ok(None));
}

#[test]
fn a_uuid_in_use_is_refused() {
    let xen = FakeHypervisor::default();
    let config = config();
    xen.build(&config).unwrap();
    assert_eq!(xen.build(&config), Err(HypervisorError::Exists(config.uuid)));
}
