use serde_json::json;

use super::*;
use crate::platform::{Platform, choose};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn digest(n: u8) -> String {
    Digest::of(&[n]).to_string()
}

fn manifest_with(layer_type: &str) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": OCI,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(1), "size": 7 },
        "layers": [{ "mediaType": layer_type, "digest": digest(2), "size": 1024 }],
    })
}

fn refusal(value: &Value) -> String {
    let raw = value.to_string().into_bytes();
    let text = parse(&raw, None, &Limits::default()).unwrap_err().to_string();
    text.replace(&format!("manifest {}", Digest::of(&raw)), "M").replace(&digest(2), "L")
}

#[test]
fn a_manifest_gives_its_blobs_and_its_own_digest() {
    let raw = manifest_with(LAYER).to_string().into_bytes();
    let Document::Manifest(m) = parse(&raw, Some(OCI), &Limits::default()).unwrap() else { panic!() };
    assert_eq!(m.id, Digest::of(&raw));
    assert_eq!(m.layers, [Blob { digest: Digest::of(&[2]), size: 1024 }]);
    assert_eq!(m.config, Blob { digest: Digest::of(&[1]), size: 7 });
}

#[test]
fn every_unsupported_kind_is_named() {
    let kind = |t: &str| refusal(&manifest_with(t));
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    assert_eq!(kind(foreign), format!("layer L: a layer that its registry does not hold ({foreign}) is not supported"));
    let nondistributable = kind("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    assert!(nondistributable.starts_with("layer L: a layer that its registry does not hold"), "{nondistributable}");
    let encrypted = kind("application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
    assert!(encrypted.starts_with("layer L: an encrypted layer"), "{encrypted}");
    assert_eq!(kind("text/x"), "layer L: media type \"text/x\" is not supported");
    assert_eq!(
        refusal(&json!({ "schemaVersion": 1, "fsLayers": [] })),
        "M: the manifest format \"Docker schema 1\" is not supported"
    );
    assert_eq!(refusal(&json!({ "schemaVersion": 3 })), "M: schemaVersion 3 is not supported");
    let mut artifact = manifest_with(LAYER);
    artifact["artifactType"] = json!("application/x");
    assert_eq!(refusal(&artifact), "M: an artifact of type \"application/x\", not an image, is not supported");
    let mut odd = manifest_with(LAYER);
    odd["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json");
    assert!(refusal(&odd).starts_with("M: a configuration of type"), "{}", refusal(&odd));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let mut both = manifest_with(LAYER);
    both["manifests"] = json!([]);
    assert_eq!(refusal(&both), "M is malformed: it is both a manifest and an index");
    let raw = manifest_with(LAYER).to_string().into_bytes();
    let text = parse(&raw, Some(INDEX), &Limits::default()).unwrap_err().to_string();
    assert!(text.contains(&format!("it says it is {OCI}, but is served as {INDEX}")), "{text}");
    let mut lying = manifest_with(LAYER);
    lying["mediaType"] = json!(INDEX);
    assert_eq!(refusal(&lying), format!("M: media type {INDEX:?} is not supported"));
}

#[test]
fn bad_digests_and_too_many_layers_are_refused() {
    let mut bad = manifest_with(LAYER);
    bad["layers"][0]["digest"] = json!("sha256:../../etc/passwd");
    assert!(refusal(&bad).contains("malformed"), "{}", refusal(&bad));
    let limits = Limits { max_layers: 0, ..Default::default() };
    let text = parse(manifest_with(LAYER).to_string().as_bytes(), None, &limits).unwrap_err().to_string();
    assert!(text.ends_with("the number of layers exceeds the limit of 0"), "{text}");
    assert!(refusal(&json!("text")).contains("schemaVersion null"));
}

fn index(entries: &[(&str, &str, &str)]) -> Vec<(Option<Offered>, Blob)> {
    let manifests: Vec<_> = entries
        .iter()
        .enumerate()
        .map(|(i, (os, architecture, variant))| {
            let mut platform = json!({ "os": os, "architecture": architecture });
            if !variant.is_empty() {
                platform["variant"] = json!(variant);
            }
            json!({ "mediaType": OCI, "digest": digest(i as u8), "size": 1, "platform": platform })
        })
        .collect();
    let raw = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
    let Document::Index(offers) = parse(raw.as_bytes(), None, &Limits::default()).unwrap() else { panic!() };
    offers
}

#[test]
fn the_platform_is_chosen_from_the_index() {
    let offers = index(&[("linux", "arm64", "v8"), ("linux", "amd64", ""), ("unknown", "unknown", "")]);
    assert_eq!(choose(&offers, &Platform::default()).unwrap().digest, Digest::of(&[1]));
    let levels = index(&[("linux", "amd64", "v3"), ("linux", "amd64", "v1"), ("linux", "amd64", "v2")]);
    assert_eq!(choose(&levels, &Platform::default()).unwrap().digest, Digest::of(&[1]));
    let level_2 = Platform { level: 2, ..Default::default() };
    assert_eq!(choose(&levels, &level_2).unwrap().digest, Digest::of(&[2]));
    let foreign = index(&[("windows", "amd64", ""), ("linux", "arm64", "v8")]);
    let text = choose(&foreign, &Platform::default()).unwrap_err().to_string();
    assert_eq!(text, "no image for linux/amd64; it is for windows/amd64, linux/arm64/v8");
}

#[test]
fn a_synthesized_manifest_reads_back() {
    let blob = |n| Blob { digest: Digest::of(&[n]), size: n.into() };
    let made = synthesize(blob(1), vec![blob(2), blob(3)]);
    let Document::Manifest(read) = parse(&made.raw, None, &Limits::default()).unwrap() else { panic!() };
    assert_eq!((read.id, read.config, read.layers), (made.id, made.config, made.layers));
}

/// Documents with bytes changed, cut and doubled: an error or a document, never a panic.
#[test]
fn random_damage_to_documents_never_panics() {
    let manifest = manifest_with(LAYER).to_string().into_bytes();
    let offers = json!({ "schemaVersion": 2, "manifests": [
        { "mediaType": OCI, "digest": digest(1), "size": 1, "platform": { "os": "linux", "architecture": "amd64" } },
    ]});
    let config = crate::make::Image::new(vec![], &["/x"]).config_json();
    let mut rng = crate::test_support::Rng::new(11);
    for base in [manifest, offers.to_string().into_bytes(), config] {
        for _ in 0..3000 {
            let mut raw = base.clone();
            for _ in 0..=rng.below(3) {
                let (at, to) = (rng.below(raw.len()), rng.below(raw.len()));
                match rng.below(4) {
                    0 => raw[at] = rng.below(256) as u8,
                    1 => raw[at] = b"{}[]\",:0-n"[rng.below(10)],
                    2 => raw.copy_within(at.min(to)..at.max(to), at.min(to) / 2),
                    _ => raw.truncate(at.max(2)),
                }
            }
            let _ = parse(&raw, None, &Limits::default());
            let _ = crate::config::parse(&raw, &Digest::of(&raw), &Platform::default(), 0);
        }
    }
}
