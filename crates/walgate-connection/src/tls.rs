//! TLS on a TCP connection: what is asked of the server's certificate, and the handshake.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate;
use crate::config_error::ConfigError;
use crate::encrypted::{self, Socket};
use crate::error::ConnectError;
use crate::host::{Host, Target};
use crate::pem_file;
use crate::setting::{SslMode, SslNegotiation, TlsVersion};
use crate::tls_error::TlsError;
use crate::tls_settings::{ClientCertificate, Roots, TlsSettings};
use crate::verifier::{Shown, Trust, TrustedRoots, Verifier};

/// The registered protocol name; a server from version 17 insists on it in direct negotiation.
const ALPN: &[u8] = b"postgresql";

/// Everything read from files for one connection attempt.
pub(crate) struct TlsPlan {
    config: Arc<ClientConfig>,
    server_name: ServerName<'static>,
    shown: Shown,
    direct: bool,
}

/// What protects a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.3` or `TLSv1.2`.
    pub protocol: &'static str,
    /// The name of the cipher suite.
    pub cipher_suite: String,
    /// The hash of the server's certificate that SCRAM can be bound to.
    pub(crate) server_end_point: Option<Vec<u8>>,
}

impl TlsPlan {
    /// Reads the certificates for a connection to `host`.
    pub(crate) fn prepare(settings: &TlsSettings, host: &Host) -> Result<Self, ConnectError> {
        let (trust, roots) = trust(settings)?;
        if trust == Trust::ChainAndName && host.name.is_empty() {
            let problem = "sslmode=verify-full needs a name, and only an address was given";
            let hint = "give host as well as hostaddr";
            return Err(ConfigError::invalid("host", problem, hint).into());
        }
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let (verifier, shown) = Verifier::new(trust, roots, &host.name, algorithms);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(settings))
            .map_err(|error| ConfigError::invalid("sslmode", error.to_string(), ""))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match client_certificate(settings.certificate.as_ref())? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                let hint = "sslkey must be the key of the certificate in sslcert";
                ConfigError::invalid("sslcert", error.to_string(), hint)
            })?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = settings.server_name_indication;
        Ok(Self {
            config: Arc::new(config),
            server_name: server_name(host)?,
            shown,
            direct: settings.negotiation == SslNegotiation::Direct,
        })
    }

    /// Whether the handshake comes first, without asking.
    pub(crate) const fn is_direct(&self) -> bool {
        self.direct
    }

    /// The handshake.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        endpoint: &str,
    ) -> Result<(TlsStream<Socket>, TlsInfo), ConnectError> {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector
            .connect(self.server_name.clone(), encrypted::socket(stream))
            .await;
        let stream = connected.map_err(|error| {
            let served = self.shown.describe();
            ConnectError::Tls(Box::new(TlsError::from_io(endpoint, error, served)))
        })?;
        let (_, session) = stream.get_ref();
        if self.direct && session.alpn_protocol() != Some(ALPN) {
            let hint = "use sslnegotiation=postgres, which every version of PostgreSQL knows";
            let problem = "direct negotiation without the protocol name that it requires";
            return Err(ConnectError::Tls(Box::new(TlsError::new(
                endpoint,
                problem,
                Some(hint),
            ))));
        }
        let protocol = match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let suite = session.negotiated_cipher_suite();
        let own = session.peer_certificates().and_then(<[_]>::first);
        let info = TlsInfo {
            protocol,
            cipher_suite: suite
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
            server_end_point: own.and_then(|der| certificate::server_end_point(der)),
        };
        Ok((stream, info))
    }
}

fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let range = settings.min_version..=settings.max_version;
    [
        (TlsVersion::V13, &rustls::version::TLS13),
        (TlsVersion::V12, &rustls::version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| range.contains(version))
    .map(|(_, supported)| supported)
    .collect()
}

/// The name for SNI and for the check of the certificate. Where none was given (`hostaddr` alone),
/// the address: it is never checked then.
fn server_name(host: &Host) -> Result<ServerName<'static>, ConfigError> {
    let refused = || {
        let hint = "give a DNS name or an address";
        ConfigError::invalid("host", "the host name cannot be used for tls", hint)
    };
    match &host.target {
        Target::Address(address) if host.name.is_empty() => Ok((*address).into()),
        Target::Name(_) | Target::Address(_) => {
            // A name with a final dot is absolute; certificates hold it without.
            let name = host.name.strip_suffix('.').unwrap_or(&host.name);
            ServerName::try_from(name.to_owned()).map_err(|_| refused())
        }
        Target::Socket(_) => Err(refused()),
    }
}

/// What libpq does: with a root certificate the chain is checked in every mode; the verify modes
/// cannot do without; the name is checked under verify-full only.
fn trust(settings: &TlsSettings) -> Result<(Trust, TrustedRoots), ConfigError> {
    let certificates = match &settings.roots {
        Roots::File(path) => Some(pem_file::certificates("sslrootcert", path)?),
        Roots::DefaultFile(path) => match path.as_ref().filter(|path| path.exists()) {
            Some(path) => Some(pem_file::certificates("sslrootcert", path)?),
            None => None,
        },
        Roots::System => Some(system_certificates()?),
    };
    let Some(certificates) = certificates else {
        if settings.mode >= SslMode::VerifyCa {
            let problem = format!("sslmode={} needs a root certificate", settings.mode);
            let hint = "name a file, or system, or put it at ~/.postgresql/root.crt";
            return Err(ConfigError::invalid("sslrootcert", problem, hint));
        }
        let none = TrustedRoots {
            store: RootCertStore::empty(),
            certificates: Vec::new(),
        };
        return Ok((Trust::Nobody, none));
    };
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(certificates.iter().cloned());
    if usable == 0 {
        let hint = "name a file with an X.509 certificate of version 3";
        let problem = "none of its certificates can be used";
        return Err(ConfigError::invalid("sslrootcert", problem, hint));
    }
    let full = settings.mode == SslMode::VerifyFull;
    let trust = if full {
        Trust::ChainAndName
    } else {
        Trust::Chain
    };
    Ok((
        trust,
        TrustedRoots {
            store,
            certificates,
        },
    ))
}

fn system_certificates() -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, ConfigError> {
    let loaded = rustls_native_certs::load_native_certs();
    if loaded.certs.is_empty() {
        let causes: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
        let problem = format!(
            "the system's certificates cannot be read {}",
            causes.join(", ")
        );
        let hint = "install the system's certificates (package ca-certificates) or name a file";
        return Err(ConfigError::invalid(
            "sslrootcert",
            problem.trim_end(),
            hint,
        ));
    }
    Ok(loaded.certs)
}

type ChainAndKey = (
    Vec<rustls::pki_types::CertificateDer<'static>>,
    rustls::pki_types::PrivateKeyDer<'static>,
);

fn client_certificate(
    files: Option<&ClientCertificate>,
) -> Result<Option<ChainAndKey>, ConfigError> {
    let Some(files) = files else { return Ok(None) };
    if !files.explicit && !files.certificate.exists() {
        return Ok(None);
    }
    let chain = pem_file::certificates("sslcert", &files.certificate)?;
    let key = pem_file::private_key("sslkey", &files.key)?;
    Ok(Some((chain, key)))
}
