//! The configuration file, `/etc/xenpod/xenpodd.yaml`.
//!
//! Every key has a default and an unknown key is an error. The shipped file lists each key, commented out, with its
//! default: a test keeps the two in step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xenpod_net::NetworkConfig;

use crate::metrics::MetricsConfig;

/// Where the configuration is read from unless `--config` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/xenpod/xenpodd.yaml";

/// Everything that can be configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Records, logs, scratch disks and images live under it.
    pub state_dir: PathBuf,
    /// What can be made again is kept under it.
    pub cache_dir: PathBuf,
    /// The guest kernel: an uncompressed ELF with the PVH entry note.
    pub kernel: PathBuf,
    /// The boot image, whose `/init` is `guest-init`.
    pub boot_image: PathBuf,
    /// The guest kernel's command line.
    pub kernel_args: String,
    /// Names of the parameters that pods may add to it.
    pub kernel_args_allowed: Vec<String>,
    /// CA certificates of registries, as `<dir>/<host:port>/ca.crt`.
    pub certs_dir: PathBuf,
    /// Seccomp profiles that pods may name, as JSON.
    pub seccomp_dir: PathBuf,
    /// Seconds that a guest may take from unpause to its Hello.
    pub boot_timeout_seconds: u32,
    /// MiB of the scratch disk of a pod that does not say; 0 keeps writable layers in the domain's memory.
    pub scratch_mib: u64,
    /// MiB after which a container's log is rotated; one old file is kept.
    pub log_max_mib: u64,
    /// Containers' output goes to dom0's journal as well, unless a pod's annotation `xenpod.org/log-journald` says otherwise.
    pub log_journald: bool,
    /// Pods on this host, of all states.
    pub max_pods: u32,
    /// Jobs at work at the same time; more are refused.
    pub max_jobs: u32,
    /// Events that can be listed.
    pub events_kept: u32,
    /// Limits of a user who is not root.
    pub per_user: PerUser,
    /// Registries, by `host` or `host:port`.
    pub registries: BTreeMap<String, Registry>,
    /// The `default` network.
    pub network: NetworkConfig,
    /// What pods use, for machines.
    pub metrics: MetricsConfig,
}

/// Limits of one user who is not root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PerUser {
    /// Pods of all states.
    pub max_pods: u32,
    /// Jobs at work at the same time.
    pub max_jobs: u32,
}

impl Default for PerUser {
    fn default() -> Self {
        Self { max_pods: 64, max_jobs: 32 }
    }
}

/// What is said of one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Registry {
    /// Plain HTTP is allowed. Without this it is for loopback addresses only.
    pub insecure: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/xenpod".into(),
            cache_dir: "/var/cache/xenpod".into(),
            kernel: "/usr/lib/xenpod/vmlinux".into(),
            boot_image: "/usr/lib/xenpod/boot.img".into(),
            // Persistent grants would keep some 4 MiB of every domain for each of its disks.
            kernel_args: "console=hvc0 quiet panic=-1 swiotlb=noforce tsc=reliable xen_blkfront.feature_persistent=0"
                .into(),
            kernel_args_allowed: crate::kernels::DEFAULT_ALLOWED.map(String::from).to_vec(),
            certs_dir: "/etc/xenpod/certs.d".into(),
            seccomp_dir: "/etc/xenpod/seccomp".into(),
            boot_timeout_seconds: 60,
            scratch_mib: 10240,
            log_max_mib: 64,
            log_journald: false,
            max_pods: 1000,
            max_jobs: 256,
            events_kept: 4096,
            per_user: PerUser::default(),
            registries: BTreeMap::new(),
            network: NetworkConfig::default(),
            metrics: MetricsConfig::default(),
        }
    }
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file was named on the command line, or is there, and cannot be read.
    #[error("configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not YAML, or a key is unknown or has a wrong value.
    #[error("configuration {}: {source}; see the comments in the shipped file", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        source: serde_yaml::Error,
    },
    /// A value is out of bounds.
    #[error("configuration {}: {key}: {why}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl Config {
    /// Reads `path`, or the default file if it is there.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = path.unwrap_or(Path::new(DEFAULT_PATH));
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && path.is_none() => String::new(),
            Err(source) => return Err(ConfigError::Read { path: file.into(), source }),
        };
        Self::parse(&text, file)
    }

    /// Parses the text of the file `path`.
    ///
    /// # Errors
    /// [`ConfigError::Parse`] and [`ConfigError::Value`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        // An empty document, or one of comments only, is YAML null.
        let parsed: Option<Config> =
            serde_yaml::from_str(text).map_err(|source| ConfigError::Parse { path: path.into(), source })?;
        let config = parsed.unwrap_or_default();
        let wrong = |key, why| Err(ConfigError::Value { path: path.into(), key, why });
        for (key, value) in [
            ("state_dir", &config.state_dir),
            ("cache_dir", &config.cache_dir),
            ("kernel", &config.kernel),
            ("boot_image", &config.boot_image),
            ("certs_dir", &config.certs_dir),
            ("seccomp_dir", &config.seccomp_dir),
        ] {
            if !value.is_absolute() {
                return wrong(key, "must be an absolute path");
            }
        }
        if config.metrics.socket.as_ref().is_some_and(|path| !path.is_absolute()) {
            return wrong("metrics: socket", "must be an absolute path");
        }
        if config.boot_timeout_seconds == 0 {
            return wrong("boot_timeout_seconds", "must be at least 1");
        }
        if config.log_max_mib == 0 {
            return wrong("log_max_mib", "must be at least 1");
        }
        if config.kernel_args.len() > 1024 || config.kernel_args.contains(['\n', '\0']) {
            return wrong("kernel_args", "must be one line of at most 1024 bytes");
        }
        if config.kernel_args_allowed.iter().any(|name| name.is_empty() || name.contains(['=', ' '])) {
            return wrong("kernel_args_allowed", "must be names of parameters, without values");
        }
        Ok(config)
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
