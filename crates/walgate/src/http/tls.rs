//! The certificate, which may be renewed while we run, and whose certificates clients may show.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use walgate_core::{Failure, StopReason};

/// Files in PEM that a server's TLS is made of.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// Its certificate, and what signed it.
    pub(crate) certificate: PathBuf,
    /// The key of that.
    pub(crate) key: PathBuf,
    /// Authorities whose certificates clients may show; none where nobody is asked for one.
    pub(crate) clients: Option<PathBuf>,
}

impl TlsFiles {
    /// Without certificates of clients.
    pub(crate) fn of_server(certificate: &Path, key: &Path) -> Self {
        Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            clients: None,
        }
    }

    /// Whether connections can be answered with them.
    ///
    /// # Errors
    ///
    /// When they can't be read, or don't belong together.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.read().map(|_| ())
    }

    /// When they changed last.
    fn changed(&self) -> [Option<SystemTime>; 3] {
        let all = [
            Some(&self.certificate),
            Some(&self.key),
            self.clients.as_ref(),
        ];
        all.map(|path| path?.metadata().and_then(|file| file.modified()).ok())
    }

    fn read(&self) -> Result<Arc<ServerConfig>, Failure> {
        let certificate = &self.certificate;
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refused(certificate, &error))?;
        if chain.is_empty() {
            return Err(refused(certificate, &"there is no certificate in it"));
        }
        let key = &self.key;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(key, &error))?;
        let provider = Arc::new(ring::default_provider());
        let clients = match &self.clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(path) => verifier(path, Arc::clone(&provider))?,
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let builder = builder.with_client_cert_verifier(clients);
                builder.with_single_cert(chain, secret)
            })
            .map_err(|error| refused(certificate, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// What new connections are answered with.
#[derive(Debug)]
pub(super) struct Tls {
    files: TlsFiles,
    present: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// When they can't be read, or don't belong together.
    pub(super) fn read(files: TlsFiles) -> Result<Self, Failure> {
        let present = RwLock::new(files.read()?);
        Ok(Self { files, present })
    }

    /// Reads them again. What is wrong with them leaves everything as it is.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub(super) fn read_again(&self) -> Result<(), Failure> {
        let new = self.files.read()?;
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    pub(super) fn present(&self) -> Arc<ServerConfig> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&present)
    }
}

/// What connections are answered with, from these files; when they change, new ones are answered with
/// what they hold then.
///
/// # Errors
///
/// When they can't be read, or don't belong together.
pub(crate) fn server_tls(
    files: TlsFiles,
) -> Result<impl Fn() -> Arc<ServerConfig> + Send + Sync, Failure> {
    let seen = Mutex::new(files.changed());
    let tls = Tls::read(files)?;
    Ok(move || {
        let now = tls.files.changed();
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

/// Verifies the certificates that clients show. Who shows none may have a token.
fn verifier(
    path: &PathBuf,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Failure> {
    let mut roots = RootCertStore::empty();
    let authorities = CertificateDer::pem_file_iter(path).map_err(|error| refused(path, &error))?;
    for authority in authorities {
        let authority = authority.map_err(|error| refused(path, &error))?;
        roots
            .add(authority)
            .map_err(|error| refused(path, &error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    // It also refuses a file without any.
    let built = builder.allow_unauthenticated().build();
    built.map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let message = format!("{}: {error}", path.display());
    Failure::new(StopReason::Config, message)
        .hint("tls_cert, tls_key and client_ca name files in PEM")
}
