//! Making images: layers from a directory or a list of entries, written as an OCI layout, an OCI archive or a Docker
//! archive. For the lab's example images and for tests; hence nothing here refuses a hostile name.
//!
//! Output depends on the input alone: entries are sorted, times are those given.

mod tar;
#[cfg(test)]
pub(crate) use tar::{header, record, seal};

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::digest::{Digest, Hasher};
pub use tar::{Data, Entry, Kind, write_tar};

/// How a layer's blob is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// A blob in memory with what a descriptor says of it.
#[derive(Debug, Clone)]
pub struct Layer {
    /// As stored.
    pub blob: Vec<u8>,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// OCI media type.
    pub media_type: String,
}

impl Layer {
    /// A layer of these entries.
    pub fn new(entries: &[Entry], compression: Compression) -> io::Result<Self> {
        let mut tar = Vec::new();
        write_tar(&mut tar, entries)?;
        Self::from_tar(tar, compression)
    }

    /// A layer of a tar made elsewhere, sound or not.
    pub fn from_tar(tar: Vec<u8>, compression: Compression) -> io::Result<Self> {
        let diff_id = Digest::of(&tar);
        let (blob, suffix) = match compression {
            Compression::None => (tar, ""),
            Compression::Gzip => {
                let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                gz.write_all(&tar)?;
                (gz.finish()?, "+gzip")
            }
            Compression::Zstd => {
                let level = ruzstd::encoding::CompressionLevel::Fastest;
                (ruzstd::encoding::compress_to_vec(&tar[..], level), "+zstd")
            }
        };
        Ok(Self { blob, diff_id, media_type: format!("application/vnd.oci.image.layer.v1.tar{suffix}") })
    }

    /// A layer of everything below `root`, owned by `owner` (uid and gid) or, without it, by whom it is on disk. Times
    /// are those of the files but none later than `epoch`, in seconds.
    pub fn from_dir(root: &Path, owner: Option<(u32, u32)>, epoch: i64, compression: Compression) -> io::Result<Self> {
        Self::new(&entries_of(root, owner, epoch)?, compression)
    }
}

/// The entries [`Layer::from_dir`] makes: parents before children, names in byte order, hard links kept.
pub fn entries_of(root: &Path, owner: Option<(u32, u32)>, epoch: i64) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut seen = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(relative) = todo.pop() {
        let path = root.join(&relative);
        let meta = fs::symlink_metadata(&path)?;
        let name = relative.as_os_str().as_bytes().to_vec();
        let kind = if meta.is_dir() {
            let mut names = fs::read_dir(&path)?.map(|e| e.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>()?;
            names.sort_by(|a, b| b.cmp(a));
            todo.extend(names.into_iter().map(|n| relative.join(n)));
            Kind::Dir
        } else if let Some(first) = seen.get(&(meta.dev(), meta.ino())).filter(|_| meta.nlink() > 1) {
            Kind::HardLink(Vec::clone(first))
        } else {
            let rdev = meta.rdev();
            let (major, minor) = (rustix::fs::major(rdev), rustix::fs::minor(rdev));
            match meta.file_type() {
                t if t.is_symlink() => Kind::Symlink(fs::read_link(&path)?.as_os_str().as_bytes().to_vec()),
                t if t.is_char_device() => Kind::Char(major, minor),
                t if t.is_block_device() => Kind::Block(major, minor),
                t if t.is_fifo() => Kind::Fifo,
                t if t.is_file() => Kind::File(Data::Path(path)),
                _ => continue,
            }
        };
        seen.entry((meta.dev(), meta.ino())).or_insert_with(|| name.clone());
        let (uid, gid) = owner.unwrap_or((meta.uid(), meta.gid()));
        let mtime = (meta.mtime().min(epoch), 0);
        let path = if name.is_empty() { b".".to_vec() } else { name };
        entries.push(Entry { path, mode: meta.mode() & 0o7777, uid, gid, mtime, xattrs: Vec::new(), kind });
    }
    Ok(entries)
}

/// An image being put together.
#[derive(Debug, Clone)]
pub struct Image {
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// The `config` object of the image configuration: `Env`, `Entrypoint`, `Cmd`, `User`, `WorkingDir`….
    pub config: Value,
    /// `amd64`.
    pub architecture: String,
    /// RFC 3339, if any.
    pub created: Option<String>,
}

impl Image {
    /// An image of these layers that runs `entrypoint`.
    pub fn new(layers: Vec<Layer>, entrypoint: &[&str]) -> Self {
        let config = json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Entrypoint": entrypoint,
        });
        Self { layers, config, architecture: "amd64".to_owned(), created: None }
    }

    /// The image configuration as stored.
    pub fn config_json(&self) -> Vec<u8> {
        let diff_ids: Vec<_> = self.layers.iter().map(|l| l.diff_id.to_string()).collect();
        let mut config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        if let Some(created) = &self.created {
            config["created"] = json!(created);
        }
        config.to_string().into_bytes()
    }

    /// The manifest as stored, of the OCI kind.
    pub fn manifest_json(&self) -> Vec<u8> {
        let config = self.config_json();
        let layers: Vec<_> = self.layers.iter().map(|l| descriptor(&l.media_type, &l.blob)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers,
        });
        manifest.to_string().into_bytes()
    }

    /// The digest of the manifest: the id the image will have.
    pub fn id(&self) -> Digest {
        Digest::of(&self.manifest_json())
    }

    /// Every blob: layers, configuration, manifest.
    pub fn blobs(&self) -> Vec<Vec<u8>> {
        let mut blobs: Vec<_> = self.layers.iter().map(|l| l.blob.clone()).collect();
        blobs.extend([self.config_json(), self.manifest_json()]);
        blobs
    }

    /// Adds the image to the OCI layout in `dir` (made if need be) under `tag`.
    pub fn write_layout(&self, dir: &Path, tag: &str) -> io::Result<()> {
        for blob in self.blobs() {
            put_blob(dir, &blob)?;
        }
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &self.manifest_json());
        entry["platform"] = json!({ "os": "linux", "architecture": self.architecture });
        add_to_index(dir, entry, tag)
    }

    /// Writes an OCI archive: the tar of a layout with this image alone.
    pub fn write_oci_archive(&self, out: impl Write, tag: &str) -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        self.write_layout(dir.path(), tag)?;
        let entries: Vec<_> = entries_of(dir.path(), Some((0, 0)), 0)?.into_iter().filter(|e| e.path != b".").collect();
        write_tar(out, &entries)
    }

    /// Writes what `docker save` writes: `manifest.json`, the configuration, and a plain tar for each layer.
    pub fn write_docker_archive(&self, out: impl Write, tags: &[&str]) -> io::Result<()> {
        let file = |path: String, bytes: Vec<u8>| Entry::new(path, 0o644, Kind::File(Data::Bytes(bytes)));
        let config = self.config_json();
        let config_name = format!("{}.json", Digest::of(&config).hex());
        let mut entries = vec![file(config_name.clone(), config)];
        let mut names = Vec::new();
        for layer in &self.layers {
            let name = format!("{}/layer.tar", layer.diff_id.hex());
            entries.push(file(name.clone(), layer.blob.clone()));
            names.push(name);
        }
        let manifest = json!([{ "Config": config_name, "RepoTags": tags, "Layers": names }]);
        entries.push(file("manifest.json".to_owned(), manifest.to_string().into_bytes()));
        write_tar(out, &entries)
    }
}

/// Writes an index of several images for several platforms, as multi-architecture images have, under `tag`.
pub fn write_multi_arch(dir: &Path, images: &[(Image, Value)], tag: &str) -> io::Result<Digest> {
    let mut manifests = Vec::new();
    for (image, platform) in images {
        for blob in image.blobs() {
            put_blob(dir, &blob)?;
        }
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &image.manifest_json());
        if !platform.is_null() {
            entry["platform"] = platform.clone();
        }
        manifests.push(entry);
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests }).to_string().into_bytes();
    put_blob(dir, &index)?;
    add_to_index(dir, descriptor(media_type, &index), tag)?;
    Ok(Digest::of(&index))
}

/// A descriptor of `blob`.
pub fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(blob).to_string(), "size": blob.len() })
}

/// Puts a blob where a layout has it.
pub fn put_blob(dir: &Path, blob: &[u8]) -> io::Result<Digest> {
    let digest = Digest::of(blob);
    let folder = dir.join("blobs").join(digest.algorithm());
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(digest.hex()), blob)?;
    Ok(digest)
}

/// Adds a descriptor to the layout's `index.json` under `tag`, in the place of one that had it.
pub fn add_to_index(dir: &Path, mut entry: Value, tag: &str) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let path = dir.join("index.json");
    let mut manifests: Vec<Value> = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice::<Value>(&bytes)?["manifests"].as_array().cloned().unwrap_or_default(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e),
    };
    const NAME: &str = "org.opencontainers.image.ref.name";
    manifests.retain(|m| m["annotations"][NAME] != tag);
    entry["annotations"] = json!({ NAME: tag });
    manifests.push(entry);
    fs::write(path, json!({ "schemaVersion": 2, "manifests": manifests }).to_string())
}

/// The digest of a file, read in pieces.
pub fn digest_of_file(file: &mut File) -> io::Result<Digest> {
    let mut hasher = Hasher::sha256();
    let mut buf = vec![0; 256 << 10];
    file.rewind()?;
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buf[..n]),
        }
    }
}
