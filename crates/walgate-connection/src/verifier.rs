//! How much of the server's certificate is checked: libpq's four degrees.
//!
//! Signatures of the handshake are always checked: whoever answers holds the key of the certificate
//! that it shows. What differs is whether that certificate is believed:
//!
//! - [`Trust::Nobody`]: not at all (`require` and below without a root certificate). Everybody can
//!   pose as the server. libpq does the same; this is why `verify-full` exists.
//! - [`Trust::Chain`]: it leads to a trusted authority, for whatever host (`verify-ca`). Enough with
//!   an authority of one's own, worthless with a public one.
//! - [`Trust::ChainAndName`]: it also names the host (`verify-full`).

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::certificate::{self, ServedCertificate};

/// What must be true of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    Nobody,
    Chain,
    ChainAndName,
}

/// The authorities that are trusted.
#[derive(Debug)]
pub(crate) struct TrustedRoots {
    pub(crate) store: RootCertStore,
    /// The same certificates as they are in the file: a server that shows one of them itself (a
    /// self-signed certificate) is trusted too, as OpenSSL does.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

/// Checks certificates, and remembers what was shown, for the message about a failure.
#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Trust,
    roots: TrustedRoots,
    /// The host as it was given: what the certificate must name.
    host: String,
    algorithms: WebPkiSupportedAlgorithms,
    served: Arc<Mutex<Option<CertificateDer<'static>>>>,
}

/// Access to the certificate that the server showed, also after a handshake that failed.
#[derive(Debug, Clone)]
pub(crate) struct Shown(Arc<Mutex<Option<CertificateDer<'static>>>>);

impl Shown {
    pub(crate) fn describe(&self) -> Option<ServedCertificate> {
        let shown = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        shown.and_then(|der| ServedCertificate::parse(&der))
    }
}

impl Verifier {
    pub(crate) fn new(
        trust: Trust,
        roots: TrustedRoots,
        host: &str,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> (Arc<Self>, Shown) {
        let served = Arc::new(Mutex::new(None));
        let shown = Shown(Arc::clone(&served));
        (
            Arc::new(Self {
                trust,
                roots,
                host: host.to_owned(),
                algorithms,
                served,
            }),
            shown,
        )
    }

    fn check_chain(
        &self,
        parsed: &ParsedCertificate<'_>,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self
            .roots
            .certificates
            .iter()
            .any(|root| root == end_entity)
        {
            return check_validity(end_entity, now);
        }
        verify_server_cert_signed_by_trust_anchor(
            parsed,
            &self.roots.store,
            intermediates,
            now,
            self.algorithms.all,
        )
    }

    fn check_name(
        &self,
        parsed: &ParsedCertificate<'_>,
        end_entity: &CertificateDer<'_>,
        server_name: &ServerName<'_>,
    ) -> Result<(), Error> {
        match verify_server_name(parsed, server_name) {
            Err(_) if certificate::common_name_matches(end_entity, &self.host) => Ok(()),
            result => result,
        }
    }
}

/// A trusted certificate that the server shows itself must still be in its time.
fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let Some((from, until)) = certificate::validity(certificate) else {
        return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
    };
    if now.as_secs() < from {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now.as_secs() > until {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(end_entity.clone().into_owned());
        if self.trust != Trust::Nobody {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            self.check_chain(&parsed, end_entity, intermediates, now)?;
            if self.trust == Trust::ChainAndName {
                self.check_name(&parsed, end_entity, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
