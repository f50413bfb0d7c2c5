//! What a certificate says: for messages, for channel binding, and for the host names in it.

use std::fmt;
use std::net::IpAddr;

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Any, Decode as _, Tag, Tagged as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// Signature algorithms by the hash that they use. MD5 and SHA-1 count as SHA-256 by RFC 5929.
/// Ed25519 and RSA-PSS are not here: the name of the algorithm alone tells no hash.
const SHA256_SIGNATURES: [ObjectIdentifier; 5] = [
    oid("1.2.840.113549.1.1.4"),  // MD5 with RSA
    oid("1.2.840.113549.1.1.5"),  // SHA-1 with RSA
    oid("1.2.840.10045.4.1"),     // ECDSA with SHA-1
    oid("1.2.840.113549.1.1.11"), // SHA-256 with RSA
    oid("1.2.840.10045.4.3.2"),   // ECDSA with SHA-256
];
const SHA384_SIGNATURES: [ObjectIdentifier; 2] =
    [oid("1.2.840.113549.1.1.12"), oid("1.2.840.10045.4.3.3")];
const SHA512_SIGNATURES: [ObjectIdentifier; 2] =
    [oid("1.2.840.113549.1.1.13"), oid("1.2.840.10045.4.3.4")];

const COMMON_NAME: ObjectIdentifier = oid("2.5.4.3");
const SUBJECT_ALT_NAME: ObjectIdentifier = oid("2.5.29.17");

/// The server's own certificate, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedCertificate {
    /// The distinguished name of its owner.
    pub subject: String,
    /// The distinguished name of the authority that signed it.
    pub issuer: String,
    /// From when it is valid, as an RFC 3339 time.
    pub not_before: String,
    /// Until when it is valid, as an RFC 3339 time.
    pub not_after: String,
    /// The host names and addresses that it is for.
    pub names: Vec<String>,
}

impl ServedCertificate {
    /// Reads a certificate in DER; `None` when it is none.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let body = &certificate.tbs_certificate;
        let time = |time: x509_cert::time::Time| time.to_date_time().to_string();
        let mut names = alternative_names(&certificate);
        if names.is_empty() {
            names.extend(common_name(&certificate));
        }
        Some(Self {
            subject: body.subject.to_string(),
            issuer: body.issuer.to_string(),
            not_before: time(body.validity.not_before),
            not_after: time(body.validity.not_after),
            names,
        })
    }
}

impl fmt::Display for ServedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names.is_empty() {
            "no host".into()
        } else {
            self.names.join(", ")
        };
        write!(
            f,
            "for {names}, issued by '{}', valid from {} to {}",
            self.issuer, self.not_before, self.not_after
        )
    }
}

/// The value of `tls-server-end-point` channel binding (RFC 5929 section 4.1): the certificate,
/// hashed as its own signature hashes it. `None` when that is not defined for the signature.
pub(crate) fn server_end_point(der: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_der(der).ok()?;
    let algorithm = certificate.signature_algorithm.oid;
    if SHA256_SIGNATURES.contains(&algorithm) {
        Some(Sha256::digest(der).to_vec())
    } else if SHA384_SIGNATURES.contains(&algorithm) {
        Some(Sha384::digest(der).to_vec())
    } else if SHA512_SIGNATURES.contains(&algorithm) {
        Some(Sha512::digest(der).to_vec())
    } else {
        None
    }
}

/// From when until when a certificate is valid, in seconds since 1970.
pub(crate) fn validity(der: &[u8]) -> Option<(u64, u64)> {
    let validity = Certificate::from_der(der).ok()?.tbs_certificate.validity;
    let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
    Some((seconds(validity.not_before), seconds(validity.not_after)))
}

/// Whether the certificate names this host in its common name. That counts only when it has no
/// subject alternative names, as in libpq; a `*` stands for exactly one label, the first.
pub(crate) fn common_name_matches(der: &[u8], host: &str) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else {
        return false;
    };
    if !alternative_names(&certificate).is_empty() {
        return false;
    }
    common_name(&certificate).is_some_and(|name| name_matches(&name, host))
}

fn name_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix("*.") {
        Some(domain) => host.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && domain.contains('.') && rest.eq_ignore_ascii_case(domain)
        }),
        None => !pattern.is_empty() && pattern.eq_ignore_ascii_case(host),
    }
}

fn alternative_names(certificate: &Certificate) -> Vec<String> {
    let extensions = certificate.tbs_certificate.extensions.iter().flatten();
    let found = extensions.filter(|extension| extension.extn_id == SUBJECT_ALT_NAME);
    found
        .filter_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok())
        .flat_map(|names| names.0)
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            GeneralName::IpAddress(octets) => match octets.as_bytes() {
                bytes if bytes.len() == 4 => <[u8; 4]>::try_from(bytes)
                    .ok()
                    .map(|v4| IpAddr::from(v4).to_string()),
                bytes => <[u8; 16]>::try_from(bytes)
                    .ok()
                    .map(|v6| IpAddr::from(v6).to_string()),
            },
            _ => None,
        })
        .collect()
}

fn common_name(certificate: &Certificate) -> Option<String> {
    let names = certificate.tbs_certificate.subject.0.iter().rev();
    let mut values = names.flat_map(|relative| relative.0.iter());
    // The last one is the most specific.
    values
        .find(|value| value.oid == COMMON_NAME)
        .and_then(|value| text(&value.value))
}

fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => Utf8StringRef::try_from(value)
            .ok()
            .map(|text| text.as_str().to_owned()),
        Tag::PrintableString => PrintableStringRef::try_from(value)
            .ok()
            .map(|text| text.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{ServedCertificate, common_name_matches, name_matches, server_end_point, validity};

    #[test]
    fn wildcards_stand_for_one_label() {
        for (pattern, host, expected) in [
            ("db.example", "DB.example", true),
            ("db.example", "db.example.", true),
            ("*.example.org", "db.example.org", true),
            ("*.example.org", "a.db.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.org", "example.org", false),
            ("*", "db", false),
            ("", "", false),
        ] {
            assert_eq!(name_matches(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate() {
        for bytes in [
            &b""[..],
            b"\x30\x82\xff\xff",
            b"-----BEGIN CERTIFICATE-----",
            &[0x30; 64],
        ] {
            assert_eq!(ServedCertificate::parse(bytes), None);
            assert_eq!(server_end_point(bytes), None);
            assert_eq!(validity(bytes), None);
            assert!(!common_name_matches(bytes, "db"));
        }
    }
}
