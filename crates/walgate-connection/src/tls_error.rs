//! Failures of TLS, with every cause and with what the server showed of itself.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::CertificateError;

use crate::certificate::ServedCertificate;

const RDS_HINT: &str = "download the bundle of Amazon RDS \
     (https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem) and name it in sslrootcert";

/// A connection that could not be protected.
#[derive(Debug)]
pub struct TlsError {
    endpoint: String,
    problem: String,
    served: Option<Box<ServedCertificate>>,
    hint: Option<String>,
    source: Option<io::Error>,
}

impl TlsError {
    pub(crate) fn new(endpoint: &str, problem: impl Into<String>, hint: Option<&str>) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            problem: problem.into(),
            served: None,
            hint: hint.map(str::to_owned),
            source: None,
        }
    }

    /// Explains a failed handshake (or an alert that came later).
    pub(crate) fn from_io(
        endpoint: &str,
        source: io::Error,
        served: Option<ServedCertificate>,
    ) -> Self {
        let hint = rustls_error(&source).and_then(|error| hint(error, endpoint, served.as_ref()));
        Self {
            endpoint: endpoint.to_owned(),
            problem: chain(&source),
            served: served.map(Box::new),
            hint,
            source: Some(source),
        }
    }

    /// Whether TLS raised this input or output error.
    pub(crate) fn is_inside(error: &io::Error) -> bool {
        rustls_error(error).is_some()
    }

    /// Whether the server's certificate was not accepted, as opposed to a broken connection.
    #[must_use]
    pub fn is_certificate_refused(&self) -> bool {
        self.source
            .as_ref()
            .and_then(rustls_error)
            .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
    }

    /// The certificate that the server showed, as far as the handshake came.
    #[must_use]
    pub fn served(&self) -> Option<&ServedCertificate> {
        self.served.as_deref()
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether only the network failed, so that another server may be tried.
    pub(crate) fn is_network(&self) -> bool {
        self.source
            .as_ref()
            .is_some_and(|error| rustls_error(error).is_none())
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// The texts of an error and of all its sources; a text that the one before already ends with is
/// not repeated.
fn chain(error: &io::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn hint(
    error: &rustls::Error,
    endpoint: &str,
    served: Option<&ServedCertificate>,
) -> Option<String> {
    let rds = endpoint.contains(".rds.amazonaws.com")
        || served.is_some_and(|served| served.issuer.contains("Amazon RDS"));
    match error {
        rustls::Error::InvalidCertificate(certificate_error) => match certificate_error {
            CertificateError::UnknownIssuer if rds => Some(RDS_HINT.to_owned()),
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Some("name the certificate of the authority that issued it in sslrootcert".into())
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Some("renew the server's certificate, and check the clocks of both sides".into())
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Some(
                    "connect with a name that the certificate holds, or use sslmode=verify-ca"
                        .into(),
                )
            }
            _ => None,
        },
        rustls::Error::AlertReceived(_) => Some(
            "the server refused: check sslcert and sslkey, and the authority that the server \
             trusts (ssl_ca_file)"
                .into(),
        ),
        _ => None,
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: tls: {}", self.endpoint, self.problem)?;
        match &self.served {
            Some(served) => write!(f, "; the server showed a certificate {served}"),
            None => Ok(()),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The problem already holds the whole chain: a caller that prints sources too would
        // otherwise print it twice.
        None
    }
}
