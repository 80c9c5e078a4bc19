use super::*;

fn cache(name: &str) -> Cache {
    let root = std::env::temp_dir().join(format!("xen-lab-cache-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    Cache { root }
}

#[test]
fn an_artefact_is_made_once_and_its_twin_has_another_id() {
    let cache = cache("once");
    let made =
        cache.entry("disk", "aa", |draft| fs::write(draft.join("f"), "1").map_err(LabError::file("x", "f"))).unwrap();
    let found = cache.entry("disk", "aa", |_| panic!("made twice")).unwrap();
    assert_eq!((&found.id, &found.path), (&made.id, &made.path));
    fs::remove_dir_all(&made.path).unwrap();
    assert_ne!(cache.entry("disk", "aa", |_| Ok(())).unwrap().id, made.id);
    fs::remove_dir_all(cache.root()).unwrap();
}

#[test]
fn an_artefact_that_failed_is_not_there() {
    let cache = cache("failed");
    cache.entry("disk", "aa", |_| Err(LabError::Usage("no".into()))).unwrap_err();
    let mut made = false;
    cache
        .entry("disk", "aa", |draft| {
            made = !draft.join("left").exists();
            Ok(())
        })
        .unwrap();
    assert!(made);
    fs::remove_dir_all(cache.root()).unwrap();
}

#[test]
fn only_the_newest_entries_are_kept() {
    let cache = cache("prune");
    for name in ["a", "b", "c", "d"] {
        cache.entry("root", name, |_| Ok(())).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!cache.root().join("root/a").exists() && !cache.root().join("root/b").exists());
    assert!(cache.root().join("root/c").exists() && cache.root().join("root/d").exists());
    fs::remove_dir_all(cache.root()).unwrap();
}

#[test]
fn a_hash_tells_names_modes_and_contents_apart() {
    let folder = std::env::temp_dir().join(format!("xen-lab-hash-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let hash = |folder: &Path| Inputs::default().add_tree(folder, ".").unwrap().hash();
    fs::write(folder.join("a"), "1").unwrap();
    let first = hash(&folder);
    assert_eq!(hash(&folder), first);
    fs::write(folder.join("a"), "2").unwrap();
    let second = hash(&folder);
    fs::rename(folder.join("a"), folder.join("b")).unwrap();
    let third = hash(&folder);
    assert!(first != second && second != third && first != third);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_lock_is_held_until_it_is_dropped() {
    let cache = cache("lock");
    let held = cache.lock("machine").unwrap();
    cache.lock("package").unwrap();
    let path = cache.root().join("machine.lock");
    let taken = || flock(File::open(&path).unwrap(), FlockOperation::NonBlockingLockExclusive).is_ok();
    assert!(!taken());
    assert_eq!(fs::read_to_string(&path).unwrap().trim(), std::process::id().to_string());
    drop(held);
    assert!(taken());
    fs::remove_dir_all(cache.root()).unwrap();
}
