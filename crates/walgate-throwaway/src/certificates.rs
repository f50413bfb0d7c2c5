//! A certificate authority for one server: its certificate, and those of its clients.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::error::ThrowawayError;

/// Certificates of one server in a folder, as PEM files.
pub struct Certificates {
    dir: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key (PKCS #8), readable by its owner only.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority of its own (`ca.crt`) in `dir`.
    ///
    /// # Errors
    ///
    /// When the folder can't be written.
    pub fn new(dir: &Path) -> Result<Self, ThrowawayError> {
        fs::create_dir_all(dir).map_err(ThrowawayError::io("create", dir))?;
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(refused)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Walgate throw-away authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(refused)?;
        let authority = CertifiedIssuer::self_signed(params, key).map_err(refused)?;
        let made = Self {
            dir: dir.into(),
            authority,
        };
        write(&made.ca(), &made.authority.pem(), 0o644)?;
        Ok(made)
    }

    /// The authority's certificate: what `sslrootcert` points to.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// Issues `NAME.crt` and `NAME.key` for a server that is reached by these names or addresses.
    ///
    /// # Errors
    ///
    /// When a name can't be in a certificate or the folder can't be written.
    pub fn issue_server(
        &self,
        name: &str,
        hosts: &[&str],
    ) -> Result<CertificateFiles, ThrowawayError> {
        self.issue(
            name,
            hosts,
            hosts.first().unwrap_or(&name),
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// Issues `client-USER.crt` and `client-USER.key` with the user as common name.
    ///
    /// # Errors
    ///
    /// When the folder can't be written.
    pub fn issue_client(&self, user: &str) -> Result<CertificateFiles, ThrowawayError> {
        let name = format!("client-{user}");
        self.issue(&name, &[], user, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        name: &str,
        hosts: &[&str],
        common_name: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<CertificateFiles, ThrowawayError> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).map_err(refused)?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(refused)?;
        let certificate = params.signed_by(&key, &self.authority).map_err(refused)?;
        let files = CertificateFiles {
            certificate: self.dir.join(format!("{name}.crt")),
            key: self.dir.join(format!("{name}.key")),
        };
        write(&files.certificate, &certificate.pem(), 0o644)?;
        write(&files.key, &key.serialize_pem(), 0o600)?;
        Ok(files)
    }
}

fn refused(error: rcgen::Error) -> ThrowawayError {
    ThrowawayError::Setup(format!("certificate: {error}"))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), ThrowawayError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(ThrowawayError::io("write", path))
}
