use super::*;
use crate::make::{self, header, record, seal, write_tar};
use crate::test_support::spool_bytes;

fn read(tar: &[u8]) -> Result<Vec<Entry>, String> {
    let spool = spool_bytes(tar);
    let limits = Limits::default();
    let mut reader = Reader::new(&spool, &limits);
    let mut entries = Vec::new();
    let strip = |e: ErrorKind| e.to_string().replace(&spool.name, "L");
    while let Some(entry) = reader.next_entry().map_err(strip)? {
        entries.push(entry);
    }
    Ok(entries)
}

fn one(tar: &[u8]) -> Entry {
    let mut entries = read(tar).unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}

/// A header with its body, padded; no end marker.
fn member(path: &[u8], typeflag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = header(path, typeflag, b"", 0o644, (0, 0), body.len() as u64, 0, (0, 0)).to_vec();
    out.extend(body);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn patched(mut tar: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    tar[at..at + bytes.len()].copy_from_slice(bytes);
    let block: &mut [u8; 512] = (&mut tar[..512]).try_into().unwrap();
    seal(block);
    tar
}

fn pax(records: &[(&str, &[u8])], then: Vec<u8>) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        record(&mut body, key.as_bytes(), value);
    }
    let mut out = member(b"pax", b'x', &body);
    out.extend(then);
    out
}

#[test]
fn what_the_writer_writes_is_read_back() {
    let entries = [
        make::Entry::dir("d").mode(0o1777).owner(5, 6),
        make::Entry::file("d/f", "hello").mtime(12, 345_000_000).xattr("user.k", "v\n=\0"),
        make::Entry::symlink("s", "t".repeat(150)),
        make::Entry::hard_link("h", "d/f"),
        make::Entry::new("c", 0o600, make::Kind::Char(4, 64)),
        make::Entry::file("n".repeat(300), "").owner(3_000_000_000, 2_097_152),
    ];
    let mut tar = Vec::new();
    write_tar(&mut tar, &entries).unwrap();
    let found = read(&tar).unwrap();
    assert_eq!(found.len(), 6);
    assert_eq!((found[0].mode, found[0].uid, found[0].gid, &found[0].kind), (0o1777, 5, 6, &Kind::Dir));
    assert_eq!(found[1].mtime, (12, 345_000_000));
    assert_eq!(found[1].xattrs, [(b"user.k".to_vec(), b"v\n=\0".to_vec())]);
    let Kind::File(content) = &found[1].kind else { panic!("{found:?}") };
    assert_eq!(content.size, 5);
    let Extent { at: 0, len: 5, spool } = content.extents[0] else { panic!("{content:?}") };
    assert_eq!(&tar[spool as usize..][..5], b"hello");
    assert_eq!(found[2].kind, Kind::Symlink(vec![b't'; 150]));
    assert_eq!(found[3].kind, Kind::HardLink(b"d/f".to_vec()));
    assert_eq!(found[4].kind, Kind::Char(4, 64));
    assert_eq!((found[5].uid, found[5].gid, found[5].path.len()), (3_000_000_000, 2_097_152, 300));
}

#[test]
fn gnu_long_names_and_base_256_numbers() {
    let mut tar = member(b"././@LongLink", b'L', &[&b"x".repeat(200)[..], b"\0"].concat());
    tar.extend(member(b"././@LongLink", b'K', &[&b"y".repeat(180)[..], b"\0"].concat()));
    let mut last = member(b"short", b'2', b"");
    last[257..265].copy_from_slice(b"ustar  \0");
    last = patched(last, 108, &[0x80, 0, 0, 0, 0xee, 0x6b, 0x28, 0]);
    last = patched(last, 136, &[0xff; 12]);
    tar.extend(last);
    let entry = one(&tar);
    assert_eq!(entry.path, b"x".repeat(200));
    assert_eq!(entry.kind, Kind::Symlink(b"y".repeat(180)));
    assert_eq!((entry.uid, entry.mtime), (4_000_000_000, (-1, 0)));
}

#[test]
fn ustar_prefix_is_put_in_front_but_not_in_gnu_archives() {
    let posix = patched(member(b"name", b'0', b""), 345, b"some/prefix");
    assert_eq!(one(&posix).path, b"some/prefix/name");
    let gnu = patched(posix, 257, b"ustar  \0");
    assert_eq!(one(&gnu).path, b"name");
}

#[test]
fn a_regular_file_with_a_trailing_slash_is_a_directory() {
    assert_eq!(one(&patched(member(b"old/", b'0', b""), 156, b"\0")).kind, Kind::Dir);
}

#[test]
fn pax_times_keep_fraction_and_sign() {
    let time = |text: &str| one(&pax(&[("mtime", text.as_bytes())], member(b"f", b'0', b""))).mtime;
    assert_eq!(time("1700000000.25"), (1_700_000_000, 250_000_000));
    assert_eq!(time("-1"), (-1, 0));
    assert_eq!(time("-1.25"), (-2, 750_000_000));
    assert_eq!(time("7.1234567899"), (7, 123_456_789));
    assert_eq!(time(""), (0, 0));
}

#[test]
fn pax_size_replaces_the_header_s() {
    let mut tar = pax(&[("size", b"3")], header(b"f", b'0', b"", 0o644, (0, 0), 0, 0, (0, 0)).to_vec());
    tar.extend(b"abc");
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar.extend(member(b"g", b'0', b""));
    let entries = read(&tar).unwrap();
    let Kind::File(content) = &entries[0].kind else { panic!() };
    assert_eq!((content.size, &entries[1].path[..]), (3, &b"g"[..]));
}

#[test]
fn the_last_value_of_an_attribute_counts() {
    let entry = one(&pax(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.a", b"2")], member(b"f", b'0', b"")));
    assert_eq!(entry.xattrs, [(b"user.a".to_vec(), b"2".to_vec())]);
}

fn extents(entry: &Entry) -> (u64, Vec<(u64, u64)>) {
    let Kind::File(content) = &entry.kind else { panic!("{entry:?}") };
    (content.size, content.extents.iter().map(|e| (e.at, e.len)).collect())
}

#[test]
fn sparse_files_of_every_format() {
    // Old GNU, with one extension block.
    let mut old = member(b"old", b'S', &[b'x'; 6 * 512]);
    old[257..265].copy_from_slice(b"ustar  \0");
    let pair = |at: u64, len: u64| format!("{at:011o}\0{len:011o}\0").into_bytes();
    for i in 0..4 {
        old[386 + i * 24..][..24].copy_from_slice(&pair(i as u64 * 10_000, 512));
    }
    old[482] = 1;
    old[483..494].copy_from_slice(b"00000303240"); // 100000
    let mut old = patched(old, 0, b"old");
    let mut extension = [0; 512];
    extension[..24].copy_from_slice(&pair(50_000, 512));
    extension[24..48].copy_from_slice(&pair(99_488, 512));
    old.splice(512..512, extension);
    old.extend(member(b"next", b'0', b""));
    let entries = read(&old).unwrap();
    let map = vec![(0, 512), (10_000, 512), (20_000, 512), (30_000, 512), (50_000, 512), (99_488, 512)];
    assert_eq!(extents(&entries[0]), (100_000, map));
    assert_eq!(entries[1].path, b"next");

    // PAX 0.0, 0.1 and 1.0.
    let two = vec![(512, 100), (2000, 48)];
    let data = [b'x'; 148];
    let size = ("GNU.sparse.size", &b"4096"[..]);
    let v00 = [
        size,
        ("GNU.sparse.offset", b"512"),
        ("GNU.sparse.numbytes", b"100"),
        ("GNU.sparse.offset", b"2000"),
        ("GNU.sparse.numbytes", b"48"),
    ];
    assert_eq!(extents(&one(&pax(&v00, member(b"f", b'0', &data)))), (4096, two.clone()));
    let v01 = [size, ("GNU.sparse.map", b"512,100,2000,48"), ("GNU.sparse.name", b"real")];
    let entry = one(&pax(&v01, member(b"GNUSparseFile.1/real", b'0', &data)));
    assert_eq!((extents(&entry), &entry.path[..]), ((4096, two.clone()), &b"real"[..]));
    let v10 = [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"4096")];
    let mut body = b"2\n512\n100\n2000\n48\n".to_vec();
    body.resize(512, 0);
    body.extend(data);
    let entry = one(&pax(&v10, member(b"f", b'0', &body)));
    assert_eq!(extents(&entry), (4096, two));
}

#[test]
fn unsound_sparse_maps_are_refused() {
    let refuse = |map: &str, size: &str| {
        let records = [("GNU.sparse.map", map.as_bytes()), ("GNU.sparse.size", size.as_bytes())];
        read(&pax(&records, member(b"f", b'0', &[b'x'; 100]))).unwrap_err()
    };
    assert_eq!(refuse("0,50,40,50", "1000"), "layer L: entry \"f\": its sparse chunks overlap");
    assert_eq!(refuse("0,100", "50"), "layer L: entry \"f\": a sparse chunk lies beyond the end of the file");
    assert_eq!(refuse("0,200", "1000"), "layer L: entry \"f\": its sparse chunks are longer than its data");
    assert_eq!(refuse("0,20", "1000"), "layer L: entry \"f\": 80 bytes of its data belong to no sparse chunk");
    let overflow = refuse("18446744073709551615,2", "1000");
    assert_eq!(overflow, "layer L: entry \"f\": a sparse chunk lies beyond the end of the file");
}

#[test]
fn damage_is_named_with_its_place() {
    let mut flipped = member(b"f", b'0', b"x");
    flipped[0] = b'g';
    assert_eq!(read(&flipped).unwrap_err(), "layer L: tar header at byte 0: checksum is 3813, header says 3812");
    let cut = &member(b"f", b'0', &[0; 2000])[..1500];
    assert_eq!(read(cut).unwrap_err(), "layer L: entry \"f\": the tar ends 988 bytes into its 2000 bytes of data");
    assert_eq!(
        read(&member(b"f", b'0', b"")[..300]).unwrap_err(),
        "layer L: the tar ends at byte 300, inside a header"
    );
    let mut trailing = member(b"f", b'0', b"");
    trailing.extend([0; 1024]);
    trailing.extend(b"more");
    assert_eq!(read(&trailing).unwrap_err(), "layer L: data at byte 1536, after the end of the tar");
    let orphan = member(b"x", b'x', b"");
    assert_eq!(
        read(&orphan).unwrap_err(),
        "layer L: the tar ends after an extended header, before the entry it describes"
    );
    let malformed = member(b"x", b'x', b"99 path=x\n");
    assert_eq!(read(&malformed).unwrap_err(), "layer L: PAX header at byte 0: malformed record \"99 path=x\\n\"");
}

#[test]
fn an_archive_without_an_end_marker_or_with_much_padding_is_fine() {
    assert_eq!(read(&member(b"f", b'0', b"x")).unwrap().len(), 1);
    let mut padded = member(b"f", b'0', b"x");
    padded.resize(10_240, 0);
    assert_eq!(read(&padded).unwrap().len(), 1);
    assert_eq!(read(b"").unwrap(), []);
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let volume = read(&member(b"v", b'V', b"")).unwrap_err();
    assert_eq!(volume, "layer L: entry \"v\": tar entry type 'V' is not supported");
    let mut body = Vec::new();
    record(&mut body, b"uid", b"5");
    let global = read(&member(b"g", b'g', &body)).unwrap_err();
    assert_eq!(global, "layer L: a global PAX header (at byte 0) that sets attributes is not supported");
    let mut comment = Vec::new();
    record(&mut comment, b"comment", b"0123abcd");
    let mut tar = member(b"g", b'g', &comment);
    tar.extend(member(b"f", b'0', b""));
    assert_eq!(one(&tar).path, b"f");
}

#[test]
fn values_out_of_range_are_refused() {
    let refuse = |records: &[(&str, &[u8])]| read(&pax(records, member(b"f", b'0', b""))).unwrap_err();
    assert_eq!(refuse(&[("uid", b"4294967295")]), "layer L: entry \"f\": owner 4294967295 is out of range");
    assert_eq!(refuse(&[("path", b"a\0b")]), "layer L: entry \"a\\0b\": its name contains a NUL byte");
    assert_eq!(refuse(&[("size", b"-1")]), "layer L: PAX header at byte 0: size has the value \"-1\"");
    let long = refuse(&[("path", &b"x".repeat(5000))]);
    assert!(long.ends_with("the length of its name exceeds the limit of 4095"), "{long}");
    let huge = refuse(&[("size", b"18446744073709551615")]);
    assert_eq!(huge, "layer L: entry \"f\": the tar ends 0 bytes into its 18446744073709551615 bytes of data");
}

#[test]
fn an_oversized_extension_is_refused_unread() {
    let mut tar = header(b"x", b'x', b"", 0, (0, 0), 1 << 32, 0, (0, 0)).to_vec();
    tar.resize(2048, 0);
    assert_eq!(read(&tar).unwrap_err(), "layer L: PAX header at byte 0: its size exceeds the limit of 1048576");
}

/// Bytes flipped, cut and doubled at random: an error or entries, never a panic, and nothing outside the spool.
#[test]
fn random_damage_never_panics() {
    let mut base = Vec::new();
    let entries = [
        make::Entry::dir("d"),
        make::Entry::file("d/f", "hello").xattr("user.k", "v").mtime(3, 5),
        make::Entry::hard_link("h", "d/f"),
        make::Entry::symlink("s", "x".repeat(200)),
        make::Entry::new("c", 0o600, make::Kind::Char(4, 64)),
    ];
    write_tar(&mut base, &entries).unwrap();
    let sparse = [("GNU.sparse.map", &b"0,5"[..]), ("GNU.sparse.size", b"4096")];
    base.splice(0..0, pax(&sparse, member(b"sp", b'0', b"12345")));
    let mut rng = crate::test_support::Rng::new(7);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..6_000 {
        let mut tar = base.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.below(tar.len());
            match rng.below(4) {
                0 => tar[at] = rng.below(256) as u8,
                1 => tar[at] ^= 1 << rng.below(8),
                2 => tar.truncate(at.max(1)),
                _ => tar[at] = b"0123456789 \0/.=\n"[rng.below(16)],
            }
        }
        // With sums repaired, what lies behind them is reached.
        if rng.below(4) > 0 {
            for block in tar.chunks_exact_mut(512).filter(|b| b[257..262] == *b"ustar") {
                seal(block.try_into().unwrap());
            }
        }
        let spool = spool_bytes(&tar);
        match crate::test_support::merge(std::slice::from_ref(&spool)) {
            Ok(tree) => {
                good += 1;
                if good % 50 == 0 {
                    crate::test_support::erofs_of(&tree, &[spool]);
                }
            }
            Err(_) => bad += 1,
        }
    }
    assert!(good > 300 && bad > 300, "{good} good, {bad} bad: the damage is not varied enough");
}
