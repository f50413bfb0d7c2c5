//! Certificates of clients: whose they are, what that opens, and which are none.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;
use walgate_tests::{Bed, Program, stop, until};
use walgate_throwaway::PgVersion;

use super::client::{Client, Events, Said, patient};
use super::{address, websocket};

/// SHA-256 of "hunter2-open".
const TOKEN: &str = "29ec569ca5b5d0bf2cafdb66fb2ba3468342796b204402af45ef5a83c3f89b35";

type Safe = StreamOwned<ClientConnection, TcpStream>;

/// A certificate and its key.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self(issuer))
    }

    /// A certificate of this CN that is changed so before it is signed, in PEM and as it is.
    fn issue(
        &self,
        common_name: &str,
        change: impl FnOnce(&mut CertificateParams) -> Result<()>,
    ) -> Result<((String, String), Identity)> {
        let mut params = CertificateParams::new(Vec::new())?;
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params)?;
        let key = KeyPair::generate()?;
        let made = params.signed_by(&key, &self.0)?;
        let pem = (made.pem(), key.serialize_pem());
        let secret = PrivateKeyDer::try_from(key.serialize_der());
        let secret = secret.map_err(|error| anyhow::anyhow!("no key: {error}"))?;
        Ok((pem, (made.der().clone(), secret)))
    }

    fn client(&self, common_name: &str, alternative: Option<SanType>) -> Result<Identity> {
        let made = self.issue(common_name, |params| {
            params.subject_alt_names.extend(alternative);
            Ok(())
        });
        Ok(made?.1)
    }
}

fn dns(name: &str) -> Result<Option<SanType>> {
    Ok(Some(SanType::DnsName(name.try_into()?)))
}

/// What connects to the server at an address, and trusts who signed its certificate.
struct Door {
    at: String,
    server: CertificateDer<'static>,
}

impl Door {
    fn connect(&self, identity: Option<&Identity>) -> Result<Safe> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate.clone()], key.clone_key())?
            }
        };
        let name = ServerName::try_from("localhost")?;
        let connection = ClientConnection::new(Arc::new(config), name)?;
        Ok(StreamOwned::new(connection, patient(&self.at)?))
    }

    /// An event stream, or the status of the answer.
    fn events(
        &self,
        identity: Option<&Identity>,
        headers: &str,
    ) -> Result<Result<Events<Safe>, u16>> {
        Events::over(
            self.connect(identity)?,
            &self.at,
            "?table=public.t",
            headers,
        )
    }

    fn status(&self, identity: Option<&Identity>, headers: &str) -> Result<u16> {
        Ok(self.events(identity, headers)?.err().unwrap_or(200))
    }

    /// Whether the server breaks the handshake off, which a client may learn as late as by its first read.
    fn is_turned_away(&self, identity: &Identity) -> Result<bool> {
        let Err(error) = self.events(Some(identity), "") else {
            return Ok(false);
        };
        let kind = error
            .downcast_ref::<std::io::Error>()
            .map(|error| error.kind());
        match kind.context("no error of the connection")? {
            ErrorKind::InvalidData
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::UnexpectedEof
            | ErrorKind::BrokenPipe => Ok(true),
            _ => bail!("{error}"),
        }
    }
}

/// A server that knows two by their certificates, at most two connections of each at once, and one by a
/// token.
fn serve(bed: &mut Bed, authority: &Authority) -> Result<(Program, Door)> {
    let own = Authority::new("authority of the server")?;
    let ((certificate, key), _) = own.issue("localhost", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names.extend(dns("localhost")?);
        Ok(())
    })?;
    for (name, text) in [
        ("tls.crt", certificate),
        ("tls.key", key),
        ("clients.pem", authority.0.pem()),
    ] {
        std::fs::write(bed.path(name), text)?;
    }
    bed.more = "[log]\nlevel = \"debug\"\n".to_owned();
    bed.sinks = websocket(&format!(
        "delivery = \"live-only\"\nmax_connections_of_subject = 2\n\
         tls_cert = {:?}\ntls_key = {:?}\nclient_ca = {:?}\n\
         [sinks.push.subjects]\n\"reader.example.com\" = {{ tables = [\"public.t\"], claims = {{ team = \"red\" }} }}\n\
         \"chief@example.com\" = {{ claims = {{ admin = true }} }}\n\
         [sinks.push.tokens.robot]\nsha256 = \"{TOKEN}\"\nclaims = {{ team = \"blue\" }}\n\
         [sinks.push.access_rules.team]\ntables = [\"public.t\"]\nwhere = \"team = claims.team\"\nunless = \"admin\"",
        bed.path("tls.crt"),
        bed.path("tls.key"),
        bed.path("clients.pem"),
    ));
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let server = own.0.der().clone();
    Ok((program, Door { at, server }))
}

fn bed(name: &str) -> Result<Bed> {
    let tables = "create table t (id int primary key, team text); \
                  alter table t replica identity full; create table other (id int primary key); \
                  create publication walgate for table t, other;";
    Bed::shared(PgVersion::V17, name, tables)
}

/// Ids of the rows that come next.
fn ids(stream: &mut Events<Safe>, count: usize) -> Result<Vec<i64>> {
    let id = |_| {
        stream.expect("message")?["key"]["id"]
            .as_i64()
            .context("an id")
    };
    (0..count).map(id).collect()
}

const BEARER: &str = "Authorization: Bearer hunter2-open\r\n";

#[test]
fn a_certificate_opens_what_its_name_opens() -> Result<()> {
    let mut bed = bed("push_certificates")?;
    let authority = Authority::new("authority of clients")?;
    let (program, door) = serve(&mut bed, &authority)?;
    // The CN is nobody's where there is another name.
    let reader = authority.client("chief@example.com", dns("reader.example.com")?)?;
    let mail = SanType::Rfc822Name("chief@example.com".try_into()?);
    let chief = authority.client("somebody", Some(mail))?;
    let by_cn = authority.client("chief@example.com", None)?;
    let stranger = authority.client("reader.example.com", dns("stranger.example.com")?)?;

    let open = |who, headers| -> Result<Events<Safe>> {
        let mut stream = door
            .events(who, headers)?
            .map_err(|code| anyhow::anyhow!("{code}"))?;
        let ready = stream.expect("ready")?;
        // A certificate ends, and a token of this configuration does not.
        ensure!(
            ready["expires"].is_string() == headers.is_empty(),
            "{ready}"
        );
        Ok(stream)
    };
    let mut reads = open(Some(&reader), "")?;
    let mut sees_all = open(Some(&chief), "")?;
    let mut named_by_cn = open(Some(&by_cn), "")?;
    // Who shows a token means that, whoever's certificate stands beside it.
    let mut with_token = open(None, BEARER)?;
    let mut with_both = open(Some(&reader), BEARER)?;
    bed.sql("insert into t values (1, 'blue'), (2, 'red'), (3, 'blue')")?;
    ensure!(ids(&mut reads, 1)? == [2]);
    ensure!(ids(&mut sees_all, 3)? == [1, 2, 3]);
    ensure!(ids(&mut named_by_cn, 3)? == [1, 2, 3]);
    ensure!(ids(&mut with_token, 2)? == [1, 3]);
    ensure!(ids(&mut with_both, 2)? == [1, 3]);

    ensure!(door.status(None, "")? == 401);
    ensure!(door.status(Some(&stranger), "")? == 401);
    let wrong = "Authorization: Bearer wrong\r\n";
    ensure!(door.status(Some(&reader), wrong)? == 401);

    // Chief has as many connections as one may have.
    ensure!(door.status(Some(&chief), "")? == 429);
    let stream = door.connect(Some(&chief))?;
    let mut crowded = Client::over(stream, &door.at, "?table=public.t", None)?;
    ensure!(crowded.answer("closed")?["code"] == 4430);
    ensure!(crowded.next()? == Said::Closed(4430));
    drop(named_by_cn);
    until("the place is free", || {
        Ok(door.status(Some(&chief), "")? == 200)
    })?;
    over_websocket(&bed, &door, &reader)?;
    stop(program, &[])?;
    Ok(())
}

/// What a certificate opens needs no token, and no token of somebody else prolongs it.
fn over_websocket(bed: &Bed, door: &Door, reader: &Identity) -> Result<()> {
    let mut client = Client::over(door.connect(Some(reader))?, &door.at, "", None)?;
    client.say(&json!({"type": "start"}))?;
    client.answer("ready")?;
    client.say(&json!({"type": "subscribe", "id": "s", "tables": ["public.other"]}))?;
    ensure!(client.answer("error")?["code"] == "forbidden");
    client.say(&json!({"type": "token", "token": "hunter2-open"}))?;
    ensure!(client.answer("error")?["code"] == "unauthorized");
    bed.sql("insert into other values (1); insert into t values (4, 'blue'), (5, 'red')")?;
    ensure!(client.event()?["key"]["id"] == 5, "and nothing before it");
    Ok(())
}

#[test]
fn a_certificate_that_is_none_opens_nothing() -> Result<()> {
    let mut bed = bed("push_certificates_wrong")?;
    let (authority, other) = (Authority::new("one")?, Authority::new("other")?);
    let (program, door) = serve(&mut bed, &authority)?;
    let name = "reader.example.com";
    let right = authority.client(name, None)?;
    ensure!(door.status(Some(&right), "")? == 200);

    let foreign = other.client(name, None)?;
    let (_, ended) = authority.issue(name, |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
        Ok(())
    })?;
    let (_, early) = authority.issue(name, |params| {
        params.not_before = date_time_ymd(2090, 1, 1);
        Ok(())
    })?;
    let (_, of_server) = authority.issue(name, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(())
    })?;
    for (identity, why) in [
        (&foreign, "UnknownIssuer"),
        (&ended, "expired"),
        (&early, "not valid yet"),
        (&of_server, "extended key"),
    ] {
        ensure!(door.is_turned_away(identity)?, "{why}");
        until(why, || Ok(program.stderr().contains(why)))?;
    }
    ensure!(
        door.status(None, BEARER)? == 200,
        "nobody else is disturbed"
    );

    // Who is trusted changes while it runs; what is no certificate changes nothing.
    let clients = bed.path("clients.pem");
    std::fs::write(&clients, other.0.pem())?;
    ensure!(door.status(Some(&foreign), "")? == 200);
    ensure!(door.is_turned_away(&right)?);
    std::fs::write(&clients, "nonsense")?;
    ensure!(door.status(Some(&foreign), "")? == 200);
    stop(program, &["the certificate stays as it was"])?;
    Ok(())
}
