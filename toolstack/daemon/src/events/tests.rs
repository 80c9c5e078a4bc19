use std::io::Write;

use xenpod_api::ids::PodId;
use xenpod_api::state::{ContainerState, ExitReason, PodState};

use super::*;
use crate::engine::PodStatus;
use crate::engine::fake::Fake;
use crate::journal::Record;
use crate::testing::record;

/// An engine without pods, for what observers look up.
fn with_engine(work: impl FnOnce(&Engine)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let dir = tempfile::tempdir().unwrap();
    let (engine, _changes) = Engine::new(Fake::new(runtime.handle().clone()).world(dir.path()));
    work(&engine);
}

fn picture(record: &Record) -> Arc<PodStatus> {
    Arc::new(PodStatus { record: record.clone(), domid: None, phases: Vec::new(), removed: false })
}

fn in_state(record: &mut Record, state: PodState) -> Change {
    record.state = state;
    Change::Pod(picture(record))
}

fn kinds(page: &Page) -> Vec<(u64, &str, &str)> {
    page.events.iter().map(|e| (e.number, e.kind.as_str(), e.pod.as_str())).collect()
}

fn all(events: &Events) -> Page {
    events.list(&Filter::default(), |_| true)
}

/// The life of a pod of one container.
fn life(events: &Events, engine: &Engine, name: &str) -> PodId {
    let mut pod = record(name);
    events.observe(engine, &Change::PodNew(picture(&pod)));
    for state in [PodState::Created, PodState::Starting] {
        events.observe(engine, &in_state(&mut pod, state));
    }
    pod.containers[0].state = ContainerState::Running;
    events.observe(engine, &in_state(&mut pod, PodState::Running));
    // Nothing that is told.
    pod.containers[0].pid = 7;
    events.observe(engine, &in_state(&mut pod, PodState::Running));
    pod.containers[0].state = ContainerState::Exited;
    pod.containers[0].exit_code = 3;
    pod.containers[0].reason = Some(ExitReason::Error);
    pod.reason = "Error".into();
    events.observe(engine, &in_state(&mut pod, PodState::Stopped));
    events.observe(engine, &Change::PodGone(pod.id));
    pod.id
}

const LIFE: [&str; 8] = [
    "pod-created",
    "pod-state",
    "pod-state",
    "pod-state",
    "container-started",
    "pod-state",
    "container-exited",
    "pod-removed",
];

#[test]
fn a_pods_life_is_events_in_order() {
    with_engine(|engine| {
        let events = Events::in_memory(100);
        let mut heard = events.listen();
        let id = life(&events, engine, "web");
        let page = all(&events);
        let wanted: Vec<(u64, &str, &str)> = LIFE.iter().zip(1..).map(|(k, n)| (n, *k, "web")).collect();
        assert_eq!(kinds(&page), wanted);
        assert_eq!((page.oldest, page.reached), (1, 8));
        let states: Vec<&str> =
            page.events.iter().filter_map(|e| e.attributes.get("state")).map(String::as_str).collect();
        assert_eq!(states, ["created", "starting", "running", "stopped"]);
        let exited = &page.events[6];
        assert_eq!(exited.object, format!("{}/container/main", id.path()));
        let said: Vec<(&str, &str)> = exited.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(said, [("container", "main"), ("exit_code", "3"), ("reason", "Error")]);
        assert!(page.events.is_sorted_by_key(|e| e.usec));
        for event in &page.events {
            assert_eq!(heard.try_recv().unwrap(), *event);
        }
    });
}

#[test]
fn a_pod_that_changes_says_what_has_changed() {
    with_engine(|engine| {
        let events = Events::in_memory(100);
        let mut pod = record("box");
        events.observe(engine, &Change::PodNew(picture(&pod)));
        pod.spec.name = "shop".into();
        (pod.spec.memory_mib, pod.spec.vcpus) = (256, 3);
        events.observe(engine, &Change::Pod(picture(&pod)));
        pod.spec.labels = BTreeMap::from([("app".into(), "shop".into())]);
        pod.spec.annotations = BTreeMap::from([("note".into(), "new".into())]);
        events.observe(engine, &Change::Pod(picture(&pod)));
        let page = all(&events);
        let wanted = [
            (1, "pod-created", "box"),
            (2, "pod-renamed", "shop"),
            (3, "pod-resized", "shop"),
            (4, "pod-updated", "shop"),
        ];
        assert_eq!(kinds(&page), wanted);
        let said = |n: usize| page.events[n].attributes.values().map(String::as_str).collect::<Vec<_>>().join(" ");
        assert_eq!([said(1), said(2), said(3)], ["box shop", "256 3", "labels annotations"]);
        assert_eq!(page.events[3].labels["app"], "shop");
    });
}

#[test]
fn a_filter_takes_what_it_names_and_the_owner_decides() {
    with_engine(|engine| {
        let events = Events::in_memory(100);
        let mut mine = record("mine");
        mine.owner_uid = 1000;
        mine.spec.labels = BTreeMap::from([("app".into(), "web".into())]);
        events.observe(engine, &Change::PodNew(picture(&mine)));
        life(&events, engine, "roots");
        events.observe(engine, &in_state(&mut mine, PodState::Created));
        let numbers = |filter: Filter, uid: u32| -> Vec<u64> {
            let page = events.list(&filter, |owner| uid == 0 || uid == owner);
            page.events.iter().map(|e| e.number).collect()
        };
        let with = Filter::default;
        assert_eq!(numbers(with(), 0), (1..=10).collect::<Vec<_>>());
        assert_eq!(numbers(with(), 1000), [1, 10]);
        assert!(numbers(with(), 1001).is_empty());
        assert_eq!(numbers(Filter { since: 8, ..with() }, 0), [9, 10]);
        assert_eq!(numbers(Filter { since: 1, limit: 2, ..with() }, 0), [2, 3]);
        assert_eq!(numbers(Filter { pod: Some("mine".into()), ..with() }, 0), [1, 10]);
        assert_eq!(numbers(Filter { kind: Some("pod-created".into()), ..with() }, 0), [1, 2]);
        assert_eq!(numbers(Filter { label: Some("app".into()), ..with() }, 0), [1, 10]);
        assert_eq!(numbers(Filter { label: Some("app=web".into()), ..with() }, 0), [1, 10]);
        assert!(numbers(Filter { label: Some("app=db".into()), ..with() }, 0).is_empty());
        // A page that is full tells where the next one begins, another that all has been looked at.
        assert_eq!(events.list(&Filter { limit: 2, ..with() }, |_| true).reached, 2);
        assert_eq!(events.list(&Filter { limit: 2, ..with() }, |owner| owner == 1001).reached, 10);
    });
}

#[test]
fn what_is_kept_is_bounded() {
    with_engine(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::open(dir.path(), 20);
        for n in 0..10 {
            life(&events, engine, &format!("p{n}"));
        }
        let page = all(&events);
        assert_eq!((page.events.len(), page.oldest, page.reached), (20, 61, 80));
        events.close();
        let lines = |name: &str| std::fs::read_to_string(dir.path().join("events").join(name)).unwrap().lines().count();
        assert!(
            lines("older.json") <= 11 && lines("newer.json") <= 12,
            "{} {}",
            lines("older.json"),
            lines("newer.json")
        );
    });
}

#[test]
fn a_restart_goes_on_with_the_numbers() {
    with_engine(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::open(dir.path(), 100);
        let mut pod = record("web");
        pod.state = PodState::Running;
        pod.spec.labels = BTreeMap::from([("app".into(), "web".into())]);
        events.observe(engine, &Change::PodNew(picture(&record("other"))));
        pod.containers[0].state = ContainerState::Created;
        events.observe(engine, &Change::PodNew(picture(&pod)));
        pod.containers[0].state = ContainerState::Running;
        events.observe(engine, &in_state(&mut pod, PodState::Running));
        events.observe(engine, &in_state(&mut pod, PodState::Paused));
        let before = all(&events);
        assert_eq!(before.reached, 4);
        events.close();
        // It ended while nobody looked.
        let events = Events::open(dir.path(), 100);
        assert_eq!(all(&events), before);
        events.observe(engine, &in_state(&mut pod, PodState::Paused));
        assert_eq!(all(&events), before, "nothing is new");
        events.observe(engine, &in_state(&mut pod, PodState::Failed));
        let page = events.list(&Filter { since: 4, ..Filter::default() }, |_| true);
        assert_eq!(kinds(&page), [(5, "pod-state", "web")]);
        drop(events);
    });
}

#[test]
fn after_a_crash_no_number_is_given_twice() {
    with_engine(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events/newer.json");
        let events = Events::open(dir.path(), 100);
        life(&events, engine, "web");
        events.close();
        // The end is missing, and a line is torn.
        let text = std::fs::read_to_string(&file).unwrap();
        let torn = text.trim_end().strip_suffix("\"end\"").unwrap();
        let mut broken = std::fs::File::create(&file).unwrap();
        write!(broken, "{torn}{{\"number\":9,\"us").unwrap();
        let events = Events::open(dir.path(), 100);
        assert_eq!(all(&events).reached, 8 + GAP - 1);
        // What a daemon did that only began may be lost as well.
        std::mem::forget(events);
        let events = Events::open(dir.path(), 100);
        assert_eq!(all(&events).reached, 8 + GAP - 1);
        life(&events, engine, "again");
        let page = all(&events);
        let numbers: Vec<u64> = page.events.iter().map(|e| e.number).collect();
        assert_eq!(numbers, (1..=8).chain(8 + GAP..16 + GAP).collect::<Vec<_>>());
        events.close();
        assert_eq!(all(&Events::open(dir.path(), 100)), page);
    });
}

#[test]
fn a_folder_that_cannot_be_used_keeps_nothing_but_the_daemon_runs() {
    with_engine(|engine| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("events"), "").unwrap();
        let events = Events::open(dir.path(), 100);
        life(&events, engine, "web");
        assert_eq!(all(&events).events.len(), LIFE.len());
        events.close();
    });
}
