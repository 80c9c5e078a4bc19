//! What a container may do, and the limits of its processes.

use super::*;

#[test]
fn what_a_container_may_do() {
    let context =
        |more: &str| with("      runAsUser: 1000\n      capabilities: {add: [CAP_NET_ADMIN], drop: [ALL]}\n", more);
    let pod = parse(&context("      privileged: true\n      procMount: Unmasked\n")).unwrap();
    let security = &pod.containers[0].security;
    assert!(security.privileged && security.unmasked_proc);
    assert_eq!(security.seccomp, Seccomp::Unconfined);
    let pod = parse(&context("      seccompProfile: {type: Localhost, localhostProfile: web/strict.json}\n")).unwrap();
    let filter = Seccomp::Localhost { profile: "web/strict.json".into(), program: String::new() };
    assert_eq!(pod.containers[0].security.seccomp, filter);
    let at = "line 23: spec.containers[0].securityContext.";
    for (more, want) in [
        (
            "privileged: true, allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: cannot be false while privileged is true",
        ),
        (
            "allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}",
            "allowPrivilegeEscalation: cannot be false while SYS_ADMIN is added",
        ),
        ("procMount: Hidden", "procMount: \"Hidden\" is neither Default nor Unmasked"),
        (
            "privileged: true, seccompProfile: {type: RuntimeDefault}",
            "seccompProfile.type: can only be Unconfined while privileged is true",
        ),
        (
            "seccompProfile: {type: Local}",
            "seccompProfile.type: \"Local\" is none of RuntimeDefault, Unconfined and Localhost",
        ),
        (
            "seccompProfile: {type: Localhost, localhostProfile: ../x}",
            "seccompProfile.localhostProfile: \"../x\" is not the path of",
        ),
        ("seccompProfile: {type: Localhost}", "seccompProfile.localhostProfile: \"\" is not the path of a profile"),
        (
            "seccompProfile: {type: Unconfined, localhostProfile: x}",
            "seccompProfile.localhostProfile: is only for type: Localhost",
        ),
        ("appArmorProfile: {type: RuntimeDefault}", "appArmorProfile: is not supported; remove it"),
        ("seLinuxOptions: {level: x}", "seLinuxOptions: is not supported; remove it"),
    ] {
        let text = with(
            "    securityContext:\n      runAsUser: 1000\n      capabilities: {add: [CAP_NET_ADMIN], drop: [ALL]}\n",
            &format!("    tty: false\n    securityContext: {{{more}}}\n"),
        );
        let found = problems(&text);
        assert!(found.iter().any(|p| p.starts_with(&format!("{at}{want}"))), "{more}: {found:?}");
    }
}

#[test]
fn limits_and_devices_of_every_container() {
    use crate::spec::Ulimit;
    let pod = parse(&annotated("ulimits", "nofile=1024:4096, core=0,memlock=unlimited")).unwrap();
    let limit = |resource, soft, hard| Ulimit { resource, soft, hard };
    assert_eq!(pod.ulimits, [limit(7, 1024, 4096), limit(4, 0, 0), limit(8, u64::MAX, u64::MAX)]);
    let pod = parse(&annotated("devices", "/dev/kmsg,/dev/net/tun")).unwrap();
    assert_eq!(pod.devices, ["/dev/kmsg", "/dev/net/tun"]);
    for (name, text, want) in [
        ("ulimits", "nofile", "\"nofile\" is not NAME=SOFT[:HARD]"),
        ("ulimits", "files=1", "\"files=1\" is of no limit that there is: cpu, fsize"),
        ("ulimits", "nofile=9:1", "\"nofile=9:1\" has a soft limit above the hard one"),
        ("ulimits", "nofile=many", "\"nofile=many\" has a value that is no number, -1 or unlimited"),
        ("ulimits", "core=1,core=2", "\"core=2\" is a second limit of its kind"),
        ("devices", "/etc/passwd", "\"/etc/passwd\" is not a path below /dev"),
        ("devices", "/dev/../etc", "\"/dev/../etc\" is not a path below /dev"),
    ] {
        assert_eq!(problems(&annotated(name, text)).len(), 1);
        let found = problems(&annotated(name, text)).remove(0);
        assert!(found.starts_with(&format!("line 8: metadata.annotations.xenpod.org/{name}: {want}")), "{found}");
    }
}

#[test]
fn what_kubernetes_once_read_from_annotations_is_refused() {
    let annotated = |text: &str| with("    example.org/free: text", &format!("    {text}"));
    let (apparmor, pod, container) = (
        "container.apparmor.security.beta.kubernetes.io/server",
        "seccomp.security.alpha.kubernetes.io/pod",
        "container.seccomp.security.alpha.kubernetes.io/server",
    );
    for same in
        [format!("{apparmor}: unconfined"), format!("{pod}: runtime/default"), format!("{container}: runtime/default")]
    {
        assert!(parse(&annotated(&same)).is_ok(), "{same}");
    }
    for value in ["localhost/strict", "runtime/default"] {
        assert_eq!(
            problems(&annotated(&format!("{apparmor}: {value}"))),
            [format!(
                "line 8: metadata.annotations.{apparmor}: {value:?} is not supported; remove it: the guest's kernel has no such module; a \
                 pod is held by its domain"
            )]
        );
    }
    for key in [pod, container] {
        for value in ["localhost/strict.json", "docker/default", "unconfined"] {
            let text = annotated(&format!("{key}: {value}"));
            assert_eq!(
                problems(&text),
                [format!(
                    "line 8: metadata.annotations.{key}: {value:?} is not supported; say it in securityContext.seccompProfile: nothing \
                     reads the annotation"
                )]
            );
            assert_eq!(parse(&text).unwrap_err().name(), ErrorName::ManifestUnsupported);
        }
    }
}

#[test]
fn what_is_wrong_with_what_the_pod_says_is_told_once_and_there() {
    let pod = |pod: &str, container: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  securityContext: {{{pod}}}\n  containers:\n  \
             - {{name: a, image: i, securityContext: {{{container}}}}}\n  - {{name: b, image: i, securityContext: {{{container}}}}}\n"
        )
    };
    let at = "line 5: spec.securityContext";
    for (of_pod, want) in [
        ("runAsUser: -1", "runAsUser: -1 is not an id: 0 to 4294967294"),
        ("runAsGroup: 4294967295", "runAsGroup: 4294967295 is not an id: 0 to 4294967294"),
        ("fsGroup: -1", "fsGroup: -1 is not an id: 0 to 4294967294"),
        ("supplementalGroups: [5, -7]", "supplementalGroups[1]: -7 is not an id: 0 to 4294967294"),
        ("runAsNonRoot: true, runAsUser: 0", "runAsNonRoot: is true while runAsUser is 0"),
        (
            "seccompProfile: {type: None}",
            "seccompProfile.type: \"None\" is none of RuntimeDefault, Unconfined and Localhost",
        ),
    ] {
        assert_eq!(problems(&pod(of_pod, "")), [format!("{at}.{want}")], "{of_pod}");
    }
    assert!(parse(&pod("runAsNonRoot: true, runAsUser: 0", "runAsUser: 5")).is_ok(), "no container takes both");
    let both = |of_pod: &str, container: &str, want: &str| {
        let want = ["line 7: spec.containers[0]", "line 8: spec.containers[1]"]
            .map(|at| format!("{at}.securityContext.{want}"));
        assert_eq!(problems(&pod(of_pod, container)), want);
    };
    both("runAsNonRoot: true", "runAsUser: 0", "runAsUser: is 0 while the pod's runAsNonRoot is true");
    both("runAsUser: 0", "runAsNonRoot: true", "runAsNonRoot: is true while the pod's runAsUser is 0");
    both("", "runAsNonRoot: true, runAsUser: 0", "runAsNonRoot: is true while runAsUser is 0");
    both("runAsUser: 1", "runAsUser: -5", "runAsUser: -5 is not an id: 0 to 4294967294");
}
