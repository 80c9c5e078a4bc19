//! Pulls from the test registry, well-behaved and otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::make::{self, Compression, Entry, Layer};
use crate::progress::{Progress, no_progress};
use crate::store::{ImageStore, PullOptions};
use crate::test_support::{Rng, extract};
use crate::testing::{Fault, Misdeed, Registry};

struct Lab {
    dir: tempfile::TempDir,
    store: ImageStore,
    registry: Registry,
    image: make::Image,
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Three layers, of which the second is of random bytes and so stays big when compressed.
fn image() -> make::Image {
    let mut rng = Rng::new(1);
    let noise: Vec<u8> = (0..300_000).map(|_| rng.below(256) as u8).collect();
    let layers = [
        Layer::new(&[Entry::file("etc/a", "1"), Entry::file("gone", "")], Compression::Gzip),
        Layer::new(&[Entry::file("big", noise)], Compression::Gzip),
        Layer::new(&[Entry::file(".wh.gone", "")], Compression::Zstd),
    ];
    make::Image::new(layers.map(Result::unwrap).to_vec(), &["/app"])
}

async fn lab() -> Lab {
    lab_with(None).await
}

async fn lab_with(tls: Option<Arc<rustls::ServerConfig>>) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let image = image();
    let layout = dir.path().join("layout");
    image.write_layout(&layout, "1").unwrap();
    let repositories = BTreeMap::from([("team/web".to_owned(), layout)]);
    let registry = Registry::serve(ANY, repositories, tls).await.unwrap();
    let store = ImageStore::open(&dir.path().join("store"), Limits::default()).unwrap();
    Lab { dir, store, registry, image }
}

impl Lab {
    async fn pull(&self, name: &str) -> Result<crate::store::Image, Error> {
        self.pull_with(name, &PullOptions::default()).await
    }

    async fn pull_with(&self, name: &str, options: &PullOptions) -> Result<crate::store::Image, Error> {
        let name = self.registry.name(name).parse().unwrap();
        self.store.pull(&name, options, no_progress()).await
    }

    /// The error of a failed pull, with what varies replaced.
    async fn refusal(&self, name: &str) -> (ErrorKind, String) {
        let error = self.pull(name).await.unwrap_err();
        let text = error.to_string().replace(&self.registry.address().to_string(), "HOST");
        let prefix = format!("image HOST/{name}: ");
        let text =
            text.strip_prefix(&prefix).unwrap_or_else(|| panic!("{text}")).replace(&self.big().to_string(), "BIG");
        (error.kind, text)
    }

    /// The digest of the second layer's blob.
    fn big(&self) -> Digest {
        Digest::of(&self.image.layers[1].blob)
    }

    fn fault(&self, path: impl ToString, times: Option<u32>, misdeed: Misdeed) {
        self.registry.inject(Fault { path: path.to_string(), times, misdeed });
    }

    /// Requests since the last call, but those that only ask whether somebody is there.
    fn requests(&self) -> Vec<String> {
        self.registry.requests().into_iter().filter(|r| r != "GET /v2/").collect()
    }

    fn ingest(&self) -> Vec<String> {
        list(&self.dir.path().join("store/ingest"))
    }

    fn nothing_but_ingest(&self) {
        assert_eq!(list(&self.dir.path().join("store/images")), [""; 0]);
        assert_eq!(self.store.list(), []);
    }
}

fn list(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_pull_fetches_verifies_and_builds() {
    let lab = lab().await;
    let image = lab.pull("team/web:1").await.unwrap();
    assert_eq!(image.id, lab.image.id());
    assert_eq!(image.names, [lab.registry.name("team/web:1")]);
    assert_eq!(extract(&image.erofs).keys().collect::<Vec<_>>(), ["/", "/big", "/etc", "/etc/a"]);
    assert_eq!(lab.ingest(), [""; 0], "blobs are left");
    assert_eq!(lab.requests().len(), 5);
    // By digest, and again: nothing but the manifest is asked for.
    let by_digest = format!("team/web@{}", image.id);
    assert_eq!(lab.pull(&by_digest).await.unwrap().names.len(), 2);
    assert_eq!(lab.requests(), [format!("GET /v2/team/web/manifests/{}", image.id)]);
}

#[tokio::test]
async fn progress_names_each_layer_and_reaches_its_size() {
    let lab = lab().await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = events.clone();
    let name = lab.registry.name("team/web:1").parse().unwrap();
    let progress = Arc::new(move |event| sink.lock().unwrap().push(event));
    let image = lab.store.pull(&name, &PullOptions::default(), progress).await.unwrap();
    let events = events.lock().unwrap();
    let layers: Vec<_> = lab.image.layers.iter().map(|l| (Digest::of(&l.blob), l.blob.len() as u64)).collect();
    assert_eq!(events[0], Progress::Resolved { id: image.id.clone(), layers: layers.clone() });
    for (layer, (_, total)) in layers.iter().enumerate() {
        let of_layer: Vec<u64> = events
            .iter()
            .filter_map(|e| match e {
                Progress::Fetching { layer: l, done, total: t } if *l == layer && t == total => Some(*done),
                _ => None,
            })
            .collect();
        assert!(of_layer.is_sorted() && of_layer.last() == Some(total), "{layer}: {of_layer:?}");
    }
    let size = image.size;
    assert_eq!(events.last().unwrap(), &Progress::Building { done: size, total: size });
}

#[tokio::test]
async fn multi_arch_images_and_nested_indexes_resolve_to_ours() {
    let lab = lab().await;
    let layout = lab.dir.path().join("layout");
    let arm = make::Image { architecture: "arm64".into(), ..image() };
    let platform = |a: &str| serde_json::json!({ "os": "linux", "architecture": a });
    let images = [(arm.clone(), platform("arm64")), (lab.image.clone(), platform("amd64"))];
    let index = make::write_multi_arch(&layout, &images, "multi").unwrap();
    assert_eq!(lab.pull("team/web:multi").await.unwrap().id, lab.image.id());
    let by_index = format!("team/web@{index}");
    assert_eq!(lab.pull(&by_index).await.unwrap().id, lab.image.id());
    assert_eq!(lab.store.get(&lab.registry.name(&by_index)).unwrap().id, lab.image.id());
    make::write_multi_arch(&layout, &[(arm, platform("arm64"))], "arm").unwrap();
    let (kind, text) = lab.refusal("team/web:arm").await;
    assert!(matches!(kind, ErrorKind::WrongPlatform { .. }));
    assert_eq!(text, "no image for linux/amd64; it is for linux/arm64");
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    let lab = lab().await;
    lab.fault(lab.big(), Some(1), Misdeed::Drop(100_000));
    lab.pull("team/web:1").await.unwrap();
    let requests = lab.requests();
    let big: Vec<_> = requests.iter().filter(|r| r.contains(lab.big().hex())).collect();
    assert_eq!(big.len(), 2, "{requests:?}");
    let from = big[1].rsplit_once("bytes=").expect("no range was asked for").1;
    assert!(from.trim_end_matches('-').parse::<u64>().unwrap() > 0, "{from}");
}

#[tokio::test]
async fn a_registry_that_ignores_ranges_is_asked_from_the_start() {
    let lab = lab().await;
    lab.fault(lab.big(), Some(1), Misdeed::Drop(100_000));
    lab.fault(lab.big(), Some(1), Misdeed::IgnoreRange(usize::MAX));
    let image = lab.pull("team/web:1").await.unwrap();
    assert_eq!(image.id, lab.image.id());
}

#[tokio::test]
async fn an_interrupted_pull_is_resumed_by_the_next_also_after_a_restart() {
    let lab = lab().await;
    lab.fault(lab.big(), None, Misdeed::Drop(100_000));
    // Cancel once a good part is here.
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let (store, name) = (lab.store.clone(), lab.registry.name("team/web:1").parse().unwrap());
    let progress = Arc::new(move |event| drop(tx.send(event)));
    let job = tokio::spawn(async move { store.pull(&name, &PullOptions::default(), progress).await.map(|_| ()) });
    while !matches!(rx.recv().await.unwrap(), Progress::Fetching { layer: 1, done, .. } if done >= 50_000) {}
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    while rx.recv().await.is_some() {}
    lab.nothing_but_ingest();
    let partial = format!("{}.partial", lab.big().file_stem());
    assert!(lab.ingest().contains(&partial), "{:?}", lab.ingest());

    let Lab { dir, store, registry, image } = lab;
    drop(store);
    // The writer may still hold the store for a moment.
    let mut reopened = ImageStore::open(&dir.path().join("store"), Limits::default());
    for _ in 0..100 {
        if reopened.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        reopened = ImageStore::open(&dir.path().join("store"), Limits::default());
    }
    let lab = Lab { dir, store: reopened.unwrap(), registry, image };
    lab.registry.behave();
    lab.requests();
    lab.pull("team/web:1").await.unwrap();
    let requests = lab.requests();
    let big = requests.iter().find(|r| r.contains(lab.big().hex())).unwrap();
    assert!(big.contains("bytes="), "fetched from the start: {big}");
    assert_eq!(lab.ingest(), [""; 0]);
}

#[tokio::test]
async fn a_truncated_blob_says_so_and_leaves_nothing() {
    let lab = lab().await;
    let size = lab.image.layers[1].blob.len();
    lab.fault(lab.big(), None, Misdeed::Truncate(512));
    let (kind, text) = lab.refusal("team/web:1").await;
    assert!(matches!(kind, ErrorKind::Truncated { actual: 512, .. }));
    assert_eq!(text, format!("layer BIG is 512 bytes, manifest says {size}"));
    lab.registry.behave();
    lab.fault(lab.big(), None, Misdeed::Append(10));
    let (_, text) = lab.refusal("team/web:1").await;
    assert_eq!(text, format!("layer BIG is {} bytes, manifest says {size}", size + 1));
    lab.nothing_but_ingest();
    assert_eq!(lab.ingest(), [""; 0], "the sound layers have gone too");
}

#[tokio::test]
async fn a_blob_whose_digest_lies_is_refused_and_fetched_anew_later() {
    let lab = lab().await;
    lab.fault(lab.big(), None, Misdeed::Corrupt(1000));
    let (kind, text) = lab.refusal("team/web:1").await;
    assert!(matches!(kind, ErrorKind::DigestMismatch { .. }));
    assert!(text.starts_with("layer BIG has digest sha256:") && text.ends_with(", expected BIG"), "{text}");
    lab.nothing_but_ingest();
    assert_eq!(lab.ingest(), [""; 0]);
    lab.registry.behave();
    lab.pull("team/web:1").await.unwrap();
}

#[tokio::test]
async fn a_manifest_or_config_that_lies_is_refused() {
    let lab = lab().await;
    let id = lab.image.id();
    // A blank in JSON: it still parses, but it is not what was asked for.
    let manifest = lab.image.manifest_json();
    let at = manifest.iter().position(|&b| b == b',').unwrap();
    lab.fault("/manifests/", None, Misdeed::Corrupt(at));
    let (kind, _) = lab.refusal(&format!("team/web@{id}")).await;
    assert!(matches!(kind, ErrorKind::DigestMismatch { .. }), "{kind}");
    lab.registry.behave();
    let config = Digest::of(&lab.image.config_json());
    lab.fault(&config, None, Misdeed::Append(1));
    let (kind, text) = lab.refusal("team/web:1").await;
    assert!(matches!(kind, ErrorKind::Truncated { .. }), "{text}");
    assert!(text.starts_with(&format!("config {config} is ")), "{text}");
    lab.nothing_but_ingest();
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let lab = lab().await;
    let (kind, text) = lab.refusal("team/web:2").await;
    assert!(matches!(kind, ErrorKind::NotFound { .. }));
    assert_eq!(text, "not found in registry HOST (manifests/2)");
    let (kind, _) = lab.refusal("team/none:1").await;
    assert!(matches!(kind, ErrorKind::NotFound { .. }));
    lab.fault(lab.big(), None, Misdeed::Status(404, None));
    let (_, text) = lab.refusal("team/web:1").await;
    assert_eq!(text, "not found in registry HOST (blobs/BIG)");
}

#[tokio::test]
async fn tokens_are_fetched_and_passwords_are_not_had() {
    let lab = lab().await;
    lab.fault("/v2/", None, Misdeed::Token);
    lab.pull("team/web:1").await.unwrap();
    let requests = lab.requests();
    assert_eq!(requests[1], "GET /token?service=test&scope=repository%3Ax%3Apull");
    assert_eq!(requests.iter().filter(|r| r.contains("/token")).count(), 1, "{requests:?}");
    lab.registry.behave();
    lab.fault("/v2/", None, Misdeed::Basic);
    let (kind, text) = lab.refusal("team/web:1").await;
    assert!(matches!(kind, ErrorKind::Unauthorized { .. }));
    assert_eq!(text, "registry HOST refuses anonymous access to team/web: it asks for \"Basic realm=\\\"x\\\"\"");
    lab.registry.behave();
    lab.fault("/v2/", None, Misdeed::Status(403, None));
    let (_, text) = lab.refusal("team/web:1").await;
    assert_eq!(text, "registry HOST refuses anonymous access to team/web: 403 Forbidden: told to fail");
}

#[tokio::test]
async fn passing_failures_are_tried_again_and_lasting_ones_reported() {
    let lab = lab().await;
    lab.fault("/manifests/", Some(2), Misdeed::Status(503, None));
    lab.fault(lab.big(), Some(1), Misdeed::Status(429, Some(1)));
    lab.pull("team/web:1").await.unwrap();
    lab.fault("/manifests/", None, Misdeed::Status(400, None));
    lab.requests();
    let (kind, text) = lab.refusal("team/web:1").await;
    assert!(matches!(kind, ErrorKind::Registry { .. }));
    assert_eq!(text, "registry HOST answered 400 Bad Request: told to fail to GET manifests/1");
    assert_eq!(lab.requests().len(), 1, "an error that will not pass was tried again");
    lab.registry.behave();
    lab.fault("/manifests/", None, Misdeed::Status(500, Some(3600)));
    lab.refusal("team/web:1").await;
    assert_eq!(lab.requests().len(), 1, "waited for an hour");
}

#[tokio::test]
async fn a_registry_that_is_not_there_cannot_be_reached() {
    let lab = lab().await;
    let address = tokio::net::TcpListener::bind(ANY).await.unwrap().local_addr().unwrap();
    let name = format!("{address}/web").parse().unwrap();
    let error = lab.store.pull(&name, &PullOptions::default(), no_progress()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unreachable { .. }));
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn redirections_are_followed_but_not_out_of_tls() {
    let lab = lab().await;
    let other = format!("http://{}/v2/team/web/blobs/{}", lab.registry.address(), lab.big());
    lab.fault(lab.big(), Some(1), Misdeed::Redirect(other));
    lab.pull("team/web:1").await.unwrap();
    lab.fault("/manifests/", None, Misdeed::Redirect("http://192.0.2.1/x".to_owned()));
    let (kind, text) = lab.refusal("team/web:1").await;
    assert!(matches!(kind, ErrorKind::Unreachable { .. }));
    assert!(text.contains("redirected from TLS to plain HTTP"), "{text}");
}

#[tokio::test]
async fn concurrent_pulls_of_one_image_fetch_each_layer_once() {
    let lab = lab().await;
    let pulls = (0..4).map(|_| lab.pull("team/web:1"));
    for result in futures_util::future::join_all(pulls).await {
        assert_eq!(result.unwrap().id, lab.image.id());
    }
    let requests = lab.requests();
    assert_eq!(requests.iter().filter(|r| r.contains(lab.big().hex())).count(), 1, "{requests:?}");
}

#[tokio::test]
async fn images_that_share_a_layer_do_not_spoil_it_for_each_other() {
    let lab = lab().await;
    let layout = lab.dir.path().join("layout");
    for tag in ["a", "b", "c"] {
        let mut image = lab.image.clone();
        image.layers.push(Layer::new(&[Entry::file(tag, tag)], Compression::Gzip).unwrap());
        image.write_layout(&layout, tag).unwrap();
    }
    let pulls = ["team/web:a", "team/web:b", "team/web:c", "team/web:1"].map(|name| lab.pull(name));
    for result in futures_util::future::join_all(pulls).await {
        result.unwrap();
    }
    assert_eq!(lab.store.list().len(), 4);
    assert_eq!(lab.ingest(), [""; 0]);
}

/// A CA and a certificate of it for 127.0.0.1.
fn tls() -> (String, Arc<rustls::ServerConfig>) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let cert = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (ca_pem, Arc::new(config))
}

#[tokio::test]
async fn tls_is_found_out_on_loopback_and_needs_a_ca_that_is_known() {
    let (ca, config) = tls();
    let lab = lab_with(Some(config)).await;
    let (kind, text) = lab.refusal("team/web:1").await;
    assert!(matches!(kind, ErrorKind::Unreachable { .. }), "{text}");
    assert!(text.contains("UnknownIssuer"), "{text}");

    let certs = lab.dir.path().join("certs.d");
    let of_host = certs.join(lab.registry.address().to_string());
    fs::create_dir_all(&of_host).unwrap();
    fs::write(of_host.join("ca.crt"), "not a certificate").unwrap();
    let options =
        PullOptions { access: super::Access { certs_dir: Some(certs), ..Default::default() }, ..Default::default() };
    let error = lab.pull_with("team/web:1", &options).await.unwrap_err();
    assert!(error.to_string().ends_with("ca.crt is malformed: it holds no certificate"), "{error}");
    fs::write(of_host.join("ca.crt"), ca).unwrap();
    assert_eq!(lab.pull_with("team/web:1", &options).await.unwrap().id, lab.image.id());
}

#[tokio::test]
async fn a_ca_for_a_registry_without_tls_is_not_a_reason_to_do_without() {
    let (ca, _) = tls();
    let lab = lab().await;
    let certs = lab.dir.path().join("certs.d");
    let of_host = certs.join(lab.registry.address().to_string());
    fs::create_dir_all(&of_host).unwrap();
    fs::write(of_host.join("ca.crt"), ca).unwrap();
    let access = super::Access { certs_dir: Some(certs), ..Default::default() };
    let options = PullOptions { access, ..Default::default() };
    let error = lab.pull_with("team/web:1", &options).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Unreachable { .. }), "{error}");
}

#[test]
fn plain_http_is_for_loopback_and_for_those_listed() {
    let base = |name: &str, insecure: &[&str]| {
        let access = super::Access { insecure: insecure.iter().map(|s| s.to_string()).collect(), certs_dir: None };
        super::Client::new(&name.parse().unwrap(), &access).unwrap().base
    };
    assert_eq!(base("127.0.0.1:5000/a", &[]), "http://127.0.0.1:5000/v2/a/");
    assert_eq!(base("[::1]:5000/a", &[]), "http://[::1]:5000/v2/a/");
    assert_eq!(base("reg.example:5000/a/b", &[]), "https://reg.example:5000/v2/a/b/");
    assert_eq!(base("reg.example:5000/a", &["reg.example:5000"]), "http://reg.example:5000/v2/a/");
    assert_eq!(base("reg.example:5001/a", &["reg.example:5000"]), "https://reg.example:5001/v2/a/");
    assert_eq!(base("busybox", &[]), "https://registry-1.docker.io/v2/library/busybox/");
}

/// skopeo as a client of our test registry: it speaks the protocol others speak.
#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pulls_from_the_test_registry() {
    let lab = lab().await;
    let to = lab.dir.path().join("copy").display().to_string();
    let from = format!("docker://{}", lab.registry.name("team/web:1"));
    let args = ["copy", "-q", "--src-tls-verify=false", &from, &format!("oci:{to}:1")].map(str::to_owned);
    let run = move || crate::test_support::run("skopeo", &args.each_ref().map(String::as_str));
    tokio::task::spawn_blocking(run).await.unwrap();
    let index = fs::read_to_string(format!("{to}/index.json")).unwrap();
    assert!(index.contains(lab.image.id().hex()), "{index}");
}
