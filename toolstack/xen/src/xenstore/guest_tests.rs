use super::*;

const NODE: &str = "/local/domain/7/data/xenpod/ring-ref";

#[test]
fn numbers_have_one_spelling() {
    assert_eq!(number(NODE, b"0", 0..=9), Ok(0));
    assert_eq!(number(NODE, b"4294967295", 0..=u64::from(u32::MAX)), Ok(4_294_967_295));
    assert_eq!(grant_ref(NODE, b"8"), Ok(8));
    for bad in ["", " 8", "8 ", "+8", "-8", "08", "0x8", "8\0", "8\n", "1e3", "١", "99999999999999999999999"] {
        let error = grant_ref(NODE, bad.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::BadValue { .. }), "{bad:?}");
        assert!(error.to_string().starts_with("xenstore: /local/domain/7/data/xenpod/ring-ref: "), "{error}");
    }
}

#[test]
fn numbers_have_a_range() {
    let error = grant_ref(NODE, b"4294967296").unwrap_err();
    assert_eq!(
        error.to_string(),
        "xenstore: /local/domain/7/data/xenpod/ring-ref: 4294967296 is not within 0..=4294967295"
    );
    assert_eq!(port(NODE, b"1", 1024), Ok(1));
    assert_eq!(port(NODE, b"1023", 1024), Ok(1023));
    assert!(port(NODE, b"0", 1024).is_err(), "port 0 is never valid");
    assert!(port(NODE, b"1024", 1024).is_err());
}

#[test]
fn a_bad_value_is_shown_short_and_escaped() {
    let error = grant_ref(NODE, b"\x1b[2J\n").unwrap_err();
    assert!(error.to_string().ends_with("\"\\x1b[2J\\n\" is no number"), "{error}");
    let error = grant_ref(NODE, &[b'a'; 4096]).unwrap_err();
    assert!(error.to_string().len() < 120, "{error}");
}

#[test]
fn states() {
    assert_eq!(state(NODE, b"4"), Ok(State::Connected));
    for number in 0..=8u8 {
        let text = number.to_string();
        let state = state(NODE, text.as_bytes()).unwrap();
        assert_eq!(state as u8, number);
        assert_eq!(state.as_str(), text);
    }
    for bad in ["9", "", "04", "connected"] {
        assert!(state(NODE, bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn texts_are_printable_and_bounded() {
    assert_eq!(text(NODE, b"2 reading backend"), Ok("2 reading backend"));
    assert_eq!(text(NODE, b""), Ok(""));
    assert!(text(NODE, "käse".as_bytes()).is_err());
    assert!(text(NODE, b"a\0b").is_err());
    assert!(text(NODE, b"a\tb").is_err());
    assert_eq!(
        text(NODE, &[b'a'; 257]).unwrap_err().to_string(),
        "xenstore: /local/domain/7/data/xenpod/ring-ref: 257 bytes, at most 256 are read"
    );
}
