//! Variables that the daemon does not know: their values are in files of the guest, and it is here that `$(NAME)` is
//! expanded. So nothing of a secret is needed again when a container is restarted by another daemon.

use std::fs;
use std::io;
use std::path::Path;

use xenpod_protocol::expand;
use xenpod_protocol::message::variable::Value;
use xenpod_protocol::message::{Process, VolumeFile};

use crate::error::Error;
use crate::volumes::Volumes;

/// The process with its `variables` in `env` and, if that is asked for, its arguments expanded.
pub fn resolve(process: &Process, volumes: &Volumes) -> Result<Process, Error> {
    let mut done = process.clone();
    if process.variables.is_empty() && !process.expand_argv {
        return Ok(done);
    }
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in &process.variables {
        let name = &variable.name;
        match &variable.value {
            Some(Value::Text(text)) => {
                let value = expand(text, &known);
                known.push((name.clone(), value));
            }
            Some(Value::File(file)) => {
                if let Some(value) = read(volumes, file)? {
                    known.push((name.clone(), value));
                }
            }
            Some(Value::Directory(directory)) => known.extend(read_all(volumes, directory, name)?),
            None => return Err(Error::Unsupported("the value of a variable")),
        }
    }
    if process.expand_argv {
        done.argv = process.argv.iter().map(|word| expand(word, &known)).collect();
    }
    for (name, value) in known {
        let prefix = format!("{name}=");
        done.env.retain(|e| !e.starts_with(&prefix));
        done.env.push(prefix + &value);
    }
    done.variables.clear();
    done.expand_argv = false;
    Ok(done)
}

/// The content of a file as a value; `None` when it is not there and need not be.
fn read(volumes: &Volumes, file: &VolumeFile) -> Result<Option<String>, Error> {
    let path = match volumes.place(&file.volume, &file.path) {
        Err(Error::NoSuch { .. }) if file.optional => return Ok(None),
        place => place?,
    };
    match fs::read(&path) {
        Ok(bytes) => text(bytes, &file.path).map(Some),
        Err(error) if file.optional && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", format!("{} of volume {}", file.path, file.volume))(error)),
    }
}

/// Each file of a directory, in the order of their names.
fn read_all(volumes: &Volumes, place: &VolumeFile, prefix: &str) -> Result<Vec<(String, String)>, Error> {
    let path = match volumes.place(&place.volume, &place.path) {
        Err(Error::NoSuch { .. }) if place.optional => return Ok(Vec::new()),
        place => place?,
    };
    let named = || format!("{} of volume {}", place.path, place.volume);
    let entries = match fs::read_dir(&path) {
        Err(error) if place.optional && error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("read", named()))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let name = entry.map_err(Error::io("read", named()))?.file_name();
        let name = name.to_string_lossy();
        let bytes = fs::read(Path::new(&path).join(name.as_ref())).map_err(Error::io("read", named()))?;
        all.push((format!("{prefix}{name}"), text(bytes, &format!("{}/{name}", place.path))?));
    }
    all.sort();
    Ok(all)
}

/// What cannot be a variable is named by its file, never shown.
fn text(bytes: Vec<u8>, path: &str) -> Result<String, Error> {
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => {
            Err(Error::Invalid { what: "file", value: path.into(), why: "not a text, so no variable can be set to it" })
        }
    }
}

#[cfg(test)]
mod tests;
