use super::*;

#[test]
fn a_request_has_the_layout_of_the_header_file() {
    let mut out = Vec::new();
    encode(&mut out, Kind::Write, 7, 3, &[b"/a", b"\0", b"xy"]).unwrap();
    let words: Vec<u32> = out[..16].chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect();
    assert_eq!(words, [11, 7, 3, 5]);
    assert_eq!(&out[16..], b"/a\0xy");
}

#[test]
fn every_type_has_the_number_of_the_header_file() {
    let numbers: Vec<u32> = Kind::ALL.iter().map(|kind| *kind as u32).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22]);
    assert_eq!(Kind::from_wire(20), None);
    assert_eq!(Kind::from_wire(22), Some(Kind::DirectoryPart));
    assert_eq!(Kind::from_wire(0xffff), None);
}

#[test]
fn a_payload_of_4096_bytes_fits_and_one_more_does_not() {
    let mut out = b"before".to_vec();
    encode(&mut out, Kind::Write, 1, 0, &[b"/a\0", &[0; PAYLOAD_MAX - 3]]).unwrap();
    assert_eq!(out.len(), 6 + HEADER_LEN + PAYLOAD_MAX);
    let before = out.clone();
    let error = encode(&mut out, Kind::Write, 1, 0, &[b"/a", b"\0", &[0; PAYLOAD_MAX - 2]]).unwrap_err();
    assert_eq!(error.to_string(), "xenstore: cannot write /a: 4097 bytes, a message holds 4096");
    assert_eq!(out, before);
}

#[test]
fn messages_are_cut_out_of_any_pieces() {
    let mut out = Vec::new();
    encode(&mut out, Kind::Read, 1, 0, &[b"value"]).unwrap();
    encode(&mut out, Kind::Error, 2, 0, &[b"ENOENT\0"]).unwrap();
    for cut in 0..HEADER_LEN + 5 {
        assert_eq!(decode(&out[..cut], PAYLOAD_MAX).unwrap(), None, "{cut} bytes are no message");
    }
    let first = decode(&out, PAYLOAD_MAX).unwrap().unwrap();
    assert_eq!((first.header.request, first.payload), (1, b"value".as_slice()));
    let second = decode(&out[first.wire_len()..], PAYLOAD_MAX).unwrap().unwrap();
    assert_eq!(reply(&first, Kind::Read).unwrap(), Ok(b"value".as_slice()));
    assert_eq!(reply(&second, Kind::Read).unwrap(), Err(Code::NotFound));
}

#[test]
fn a_header_that_announces_too_much_ends_the_connection() {
    let header = Header { kind: 2, request: 1, transaction: 0, len: u32::MAX };
    let error = decode(&header.to_bytes(), REPLY_MAX).unwrap_err();
    assert_eq!(
        error.to_string(),
        "xenstore: broken protocol: a message of type 2 announces 4294967295 bytes, the limit is 1048576"
    );
}

#[test]
fn a_reply_of_another_type_is_refused() {
    let message = Message { header: Header { kind: 11, request: 9, transaction: 0, len: 0 }, payload: b"" };
    let error = reply(&message, Kind::Read).unwrap_err();
    assert_eq!(error.to_string(), "xenstore: broken protocol: the reply to request 9 (read) is of type 11");
}

#[test]
fn lists_of_strings() {
    assert_eq!(strings(b""), [""; 0]);
    assert_eq!(strings(b"\0"), [""; 0]);
    assert_eq!(strings(b"a\0"), ["a"]);
    assert_eq!(strings(b"a\0bc\0"), ["a", "bc"]);
    assert_eq!(strings(b"a\0bc"), ["a", "bc"]);
    assert_eq!(strings(b"a\0\0b\0"), ["a", "", "b"]);
    assert_eq!(strings(b"\xff\0"), ["\u{fffd}"]);
}

#[test]
fn watch_events() {
    assert_eq!(watch_event(b"/a/b\0token\0").unwrap(), ("/a/b", "token"));
    assert_eq!(watch_event(b"@releaseDomain\0t\0").unwrap(), ("@releaseDomain", "t"));
    for bad in [b"".as_slice(), b"/a", b"\0t\0", b"/a\0\xff\0"] {
        assert!(matches!(watch_event(bad), Err(Error::Protocol(_))), "{bad:?} was taken");
    }
}

#[test]
fn parts_of_a_directory() {
    assert_eq!(directory_part(b"12\0a\0b\0").unwrap(), (b"12".as_slice(), b"a\0b\0".as_slice(), false));
    assert_eq!(directory_part(b"12\0a\0b\0\0").unwrap(), (b"12".as_slice(), b"a\0b\0".as_slice(), true));
    // An empty directory, and an offset behind the list: nothing but the closing NUL.
    assert_eq!(directory_part(b"12\0\0").unwrap(), (b"12".as_slice(), b"".as_slice(), true));
    assert_eq!(directory_part(b"12\0").unwrap(), (b"12".as_slice(), b"".as_slice(), true));
    assert!(matches!(directory_part(b"12"), Err(Error::Protocol(_))));
}

/// Whatever the bytes, decoding says no or takes some: it neither panics nor spins.
#[test]
fn arbitrary_bytes_do_no_harm() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..seed % 64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Small numbers are frequent, so that headers are sometimes plausible.
            bytes.push(if seed >> 63 == 0 { 0 } else { (seed >> 33) as u8 % 24 });
        }
        seed = seed.wrapping_add(0x1234_5678_9abc_def1);
        if let Ok(Some(message)) = decode(&bytes, PAYLOAD_MAX) {
            assert!(message.wire_len() <= bytes.len());
            let _ = (reply(&message, Kind::Read), watch_event(message.payload), directory_part(message.payload));
            let _ = (strings(message.payload), text(message.payload));
        }
    }
}
