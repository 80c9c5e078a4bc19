use serde_json::json;

use super::*;

fn read(value: serde_json::Value) -> Result<(ImageConfig, Vec<Digest>), String> {
    let raw = value.to_string().into_bytes();
    let digest = Digest::of(&raw);
    parse(&raw, &digest, &Platform::default(), 1).map_err(|e| e.to_string().replace(&digest.to_string(), "D"))
}

fn base() -> serde_json::Value {
    json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"x").to_string()] },
        "config": {
            "Env": ["A=b"], "Entrypoint": ["/e"], "Cmd": null, "WorkingDir": "/w", "User": "u:g",
            "ExposedPorts": { "80/tcp": {}, "53/udp": {} }, "Volumes": { "/v": {}, "/a": {} },
            "StopSignal": "SIGQUIT", "Labels": { "k": "v" }, "OnBuild": null, "Healthcheck": { "Test": ["NONE"] },
        },
        "history": [{ "created_by": "x" }], "container_config": {}, "docker_version": "1",
    })
}

#[test]
fn a_docker_configuration_is_read_in_full() {
    let (config, diff_ids) = read(base()).unwrap();
    let expected = ImageConfig {
        env: vec!["A=b".into()],
        entrypoint: vec!["/e".into()],
        cmd: vec![],
        working_dir: "/w".into(),
        user: "u:g".into(),
        exposed_ports: vec!["53/udp".into(), "80/tcp".into()],
        volumes: vec!["/a".into(), "/v".into()],
        stop_signal: "SIGQUIT".into(),
        labels: [("k".to_owned(), "v".to_owned())].into(),
        created: Some("2024-01-02T03:04:05Z".into()),
        architecture: "amd64".into(),
        os: "linux".into(),
    };
    assert_eq!(config, expected);
    assert_eq!(diff_ids, [Digest::of(b"x")]);
}

#[test]
fn no_config_at_all_is_fine_null_included() {
    for empty in [json!(null), json!({})] {
        let mut value = base();
        value["config"] = empty;
        assert_eq!(read(value).unwrap().0.env, Vec::<String>::new());
    }
    let mut value = base();
    value["config"] = json!({ "Volumes": null, "ExposedPorts": null, "Labels": null, "Env": null, "Entrypoint": null });
    assert_eq!(read(value).unwrap().0.volumes, Vec::<String>::new());
}

#[test]
fn an_image_without_layers_may_say_so_in_three_ways() {
    for rootfs in [
        json!({ "type": "layers" }),
        json!({ "type": "layers", "diff_ids": null }),
        json!({ "type": "layers", "diff_ids": [] }),
    ] {
        let mut value = base();
        value["rootfs"] = rootfs;
        let raw = value.to_string().into_bytes();
        assert_eq!(parse(&raw, &Digest::of(&raw), &Platform::default(), 0).unwrap().1, []);
    }
    let error = parse(b"[]", &Digest::of(b"[]"), &Platform::default(), 0).unwrap_err();
    assert!(matches!(error, ErrorKind::Corrupt { .. }), "{error}");
}

#[test]
fn mismatches_are_refused() {
    let mut arm = base();
    arm["architecture"] = json!("arm64");
    arm["variant"] = json!("v8");
    assert_eq!(read(arm).unwrap_err(), "no image for linux/amd64; it is for linux/arm64/v8");
    let mut two = base();
    two["rootfs"]["diff_ids"] = json!([Digest::of(b"x"), Digest::of(b"y")]);
    assert_eq!(read(two).unwrap_err(), "config D is malformed: it names 2 layers, the manifest 1");
    let mut nul = base();
    nul["config"]["Env"] = json!(["A=\0"]);
    assert_eq!(read(nul).unwrap_err(), "config D is malformed: a value contains a NUL character");
    let mut bad = base();
    bad["rootfs"]["diff_ids"] = json!(["md5:1"]);
    assert!(read(bad).unwrap_err().contains("digest algorithm \"md5\" is not supported"));
}
