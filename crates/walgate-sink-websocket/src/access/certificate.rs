//! Certificates of clients: whose they are.

#[cfg(test)]
use std::time::Duration;
use std::time::SystemTime;

use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::{self, Decode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::{Certificate, TbsCertificate};

use super::claims::Claims;
use super::grant::Grant;

/// Who is known by a certificate of that name, and what that opens.
#[derive(Debug, Clone)]
pub struct CertificateSubject {
    grant: Grant,
}

impl CertificateSubject {
    /// Who has a certificate with this name (a DNS name, URI or mail address of it; its CN where it has none
    /// of these), for these tables, or for all where none are said, that stands for these claims.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(
        name: impl Into<String>,
        tables: Option<&[String]>,
        claims: Claims,
    ) -> Result<Self, String> {
        let name = name.into();
        if name.is_empty() {
            return Err("a certificate without a name is of nobody".to_owned());
        }
        Ok(Self {
            grant: Grant::new(name, tables, claims)?,
        })
    }

    pub(super) const fn grant(&self) -> &Grant {
        &self.grant
    }
}

/// What a certificate says that TLS has verified on a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Peer {
    /// Whose it is, by its alternative names, or by its CN where it has none. None without a certificate.
    names: Vec<String>,
    /// When it ends.
    expires: Option<SystemTime>,
}

impl Peer {
    /// Reads a certificate that was verified. One that can't be read has no names, and opens nothing.
    pub(crate) fn of(der: &[u8]) -> Self {
        let Ok(certificate) = Certificate::from_der(der) else {
            return Self::default();
        };
        let own = &certificate.tbs_certificate;
        Self {
            names: names(own).unwrap_or_default(),
            expires: Some(own.validity.not_after.to_system_time()),
        }
    }

    /// Who of these it is at `now`: TLS goes on with a session of before without looking at the time again.
    pub(super) fn find<'s>(
        &self,
        subjects: &'s [CertificateSubject],
        now: SystemTime,
    ) -> Option<&'s CertificateSubject> {
        if self.expires.is_none_or(|expires| expires <= now) {
            return None;
        }
        let known = |name: &String| subjects.iter().find(|own| own.grant.subject == *name);
        let found = self.names.iter().find_map(known);
        if found.is_none() {
            tracing::debug!(names = ?self.names, "a client's certificate is of nobody who is configured");
        }
        found
    }

    pub(super) const fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

/// The names of a certificate as RFC 6125, section 6.4.4, reads them: the CN counts only where it has no
/// other.
fn names(own: &TbsCertificate) -> Result<Vec<String>, der::Error> {
    let mut names = Vec::new();
    if let Some((_, alternatives)) = own.get::<SubjectAltName>()? {
        names.extend(alternatives.0.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            GeneralName::Rfc822Name(name) => Some(name.to_string()),
            GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
            _ => None,
        }));
    }
    if !names.is_empty() {
        return Ok(names);
    }
    let attributes = own.subject.0.iter().flat_map(|all| all.0.iter());
    for attribute in attributes.filter(|attribute| attribute.oid == COMMON_NAME) {
        let value = &attribute.value;
        let text = Utf8StringRef::try_from(value).map(|text| text.as_str().to_owned());
        let printable = || PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned());
        names.push(text.or_else(|_| printable())?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str) -> CertificateSubject {
        CertificateSubject::new(name, None, Claims::default()).expect("a subject")
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        assert_eq!(Peer::of(b"nonsense"), Peer::default());
        let now = SystemTime::UNIX_EPOCH;
        assert!(Peer::default().find(&[subject("ann")], now).is_none());
    }

    #[test]
    fn a_certificate_is_of_its_first_name_that_is_known_until_it_ends() {
        let ends = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let peer = Peer {
            names: vec!["ann".to_owned(), "bob".to_owned()],
            expires: Some(ends),
        };
        let all = [subject("bob"), subject("ann")];
        let find = |now| peer.find(&all, now).map(|own| own.grant.subject.as_str());
        assert_eq!(find(SystemTime::UNIX_EPOCH), Some("ann"));
        assert_eq!(find(ends), None);
        assert!(
            peer.find(&[subject("Ann")], SystemTime::UNIX_EPOCH)
                .is_none()
        );
    }
}
