use xenpod_api::spec::{MountSpec, PodSpec};

use super::*;

fn pod(container: &str) -> PodSpec {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  - name: main\n    image: app\n{container}"
    );
    xenpod_api::manifest::parse(&text).unwrap()
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn image() -> ImageInfo {
    ImageInfo {
        entrypoint: words(&["/entry"]),
        cmd: words(&["a", "b"]),
        env: words(&["PATH=/bin", "LANG=C"]),
        user: "app:staff".into(),
        working_dir: "/srv".into(),
        ..ImageInfo::default()
    }
}

#[test]
fn command_and_args_replace_entrypoint_and_cmd_as_kubernetes_says() {
    for (manifest, expected) in [
        ("", &["/entry", "a", "b"][..]),
        ("    args: [x]\n", &["/entry", "x"]),
        ("    command: [/run]\n", &["/run"]),
        ("    command: [/run]\n    args: [x]\n", &["/run", "x"]),
    ] {
        assert_eq!(argv(&pod(manifest).containers[0], &image()), words(expected), "{manifest}");
    }
}

#[test]
fn a_container_without_a_command_is_refused() {
    let nothing = ImageInfo::default();
    let error = check(&pod("").containers[0], &nothing).unwrap_err();
    assert_eq!(error, "neither the manifest nor image app says what to run: set `command`");
}

#[test]
fn the_user_is_the_manifests_or_the_images() {
    for (security, expected) in [
        ("", "app:staff"),
        ("    securityContext: {runAsUser: 7}\n", "7"),
        ("    securityContext: {runAsUser: 7, runAsGroup: 8}\n", "7:8"),
        ("    securityContext: {runAsGroup: 8}\n", "app:8"),
    ] {
        assert_eq!(user(&pod(security).containers[0], &image()), expected, "{security}");
    }
    let root = ImageInfo { user: String::new(), ..image() };
    assert_eq!(user(&pod("    securityContext: {runAsGroup: 8}\n").containers[0], &root), "0:8");
}

#[test]
fn non_root_is_held_to() {
    let asked = |user: &str, more: &str| {
        let image = ImageInfo { user: user.into(), ..image() };
        check(&pod(&format!("    securityContext: {{runAsNonRoot: true{more}}}\n")).containers[0], &image)
    };
    assert_eq!(asked("1000", ""), Ok(()));
    assert_eq!(asked("app", ", runAsUser: 5"), Ok(()));
    assert!(asked("0", "").unwrap_err().contains("would run as uid 0"));
    assert!(asked("", "").unwrap_err().contains("the image runs as root"));
    assert!(asked("app", "").unwrap_err().contains("\"app\""));
}

#[test]
fn the_environment_is_the_images_overlaid_with_the_manifests() {
    let spec = pod("    env: [{name: LANG, value: de}, {name: X, value: '1'}]\n");
    let got = environment(&spec.containers[0], &image(), "host", &words(&["X=2", "Y=3"]));
    assert_eq!(got, words(&["HOSTNAME=host", "PATH=/bin", "LANG=de", "X=2", "Y=3"]));
}

#[test]
fn stop_signals_have_names_and_numbers() {
    let signal = |name: &str| stop_signal(&ImageInfo { stop_signal: name.into(), ..ImageInfo::default() });
    let names = ["", "SIGTERM", "QUIT", "sigint", "3", "SIGRTMIN+3", "RTMIN", "SIGWHAT", "0"];
    assert_eq!(names.map(signal), [15, 15, 3, 2, 3, 37, 34, 15, 15]);
}

#[test]
fn limits_become_those_of_the_cgroup() {
    let limits = Resources {
        memory_limit: Some(64 << 20),
        memory_request: Some(32 << 20),
        cpu_limit_milli: Some(250),
        cpu_request_milli: Some(1000),
    };
    let got = resources(&limits);
    assert_eq!((got.memory_max, got.memory_low), (64 << 20, 32 << 20));
    assert_eq!((got.cpu_quota_us, got.cpu_period_us), (25_000, 100_000));
    assert_eq!(got.cpu_weight, 39, "what kubelet writes for one CPU");
    assert_eq!(resources(&Resources::default()).memory_max, 0);
    assert_eq!(weight(1), 1);
    assert_eq!(weight(10_000_000), 10_000);
}

#[test]
fn a_container_gets_its_image_its_layer_and_its_volumes() {
    let mut spec = pod("    securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false}\n");
    spec.containers[0].mounts.push(MountSpec {
        volume: "data".into(),
        path: "/data".into(),
        read_only: true,
        sub_path: String::new(),
    });
    let container = &spec.containers[0];
    let made = create(&spec, container, &image(), (1, Some(2)), message::Stdio { stdin: 4, stdout: 5, stderr: 6 });
    let root = made.rootfs.unwrap();
    assert_eq!(root.image_disk, "xvdb");
    assert!(root.read_only);
    let scratch = message::ScratchDirectory { disk: "xvdc".into(), directory: "c-main".into() };
    assert_eq!(root.upper, Some(root_fs::Upper::Scratch(scratch)));
    assert_eq!(made.stdio, Some(message::Stdio { stdin: 4, stdout: 5, stderr: 6 }));
    assert_eq!((made.mounts[0].target.as_str(), made.mounts[0].read_only), ("/data", true));
    let process = made.process.unwrap();
    assert!(process.no_new_privileges);
    assert_eq!(process.cwd, "/srv");
    assert_eq!(process.capabilities.unwrap().bounding, 0xa804_25fb);
    assert!(process.seccomp.len() > 800);
    let in_memory = create(&spec, container, &image(), (0, None), message::Stdio::default()).rootfs.unwrap().upper;
    assert!(matches!(in_memory, Some(root_fs::Upper::Tmpfs(_))));
}

#[test]
fn the_guest_is_told_its_names_addresses_and_resolvers() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  hostAliases: [{ip: 10.9.9.9, hostnames: [db, store]}]\n  \
                dnsConfig: {nameservers: [9.9.9.9], options: [{name: ndots, value: '2'}]}\n  containers: [{name: main, image: app}]\n";
    let spec = xenpod_api::manifest::parse(text).unwrap();
    let lease = LeaseRecord { v4: [10, 213, 0, 7].into(), v6: "fd00::7".parse().unwrap(), mac: [2, 22, 10, 213, 0, 7] };
    let net = NetSettings {
        mtu: 1400,
        addresses: vec![(lease.v4.into(), 16), (lease.v6.into(), 64)],
        gateways: vec!["10.213.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        servers: vec!["10.213.0.1".parse().unwrap()],
        searches: words(&["example.test"]),
        options: Vec::new(),
    };
    let told = configure(&spec, Some(&lease), &net, vec![1; 64], 5);
    assert_eq!(
        told.hosts,
        words(&[
            "127.0.0.1 localhost",
            "::1 localhost ip6-localhost ip6-loopback",
            "10.213.0.7 web",
            "fd00::7 web",
            "10.9.9.9 db store"
        ])
    );
    let resolv = told.resolv_conf.unwrap();
    assert_eq!(resolv.servers, words(&["10.213.0.1", "9.9.9.9"]));
    assert_eq!((resolv.searches, resolv.options), (words(&["example.test"]), words(&["ndots:2"])));
    let interface = &told.interfaces[0];
    assert_eq!((interface.mac.as_slice(), interface.mtu), (&lease.mac[..], 1400));
    assert_eq!(interface.addresses[1].prefix, 64);
    assert_eq!(interface.routes[0].gateway, [10, 213, 0, 1]);
    assert_eq!(interface.routes[1].destination, [0; 16]);
}

#[test]
fn words_that_only_the_guest_can_expand_are_left_to_it() {
    let spec = pod("    args: ['--pw=$(PW)']\n    env: [{name: PW, valueFrom: {secretKeyRef: {name: db, key: pw}}}]\n");
    let image = ImageInfo { entrypoint: words(&["/entry$(PW)"]), ..image() };
    let made = create(&spec, &spec.containers[0], &image, (0, None), message::Stdio::default()).process.unwrap();
    assert!(made.expand_argv);
    assert_eq!(made.argv, words(&["/entry$$(PW)", "--pw=$(PW)"]), "the image's words mean what they say");
    assert_eq!(argv(&spec.containers[0], &image), words(&["/entry$(PW)", "--pw=$(PW)"]), "what is shown");
    assert_eq!(made.variables.len(), 1);
    let exec = ExecSpec { command: words(&["echo", "$(PW)"]), env: words(&["A=$(PW)"]), ..ExecSpec::default() };
    let exec = exec_process(&spec, &spec.containers[0], &image, &exec);
    assert!(!exec.expand_argv);
    assert_eq!(exec.variables[1].value, Some(variable::Value::Text("$$(PW)".into())));
}

#[test]
fn files_that_were_given_cannot_be_written_and_the_volumes_group_is_everybodys() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  securityContext: {fsGroup: 9, supplementalGroups: [8]}\n  \
                volumes: [{name: c, configMap: {name: app}}, {name: e, emptyDir: {}}]\n  containers:\n  - name: main\n    image: app\n    \
                volumeMounts: [{name: c, mountPath: /c, subPath: k}, {name: e, mountPath: /e}]\n";
    let spec = xenpod_api::manifest::parse(text).unwrap();
    let made = create(&spec, &spec.containers[0], &image(), (0, None), message::Stdio::default());
    assert_eq!(made.process.unwrap().additional_gids, [8, 9]);
    let mounts: Vec<_> = made.mounts.iter().map(|m| (m.sub_path.as_str(), m.read_only)).collect();
    assert_eq!(mounts, [("k", true), ("", false)]);
}

#[test]
fn a_privileged_container_is_hidden_nothing_and_has_all() {
    let spec = pod("    securityContext: {privileged: true}\n");
    let made = create(&spec, &spec.containers[0], &image(), (0, None), message::Stdio::default());
    assert!(made.privileged && made.masked_paths.is_empty() && made.readonly_paths.is_empty());
    let process = made.process.unwrap();
    assert_eq!((process.capabilities.unwrap().bounding, process.seccomp.len()), (0x01ff_ffff_ffff, 0));
    let spec = pod("    securityContext: {procMount: Unmasked}\n");
    let made = create(&spec, &spec.containers[0], &image(), (0, None), message::Stdio::default());
    assert!(!made.privileged && made.masked_paths.is_empty() && made.readonly_paths.is_empty());
    assert!(!made.process.unwrap().seccomp.is_empty());
    let spec = pod("");
    let made = create(&spec, &spec.containers[0], &image(), (0, None), message::Stdio::default());
    assert!(made.masked_paths.contains(&"/proc/kcore".to_string()));
    assert!(made.readonly_paths.contains(&"/proc/sys".to_string()));
}

#[test]
fn limits_devices_and_sysctls_go_where_they_count() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations: {xenpod.org/ulimits: 'nofile=64:128,core=0', xenpod.org/devices: /dev/kmsg}\n\
                spec:\n  securityContext: {sysctls: [{name: kernel.shmmax, value: '1'}, {name: net.core.somaxconn, value: '2'}]}\n  \
                containers: [{name: main, image: app}]\n";
    let spec = xenpod_api::manifest::parse(text).unwrap();
    let made = create(&spec, &spec.containers[0], &image(), (0, None), message::Stdio::default());
    let limits: Vec<_> = made.process.unwrap().rlimits.iter().map(|l| (l.resource, l.soft, l.hard)).collect();
    assert_eq!(limits, [(7, 64, 128), (4, 0, 0)]);
    assert_eq!(made.devices, ["/dev/kmsg"]);
    assert_eq!(made.sysctls, BTreeMap::from([("kernel.shmmax".into(), "1".into())]));
    let told = configure(&spec, None, &NetSettings::default(), Vec::new(), 0);
    assert_eq!(told.sysctls, BTreeMap::from([("net.core.somaxconn".into(), "2".into())]));
    let plain = pod("");
    let limits =
        create(&plain, &plain.containers[0], &image(), (0, None), message::Stdio::default()).process.unwrap().rlimits;
    assert_eq!((limits.len(), limits[0].resource, limits[0].hard), (1, 7, 524_288));
}
