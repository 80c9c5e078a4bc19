use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn full(input: &str) -> String {
    input.parse::<Reference>().map_or_else(|e| e.to_string(), |r| r.to_string())
}

#[test]
fn names_are_completed_as_docker_does() {
    assert_eq!(full("busybox"), "docker.io/library/busybox:latest");
    assert_eq!(full("busybox:1.36"), "docker.io/library/busybox:1.36");
    assert_eq!(full("user/app"), "docker.io/user/app:latest");
    assert_eq!(full("docker.io/busybox"), "docker.io/library/busybox:latest");
    assert_eq!(full("index.docker.io/library/busybox"), "docker.io/library/busybox:latest");
    assert_eq!(full("quay.io/a/b/c:v1"), "quay.io/a/b/c:v1");
    assert_eq!(full("localhost/web"), "localhost/web:latest");
    assert_eq!(full("127.0.0.1:5000/web:1"), "127.0.0.1:5000/web:1");
    assert_eq!(full("[::1]:5000/web"), "[::1]:5000/web:latest");
    assert_eq!(full("myhost:5000"), "docker.io/library/myhost:5000");
}

#[test]
fn a_digest_stands_alone_or_beside_a_tag() {
    assert_eq!(full(&format!("busybox@sha256:{HEX}")), format!("docker.io/library/busybox@sha256:{HEX}"));
    let both: Reference = format!("host:1/a/b:t@sha256:{HEX}").parse().unwrap();
    assert_eq!((both.host(), both.path(), both.tag()), ("host:1", "a/b", Some("t")));
    assert_eq!(both.selector(), format!("sha256:{HEX}"));
}

#[test]
fn malformed_names_say_which_rule_they_break() {
    let refused = |input: &str, part: &str| {
        let text = full(input);
        assert!(text.starts_with(&format!("{input:?} is not an image name: ")) && text.contains(part), "{text}");
    };
    refused("", "empty");
    refused("https://docker.io/x", "scheme");
    refused("Busybox", "upper-case");
    refused("docker.io/Library/x", "upper-case");
    refused("a..b", "path is malformed");
    refused("a/../b", "path is malformed");
    refused("a//b", "path is malformed");
    refused("-a", "path is malformed");
    refused("a_-b", "path is malformed");
    refused("a:.tag", "tag is malformed");
    refused("a:", "tag is malformed");
    refused("a@sha256:12", "digest is malformed");
    refused("host:99999/a", "host is malformed");
    refused("bad_host.x:1/a", "host is malformed");
    refused(HEX, "looks like a digest");
    refused(&"a".repeat(256), "longer than 255");
    refused("a b", "path is malformed");
    refused("a\n", "path is malformed");
}

#[test]
fn loopback_is_known_in_every_spelling() {
    let loopback = |host: &str| format!("{host}/x").parse::<Reference>().unwrap().is_loopback();
    for host in ["localhost", "localhost:5000", "127.0.0.1", "127.9.8.7:80", "[::1]:5000"] {
        assert!(loopback(host), "{host}");
    }
    for host in ["127.0.0.1.example.org", "localhost.example.org", "10.0.0.1:5000", "[::2]:5000", "docker.io"] {
        assert!(!loopback(host), "{host}");
    }
}
