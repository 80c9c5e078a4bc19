//! Whom to trust: the system's roots, and for one registry a CA of its own.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::ErrorKind;

/// A configuration for connections that begin at `host`, and whether `host` has a CA of its own.
pub(super) fn config(host: &str, certs_dir: Option<&Path>) -> Result<(ClientConfig, bool), ErrorKind> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "a root certificate of this system cannot be read");
    }
    roots.add_parsable_certificates(system.certs);
    let mut has_ca = false;
    if let Some(dir) = certs_dir {
        let path = dir.join(host).join("ca.crt");
        match fs::read(&path) {
            Ok(pem) => {
                add(&mut roots, &pem, &path)?;
                has_ca = true;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(ErrorKind::Source { source_name: path.display().to_string(), cause }),
        }
    }
    // The provider is named, not taken from the process: a library must not depend on who installed one first.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|e| ErrorKind::Internal(e.to_string()))?;
    Ok((versions.with_root_certificates(roots).with_no_client_auth(), has_ca))
}

fn add(roots: &mut RootCertStore, pem: &[u8], path: &Path) -> Result<(), ErrorKind> {
    let corrupt = |reason: String| ErrorKind::Corrupt { object: path.display().to_string(), reason };
    let mut count = 0;
    for cert in CertificateDer::pem_slice_iter(pem) {
        let cert = cert.map_err(|e| corrupt(e.to_string()))?;
        roots.add(cert).map_err(|e| corrupt(e.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(corrupt("it holds no certificate".to_owned()));
    }
    Ok(())
}
