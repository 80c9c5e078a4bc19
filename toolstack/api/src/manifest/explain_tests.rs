use super::*;

fn at(asked: &str) -> Entry {
    explain(asked).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_field_is_found_however_it_is_written() {
    for asked in [
        "spec.containers[].resources.limits",
        "pod.spec.containers.resources.limits",
        "po.spec.containers[0].resources.limits",
        "containers.resources.limits",
        "resources.limits",
        "spec.cont.reso.lim",
    ] {
        assert_eq!(at(asked).path, "spec.containers[].resources.limits", "{asked}");
    }
    let limits = at("resources.limits");
    assert_eq!(limits.kind, "map of quantities");
    let names: Vec<&str> = limits.fields.iter().map(Entry::name).collect();
    assert_eq!(names, ["cpu", "memory"]);
    assert_eq!(limits.fields[0].kind, "quantity");
    assert_eq!(at("env").path, "spec.containers[].env[]");
    assert_eq!(at("labels").path, "metadata.labels");
    assert_eq!(at("RESTARTPOLICY").path, "spec.restartPolicy");
    assert_eq!(
        at("spec.initContainers.startupProbe.tcpSocket.port").path,
        "spec.initContainers[].startupProbe.tcpSocket.port"
    );
    assert_eq!(at("pod"), *pod());
    for asked in ["xenpod.org/memory", "metadata.annotations.xenpod.org/memory", "pod.annotations.xenpod.org/memory"] {
        assert_eq!(at(asked).name(), "xenpod.org/memory", "{asked}");
    }
}

#[test]
fn what_is_refused_says_why() {
    assert_eq!(
        at("spec.nodeName").standing,
        Standing::Refused("there is one host, and nothing to choose it by".into())
    );
    assert_eq!(at("spec.hostNetwork").standing, Standing::Only("false".into()));
    assert!(at("spec.volumes.hostPath").refused());
    assert_eq!(at("spec.volumes.hostPath.path"), at("spec.volumes.hostPath"));
    assert_eq!(at("spec.tolerations.key").path, "spec.tolerations[]");
    assert_eq!(at("spec.tolerations").text, "Changes nothing: they permit, and ask for nothing.");
    assert!(explain("spec.volumes.hostPath.nosuch").is_err());
    for (field, value) in [
        ("schedulerName", "default-scheduler"),
        ("priority", "0"),
        ("preemptionPolicy", "PreemptLowerPriority"),
        ("setHostnameAsFQDN", "false"),
        ("containers.ports.hostPort", "0"),
        ("containers.volumeMounts.recursiveReadOnly", "Disabled"),
        ("containers.resizePolicy.restartPolicy", "NotRequired"),
        ("os.name", "linux"),
        ("serviceAccountName", "default"),
        ("hostUsers", "false"),
    ] {
        assert_eq!(at(field).standing, Standing::Only(value.into()), "{field}");
    }
    let required = at("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    assert_eq!(required.standing, Standing::Refused("there is one host, and nothing to choose it by".into()));
    // Fields of newer versions of Kubernetes.
    assert_eq!(
        at("spec.volumes.emptyDir.mode").standing,
        Standing::Refused("whose a volume is say `fsGroup` and `xenpod.org/volume-owner`".into())
    );
    assert_eq!(
        at("containers.restartPolicyRules").standing,
        Standing::Refused("whether a container is started again is said by `restartPolicy` alone".into())
    );
    assert!(at("status").refused());
}

#[test]
fn what_is_not_there_is_told_with_what_is_like_it() {
    let error = explain("spec.containers.imagePullPolcy").unwrap_err();
    assert_eq!(error.near[0], "spec.containers[].imagePullPolicy");
    assert!(error.to_string().starts_with("a pod has no field \"spec.containers.imagePullPolcy\"; there are spec."));
    assert_eq!(explain("xenpod.org/memroy").unwrap_err().near[0], "metadata.annotations.xenpod.org/memory");
    assert!(
        explain("spec.qqqqqqqqqqqqqqq")
            .unwrap_err()
            .to_string()
            .ends_with("`xenpodctl explain pod --recursive` lists all")
    );
}
