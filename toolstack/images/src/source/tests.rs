use std::fs::{self, File};
use std::os::unix::fs::symlink;

use serde_json::json;

use super::*;
use crate::make::{
    self, Compression, Entry, Image, Layer, add_to_index, descriptor, put_blob, write_multi_arch, write_tar,
};

fn image(text: &str) -> Image {
    let layer = Layer::new(&[Entry::file("f", text)], Compression::Gzip).unwrap();
    Image::new(vec![layer], &["/bin/true"])
}

fn look(source: Source) -> Result<Found, String> {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let cx =
        Context { limits: &limits, platform: &Platform::default(), spool_dir: dir.path(), cancel: &Cancel::default() };
    find(source, &cx).map_err(|e| e.to_string())
}

fn layout(dir: &Path, tag: Option<&str>) -> Result<Found, String> {
    look(Source::open(SourceKind::OciLayout, dir, tag.map(str::to_owned)).unwrap())
}

fn archive(kind: SourceKind, path: &Path, tag: Option<&str>) -> Result<Found, String> {
    look(Source::open(kind, path, tag.map(str::to_owned)).unwrap())
}

fn blob(found: &Found, layer: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    found.layers.open(layer).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn refusal(result: Result<Found, String>) -> String {
    result.err().expect("was not refused")
}

#[test]
fn a_layout_an_archive_and_a_compressed_archive_hold_the_same_image() {
    let dir = tempfile::tempdir().unwrap();
    let image = image("x");
    image.write_layout(&dir.path().join("l"), "t").unwrap();
    let tar = dir.path().join("a.tar");
    image.write_oci_archive(File::create(&tar).unwrap(), "t").unwrap();
    let gz = dir.path().join("a.tar.gz");
    let packed = Layer::from_tar(fs::read(&tar).unwrap(), Compression::Gzip).unwrap().blob;
    fs::write(&gz, packed).unwrap();
    for found in [
        layout(&dir.path().join("l"), None),
        archive(SourceKind::OciArchive, &tar, Some("t")),
        archive(SourceKind::OciArchive, &gz, None),
    ] {
        let found = found.unwrap();
        assert_eq!(found.manifest.id, image.id());
        assert_eq!(blob(&found, 0), image.layers[0].blob);
    }
}

#[test]
fn an_archive_may_come_through_a_pipe() {
    let image = image("x");
    let mut tar = Vec::new();
    image.write_oci_archive(&mut tar, "t").unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let feeding = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &tar).unwrap());
    let found = look(Source { kind: SourceKind::OciArchive, fd: reader.into(), tag: None }).unwrap();
    feeding.join().unwrap();
    assert_eq!(found.manifest.id, image.id());
}

#[test]
fn skopeo_reads_what_we_write_and_we_read_what_it_writes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let image = image("x");
    image.write_layout(&dir.path().join("l"), "t").unwrap();
    let copy = |to: &str| crate::test_support::run("skopeo", &["copy", "-q", &format!("oci:{}:t", at("l")), to]);
    copy(&format!("oci-archive:{}:t", at("o.tar")));
    let found = archive(SourceKind::OciArchive, Path::new(&at("o.tar")), Some("t")).unwrap();
    assert_eq!(found.manifest.id, image.id());
    copy(&format!("docker-archive:{}:web:1", at("d.tar")));
    let found = archive(SourceKind::DockerArchive, Path::new(&at("d.tar")), Some("web:1")).unwrap();
    assert_eq!(found.config, image.config_json());
    assert_eq!(Digest::of(&blob(&found, 0)), image.layers[0].diff_id);
}

#[test]
fn several_images_want_a_tag() {
    let dir = tempfile::tempdir().unwrap();
    image("one").write_layout(dir.path(), "one").unwrap();
    image("two").write_layout(dir.path(), "two").unwrap();
    assert_eq!(layout(dir.path(), Some("two")).unwrap().manifest.id, image("two").id());
    let text = refusal(layout(dir.path(), None));
    assert_eq!(text, "the layout holds several that fit: one, two; name one of them");
    assert_eq!(refusal(layout(dir.path(), Some("three"))), "not found in the layout: it has one, two");
}

#[test]
fn an_index_in_an_index_leads_to_our_platform() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (image("amd64"), Image { architecture: "arm64".into(), ..image("arm64") });
    let platform = |architecture: &str| json!({ "os": "linux", "architecture": architecture });
    let inner = write_multi_arch(
        dir.path(),
        &[(theirs.clone(), platform("arm64")), (ours.clone(), platform("amd64"))],
        "inner",
    );
    let raw = fs::read(dir.path().join("blobs/sha256").join(inner.unwrap().hex())).unwrap();
    let entry = descriptor("application/vnd.oci.image.index.v1+json", &raw);
    let outer = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes();
    put_blob(dir.path(), &outer).unwrap();
    add_to_index(dir.path(), descriptor("application/vnd.oci.image.index.v1+json", &outer), "outer").unwrap();
    assert_eq!(layout(dir.path(), Some("outer")).unwrap().manifest.id, ours.id());
    assert_eq!(layout(dir.path(), Some("inner")).unwrap().manifest.id, ours.id());
    write_multi_arch(dir.path(), &[(theirs, platform("arm64"))], "theirs").unwrap();
    let text = refusal(layout(dir.path(), Some("theirs")));
    assert_eq!(text, "no image for linux/amd64; it is for linux/arm64");
}

#[test]
fn documents_that_were_changed_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let image = image("x");
    image.write_layout(dir.path(), "t").unwrap();
    let config = Digest::of(&image.config_json());
    let path = dir.path().join("blobs/sha256").join(config.hex());
    let changed = image.config_json().iter().map(|&b| if b == b'6' { b'7' } else { b }).collect::<Vec<_>>();
    fs::write(&path, &changed).unwrap();
    let text = refusal(layout(dir.path(), None));
    assert_eq!(text, format!("config {config} has digest {}, expected {config}", Digest::of(&changed)));
    fs::write(&path, "short").unwrap();
    let text = refusal(layout(dir.path(), None));
    assert_eq!(text, format!("config {config} is 5 bytes, manifest says {}", image.config_json().len()));
}

#[test]
fn links_and_odd_files_in_a_layout_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let image = image("x");
    let inside = dir.path().join("l");
    image.write_layout(&inside, "t").unwrap();
    fs::rename(inside.join("index.json"), dir.path().join("index.json")).unwrap();
    symlink("../index.json", inside.join("index.json")).unwrap();
    let text = refusal(layout(&inside, None));
    assert!(text.starts_with("index.json cannot be read: "), "{text}");
    fs::remove_file(inside.join("index.json")).unwrap();
    crate::test_support::run("mkfifo", &[inside.join("index.json").to_str().unwrap()]);
    assert_eq!(refusal(layout(&inside, None)), "index.json cannot be read: not a regular file");
}

#[test]
fn what_is_no_layout_or_archive_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(refusal(layout(dir.path(), None)), "not found in the layout: it has no oci-layout");
    let path = dir.path().join("x");
    fs::write(&path, "this is not a tar, but it is longer than a block of one. ".repeat(30)).unwrap();
    let text = refusal(archive(SourceKind::OciArchive, &path, None));
    assert!(text.starts_with("the archive is malformed: tar header at byte 0: checksum is not a number"), "{text}");
    assert_eq!(refusal(layout(&path, None)), "the layout cannot be read: not a directory");
    let tar = |entries: &[Entry]| write_tar(File::create(&path).unwrap(), entries).unwrap();
    tar(&[Entry::file("x", "")]);
    let text = refusal(archive(SourceKind::DockerArchive, &path, None));
    assert_eq!(text, "not found in the archive: it has no manifest.json");
    tar(&[Entry::file("repositories", "{}")]);
    let text = refusal(archive(SourceKind::DockerArchive, &path, None));
    assert!(text.contains("the format of docker before 1.10"), "{text}");
    tar(&[Entry::symlink("a/manifest.json", "../../etc/passwd")]);
    let text = refusal(archive(SourceKind::DockerArchive, &path, None));
    assert_eq!(text, "the archive's member \"a/manifest.json\" is malformed: it is a link that leads out of it");
    tar(&[Entry::file("oci-layout", r#"{"imageLayoutVersion":"9.0"}"#)]);
    let text = refusal(archive(SourceKind::OciArchive, &path, None));
    assert_eq!(text, "oci-layout: image layout version \"9.0\" is not supported");
}

#[test]
fn docker_archives_share_layers_by_links_and_choose_by_tag() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.tar");
    let layer = Layer::new(&[Entry::file("f", "x")], Compression::None).unwrap();
    let image = Image::new(vec![layer.clone(), layer.clone()], &["/x"]);
    let manifest = json!([
        { "Config": "c.json", "RepoTags": ["web:1"], "Layers": ["a/layer.tar", "b/layer.tar"] },
        { "Config": "c.json", "RepoTags": null, "Layers": ["a/layer.tar", "b/layer.tar"] },
    ]);
    let entries = [
        Entry::file("c.json", image.config_json()),
        Entry::file("a/layer.tar", &layer.blob),
        Entry::symlink("b/layer.tar", "../a/layer.tar"),
        Entry::file("manifest.json", manifest.to_string()),
    ];
    write_tar(File::create(&path).unwrap(), &entries).unwrap();
    let found = archive(SourceKind::DockerArchive, &path, Some("docker.io/library/web:1")).unwrap();
    assert_eq!(blob(&found, 1), layer.blob);
    let text = refusal(archive(SourceKind::DockerArchive, &path, None));
    assert_eq!(text, "the archive holds several that fit: web:1; name one of them");
    assert_eq!(refusal(archive(SourceKind::DockerArchive, &path, Some("x"))), "not found in the archive: it has web:1");
}

#[test]
fn a_configuration_under_another_s_digest_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.tar");
    let name = format!("{}.json", Digest::of(b"other").hex());
    let manifest = json!([{ "Config": name, "RepoTags": null, "Layers": [] }]).to_string();
    let config = Image::new(vec![], &[]).config_json();
    let entries = [Entry::file(&name, &config), Entry::file("manifest.json", manifest)];
    write_tar(File::create(&path).unwrap(), &entries).unwrap();
    let text = refusal(archive(SourceKind::DockerArchive, &path, None));
    let (other, actual) = (Digest::of(b"other"), make::Layer::from_tar(config, Compression::None).unwrap().diff_id);
    assert_eq!(text, format!("config {other} has digest {actual}, expected {other}"));
}
