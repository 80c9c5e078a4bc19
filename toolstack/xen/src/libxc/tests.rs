use super::*;

#[test]
fn without_xen_every_call_says_so() {
    if std::path::Path::new("/dev/xen/privcmd").exists() {
        eprintln!("skipped: this host has a /dev/xen/privcmd");
        return;
    }
    let xen = Libxc::new();
    let domain = DomainRef { domid: Domid(1), uuid: DomainUuid([1; 16]) };
    for error in [xen.host().err(), xen.list().err(), xen.info(domain.domid).err(), xen.pause(domain).err()] {
        let error = error.expect("there is no Xen");
        assert!(matches!(error, HypervisorError::Unavailable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with("Xen is not available: cannot open /dev/xen/privcmd for hypercalls: "), "{text}");
        assert!(text.contains("No such file or directory") && text.ends_with("see `xenpodctl doctor`"), "{text}");
    }
    assert!(matches!(xen.destroy(domain), Err(HypervisorError::Unavailable { .. })));
}

#[test]
fn what_xen_says_of_a_domain_is_decoded() {
    let raw = xc::xc_domaininfo_t {
        domain: 7,
        flags: xc::XEN_DOMINF_hvm_guest
            | xc::XEN_DOMINF_hap
            | xc::XEN_DOMINF_shutdown
            | 3 << xc::XEN_DOMINF_shutdownshift,
        tot_pages: 8195,
        max_pages: 8448,
        cpu_time: 1_500_000_000,
        nr_online_vcpus: 1,
        max_vcpu_id: 3,
        handle: [9; 16],
        ..Default::default()
    };
    let info = domain_info(&raw);
    assert_eq!(info.reference(), DomainRef { domid: Domid(7), uuid: DomainUuid([9; 16]) });
    assert_eq!(info.shutdown, Some(ShutdownReason::Crash));
    assert!(info.hvm && info.hap && !info.paused && !info.running && !info.dying);
    assert_eq!((info.memory_kib, info.max_memory_kib, info.max_vcpus), (32780, 33792, 4));
    assert_eq!(info.cpu_time, Duration::from_millis(1500));
    // Memory without limit, as dom0 may have.
    let unlimited = domain_info(&xc::xc_domaininfo_t { max_pages: u64::MAX >> 1, ..raw });
    assert_eq!(unlimited.max_memory_kib, u64::MAX);
    let suspended = domain_info(&xc::xc_domaininfo_t { flags: xc::XEN_DOMINF_shutdown | 2 << 16, ..raw });
    assert_eq!(suspended.shutdown, Some(ShutdownReason::Suspend));
}

#[test]
fn errors_name_call_domain_reason_and_remedy() {
    let errno = Errno::from(rustix::io::Errno::PERM);
    let error = HypervisorError::Call { call: "xc_domain_pause", domid: Some(Domid(3)), errno };
    let text = error.to_string();
    assert_eq!(text, "xc_domain_pause on domain 3: Operation not permitted (os error 1); this needs root in dom0");
    let error = HypervisorError::NotEnoughMemory { needed_kib: 40000, free_kib: 1234 };
    assert!(error.to_string().contains("40000 KiB are needed, 1234 KiB are free"), "{error}");
}
