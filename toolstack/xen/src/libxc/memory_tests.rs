use super::*;

/// All pieces of a range, when Xen gives all that is asked for.
fn pieces(first: u64, end: u64, largest: u32) -> Vec<(u64, u32, u64)> {
    let (mut next, mut pieces) = (first, Vec::new());
    while next < end {
        let (order, count) = next_pieces(next, end, largest);
        pieces.push((next, order, count));
        next += count << order;
    }
    assert_eq!(next, end, "every frame once");
    pieces
}

#[test]
fn whole_large_pages_are_asked_for_first() {
    assert_eq!(pieces(0, 8192, 18), [(0, 9, 16)], "32 MiB are 16 times 2 MiB");
    assert_eq!(pieces(0, 8192 + 256, 18), [(0, 9, 16), (8192, 0, 256)], "and what is left, in pages");
    assert_eq!(pieces(100, 1024, 18), [(100, 0, 412), (512, 9, 1)], "pages up to where a large one can begin");
    assert_eq!(pieces(0, 1 << 18, 18), [(0, 18, 1)], "1 GiB at once");
    let high = 1 << 20;
    assert_eq!(pieces(high, high + (1 << 18) + 512, 18), [(high, 18, 1), (high + (1 << 18), 9, 1)]);
}

#[test]
fn a_size_that_was_refused_is_not_asked_for_again() {
    assert_eq!(pieces(0, 1 << 18, 9), [(0, 9, 512)]);
    assert_eq!(pieces(0, 1024, 0), [(0, 0, 512), (512, 0, 512)]);
}
