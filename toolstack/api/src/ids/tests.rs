use super::*;

#[test]
fn escape_is_that_of_sd_bus_path_encode() {
    assert_eq!(escape("web-1"), "web_2d1");
    assert_eq!(escape("1web"), "_31web");
    assert_eq!(escape(""), "_");
    assert_eq!(escape("a.b_c"), "a_2eb_5fc");
}

#[test]
fn unescape_takes_back_only_what_escape_made() {
    for label in ["web-1", "", "0f-é", "_"] {
        assert_eq!(unescape(&escape(label)).as_deref(), Some(label));
    }
    for bad in ["_2", "_zz", "web_41", "a-b", "__"] {
        assert_eq!(unescape(bad), None, "{bad}");
    }
}

#[test]
fn a_pod_id_is_a_hyphenated_uuid_and_nothing_else() {
    let text = "6c9f2a52-3c3e-4a0e-9a54-0d5b6f3c1a2b";
    let id: PodId = text.parse().unwrap();
    assert_eq!(id.to_string(), text);
    assert_eq!(id.path(), "/org/xenpod1/pod/_36c9f2a52_2d3c3e_2d4a0e_2d9a54_2d0d5b6f3c1a2b");
    assert!("6c9f2a523c3e4a0e9a540d5b6f3c1a2b".parse::<PodId>().is_err());
    assert!("web".parse::<PodId>().is_err());
}

#[test]
fn image_and_job_paths() {
    assert_eq!(image_path("sha256:ab12"), "/org/xenpod1/image/ab12");
    assert_eq!(job_path(7), "/org/xenpod1/job/7");
}

#[test]
fn a_pods_id_bears_the_tag_of_its_host() {
    let (tag, other) = (HostTag::random(), HostTag::random());
    let (a, b) = (PodId::new(tag), PodId::new(tag));
    assert_ne!(a, b);
    assert!(a.bears(tag) && b.bears(tag) && !a.bears(other));
    assert_eq!((a.0.get_version_num(), a.0.get_variant()), (8, uuid::Variant::RFC4122));
    // Another version's last bytes say nothing: they are random, or a network card's address.
    let mut bytes = *a.as_bytes();
    bytes[6] = bytes[6] & 0xf | 0x40;
    assert!(!PodId(Uuid::from_bytes(bytes)).bears(tag));
}

#[test]
fn a_host_tag_is_twelve_hexadecimal_digits() {
    let tag: HostTag = "0a1b2c3d4eff".parse().unwrap();
    assert_eq!(tag.to_string(), "0a1b2c3d4eff");
    for bad in ["", "0a1b2c3d4ef", "0a1b2c3d4eff0", "0a1b2c3d4efg", "+a1b2c3d4eff", "é1b2c3d4eff"] {
        assert_eq!(bad.parse::<HostTag>(), Err(ParseTagError), "{bad}");
    }
}
