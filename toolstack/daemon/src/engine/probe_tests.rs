use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// The pod is this machine.
fn target() -> Target {
    let (ours, _theirs) = tokio::io::duplex(64);
    Target {
        guest: Guest::start(Box::new(ours), 0, Vec::new(), Vec::new()).0,
        commands: Arc::default(),
        key: "main".into(),
        process: message::Process::default(),
        address: Some(Ipv4Addr::LOCALHOST.into()),
    }
}

/// Answers each connection with the next of these; what was asked is returned.
async fn server(answers: Vec<String>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(request).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (port, task)
}

fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n")
}

fn get(port: u16) -> Action {
    let headers = vec![("X-Probe".to_string(), "a".to_string()), ("Host".into(), "web.example".into())];
    Action::Http(HttpGet { https: false, port, path: "/ready?x=1".into(), headers })
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn an_answer_from_200_to_399_is_good() {
    for (status, good) in [
        ("200 OK", true),
        ("204 No Content", true),
        ("304 Not Modified", true),
        ("404 Not Found", false),
        ("500 No", false),
    ] {
        let (port, asked) = server(vec![answer(status, "")]).await;
        let result = target().act(&get(port), SECOND).await;
        assert_eq!(result.is_ok(), good, "{status}: {result:?}");
        if !good {
            let want = format!("/ready?x=1 answered {}", &status[..3]);
            assert!(result.unwrap_err().ends_with(&want), "{status}");
        }
        let asked = asked.await.unwrap().remove(0).to_lowercase();
        assert!(asked.starts_with("get /ready?x=1 http/1.1\r\n"), "{asked}");
        for header in ["x-probe: a", "host: web.example", "user-agent: xenpod-probe/", "accept: */*"] {
            assert!(asked.contains(header), "{header} in {asked}");
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_host_only() {
    let (port, asked) = server(vec![answer("302 Found", "Location: /other\r\n"), answer("500 No", "")]).await;
    assert!(target().act(&get(port), SECOND).await.unwrap_err().ends_with("answered 500"));
    assert!(asked.await.unwrap()[1].starts_with("GET /other "));
    // Elsewhere is not asked; that there was an answer is enough.
    let (port, asked) = server(vec![answer("302 Found", "Location: http://192.0.2.1/\r\n")]).await;
    assert_eq!(target().act(&get(port), SECOND).await, Ok(()));
    assert_eq!(asked.await.unwrap().len(), 1);
    let (port, _) = server(vec![answer("302 Found", "Location: /again\r\n"); 20]).await;
    assert!(target().act(&get(port), SECOND).await.unwrap_err().contains("more than 10 redirects"));
}

#[tokio::test]
async fn what_does_not_answer_in_time_or_is_not_there_has_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(target().act(&Action::Tcp(port), SECOND).await, Ok(()));
    // It accepts and says nothing.
    assert_eq!(target().act(&get(port), SECOND).await, Err("it took longer than 1 s".into()));
    drop(listener);
    assert!(target().act(&Action::Tcp(port), SECOND).await.unwrap_err().contains("refused"));
    assert!(target().act(&get(port), SECOND).await.unwrap_err().contains("refused"));
    assert_eq!(
        target().act(&Action::Sleep(60), Duration::from_millis(10)).await,
        Err("it took longer than 0 s".into())
    );
    assert_eq!(target().act(&Action::Sleep(0), SECOND).await, Ok(()));
    let nowhere = Target { address: None, ..target() };
    assert_eq!(nowhere.act(&Action::Tcp(1), SECOND).await, Err("the pod has no address".into()));
}

#[test]
fn https_does_not_ask_whose_certificate_it_is() {
    assert!(client().is_ok());
    assert!(tls::trusting().unwrap().alpn_protocols.is_empty());
}
