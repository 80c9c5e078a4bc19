use super::*;

fn record(name: &str) -> Record {
    let mut r = crate::testing::record(name);
    r.message = "as it was".into();
    r
}

fn journal() -> (tempfile::TempDir, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    (dir, journal)
}

#[test]
fn what_is_saved_is_loaded_in_the_order_of_creation() {
    let (_dir, journal) = journal();
    let (mut a, mut b) = (record("a"), record("b"));
    (a.created_usec, b.created_usec) = (2, 1);
    journal.save(&a).unwrap();
    journal.save(&b).unwrap();
    assert_eq!(journal.load().unwrap().records, [b, a]);
}

#[test]
fn a_crash_while_writing_leaves_the_old_record() {
    let (_dir, journal) = journal();
    let r = record("a");
    journal.save(&r).unwrap();
    fs::write(journal.dir(r.id).join(PARTIAL), b"{\"version\":1,\"id\":").unwrap();
    let loaded = journal.load().unwrap();
    assert_eq!(loaded.records, std::slice::from_ref(&r));
    let mut next = r;
    next.message = "later".into();
    journal.save(&next).unwrap();
    assert_eq!(journal.load().unwrap().records, [next]);
}

#[test]
fn a_crash_before_the_first_record_leaves_nothing() {
    let (_dir, journal) = journal();
    let id = PodId::new(journal.tag());
    fs::create_dir(journal.dir(id)).unwrap();
    fs::write(journal.dir(id).join(PARTIAL), b"{").unwrap();
    let loaded = journal.load().unwrap();
    assert_eq!(loaded.swept, [id]);
    assert!(!journal.dir(id).exists());
}

#[test]
fn a_removed_pod_is_gone_and_removing_it_again_is_fine() {
    let (_dir, journal) = journal();
    let r = record("a");
    journal.save(&r).unwrap();
    fs::write(journal.dir(r.id).join("scratch.img"), b"x").unwrap();
    journal.remove(r.id).unwrap();
    journal.remove(r.id).unwrap();
    assert_eq!(fs::read_dir(journal.root()).unwrap().count(), 0);
}

#[test]
fn a_broken_record_is_reported_and_its_folder_kept() {
    let (_dir, journal) = journal();
    let (good, broken, newer) = (record("good"), record("broken"), record("newer"));
    for r in [&good, &broken, &newer] {
        journal.save(r).unwrap();
    }
    fs::write(journal.dir(broken.id).join(RECORD), b"{\"version\": 1").unwrap();
    fs::write(journal.dir(newer.id).join(RECORD), b"{\"version\": 7, \"shape\": \"unknown\"}").unwrap();
    let loaded = journal.load().unwrap();
    assert_eq!(loaded.records, [good]);
    let text = |id| loaded.broken.iter().find(|(b, _)| *b == id).unwrap().1.to_string();
    assert!(text(broken.id).contains("record.json: EOF while parsing"), "{}", text(broken.id));
    assert!(text(newer.id).contains("version 7, this xenpodd reads 1"), "{}", text(newer.id));
    assert!(journal.dir(broken.id).join(RECORD).exists());
}

#[test]
fn a_record_in_the_wrong_folder_is_not_believed() {
    let (_dir, journal) = journal();
    let (a, b) = (record("a"), record("b"));
    journal.save(&a).unwrap();
    journal.save(&b).unwrap();
    fs::copy(journal.dir(a.id).join(RECORD), journal.dir(b.id).join(RECORD)).unwrap();
    let loaded = journal.load().unwrap();
    assert_eq!(loaded.broken.len(), 1);
    assert!(loaded.broken[0].1.to_string().ends_with(&format!("says it is of pod {}", a.id)));
}

#[test]
fn what_a_later_minor_form_adds_is_kept() {
    let (_dir, journal) = journal();
    let r = record("a");
    journal.save(&r).unwrap();
    let path = journal.dir(r.id).join(RECORD);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json["tenant"] = "t1".into();
    fs::write(&path, serde_json::to_vec(&json).unwrap()).unwrap();
    let loaded = journal.load().unwrap().records.remove(0);
    assert_eq!(loaded.rest["tenant"], "t1");
    journal.save(&loaded).unwrap();
    let again: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(again["tenant"], "t1");
}

#[test]
fn records_are_for_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, journal) = journal();
    let r = record("a");
    journal.save(&r).unwrap();
    for dir in [journal.root().to_path_buf(), journal.dir(r.id)] {
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700, "{}", dir.display());
    }
}

#[test]
fn the_host_tag_is_made_once() {
    let (dir, journal) = journal();
    let again = Journal::open(dir.path()).unwrap();
    assert_eq!(again.tag(), journal.tag());
    assert!(PodId::new(journal.tag()).bears(again.tag()));
    assert_ne!(self::journal().1.tag(), journal.tag());
}

#[test]
fn a_host_tag_that_is_none_is_refused() {
    let (dir, _) = journal();
    fs::write(dir.path().join(TAG), "no tag\n").unwrap();
    let error = Journal::open(dir.path()).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "host-tag: not twelve hexadecimal digits; with no pod here it can be removed, and a new one is made"
        ),
        "{error}"
    );
}
