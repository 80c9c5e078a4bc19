//! `xenpodctl kernel`: files are opened here, with the caller's rights, and handed to the daemon as descriptors.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use xenpod_api::proxy::{KernelProxy, Options};
use zbus::proxy::CacheProperties;
use zbus::{Fd, OwnedObjectPath, Variant};

use super::print_names;
use crate::cli::{KernelCommand, KernelDefault, KernelImport};
use crate::client::{Client, each};
use crate::failure::Failure;
use crate::{json, progress, table};

const INTERFACE: &str = "org.xenpod1.Kernel";

pub async fn run(client: &Client, command: KernelCommand, json: bool) -> Result<ExitCode, Failure> {
    match command {
        KernelCommand::Import(args) => import(client, args, json).await,
        KernelCommand::Ls => list(client, json).await,
        KernelCommand::Inspect(args) => {
            let found = each(&args.kernels, async |name| {
                let path = client.manager.get_kernel(name).await?;
                Ok(Value::Object(client.properties(&path, INTERFACE).await?))
            });
            json::print(&Value::Array(found.await?));
            Ok(ExitCode::SUCCESS)
        }
        KernelCommand::Rm(args) => {
            let done = each(&args.kernels, async |name| {
                let kernel = at(client, client.manager.get_kernel(name).await?).await?;
                let name = kernel.name().await?;
                kernel.remove(HashMap::new()).await?;
                Ok(name)
            });
            Ok(print_names(&done.await?, json))
        }
        KernelCommand::Default(args) => default(client, args, json).await,
    }
}

async fn at(client: &Client, path: OwnedObjectPath) -> Result<KernelProxy<'static>, Failure> {
    Ok(KernelProxy::builder(&client.bus).path(path).cache_properties(CacheProperties::No).build().await?)
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|e| Failure::Io(path.display().to_string(), e))
}

/// The file's name, as far as a kernel may be called that.
fn called(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.chars().map(|c| if fits(c) { c } else { '-' }).collect()
}

async fn import(client: &Client, args: KernelImport, json: bool) -> Result<ExitCode, Failure> {
    let kernel = open(&args.file)?;
    let mut options: Options<'_> =
        HashMap::from([("unchecked", Variant::from(args.unchecked)), ("default", Variant::from(args.default))]);
    if let Some(config) = &args.config {
        let config: OwnedFd = open(config)?.into();
        options.insert("config", Variant::Fd(Fd::from(config)));
    }
    let name = args.name.unwrap_or_else(|| called(&args.file));
    let job = client.manager.import_kernel(kernel.as_fd().into(), &name, options).await?;
    progress::wait(&client.bus, &job).await?;
    let path = client.manager.get_kernel(&name).await?;
    if json {
        json::print(&Value::Object(client.properties(&path, INTERFACE).await?));
    } else {
        println!("{}", at(client, path).await?.digest().await?);
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, as_json: bool) -> Result<ExitCode, Failure> {
    let kernels = client.manager.list_kernels(HashMap::new()).await?;
    if as_json {
        let all = kernels.iter().map(|(digest, name, version, size, default, _)| {
            json!({"name": name, "digest": digest, "version": version, "size": size, "default": default})
        });
        json::print(&Value::Array(all.collect()));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = kernels
        .into_iter()
        .map(|(digest, name, version, size, default, _)| {
            let short = digest.chars().take("sha256:".len() + 12).collect();
            vec![name, if default { "*" } else { "" }.into(), version, table::size(size), short]
        })
        .collect();
    print!("{}", table::render(&["NAME", "DEFAULT", "VERSION", "SIZE", "DIGEST"], &rows));
    Ok(ExitCode::SUCCESS)
}

async fn default(client: &Client, args: KernelDefault, json: bool) -> Result<ExitCode, Failure> {
    let name = match args.kernel {
        Some(name) => {
            let kernel = at(client, client.manager.get_kernel(&name).await?).await?;
            kernel.set_default(HashMap::new()).await?;
            kernel.name().await?
        }
        None => client.manager.default_kernel().await?,
    };
    Ok(print_names(&[name], json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lends_its_name() {
        assert_eq!(called(Path::new("/boot/vmlinux-6.1.0 (mine)")), "vmlinux-6.1.0--mine-");
        assert_eq!(called(Path::new("vmlinux")), "vmlinux");
    }
}
