//! The asynchronous stream.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn streams(world: &World, sizes: RingSizes) -> (VchanStream, VchanStream) {
    let (server, client) = world.pair(sizes);
    (VchanStream::new(server).unwrap(), VchanStream::new(client).unwrap())
}

#[tokio::test]
async fn it_reads_writes_and_ends() {
    let world = World::new();
    let (mut server, mut client) = streams(&world, sizes(12, 12));
    client.write_all(b"ping").await.unwrap();
    let mut four = [0; 4];
    server.read_exact(&mut four).await.unwrap();
    assert_eq!(&four, b"ping");
    server.write_all(b"pong, and goodbye").await.unwrap();
    drop(server);
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "pong, and goodbye");
    assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(client.peer(), Peer::Gone);
}

#[tokio::test]
async fn both_halves_wait_at_once_and_neither_misses_the_event() {
    const TOTAL: usize = 300_000;
    let world = World::new();
    let (server, client) = streams(&world, sizes(10, 11));
    // Each side writes as much as it reads, through rings far smaller: every task waits again and again.
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for stream in [server, client] {
        let (mut reader, mut writer) = tokio::io::split(stream);
        writers.push(tokio::spawn(async move {
            let data: Vec<u8> = (0..TOTAL).map(|i| (i % 253) as u8).collect();
            writer.write_all(&data).await.unwrap();
            writer
        }));
        readers.push(tokio::spawn(async move {
            let mut data = vec![0; TOTAL];
            reader.read_exact(&mut data).await.unwrap();
            assert!(data.iter().enumerate().all(|(i, byte)| *byte == (i % 253) as u8));
            reader
        }));
    }
    let all = async {
        let mut kept = (Vec::new(), Vec::new());
        for task in writers {
            kept.0.push(task.await.unwrap());
        }
        for task in readers {
            kept.1.push(task.await.unwrap());
        }
        kept
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("a wake-up was lost");
}

#[tokio::test]
async fn a_client_that_comes_early_is_let_in_later() {
    let world = World::new();
    let (mut server, rendezvous) = world.offer(sizes(12, 12));
    drop(world.connect(rendezvous));
    let mut client = VchanStream::new(world.connect(rendezvous)).unwrap();
    let writing = tokio::spawn(async move {
        client.write_all(b"in at last").await.unwrap();
        client
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(!writing.is_finished());
    server.clear_event().unwrap();
    server.reset().unwrap();
    let client = tokio::time::timeout(Duration::from_secs(10), writing).await.expect("no event at the reset").unwrap();
    assert_eq!(read_all(&mut server), b"in at last");
    drop(client);
}

#[tokio::test]
async fn a_lie_is_invalid_data() {
    let world = World::new();
    let (_server, rendezvous) = world.offer(sizes(10, 11));
    let mut client = VchanStream::new(world.connect(rendezvous)).unwrap();
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
    page.u32(RIGHT_PROD).store(0x8000_0000, Ordering::SeqCst);
    assert_eq!(client.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::InvalidData);
}
