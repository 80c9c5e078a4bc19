use super::*;

fn raw(kind: u8, length: u32, stream: u32) -> [u8; HEADER_LEN] {
    let mut raw = [0; HEADER_LEN];
    raw[0] = kind;
    raw[4..8].copy_from_slice(&length.to_le_bytes());
    raw[8..12].copy_from_slice(&stream.to_le_bytes());
    raw
}

#[test]
fn layout_is_fixed() {
    let header =
        Header { kind: Kind::Data, flag: false, length: 0x0102, stream: 0x0a0b_0c0d, offset: 0x1122_3344_5566 };
    let wire = header.encode();
    assert_eq!(wire, [2, 0, 0, 0, 2, 1, 0, 0, 0x0d, 0x0c, 0x0b, 0x0a, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0]);
    assert_eq!(Header::decode(&wire), Ok(header));
}

#[test]
fn lengths_are_bounded_per_kind() {
    for (kind, length, ok) in [
        (1, 0, false),
        (1, 1, true),
        (1, MAX_PAYLOAD as u32, true),
        (1, MAX_PAYLOAD as u32 + 1, false),
        (2, 0, false),
        (2, MAX_PAYLOAD as u32, true),
        (2, u32::MAX, false),
        (3, 16, true),
        (3, 15, false),
        (4, 1, true),
        (4, 2, false),
    ] {
        let stream = u32::from(kind != 1);
        assert_eq!(Header::decode(&raw(kind, length, stream)).is_ok(), ok, "kind {kind} length {length}");
    }
}

#[test]
fn stray_bits_are_refused() {
    assert_eq!(Header::decode(&raw(0, 1, 0)), Err(ProtocolError::FrameKind(0)));
    assert_eq!(Header::decode(&raw(5, 1, 0)), Err(ProtocolError::FrameKind(5)));
    assert_eq!(Header::decode(&raw(2, 1, 0)), Err(ProtocolError::UnknownStream(0)));
    assert_eq!(Header::decode(&raw(1, 1, 7)), Err(ProtocolError::FrameFlags { kind: 1 }));
    for (index, value) in [(1, 2), (1, 1), (2, 1), (3, 1)] {
        let mut wire = raw(2, 1, 1);
        wire[index] = value;
        assert_eq!(Header::decode(&wire), Err(ProtocolError::FrameFlags { kind: 2 }), "byte {index}");
    }
}
