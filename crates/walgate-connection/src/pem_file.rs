//! Certificates and keys from files, with messages for everything that is usually wrong with them.

use std::fs::Metadata;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config_error::ConfigError;

/// The largest bundle in use (Amazon RDS, all regions) has 170 KB.
const MAX_BYTES: u64 = 16 << 20;

fn error(
    parameter: &'static str,
    path: &Path,
    problem: impl Into<String>,
    hint: &str,
) -> ConfigError {
    ConfigError::File {
        parameter,
        path: path.display().to_string(),
        problem: problem.into(),
        hint: hint.to_owned(),
    }
}

/// Reads a file that must be a regular one of a sane size.
fn read(parameter: &'static str, path: &Path) -> Result<(Vec<u8>, Metadata), ConfigError> {
    let hint = "name a readable file in PEM form";
    let describe = |cause: std::io::Error| error(parameter, path, cause.to_string(), hint);
    let metadata = std::fs::metadata(path).map_err(describe)?;
    if !metadata.is_file() {
        return Err(error(parameter, path, "not a regular file", hint));
    }
    if metadata.len() > MAX_BYTES {
        return Err(error(parameter, path, "larger than 16 MiB", hint));
    }
    let bytes = std::fs::read(path).map_err(describe)?;
    if bytes.trim_ascii().is_empty() {
        return Err(error(parameter, path, "the file is empty", hint));
    }
    Ok((bytes, metadata))
}

/// Whether the bytes begin as DER does: a SEQUENCE with a length in one or more further bytes.
fn looks_like_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x80..=0x84, ..])
}

/// All certificates of a PEM file, in order; at least one.
pub(crate) fn certificates(
    parameter: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let (bytes, _) = read(parameter, path)?;
    if looks_like_der(&bytes) {
        let hint = "convert it with openssl x509 -inform der -in FILE -out FILE.pem";
        return Err(error(parameter, path, "in DER form, PEM is needed", hint));
    }
    let hint = "name a file with -----BEGIN CERTIFICATE----- in it";
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = parsed.map_err(|cause| {
        let problem = match cause {
            pem::Error::MissingSectionEnd { .. } => "bad PEM: a section without its END line",
            _ => "bad PEM: a section that is not base64",
        };
        error(parameter, path, problem, hint)
    })?;
    if certificates.is_empty() {
        return Err(error(parameter, path, "no certificate in it", hint));
    }
    Ok(certificates)
}

/// The private key of a PEM file whose permissions keep others out, by libpq's rule: 0600, or 0640
/// when root owns it.
pub(crate) fn private_key(
    parameter: &'static str,
    path: &Path,
) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let (bytes, metadata) = read(parameter, path)?;
    check_permissions(parameter, path, &metadata)?;
    if looks_like_der(&bytes) {
        let hint = "convert it with openssl pkey -inform der -in FILE -out FILE.pem";
        return Err(error(parameter, path, "in DER form, PEM is needed", hint));
    }
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("ENCRYPTED") {
        let hint = "decrypt it with openssl pkey -in FILE -out FILE.plain, mode 0600";
        return Err(error(
            parameter,
            path,
            "encrypted keys are not supported",
            hint,
        ));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let hint = "name a file with -----BEGIN PRIVATE KEY----- in it";
        error(parameter, path, "no private key in it", hint)
    })
}

#[cfg(unix)]
fn check_permissions(
    parameter: &'static str,
    path: &Path,
    metadata: &Metadata,
) -> Result<(), ConfigError> {
    use std::os::unix::fs::MetadataExt as _;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden == 0 {
        return Ok(());
    }
    let problem = format!("others may read it (mode {:04o})", metadata.mode() & 0o7777);
    Err(error(parameter, path, problem, "chmod 0600 FILE"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{certificates, private_key};

    #[test]
    fn files_that_hold_no_certificate_are_named_with_what_they_are() {
        let folder = tempfile::tempdir().expect("folder");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("written");
            path
        };
        let missing = folder.path().join("missing");
        for (path, expected) in [
            (missing, "No such file"),
            (folder.path().to_owned(), "not a regular file"),
            (file("empty", b" \n"), "empty"),
            (file("der", b"\x30\x82\x01\x00rest"), "DER"),
            (file("text", b"hello"), "no certificate"),
            (
                file("cut", b"-----BEGIN CERTIFICATE-----\nMIIB"),
                "END line",
            ),
            (
                file(
                    "bad",
                    b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
                ),
                "bad PEM",
            ),
        ] {
            let error = certificates("sslrootcert", &path)
                .expect_err("refused")
                .to_string();
            assert!(
                error.contains(expected) && error.contains("sslrootcert"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        fs::write(&path, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        let error = private_key("sslkey", &path)
            .expect_err("refused")
            .to_string();
        assert!(error.contains("mode 0644"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        let error = private_key("sslkey", &path)
            .expect_err("refused")
            .to_string();
        assert!(error.contains("encrypted"), "{error}");
    }
}
