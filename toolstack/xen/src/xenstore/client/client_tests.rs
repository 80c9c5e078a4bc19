//! The client against the store in memory.

use std::time::Duration;

use super::*;
use crate::xenstore::Access;
use crate::xenstore::fake::{Act, Dialect, Fault, Store};

async fn start(dialect: Dialect) -> (Store, Client) {
    let store = Store::new(dialect);
    let client = store.client().await.unwrap();
    (store, client)
}

async fn both() -> [(Store, Client); 2] {
    [start(Dialect::Oxenstored).await, start(Dialect::C).await]
}

#[tokio::test]
async fn values_and_lists() {
    for (store, client) in both().await {
        client.write("/a/b", "one").await.unwrap();
        client.write("/a/c", [0u8, 255, 1]).await.unwrap();
        client.write("/a/empty", "").await.unwrap();
        client.mkdir("/a/b").await.unwrap();
        assert_eq!(client.read("/a/b").await, Ok(Some(b"one".to_vec())), "mkdir leaves a node that is there alone");
        assert_eq!(client.read("/a/c").await, Ok(Some(vec![0, 255, 1])));
        assert_eq!(client.read("/a/empty").await, Ok(Some(Vec::new())));
        assert_eq!(client.read("/a/none").await, Ok(None));
        assert_eq!(client.list("/a").await.unwrap(), ["b", "c", "empty"]);
        assert_eq!(client.list("/none").await.unwrap(), [""; 0]);
        assert!(matches!(client.read_text("/a/c").await, Err(Error::BadValue { .. })));
        client.rm("/a").await.unwrap();
        client.rm("/a").await.unwrap();
        client.rm("/no/parent/either").await.unwrap();
        assert_eq!(store.value("/a/b"), None);
    }
}

#[tokio::test]
async fn what_cannot_be_right_is_not_sent() {
    let (store, client) = start(Dialect::C).await;
    let before = store.requests();
    assert!(matches!(client.read("/a b").await, Err(Error::InvalidPath { .. })));
    assert!(matches!(client.write("/a", [0; 4096]).await, Err(Error::TooLong { .. })));
    // Not even its first half.
    let ops = [Op::write("/good", 1), Op::write("/bad path", 2)];
    assert!(matches!(client.apply(&ops).await, Err(Error::InvalidPath { .. })));
    assert_eq!(store.requests(), before);
    client.write("/after", "1").await.unwrap();
    assert_eq!((store.text("/good"), store.text("/after")), (None, Some("1".to_owned())));
}

#[tokio::test]
async fn a_listing_past_one_message_is_whole() {
    for (store, client) in both().await {
        let ops: Vec<Op> =
            (0..500).map(|number| Op::mkdir(format!("/vm/6a1e3c7e-0b3f-4d53-9f5e-{number:012}"))).collect();
        client.apply(&ops).await.unwrap();
        let names = client.list("/vm").await.unwrap();
        assert_eq!(names.len(), 500);
        assert!((0..500).all(|number| names.contains(&format!("6a1e3c7e-0b3f-4d53-9f5e-{number:012}"))));
        drop(store);
    }
}

#[tokio::test]
async fn a_listing_that_changes_between_its_parts_begins_again() {
    let (store, client) = start(Dialect::C).await;
    let name = |number: u32| format!("/vm/6a1e3c7e-0b3f-4d53-9f5e-{number:012}");
    client.apply(&(0..300).map(|number| Op::mkdir(name(number))).collect::<Vec<_>>()).await.unwrap();
    // The second part waits while a name that was in the first goes.
    store.plan(Fault::new(Act::Delay(Duration::from_millis(30))).on(Kind::DirectoryPart));
    let change = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        store.apply_as(Domid::DOM0, &Op::rm(name(3))).unwrap();
    };
    let (names, ()) = tokio::join!(client.list("/vm"), change);
    let names = names.unwrap();
    assert_eq!(names.len(), 299);
    assert!(!names.contains(&"6a1e3c7e-0b3f-4d53-9f5e-000000000003".to_owned()));
    assert!(names.contains(&"6a1e3c7e-0b3f-4d53-9f5e-000000000299".to_owned()));
}

#[tokio::test]
async fn permissions() {
    let (store, client) = start(Dialect::C).await;
    let perms = Perms::readable_by(Domid(7));
    client.write("/d", "").await.unwrap();
    client.set_perms("/d", &perms).await.unwrap();
    client.write("/d/child", "x").await.unwrap();
    assert_eq!(client.get_perms("/d/child").await.unwrap(), Some(perms), "a child has its parent's");
    assert_eq!(client.get_perms("/none").await.unwrap(), None);
    let guest = Client::over(store.connect(Domid(7)).unwrap());
    assert_eq!(guest.read("/d/child").await.unwrap(), Some(b"x".to_vec()));
    let error = guest.write("/d/child", "y").await.unwrap_err();
    assert_eq!(error.to_string(), "xenstore: cannot write /d/child: permission denied (EACCES)");
    assert_eq!(store.perms("/d").unwrap().access(Domid(8)), Access::None);
}

#[tokio::test]
async fn many_requests_are_in_flight_and_each_gets_its_own_answer() {
    let (store, client) = start(Dialect::C).await;
    for number in 0..200 {
        client.write(&format!("/n/{number}"), number.to_string()).await.unwrap();
    }
    // Slow from here on: they would take a minute one after another.
    store.plan(Fault::new(Act::Delay(Duration::from_millis(300))));
    let started = std::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let client = client.clone();
        tasks.spawn(async move { (number, client.read_text(&format!("/n/{number}")).await) });
    }
    while let Some(done) = tasks.join_next().await {
        let (number, text) = done.unwrap();
        assert_eq!(text, Ok(Some(number.to_string())));
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_caller_who_gives_up_disturbs_nobody() {
    let (store, client) = start(Dialect::C).await;
    client.write("/a", "1").await.unwrap();
    store.plan(Fault::new(Act::Delay(Duration::from_millis(50))));
    let short = Duration::from_millis(1);
    assert!(tokio::time::timeout(short, client.read("/a")).await.is_ok());
    assert!(tokio::time::timeout(short, client.read("/a")).await.is_err(), "the connection stalls");
    assert_eq!(client.read("/a").await, Ok(Some(b"1".to_vec())));
}

#[tokio::test]
async fn requests_beyond_the_sockets_room_are_sent_in_the_end() {
    let store = Store::new(Dialect::C);
    let client = Client::over(store.connect_sized(Domid::DOM0, 100).unwrap());
    let value = "x".repeat(3000);
    let ops: Vec<Op> = (0..50).map(|number| Op::write(format!("/big/{number}"), &value)).collect();
    let (one, two) = tokio::join!(client.apply(&ops), client.write("/also", "1"));
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(store.text("/big/49"), Some(value));
    assert_eq!(store.text("/also"), Some("1".to_owned()));
}

#[tokio::test]
async fn a_run_of_changes_reports_the_first_refusal() {
    let (store, client) = start(Dialect::C).await;
    store.plan(Fault::refuse("ENOSPC").within("/a/2").times(9));
    store.plan(Fault::refuse("EACCES").within("/a/3").times(9));
    let ops: Vec<Op> = (1..=4).map(|number| Op::write(format!("/a/{number}"), number)).collect();
    let error = client.apply(&ops).await.unwrap_err();
    assert_eq!(error.to_string(), "xenstore: cannot write /a/2: ENOSPC");
    assert_eq!(store.text("/a/4"), Some("4".to_owned()), "without a transaction the rest is carried out");
    let error = client.commit(&ops).await.unwrap_err();
    assert_eq!(error.to_string(), "xenstore: cannot write /a/2: ENOSPC");
}

#[tokio::test]
async fn a_transaction_is_seen_whole_or_not_at_all() {
    for (store, client) in both().await {
        let mut transaction = client.transaction().await.unwrap();
        transaction.write("/t/a", 1);
        transaction.set_perms("/t/a", Perms::readable_by(Domid(3)));
        transaction.mkdir("/t/d");
        assert_eq!(transaction.read("/t/a").await, Ok(Some(b"1".to_vec())));
        assert_eq!(transaction.list("/t").await.unwrap(), ["a", "d"]);
        assert_eq!(client.read("/t/a").await, Ok(None));
        transaction.rm("/t/d");
        transaction.commit().await.unwrap();
        assert_eq!(store.text("/t/a"), Some("1".to_owned()));
        assert_eq!(store.perms("/t/a"), Some(Perms::readable_by(Domid(3))));
        assert_eq!(store.value("/t/d"), None);

        let mut dropped = client.transaction().await.unwrap();
        dropped.write("/t/never", 1);
        assert_eq!(dropped.read("/t/never").await, Ok(Some(b"1".to_vec())));
        drop(dropped);
        assert_eq!(client.read("/t/never").await, Ok(None));
        assert_eq!(store.transactions(), 0, "it is ended at the daemon");
    }
}

#[tokio::test]
async fn a_refused_change_undoes_its_transaction() {
    let (store, client) = start(Dialect::C).await;
    let before = store.dump();
    store.plan(Fault::refuse("ENOMEM").on(Kind::SetPerms));
    let ops = [Op::write("/t/a", 1), Op::set_perms("/t/a", Perms::owned_by(Domid(3))), Op::write("/t/b", 1)];
    let error = client.commit(&ops).await.unwrap_err();
    assert_eq!(error.to_string(), "xenstore: cannot set permissions of /t/a: ENOMEM");
    client.read("/").await.unwrap();
    assert_eq!(store.dump(), before);
    assert_eq!(store.transactions(), 0);
}

#[tokio::test]
async fn an_overtaken_transaction_is_tried_again() {
    let (store, client) = start(Dialect::C).await;
    store.plan(Fault::again(5));
    let mut runs = 0;
    let outcome = client
        .run_transaction(|mut transaction| {
            runs += 1;
            async move {
                transaction.write("/t", runs);
                Ok((transaction, runs))
            }
        })
        .await;
    assert_eq!(outcome, Ok(6));
    assert_eq!(store.text("/t"), Some("6".to_owned()));
    store.plan(Fault::again(3));
    client.commit(&[Op::write("/t", "done")]).await.unwrap();
    assert_eq!(store.text("/t"), Some("done".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_overtaken_transaction_is_not_tried_for_ever() {
    let (store, client) = start(Dialect::C).await;
    store.plan(Fault::again(1000));
    let error = client.commit(&[Op::write("/t", 1)]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "xenstore: a transaction was overtaken by others 32 times in a row; try again when the host is calmer"
    );
    assert_eq!(store.value("/t"), None);
}

/// Increments that read before they write: none may be lost, whoever is faster.
#[tokio::test]
async fn concurrent_transactions_lose_nothing() {
    let (store, client) = start(Dialect::C).await;
    client.write("/count", "0").await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = store.client().await.unwrap();
        tasks.spawn(async move {
            for _ in 0..10 {
                client
                    .run_transaction(|mut transaction| async move {
                        let old = transaction.read("/count").await?.unwrap_or_default();
                        let old: u32 = String::from_utf8_lossy(&old).parse().unwrap();
                        transaction.write("/count", old + 1);
                        Ok((transaction, ()))
                    })
                    .await
                    .unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(store.text("/count"), Some("80".to_owned()));
}

#[tokio::test]
async fn domains() {
    let (store, client) = start(Dialect::C).await;
    let mut introduced = client.watch("@introduceDomain").await.unwrap();
    let mut released = client.watch("@releaseDomain").await.unwrap();
    assert_eq!(introduced.next().await, Some(WatchEvent::Changed("@introduceDomain".to_owned())));
    assert_eq!(released.next().await, Some(WatchEvent::Changed("@releaseDomain".to_owned())));
    assert_eq!(client.is_introduced(Domid(7)).await, Ok(false));
    client.introduce(Domid(7), 0xfeffc, 3).await.unwrap();
    assert_eq!(store.introduced()[&Domid(7)], (0xfeffc, 3));
    assert_eq!(client.is_introduced(Domid(7)).await, Ok(true));
    assert_eq!(client.domain_path(Domid(7)).await.unwrap(), "/local/domain/7");
    assert_eq!(introduced.next().await, Some(WatchEvent::Changed("@introduceDomain".to_owned())));
    client.set_target(Domid(7), Domid(8)).await.unwrap();
    client.release(Domid(7)).await.unwrap();
    assert_eq!(released.next().await, Some(WatchEvent::Changed("@releaseDomain".to_owned())));
    let error = client.release(Domid(7)).await.unwrap_err();
    assert_eq!(error.to_string(), "xenstore: cannot release domain 7: no such node (ENOENT)");
}

#[tokio::test]
async fn a_watch_tells_and_is_taken_back() {
    let (store, client) = start(Dialect::C).await;
    client.write("/w/a", "1").await.unwrap();
    let mut watch = client.watch("/w").await.unwrap();
    let changed = |path: &str| Some(WatchEvent::Changed(path.to_owned()));
    assert_eq!(watch.next().await, changed("/w"), "the first comes at once");
    client.write("/w/a", "2").await.unwrap();
    assert_eq!(watch.next().await, changed("/w/a"));
    client.write("/elsewhere", "2").await.unwrap();
    client.rm("/w").await.unwrap();
    assert_eq!(watch.next().await, changed("/w"));
    assert_eq!(store.watches(), 1);
    drop(watch);
    client.read("/").await.unwrap();
    assert_eq!(store.watches(), 0);

    store.plan(Fault::refuse("E2BIG").on(Kind::Watch));
    let error = client.watch("/w").await.unwrap_err();
    assert_eq!(error.to_string(), "xenstore: cannot watch /w: too big, or over a quota (E2BIG)");
    client.read("/").await.unwrap();
    assert_eq!(store.watches(), 0);
}

#[tokio::test]
async fn a_watcher_who_does_not_look_stalls_nobody() {
    let (_store, client) = start(Dialect::C).await;
    let mut idle = client.watch("/w").await.unwrap();
    let ops: Vec<Op> = (0..5000).map(|number| Op::write(format!("/w/{number}"), "")).collect();
    client.apply(&ops).await.unwrap();
    assert_eq!(client.read("/w/4999").await, Ok(Some(Vec::new())));
    assert_eq!(idle.next().await, Some(WatchEvent::Resync), "it is told to look at everything");
}

#[tokio::test]
async fn a_lost_connection_fails_what_is_in_flight_and_is_made_again() {
    let (store, client) = start(Dialect::C).await;
    let mut watch = client.watch("/w").await.unwrap();
    watch.next().await.unwrap();
    store.plan(Fault::new(Act::Ignore).on(Kind::Read));
    let read = tokio::spawn({
        let client = client.clone();
        async move { client.read("/a").await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.disconnect_all();
    assert_eq!(read.await.unwrap(), Err(Error::Disconnected));
    // It comes back by itself, the watch with it, and the watcher hears that it may have missed something.
    assert_eq!(watch.next().await, Some(WatchEvent::Resync));
    client.write("/w/x", "1").await.unwrap();
    let mut event = watch.next().await.unwrap();
    if event == WatchEvent::Changed("/w".to_owned()) {
        // The first event of the watch that was set again, when it was not part of the resync.
        event = watch.next().await.unwrap();
    }
    assert_eq!(event, WatchEvent::Changed("/w/x".to_owned()));
    assert_eq!(store.watches(), 1);
}

#[tokio::test]
async fn a_daemon_that_is_away_is_waited_for() {
    let (store, client) = start(Dialect::C).await;
    let mut watch = client.watch("/w").await.unwrap();
    watch.next().await.unwrap();
    store.set_available(false);
    store.disconnect_all();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(client.read("/a").await, Err(Error::Disconnected), "calls fail at once meanwhile");
    store.set_available(true);
    assert_eq!(watch.next().await, Some(WatchEvent::Resync));
    assert_eq!(client.read("/tool/xenstored").await, Ok(Some(Vec::new())));
}

#[tokio::test]
async fn a_break_after_the_fact_is_a_disconnection_too() {
    let (store, client) = start(Dialect::C).await;
    store.plan(Fault::new(Act::DisconnectAfter).on(Kind::TransactionEnd));
    assert_eq!(client.commit(&[Op::write("/t", 1)]).await, Err(Error::Disconnected));
    assert_eq!(store.text("/t"), Some("1".to_owned()));
    store.plan(Fault::new(Act::Disconnect).on(Kind::Write));
    let client = store.client().await.unwrap();
    assert_eq!(client.write("/t", "2").await, Err(Error::Disconnected));
    assert_eq!(store.text("/t"), Some("1".to_owned()));
}

#[tokio::test]
async fn a_stream_that_ends_ends_its_watches() {
    let store = Store::new(Dialect::C);
    let client = Client::over(store.connect(Domid::DOM0).unwrap());
    let mut watch = client.watch("/w").await.unwrap();
    watch.next().await.unwrap();
    store.disconnect_all();
    assert_eq!(watch.next().await, None);
    assert_eq!(client.read("/").await, Err(Error::Disconnected));
}

#[tokio::test]
async fn the_connection_closes_with_its_last_user() {
    let (store, client) = start(Dialect::C).await;
    let watch = client.watch("/w").await.unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(store.watches(), 1, "a watch keeps it");
    drop(watch);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(store.watches(), 0);
    assert_eq!(store.connections(), 0);
}

#[tokio::test]
async fn a_daemon_that_lies_is_left() {
    use tokio::io::AsyncWriteExt;
    // An answer nobody asked for; a length without bound; an answer of the wrong type.
    let lies: [&[u32]; 3] = [&[2, 99, 0, 0], &[2, 1, 0, u32::MAX], &[11, 1, 0, 0]];
    for lie in lies {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let client = Client::over(ours);
        let bytes: Vec<u8> = lie.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let daemon = async {
            let mut request = [0; 19];
            tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut request).await.unwrap();
            theirs.write_all(&bytes).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(client.read("/a"), daemon);
        assert_eq!(outcome, Err(Error::Disconnected), "{lie:?}");
    }
}

/// Takes no write, and says so; never gives anything to read.
struct Deaf;

impl AsyncRead for Deaf {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Err(std::io::ErrorKind::InvalidInput.into()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_no_request_is_left_although_it_stays_open() {
    let client = Client::over(Deaf);
    let outcome = tokio::time::timeout(Duration::from_secs(1), client.read("/a")).await;
    assert_eq!(outcome.unwrap(), Err(Error::Disconnected));
}

#[tokio::test]
async fn no_daemon_at_all_is_said_plainly() {
    let error = Client::connect_to("/nonexistent/socket").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "xenstore: cannot connect to /nonexistent/socket: No such file or directory (os error 2); is this dom0, and is \
         xenstored running?"
    );
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_value() {
    let (store, client) = start(Dialect::C).await;
    let wait = client.wait_for("/s/state", "6", Duration::from_secs(1), |value| value == Some(b"6"));
    let write = async {
        for state in ["4", "5", "6"] {
            tokio::time::sleep(Duration::from_millis(100)).await;
            store.apply_as(Domid::DOM0, &Op::write("/s/state", state)).unwrap();
        }
    };
    let (found, ()) = tokio::join!(wait, write);
    assert_eq!(found, Ok(Some(b"6".to_vec())));
    let error =
        client.wait_for("/s/state", "7", Duration::from_secs(1), |value| value == Some(b"7")).await.unwrap_err();
    assert_eq!(error.to_string(), "xenstore: /s/state was 6 after 1000 ms, waited for 7");
    client.read("/").await.unwrap();
    assert_eq!(store.watches(), 0);
}
