//! The certificate, which may be renewed while we run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use walgate_core::{Failure, StopReason};

/// What new connections are answered with.
#[derive(Debug)]
pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    present: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// When they can't be read, or don't belong together.
    pub(super) fn read(certificate: PathBuf, key: PathBuf) -> Result<Self, Failure> {
        let present = RwLock::new(read(&certificate, &key)?);
        Ok(Self {
            certificate,
            key,
            present,
        })
    }

    /// Reads them again. What is wrong with them leaves everything as it is.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub(super) fn read_again(&self) -> Result<(), Failure> {
        let new = read(&self.certificate, &self.key)?;
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    pub(super) fn present(&self) -> Arc<ServerConfig> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&present)
    }
}

/// Whether connections can be answered with these files.
///
/// # Errors
///
/// When they can't be read, or don't belong together.
pub(crate) fn certificate(certificate: &Path, key: &Path) -> Result<(), Failure> {
    read(&certificate.to_owned(), &key.to_owned()).map(|_| ())
}

/// What connections are answered with, from these files; when they change, new ones are answered with
/// what they hold then.
///
/// # Errors
///
/// When they can't be read, or don't belong together.
pub(crate) fn server_tls(
    certificate: PathBuf,
    key: PathBuf,
) -> Result<impl Fn() -> Arc<ServerConfig> + Send + Sync, Failure> {
    let changed = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).ok();
    let seen = Mutex::new((changed(&certificate), changed(&key)));
    let tls = Tls::read(certificate, key)?;
    Ok(move || {
        let now = (changed(&tls.certificate), changed(&tls.key));
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen != now {
            *seen = now;
            // Between the change of one and of the other they don't belong together.
            match tls.read_again() {
                Ok(()) => tracing::info!("read the certificate for push again"),
                Err(failure) => tracing::warn!("the certificate stays as it was: {failure}"),
            }
        }
        tls.present()
    })
}

fn read(certificate: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, Failure> {
    let refused = |path: &PathBuf, error: &dyn std::fmt::Display| {
        let message = format!("{}: {error}", path.display());
        Failure::new(StopReason::Config, message)
            .hint("[http] tls_cert and tls_key name files in PEM")
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refused(certificate, &error))?;
    if chain.is_empty() {
        return Err(refused(certificate, &"there is no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(key, &error))?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let builder = builder.with_no_client_auth();
            builder.with_single_cert(chain, secret)
        })
        .map_err(|error| refused(certificate, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
