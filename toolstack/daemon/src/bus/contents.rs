//! The options `config_maps` and `secrets`: what is given beside a manifest.
//!
//! A secret is a file descriptor, never a value: messages can be watched. What it leads to is read once, from its
//! beginning; it must be a file, so that nobody can keep us waiting for the rest of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use xenpod_api::spec::{SourceKind, SourceRef};
use zbus::{OwnedVariant, Variant};

use super::error::BusError;
use super::options::Options;
use crate::blocking::{blocking, is_plain};
use crate::engine::contents::{Contents, Keys, MAX_SOURCE};

enum Value {
    Bytes(Vec<u8>),
    File(OwnedFd),
}

/// What was given, not read yet.
pub(super) struct Given(Vec<(SourceRef, BTreeMap<String, Value>)>);

impl Given {
    /// Takes both options out.
    pub(super) fn take(options: &mut Options) -> Result<Self, BusError> {
        let mut all = Vec::new();
        for (option, kind) in [("config_maps", SourceKind::ConfigMap), ("secrets", SourceKind::Secret)] {
            let Some(given) = options.take::<OwnedVariant>(option, "")? else { continue };
            let Variant::Dict(sources) = Variant::from(given) else { return Err(wrong(option)) };
            for (name, keys) in sources.iter() {
                let (Variant::Str(name), Variant::Dict(keys)) = (name, keys) else { return Err(wrong(option)) };
                let source = SourceRef { kind, name: name.to_string() };
                let mut values = BTreeMap::new();
                for (key, given) in keys.iter() {
                    let Variant::Str(key) = key else { return Err(wrong(option)) };
                    let value = value(given, kind).ok_or_else(|| wrong(option))?;
                    values.insert(key.to_string(), value);
                }
                all.push((source, values));
            }
        }
        Ok(Self(all))
    }

    /// Reads it all.
    pub(super) async fn read(self) -> Result<Contents, BusError> {
        if self.0.is_empty() {
            return Ok(Contents::default());
        }
        blocking(move || self.read_now()).await
    }

    fn read_now(self) -> Result<Contents, BusError> {
        let mut contents = Contents::default();
        for (source, values) in self.0 {
            let mut keys = Keys::new();
            for (key, value) in values {
                let bytes = match value {
                    Value::Bytes(bytes) => bytes,
                    Value::File(file) => read(file).map_err(|why| {
                        let name = &source.name;
                        BusError::invalid(format!("{} {name:?}, key {key:?}: {why}", source.kind.as_str()))
                    })?,
                };
                keys.insert(key, bytes.into());
            }
            contents.add(source, keys)?;
        }
        Ok(contents)
    }
}

fn wrong(option: &str) -> BusError {
    BusError::invalid(match option {
        "secrets" => "option secrets must be of type a{sa{sh}}: names, keys, and a file descriptor for each".into(),
        _ => {
            format!("option {option} must be of type a{{sa{{ss}}}}; instead of s, ay, h or v with one of these will do")
        }
    })
}

fn value(given: &Variant<'_>, kind: SourceKind) -> Option<Value> {
    match (given, kind) {
        (Variant::Variant(inner), _) => value(inner, kind),
        (Variant::Fd(fd), _) => fd.as_fd().try_clone_to_owned().ok().map(Value::File),
        (Variant::Str(text), SourceKind::ConfigMap) => Some(Value::Bytes(text.as_bytes().to_vec())),
        (Variant::Array(array), SourceKind::ConfigMap) => {
            let bytes = array.iter().map(|b| if let Variant::U8(b) = b { Some(*b) } else { None });
            Some(Value::Bytes(bytes.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// All of a file, from its beginning, wherever the caller has read or written to.
fn read(fd: OwnedFd) -> Result<Vec<u8>, String> {
    let file = File::from(fd);
    if !is_plain(&file).map_err(|e| e.to_string())? {
        return Err("the descriptor must be of a regular file or a memfd, not on FUSE".into());
    }
    struct At(File, u64);
    impl Read for At {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.read_at(buffer, self.1)?;
            self.1 += n as u64;
            Ok(n)
        }
    }
    let mut bytes = Vec::new();
    At(file, 0).take(MAX_SOURCE as u64 + 1).read_to_end(&mut bytes).map_err(|e| format!("it cannot be read: {e}"))?;
    Ok(bytes)
}
