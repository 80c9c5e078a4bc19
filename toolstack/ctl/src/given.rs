//! Config maps and secrets, from files and from the documents beside a manifest, to the options of a call.
//!
//! Whatever they come from, they travel as descriptors of memory that nobody can change any more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags};
use xenpod_api::proxy::Options;
use zbus::{Fd, Variant};

use crate::cli;
use crate::failure::Failure;

/// Contents by name and key.
type Sources = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// What is given beside a manifest.
#[derive(Default)]
pub struct Given {
    /// Config maps.
    pub config_maps: Sources,
    /// Secrets.
    pub secrets: Sources,
}

impl Given {
    /// Adds what the options of the command line say; they count more than documents.
    pub fn add(&mut self, args: &cli::Given) -> Result<(), Failure> {
        for (flag, list, sources) in
            [("--config-map", &args.config_map, &mut self.config_maps), ("--secret", &args.secret, &mut self.secrets)]
        {
            for text in list {
                add(flag, text, sources)?;
            }
        }
        Ok(())
    }

    /// Puts it into the options of a call.
    pub fn to_options(&self, options: &mut Options<'_>) -> Result<(), Failure> {
        for (name, sources) in [("config_maps", &self.config_maps), ("secrets", &self.secrets)] {
            if sources.is_empty() {
                continue;
            }
            let mut all: BTreeMap<String, BTreeMap<String, Fd<'static>>> = BTreeMap::new();
            for (source, keys) in sources {
                let own = all.entry(source.clone()).or_default();
                for (key, bytes) in keys {
                    own.insert(key.clone(), sealed(bytes)?);
                }
            }
            options.insert(name, Variant::from(all));
        }
        Ok(())
    }
}

/// `NAME=[KEY=]PATH`
fn add(flag: &str, text: &str, sources: &mut Sources) -> Result<(), Failure> {
    let usage = || Failure::Usage(format!("{flag} {text}: it is to be NAME=PATH or NAME=KEY=PATH"));
    let (name, rest) = text.split_once('=').filter(|(n, r)| !n.is_empty() && !r.is_empty()).ok_or_else(usage)?;
    let keys = sources.entry(name.into()).or_default();
    // A path may hold '='; what there is counts.
    let (key, path) = match rest.split_once('=') {
        Some((key, path)) if !Path::new(rest).exists() => (Some(key), path),
        _ => (None, rest),
    };
    if path.is_empty() || key.is_some_and(str::is_empty) {
        return Err(usage());
    }
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |e| Failure::Io(path, e)
    };
    if path == "-" {
        let key =
            key.ok_or_else(|| Failure::Usage(format!("{flag} {text}: standard input needs a KEY: NAME=KEY=-")))?;
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(|e| Failure::Io("standard input".into(), e))?;
        keys.insert(key.into(), bytes);
        return Ok(());
    }
    let path = Path::new(path);
    if key.is_none() && path.is_dir() {
        for entry in fs::read_dir(path).map_err(failed(path))? {
            let file = entry.map_err(failed(path))?.path();
            // Hidden files and folders are passed over, as `kubectl create configmap --from-file` does.
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if file.is_file() && !name.starts_with("..") {
                keys.insert(name, fs::read(&file).map_err(failed(&file))?);
            }
        }
        return Ok(());
    }
    let own_name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    keys.insert(key.map_or_else(own_name, String::from), fs::read(path).map_err(failed(path))?);
    Ok(())
}

/// Memory with these bytes, which nobody can change any more.
fn sealed(bytes: &[u8]) -> Result<Fd<'static>, Failure> {
    let failed = |e: std::io::Error| Failure::Io("memory for a file".into(), e);
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("xenpod", flags).map_err(|e| failed(e.into()))?;
    let mut file = File::from(fd);
    file.write_all(bytes).map_err(failed)?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(|e| failed(e.into()))?;
    Ok(Fd::from(std::os::fd::OwnedFd::from(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(config_map: &[String], secret: &[String]) -> Result<Given, String> {
        let mut given = Given::default();
        let args = cli::Given { config_map: config_map.to_vec(), secret: secret.to_vec() };
        given.add(&args).map(|()| given).map_err(|e| e.to_string())
    }

    #[test]
    fn files_folders_and_keys() {
        let dir = std::env::temp_dir().join(format!("xenpodctl-given-{}", std::process::id()));
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("a.conf"), "A").unwrap();
        fs::write(dir.join("b=c"), "B").unwrap();
        let dir_text = dir.display();
        let all =
            given(&[format!("app={dir_text}")], &[format!("db=pw={dir_text}/a.conf"), format!("db={dir_text}/b=c")])
                .unwrap();
        let keys: Vec<_> = all.config_maps["app"].iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
        assert_eq!(keys, [("a.conf", &b"A"[..]), ("b=c", b"B")]);
        let keys: Vec<_> = all.secrets["db"].iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
        assert_eq!(keys, [("b=c", &b"B"[..]), ("pw", b"A")]);
        for bad in ["app", "=x", "app=", "app==x", "app=k="] {
            assert!(given(&[bad.into()], &[]).err().unwrap().contains("NAME=PATH or NAME=KEY=PATH"), "{bad}");
        }
        let missing = given(&[], &[format!("db={dir_text}/none")]).err().unwrap();
        assert!(missing.contains("none: No such file"), "{missing}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_travels_is_sealed_memory() {
        let fd = sealed(b"hush").unwrap();
        let file = File::from(std::os::fd::AsFd::as_fd(&fd).try_clone_to_owned().unwrap());
        use std::os::unix::fs::FileExt;
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"hush");
        assert!(file.write_at(b"x", 0).is_err());
    }
}
