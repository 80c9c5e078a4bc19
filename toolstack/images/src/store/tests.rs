use std::fs::{self, File};
use std::sync::Arc;

use super::*;
use crate::make::{self, Compression, Entry, Layer};
use crate::platform::Platform;
use crate::progress::{Progress, no_progress};
use crate::source::{Source, SourceKind};
use crate::test_support::{extract, fsck};

struct Lab {
    dir: tempfile::TempDir,
    store: ImageStore,
}

fn lab() -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&dir.path().join("store"), Limits::default()).unwrap();
    Lab { dir, store }
}

fn image(text: &str) -> make::Image {
    let lower = Layer::new(&[Entry::file("etc/f", "old"), Entry::file("gone", "")], Compression::Gzip).unwrap();
    let upper = Layer::new(&[Entry::file("etc/f", text), Entry::file(".wh.gone", "")], Compression::Zstd).unwrap();
    make::Image::new(vec![lower, upper], &["/bin/app"])
}

impl Lab {
    fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    async fn import(&self, image: &make::Image, name: &str) -> Result<Image, Error> {
        let tar = self.dir.path().join("image.tar");
        image.write_oci_archive(File::create(&tar).unwrap(), "t").unwrap();
        let source = Source::open(SourceKind::OciArchive, &tar, None).unwrap();
        let name = name.parse().unwrap();
        self.store.import(source, &name, &Platform::default(), no_progress()).await
    }

    /// Every file of the store, relative, without the lock.
    fn files(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut todo = vec![self.path()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { todo.push(path) } else { out.push(path) }
            }
        }
        let name = |path: PathBuf| path.strip_prefix(self.path()).unwrap().display().to_string();
        let mut out: Vec<_> = out.into_iter().map(name).filter(|name| name != "lock").collect();
        out.sort();
        out
    }

    fn reopen(self) -> Self {
        let Self { dir, store } = self;
        drop(store);
        let store = ImageStore::open(&dir.path().join("store"), Limits::default()).unwrap();
        Self { dir, store }
    }
}

const FREE: InUse<'static> = &|_| None;

#[tokio::test]
async fn an_archive_becomes_an_image_with_one_filesystem() {
    let lab = lab();
    let made = image("new");
    let image = lab.import(&made, "web:1").await.unwrap();
    assert_eq!(image.id, made.id());
    assert_eq!(image.names, ["docker.io/library/web:1"]);
    assert_eq!(image.config.entrypoint, ["/bin/app"]);
    assert_eq!(image.layers, made.layers.iter().map(|l| Digest::of(&l.blob)).collect::<Vec<_>>());
    assert_eq!(fsck(&[image.erofs.to_str().unwrap()]), "");
    assert_eq!(extract(&image.erofs).keys().collect::<Vec<_>>(), ["/", "/etc", "/etc/f"]);
    assert_eq!(fs::metadata(&image.erofs).unwrap().len(), image.size);
    let stem = image.id.file_stem();
    assert_eq!(lab.files(), [format!("images/{stem}.erofs"), format!("images/{stem}.json"), "names.json".into()]);
}

#[tokio::test]
async fn it_is_still_there_after_a_restart_and_found_by_any_name() {
    let lab = lab();
    let before = lab.import(&image("x"), "web:1").await.unwrap();
    let lab = lab.reopen();
    let hex = before.id.hex();
    for name in
        ["web:1", "docker.io/library/web:1", &before.id.to_string(), &hex[..12], &format!("sha256:{}", &hex[..20])]
    {
        assert_eq!(lab.store.get(name).unwrap(), before, "{name}");
    }
    assert_eq!(lab.store.list(), [before]);
    let text = lab.store.get("web:2").unwrap_err().to_string();
    assert_eq!(text, "image web:2: not found in the image store");
    let text = lab.store.get("Web").unwrap_err().to_string();
    assert_eq!(text, "image Web: \"Web\" is not an image name: its path has upper-case letters");
}

#[tokio::test]
async fn names_move_and_the_image_goes_with_its_last_one() {
    let lab = lab();
    let one = lab.import(&image("one"), "web:1").await.unwrap();
    lab.store.tag("web:1", "web:stable").unwrap();
    let two = lab.import(&image("two"), "web:1").await.unwrap();
    assert_eq!(lab.store.get("web:1").unwrap().id, two.id);
    assert_eq!(lab.store.get(&one.id.to_string()).unwrap().names, ["docker.io/library/web:stable"]);

    let used = |id: &Digest| (*id == one.id).then(|| "pod web-1".to_owned());
    let error = lab.store.remove("web:stable", &used).unwrap_err();
    assert_eq!(error.to_string(), "image web:stable: in use by pod web-1; remove that first");
    lab.store.tag("web:stable", "other").unwrap();
    let removed = lab.store.remove("web:stable", &used).unwrap();
    assert_eq!(removed, Removed { untagged: vec!["docker.io/library/web:stable".into()], deleted: None });
    let removed = lab.store.remove("other", FREE).unwrap();
    assert_eq!(removed.deleted, Some(one.id.clone()));
    assert!(!one.erofs.exists());
    let lab = lab.reopen();
    assert_eq!(lab.store.list().len(), 1);
    let removed = lab.store.remove(&two.id.to_string(), FREE).unwrap();
    assert_eq!(removed.deleted, Some(two.id));
    assert_eq!(lab.files(), ["names.json"]);
    assert_eq!(fs::read_to_string(lab.path().join("names.json")).unwrap(), "{}");
}

#[tokio::test]
async fn a_name_that_would_lie_is_not_given() {
    let lab = lab();
    let name = format!("docker.io/library/web@{}", Digest::of(b"other"));
    let error = lab.import(&image("x"), &name).await.unwrap_err();
    let text = "is not an image name: a name that is given to an image cannot hold a digest";
    assert_eq!(error.to_string(), format!("image {name}: {name:?} {text}"));
    lab.import(&image("x"), "web").await.unwrap();
    let error = lab.store.tag("web", &name).unwrap_err();
    assert!(error.to_string().ends_with(text), "{error}");
}

#[tokio::test]
async fn images_that_lost_their_name_are_pruned_unless_used() {
    let lab = lab();
    let one = lab.import(&image("one"), "web").await.unwrap();
    lab.import(&image("two"), "web").await.unwrap();
    assert_eq!(lab.store.prune(&|_| Some("pod x".into())).unwrap(), []);
    assert_eq!(lab.store.prune(FREE).unwrap(), [one.id]);
    assert_eq!(lab.store.list().len(), 1);
}

#[tokio::test]
async fn what_a_crash_leaves_is_swept_and_partial_downloads_are_kept() {
    let lab = lab();
    let image = lab.import(&image("x"), "web").await.unwrap();
    let root = lab.path();
    let other = Digest::of(b"other").file_stem();
    fs::write(root.join(format!("images/{other}.erofs")), "no record").unwrap();
    fs::write(root.join("images/.new-abc"), "half").unwrap();
    fs::write(root.join(".new-names"), "half").unwrap();
    fs::write(root.join(format!("ingest/{other}.partial")), "half").unwrap();
    fs::write(root.join("ingest/.new-x"), "half").unwrap();
    let names = format!(
        r#"{{"docker.io/library/web:latest":"{}","docker.io/library/lost:1":"sha256:{}"}}"#,
        image.id,
        Digest::of(b"other").hex()
    );
    fs::write(root.join("names.json"), names).unwrap();
    let lab = lab.reopen();
    let stem = image.id.file_stem();
    let left = [
        format!("images/{stem}.erofs"),
        format!("images/{stem}.json"),
        format!("ingest/{other}.partial"),
        "names.json".to_owned(),
    ];
    assert_eq!(lab.files(), left);
    assert_eq!(lab.store.list(), [image]);
}

#[tokio::test]
async fn a_record_without_its_whole_filesystem_is_not_believed() {
    for damage in ["truncate", "delete", "record", "other-id"] {
        let lab = lab();
        let image = lab.import(&image("x"), "web").await.unwrap();
        let record = lab.store.record_path(&image.id);
        match damage {
            "truncate" => File::options().write(true).open(&image.erofs).unwrap().set_len(1024).unwrap(),
            "delete" => fs::remove_file(&image.erofs).unwrap(),
            "record" => fs::write(&record, "{").unwrap(),
            _ => {
                let text = fs::read_to_string(&record).unwrap().replace("schemaVersion", "schemaversion");
                fs::write(&record, text).unwrap();
            }
        }
        let lab = lab.reopen();
        assert_eq!(lab.store.list(), [], "{damage}");
        assert_eq!(lab.files(), ["names.json"], "{damage}");
    }
}

#[tokio::test]
async fn a_store_has_one_owner() {
    let lab = lab();
    let again = ImageStore::open(&lab.path(), Limits::default()).err().unwrap();
    assert_eq!(again.to_string(), format!("{} is in use by another process", lab.path().display()));
}

#[tokio::test]
async fn every_failure_leaves_nothing_behind() {
    let lab = lab();
    let layer = |entries: &[Entry]| Layer::new(entries, Compression::Gzip).unwrap();
    let escape = make::Image::new(vec![layer(&[Entry::file("ok", ""), Entry::file("../evil", "")])], &[]);
    let error = lab.import(&escape, "evil").await.unwrap_err();
    let digest = Digest::of(&escape.layers[0].blob);
    assert_eq!(
        error.to_string(),
        format!(
            "image docker.io/library/evil:latest: layer {digest}: entry \"../evil\" reaches outside the image: \
             the name contains \"..\""
        )
    );
    assert!(matches!(error.kind, ErrorKind::Escape { .. }));
    let mut lying = image("x");
    lying.layers[1].diff_id = Digest::of(b"other");
    let error = lab.import(&lying, "lying").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::DigestMismatch { .. }), "{error}");
    let foreign = make::Image { architecture: "riscv64".into(), ..image("x") };
    let error = lab.import(&foreign, "foreign").await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::WrongPlatform { .. }), "{error}");
    let absurd = lab.dir.path().join("absurd");
    write_absurd(&absurd);
    let source = Source::open(SourceKind::OciLayout, &absurd, None).unwrap();
    let name = "absurd".parse().unwrap();
    let error = lab.store.import(source, &name, &Platform::default(), no_progress()).await.unwrap_err();
    assert!(error.to_string().ends_with("the size of all layers exceeds the limit of 68719476736"), "{error}");
    assert_eq!(lab.files(), [""; 0]);
    assert_eq!(lab.store.list(), []);
}

/// An image whose manifest claims a layer of four exbibytes.
fn write_absurd(dir: &Path) {
    let config = make::Image::new(vec![Layer::new(&[], Compression::None).unwrap()], &[]).config_json();
    let digest = make::put_blob(dir, &config).unwrap();
    let raw = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{}}},
        "layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{digest}","size":4611686018427387904}}]}}"#,
        config.len()
    );
    make::put_blob(dir, raw.as_bytes()).unwrap();
    make::add_to_index(dir, make::descriptor("application/vnd.oci.image.manifest.v1+json", raw.as_bytes()), "t")
        .unwrap();
}

#[tokio::test]
async fn a_truncated_layer_in_an_archive_names_the_layer_and_both_sizes() {
    let lab = lab();
    let made = image("x");
    let layout = lab.dir.path().join("layout");
    made.write_layout(&layout, "t").unwrap();
    let digest = Digest::of(&made.layers[0].blob);
    let path = layout.join("blobs/sha256").join(digest.hex());
    File::options().write(true).open(path).unwrap().set_len(20).unwrap();
    let source = Source::open(SourceKind::OciLayout, &layout, None).unwrap();
    let name = "web".parse().unwrap();
    let error = lab.store.import(source, &name, &Platform::default(), no_progress()).await.unwrap_err();
    let size = made.layers[0].blob.len();
    assert_eq!(
        error.to_string(),
        format!("image docker.io/library/web:latest: layer {digest} is 20 bytes, manifest says {size}")
    );
    assert_eq!(lab.files(), [""; 0]);
}

#[tokio::test]
async fn the_same_image_imported_at_once_is_built_once() {
    let lab = lab();
    let made = image("x");
    let tar = lab.dir.path().join("image.tar");
    made.write_oci_archive(File::create(&tar).unwrap(), "t").unwrap();
    let built = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let jobs = (0..8).map(|i| {
        let (store, tar, built) = (lab.store.clone(), tar.clone(), built.clone());
        tokio::spawn(async move {
            let source = Source::open(SourceKind::OciArchive, &tar, None).unwrap();
            let name = format!("web:{i}").parse().unwrap();
            let progress = Arc::new(move |event| {
                if matches!(event, Progress::Building { done, total } if done == total) {
                    built.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
            store.import(source, &name, &Platform::default(), progress).await.unwrap()
        })
    });
    for job in jobs.collect::<Vec<_>>() {
        assert_eq!(job.await.unwrap().id, made.id());
    }
    assert_eq!(built.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(lab.store.get("web:7").unwrap().names.len(), 8);
}

#[tokio::test]
async fn dropping_an_import_stops_it_and_leaves_nothing() {
    let lab = lab();
    let big =
        make::Image::new(vec![Layer::new(&[Entry::file("f", vec![1; 12 << 20])], Compression::None).unwrap()], &[]);
    let tar = lab.dir.path().join("image.tar");
    big.write_oci_archive(File::create(&tar).unwrap(), "t").unwrap();
    let source = Source::open(SourceKind::OciArchive, &tar, None).unwrap();
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let progress = Arc::new(move |event| drop(tx.send(event)));
    let store = lab.store.clone();
    let job = tokio::spawn(async move {
        store.import(source, &"big".parse().unwrap(), &Platform::default(), progress).await.map(|_| ())
    });
    while !matches!(rx.recv().await.unwrap(), Progress::Unpacking { .. }) {}
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    // The blocking half holds the only other senders; the channel closes when it is done.
    while rx.recv().await.is_some() {}
    assert_eq!(lab.store.list(), []);
    assert_eq!(lab.files(), [""; 0]);
}
