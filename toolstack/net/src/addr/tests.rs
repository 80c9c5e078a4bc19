use super::*;

#[test]
fn interface_names_are_checked() {
    assert_eq!(IfName::vif(32751, 0).as_str(), "vif32751.0");
    assert_eq!("xenpod0".parse::<IfName>().map(String::from), Ok("xenpod0".into()));
    for bad in ["", "abcdefghijklmnop", "a/b", "a b", "..", "a:1", "a\nb", "vifé"] {
        assert_eq!(bad.parse::<IfName>(), Err(BadIfName(bad.into())), "{bad:?}");
    }
    assert_eq!(&IfName::vif(7, 0).padded(), b"vif7.0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn mac_text_form_goes_both_ways() {
    let mac: MacAddr = "02:16:0A:d5:00:ff".parse().unwrap();
    assert_eq!(mac, MacAddr([2, 0x16, 0x0a, 0xd5, 0, 0xff]));
    assert_eq!(mac.to_string(), "02:16:0a:d5:00:ff");
    for bad in ["", "02:16:0a:d5:00", "02:16:0a:d5:00:ff:00", "2:16:0a:d5:00:ff", "+2:16:0a:d5:00:ff"] {
        assert_eq!(bad.parse::<MacAddr>(), Err(BadMac(bad.into())), "{bad:?}");
    }
}

#[test]
fn link_local_is_the_modified_eui_64() {
    // RFC 2464, section 4: 34-56-78-9A-BC-DE gives 36-56-78-FF-FE-9A-BC-DE.
    let mac = MacAddr([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
    assert_eq!(mac.link_local().to_string(), "fe80::3656:78ff:fe9a:bcde");
}
