use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03pod\x00\x00\x01\x00\x01";

fn limits() -> Limits {
    Limits { server: Duration::from_millis(300), ..Limits::default() }
}

async fn start(upstreams: Upstreams, limits: Limits) -> Forwarder {
    let listen = ["127.0.0.1:0".parse().unwrap()];
    Forwarder::start(&listen, vec!["127.0.0.0/8".parse().unwrap()], upstreams, limits).await.unwrap()
}

async fn client(forwarder: &Forwarder) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(forwarder.addresses()[0]).await.unwrap();
    socket
}

async fn answer(socket: &UdpSocket, wait: u64) -> Option<Vec<u8>> {
    let mut buf = vec![0; MAX_MESSAGE];
    let len = timeout(Duration::from_millis(wait), socket.recv(&mut buf)).await.ok()?.unwrap();
    Some(buf[..len].to_vec())
}

fn reply(query: &[u8], text: &[u8]) -> Vec<u8> {
    let mut out = query.to_vec();
    out[2] |= 0x80;
    out.extend(text);
    out
}

/// A server that answers every query with `text` at its end, after a forged one.
async fn server(text: &'static [u8]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    let tcp = TcpListener::bind(at).await.unwrap();
    tokio::spawn(async move {
        let mut buf = vec![0; MAX_MESSAGE];
        loop {
            let (len, from) = socket.recv_from(&mut buf).await.unwrap();
            let mut forged = reply(&buf[..len], b"forged");
            forged[0] ^= 1;
            socket.send_to(&forged, from).await.unwrap();
            socket.send_to(&buf[..len], from).await.unwrap();
            socket.send_to(&reply(&buf[..len], text), from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut buf = vec![0; 2 + QUERY.len()];
            stream.read_exact(&mut buf).await.unwrap();
            stream.write_all(&reply(&buf, text)).await.unwrap();
        }
    });
    at
}

/// An address where nothing answers, and one where nothing listens.
async fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

#[tokio::test(flavor = "current_thread")]
async fn queries_are_relayed_and_forgeries_are_not() {
    let forwarder = start(Upstreams::Fixed(vec![server(b"one").await]), limits()).await;
    let client = client(&forwarder).await;
    client.send(QUERY).await.unwrap();
    assert_eq!(answer(&client, 2000).await, Some(reply(QUERY, b"one")));
    client.send(&reply(QUERY, b"")).await.unwrap();
    client.send(b"short").await.unwrap();
    assert_eq!(answer(&client, 200).await, None, "answers and fragments are no queries");
}

#[tokio::test(flavor = "current_thread")]
async fn the_next_server_is_asked_when_one_fails() {
    let (_held, mute) = silent().await;
    let gone = silent().await.1;
    let forwarder = start(Upstreams::Fixed(vec![gone, mute, server(b"third").await]), limits()).await;
    let client = client(&forwarder).await;
    client.send(QUERY).await.unwrap();
    assert_eq!(answer(&client, 2000).await, Some(reply(QUERY, b"third")));
}

#[tokio::test(flavor = "current_thread")]
async fn a_failure_of_all_is_told_at_once() {
    let forwarder = start(Upstreams::Fixed(vec![silent().await.1]), limits()).await;
    let client = client(&forwarder).await;
    client.send(QUERY).await.unwrap();
    let answer = answer(&client, 2000).await.unwrap();
    assert_eq!(answer[..4], [0x12, 0x34, 0x81, 0x82], "same id, an answer, SERVFAIL");
    assert_eq!(answer[4..], QUERY[4..]);
}

#[tokio::test(flavor = "current_thread")]
async fn tcp_is_relayed() {
    let forwarder = start(Upstreams::Fixed(vec![silent().await.1, server(b"tcp").await]), limits()).await;
    let mut stream = TcpStream::connect(forwarder.addresses()[0]).await.unwrap();
    let framed = [&(QUERY.len() as u16).to_be_bytes(), QUERY].concat();
    stream.write_all(&framed).await.unwrap();
    let mut buf = vec![0; framed.len() + 3];
    stream.read_exact(&mut buf).await.unwrap();
    assert_eq!(buf, reply(&framed, b"tcp"));
}

#[tokio::test(flavor = "current_thread")]
async fn strangers_are_not_served() {
    let listen = ["127.0.0.1:0".parse().unwrap()];
    let clients = vec!["10.213.0.0/16".parse().unwrap()];
    let upstreams = Upstreams::Fixed(vec![server(b"one").await]);
    let forwarder = Forwarder::start(&listen, clients, upstreams, limits()).await.unwrap();
    let client = client(&forwarder).await;
    client.send(QUERY).await.unwrap();
    assert_eq!(answer(&client, 300).await, None);
    let mut stream = TcpStream::connect(forwarder.addresses()[0]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "closed");
}

#[tokio::test(flavor = "current_thread")]
async fn one_client_cannot_have_more_than_its_share() {
    let (upstream, at) = silent().await;
    let share = Limits { per_client: 3, ..limits() };
    let forwarder = start(Upstreams::Fixed(vec![at]), share).await;
    let greedy = client(&forwarder).await;
    for _ in 0..10 {
        greedy.send(QUERY).await.unwrap();
    }
    let mut failures = 0;
    while answer(&greedy, 600).await.is_some() {
        failures += 1;
    }
    assert_eq!(failures, 3, "the rest was dropped, not queued");
    let mut asked = 0;
    while upstream.try_recv(&mut [0; 64]).is_ok() {
        asked += 1;
    }
    assert_eq!(asked, 3);
    greedy.send(QUERY).await.unwrap();
    assert!(answer(&greedy, 600).await.is_some(), "its turns came back");
}

#[tokio::test(flavor = "current_thread")]
async fn a_changed_resolv_conf_is_followed() {
    let path = std::env::temp_dir().join(format!("xenpod-net-resolv-{}", std::process::id()));
    std::fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
    let mut source = Source::new(Upstreams::ResolvConf(path.clone()));
    assert_eq!(source.current(), ["192.0.2.1:53".parse().unwrap()]);
    std::fs::write(&path, "nameserver 192.0.2.100\n").unwrap();
    assert_eq!(source.current(), ["192.0.2.100:53".parse().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(source.current(), ["127.0.0.1:53".parse().unwrap()]);
}

#[tokio::test(flavor = "current_thread")]
async fn an_address_in_use_is_named() {
    let forwarder = start(Upstreams::Fixed(vec![]), limits()).await;
    let taken = forwarder.addresses()[0];
    let error = Forwarder::start(&[taken], vec![], Upstreams::Fixed(vec![]), limits()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("DNS forwarder: listen on {taken}: ")), "{error}");
}
