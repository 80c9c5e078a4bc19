use std::fs;

use super::record::MAX_CONTENT;
use super::segment::MAX_BEHIND;
use super::*;

const T: u64 = 1_767_323_045_000_000_006;

fn open(dir: &std::path::Path) -> LogWriter {
    LogWriter::open(dir, "web", 1 << 20).unwrap()
}

async fn read_all(hub: Hub, since: Since) -> [Vec<u8>; 2] {
    let mut follow = Follow::new(&hub, since, false, false).unwrap();
    let mut out = [Vec::new(), Vec::new()];
    while let Some((stream, bytes)) = follow.next().await.unwrap() {
        out[stream.index()].extend(bytes);
    }
    out
}

#[test]
fn the_file_is_in_the_cri_format() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.append(T, Stream::Stdout, b"one\ntw").unwrap();
    log.append(T + 1, Stream::Stderr, b"oh\n").unwrap();
    log.append(T + 2, Stream::Stdout, b"o\n\n").unwrap();
    let text = fs::read_to_string(dir.path().join("web.log")).unwrap();
    assert_eq!(
        text,
        "2026-01-02T03:04:05.000000006Z stdout F one\n\
         2026-01-02T03:04:05.000000006Z stdout P tw\n\
         2026-01-02T03:04:05.000000007Z stderr F oh\n\
         2026-01-02T03:04:05.000000008Z stdout F o\n\
         2026-01-02T03:04:05.000000008Z stdout F \n"
    );
}

#[tokio::test]
async fn what_goes_in_comes_out_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    let mut long = vec![b'x'; MAX_CONTENT * 2 + 7];
    long.extend(b"\nno newline at the end \xff\x00");
    // In pieces of every size, so that lines are cut in every way.
    let mut rest = &long[..];
    let mut size = 1;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        log.append(T, Stream::Stdout, piece).unwrap();
        rest = after;
        size = size * 3 + 1;
    }
    log.append(T, Stream::Stderr, b"\n\n a \n").unwrap();
    assert_eq!(read_all(log.hub(), Since::Start).await, [long, b"\n\n a \n".to_vec()]);
}

#[test]
fn a_restarted_daemon_knows_where_each_stream_stands() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.append(T, Stream::Stdout, b"one\ntwo").unwrap();
    log.append(T, Stream::Stderr, b"x").unwrap();
    drop(log);
    // A crash in the middle of a write.
    let path = dir.path().join("web.log");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"2026-01-02T03:04:05.000000006Z stdout F th");
    fs::write(&path, bytes).unwrap();
    let mut log = open(dir.path());
    assert_eq!((log.offset(Stream::Stdout), log.offset(Stream::Stderr)), (7, 1));
    log.append(T, Stream::Stdout, b"three\n").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with("stderr P x\n2026-01-02T03:04:05.000000006Z stdout F three\n"), "{text}");
}

#[tokio::test]
async fn a_full_file_is_rotated_and_the_offsets_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(dir.path(), "web", 300).unwrap();
    let mut hub_text = Vec::new();
    for i in 0..20 {
        let line = format!("line {i}\n");
        log.append(T, Stream::Stdout, line.as_bytes()).unwrap();
        hub_text.extend(line.into_bytes());
    }
    let offset = log.offset(Stream::Stdout);
    assert_eq!(offset, hub_text.len() as u64);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "one old file is kept");
    drop(log);
    let log = LogWriter::open(dir.path(), "web", 300).unwrap();
    assert_eq!(log.offset(Stream::Stdout), offset);
    let [out, _] = read_all(log.hub(), Since::Start).await;
    assert!(out.len() > 50 && hub_text.ends_with(&out), "{}", String::from_utf8_lossy(&out));
    let [out, _] = read_all(log.hub(), Since::Tail(9)).await;
    assert_eq!(String::from_utf8(out).unwrap().lines().next(), Some("line 11"));
}

#[tokio::test]
async fn the_tail_counts_lines_of_both_streams() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.append(T, Stream::Stdout, b"1\n2\n").unwrap();
    log.append(T, Stream::Stderr, b"e\n").unwrap();
    log.append(T + 5, Stream::Stdout, b"3").unwrap();
    assert_eq!(read_all(log.hub(), Since::Tail(2)).await, [b"3".to_vec(), b"e\n".to_vec()]);
    assert_eq!(read_all(log.hub(), Since::Tail(0)).await, [b"".to_vec(), b"".to_vec()]);
    assert_eq!(read_all(log.hub(), Since::Tail(99)).await, [b"1\n2\n3".to_vec(), b"e\n".to_vec()]);
    assert_eq!(read_all(log.hub(), Since::Time(T + 1)).await, [b"3".to_vec(), b"".to_vec()]);
}

#[tokio::test]
async fn a_follower_sees_what_comes_and_then_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(dir.path(), "web", 200).unwrap();
    log.append(T, Stream::Stdout, b"before\n").unwrap();
    let mut follow = Follow::new(&log.hub(), Since::Start, true, true).unwrap();
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some((_, bytes)) = follow.next().await.unwrap() {
            all.extend(bytes);
        }
        String::from_utf8(all).unwrap()
    });
    for i in 0..10 {
        tokio::task::yield_now().await;
        log.append(T, Stream::Stdout, format!("{i}").as_bytes()).unwrap();
        log.append(T, Stream::Stdout, b"\n").unwrap();
    }
    log.end();
    let expected: String = ["before", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
        .map(|l| format!("2026-01-02T03:04:05.000000006Z {l}\n"))
        .concat();
    assert_eq!(reader.await.unwrap(), expected);
}

/// All that a reader gives from here on.
async fn rest(follow: &mut Follow) -> String {
    let mut all = Vec::new();
    while let Some((_, bytes)) = follow.next().await.unwrap() {
        all.extend(bytes);
    }
    String::from_utf8(all).unwrap()
}

/// Lines `from` to `to`, each in a file of its own.
fn rotate_through(log: &mut LogWriter, from: usize, to: usize) -> String {
    let mut text = String::new();
    for i in from..to {
        let line = format!("line {i:03}\n");
        log.append(T, Stream::Stdout, line.as_bytes()).unwrap();
        text += &line;
    }
    text
}

#[tokio::test]
async fn a_slow_follower_loses_nothing_over_several_rotations() {
    let dir = tempfile::tempdir().unwrap();
    // Every record fills a file.
    let mut log = LogWriter::open(dir.path(), "web", 40).unwrap();
    let mut wanted = rotate_through(&mut log, 0, 1);
    let mut follow = Follow::new(&log.hub(), Since::Start, true, false).unwrap();
    assert_eq!(follow.next().await.unwrap().unwrap().1, wanted.as_bytes());
    let more = rotate_through(&mut log, 1, 1 + MAX_BEHIND);
    log.end();
    assert_eq!(rest(&mut follow).await, more);
    wanted += &more;
    drop(follow);
    // Of the files two are left; a reader that comes now has what is in them.
    let mut late = Follow::new(&log.hub(), Since::Start, false, false).unwrap();
    assert_eq!(rest(&mut late).await, wanted[wanted.len() - 18..]);
}

#[tokio::test]
async fn a_follower_that_sleeps_for_long_holds_no_more_than_some_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(dir.path(), "web", 40).unwrap();
    rotate_through(&mut log, 0, 1);
    let mut follow = Follow::new(&log.hub(), Since::Start, true, false).unwrap();
    rotate_through(&mut log, 1, 100);
    log.end();
    let kept = rest(&mut follow).await;
    let numbers: Vec<usize> = kept.lines().map(|l| l[5..].parse().unwrap()).collect();
    let last: Vec<usize> = (100 - MAX_BEHIND - 1..100).collect();
    assert_eq!((numbers[0], &numbers[1..]), (0, &last[..]));
}

#[tokio::test]
async fn a_reader_from_now_on_sees_only_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.append(T, Stream::Stdout, b"before\nhalf ").unwrap();
    let mut follow = Follow::new(&log.hub(), Since::Now, true, false).unwrap();
    log.append(T, Stream::Stdout, b"a line\n").unwrap();
    log.end();
    assert_eq!(rest(&mut follow).await, "a line\n");
}

#[tokio::test]
async fn a_reader_of_one_run_ends_with_it_and_one_of_all_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    let mut one = Follow::new(&log.hub(), Since::Start, true, false).unwrap().one_run();
    let mut late = Follow::new(&log.hub(), Since::Start, true, false).unwrap().one_run();
    let mut all = Follow::new(&log.hub(), Since::Start, true, false).unwrap();
    log.append(T, Stream::Stdout, b"first\n").unwrap();
    log.end_run();
    assert_eq!(rest(&mut one).await, "first\n");
    log.restart().unwrap();
    log.append(T, Stream::Stdout, b"second\n").unwrap();
    log.end();
    assert_eq!(rest(&mut late).await, "first\n", "the next run is not of this one");
    assert_eq!(rest(&mut all).await, "first\nsecond\n");
}

#[tokio::test]
async fn tail_and_time_can_be_asked_for_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    for i in 0..5 {
        log.append(T + i, Stream::Stdout, format!("{i}\n").as_bytes()).unwrap();
    }
    // The rest of a line belongs to where it began.
    log.append(T + 1, Stream::Stderr, b"begun ").unwrap();
    log.append(T + 9, Stream::Stderr, b"early\n").unwrap();
    let mut follow = Follow::new(&log.hub(), Since::Tail(4), false, false).unwrap().not_before(T + 3);
    assert_eq!(rest(&mut follow).await, "3\n4\n");
    let mut follow = Follow::new(&log.hub(), Since::Tail(2), false, false).unwrap().not_before(T);
    assert_eq!(rest(&mut follow).await, "4\nbegun early\n");
}

#[tokio::test]
async fn what_the_run_before_wrote_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogWriter::open(dir.path(), "web", 60).unwrap();
    assert!(Follow::previous(&log.hub(), Since::Start, false).unwrap().is_none(), "it never ran");
    log.restart().unwrap();
    log.append(T, Stream::Stdout, b"one\n").unwrap();
    log.append(T, Stream::Stderr, b"two\n").unwrap();
    log.append(T, Stream::Stdout, b"three\n").unwrap();
    log.restart().unwrap();
    log.append(T, Stream::Stdout, b"four\n").unwrap();
    // Another daemon finds it too.
    drop(log);
    let mut log = LogWriter::open(dir.path(), "web", 60).unwrap();
    let mut follow = Follow::previous(&log.hub(), Since::Start, false).unwrap().unwrap();
    assert_eq!(rest(&mut follow).await, "one\ntwo\nthree\n");
    let mut follow = Follow::previous(&log.hub(), Since::Tail(1), true).unwrap().unwrap();
    assert_eq!(rest(&mut follow).await, "2026-01-02T03:04:05.000000006Z three\n");
    log.restart().unwrap();
    let mut follow = Follow::previous(&log.hub(), Since::Start, false).unwrap().unwrap();
    assert_eq!(rest(&mut follow).await, "four\n", "not a word of the run before that");
}

#[test]
fn a_new_run_of_the_container_begins_at_zero() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    log.append(T, Stream::Stdout, b"first\n").unwrap();
    log.restart().unwrap();
    assert_eq!(log.offset(Stream::Stdout), 0);
    log.append(T, Stream::Stdout, b"second\n").unwrap();
    assert!(fs::read_to_string(dir.path().join("web.previous.log")).unwrap().ends_with("first\n"));
    assert_eq!(open(dir.path()).offset(Stream::Stdout), 7);
}

/// What comes on a socket that stands for journald's, as fields of entries.
async fn entries(socket: &tokio::net::UnixDatagram, count: usize) -> Vec<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    while all.len() < count {
        let n =
            tokio::time::timeout(std::time::Duration::from_secs(5), socket.recv(&mut buffer)).await.unwrap().unwrap();
        let (mut rest, mut fields) = (&buffer[..n], Vec::new());
        while !rest.is_empty() {
            let end = rest.iter().position(|b| *b == b'\n').unwrap();
            let (line, after) = (String::from_utf8(rest[..end].to_vec()).unwrap(), &rest[end + 1..]);
            rest = after;
            match line.split_once('=') {
                Some((name, value)) => fields.push((name.to_owned(), value.as_bytes().to_vec())),
                None => {
                    let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                    fields.push((line, rest[8..8 + length].to_vec()));
                    assert_eq!(rest[8 + length], b'\n');
                    rest = &rest[8 + length + 1..];
                }
            }
        }
        all.push(fields);
    }
    all
}

#[tokio::test]
async fn lines_go_to_the_journal_with_their_fields() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let mut log = open(dir.path());
    let source = journald::Source { pod_id: "an-id".into(), pod: "web".into(), container: "main".into() };
    let follow = Follow::new(&log.hub(), Since::Start, true, false).unwrap().one_run();
    journald::forward(follow, path, source);
    log.append(T, Stream::Stdout, b"one\nbegun ").unwrap();
    log.append(T, Stream::Stderr, b"oh\nPOD=other\n").unwrap();
    log.append(T, Stream::Stdout, b"and ended\n\nlast").unwrap();
    log.end_run();
    let all = entries(&socket, 6).await;
    let field = |entry: &[(String, Vec<u8>)], name: &str| {
        let values: Vec<_> = entry.iter().filter(|(n, _)| n == name).map(|(_, v)| String::from_utf8_lossy(v)).collect();
        values.join(",")
    };
    let short: Vec<String> =
        all.iter().map(|e| field(e, "PRIORITY") + &field(e, "STREAM") + ":" + &field(e, "MESSAGE")).collect();
    let of = |stream: &str| short.iter().filter(|s| s.contains(stream)).cloned().collect::<Vec<_>>();
    assert_eq!(of("stdout:"), ["6stdout:one", "6stdout:begun and ended", "6stdout:", "6stdout:last"]);
    assert_eq!(of("stderr:"), ["3stderr:oh", "3stderr:POD=other"]);
    for entry in &all {
        let names = ["POD", "POD_ID", "CONTAINER", "SYSLOG_IDENTIFIER"].map(|name| field(entry, name));
        assert_eq!(names, ["web", "an-id", "main", "web/main"]);
    }
}

#[tokio::test]
async fn a_line_too_long_for_an_entry_becomes_several() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let mut log = open(dir.path());
    let source = journald::Source { pod_id: "i".into(), pod: "p".into(), container: "c".into() };
    let long = vec![b'x'; 100 * 1024];
    log.append(T, Stream::Stdout, &long).unwrap();
    log.append(T, Stream::Stdout, b"\n").unwrap();
    log.end();
    journald::forward(Follow::new(&log.hub(), Since::Start, true, false).unwrap(), path, source);
    let all = entries(&socket, 3).await;
    let whole: Vec<u8> = all.into_iter().flatten().filter(|(n, _)| n == "MESSAGE").flat_map(|(_, v)| v).collect();
    assert!(whole == long, "{} bytes", whole.len());
}
