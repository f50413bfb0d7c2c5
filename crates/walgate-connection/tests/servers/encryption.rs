//! `sslmode` on a real server, and with certificates that a real server should not have.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use walgate_connection::{ConnectError, ConnectionConfig};
use walgate_throwaway::Certificates;

use crate::scripted::{RECORD, RECORDS, Scripted, Tls};
use crate::server::{
    ca, client_certificate, failure, one, parse, server, text, who, with_password,
};

/// The same server under a name that its certificate does not hold.
fn wrong_name(more: &str) -> ConnectionConfig {
    let port = server().port();
    parse(&format!(
        "host=wrong.example hostaddr=127.0.0.1 port={port} dbname=postgres user=trust_user {more}"
    ))
}

fn foreign_ca(folder: &Path) -> PathBuf {
    Certificates::new(folder).expect("an authority").ca()
}

async fn is_encrypted(config: &ConnectionConfig) -> bool {
    let client = config.connect_sql(&[]).await.expect("connected");
    let question = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let by_server = one(&client, question).await == "true";
    assert_eq!(client.tls().is_some(), by_server);
    who(config).await.expect("connected for both");
    by_server
}

#[tokio::test]
async fn each_mode_encrypts_as_libpq_does() {
    let root = format!("sslrootcert={}", ca().display());
    for (user, more, encrypted) in [
        ("trust_user", "sslmode=disable", false),
        ("trust_user", "sslmode=allow", false),
        ("tls_only_user", "sslmode=allow", true),
        ("trust_user", "sslmode=prefer", true),
        ("plain_only_user", "sslmode=prefer", false),
        ("trust_user", "sslmode=require", true),
        ("trust_user", &format!("sslmode=require {root}"), true),
        ("trust_user", &format!("sslmode=verify-ca {root}"), true),
        ("trust_user", &format!("sslmode=verify-full {root}"), true),
    ] {
        let config = with_password(user, more);
        assert_eq!(is_encrypted(&config).await, encrypted, "{user} {more}");
    }
}

#[tokio::test]
async fn protocol_versions() {
    for (more, expected) in [
        ("", "TLSv1.3"),
        ("ssl_max_protocol_version=TLSv1.2", "TLSv1.2"),
        ("ssl_min_protocol_version=TLSv1.3 sslsni=0", "TLSv1.3"),
    ] {
        let config = parse(&text("trust_user", &format!("sslmode=require {more}")));
        let stream = config.connect_replication(&[]).await.expect("connected");
        assert_eq!(
            stream.tls().expect("encrypted").protocol,
            expected,
            "{more}"
        );
    }
}

#[tokio::test]
async fn a_wrong_host_name() {
    let root = format!("sslrootcert={}", ca().display());
    let verify_ca = wrong_name(&format!("sslmode=verify-ca {root}"));
    assert!(
        is_encrypted(&verify_ca).await,
        "verify-ca does not look at the name"
    );
    let (error, text) = failure(&wrong_name(&format!("sslmode=verify-full {root}"))).await;
    assert!(matches!(error, ConnectError::Tls(_)), "{text}");
    assert!(
        text.contains("localhost") && text.contains("wrong.example"),
        "{text}"
    );
}

#[tokio::test]
async fn an_address_is_checked_too() {
    let port = server().port();
    let root = format!("sslmode=verify-full sslrootcert={}", ca().display());
    let common = format!("port={port} dbname=postgres user=trust_user {root}");
    assert!(is_encrypted(&parse(&format!("host=127.0.0.1 {common}"))).await);
    let (error, text) = failure(&parse(&format!("hostaddr=127.0.0.1 {common}"))).await;
    assert!(
        matches!(error, ConnectError::Config(_)),
        "nothing to check the name with: {text}"
    );
}

#[tokio::test]
async fn another_authority() {
    let folder = tempfile::tempdir().expect("folder");
    let root = format!("sslrootcert={}", foreign_ca(folder.path()).display());
    for mode in ["require", "verify-ca", "verify-full"] {
        let config = parse(&text("trust_user", &format!("sslmode={mode} {root}")));
        let (error, text) = failure(&config).await;
        let ConnectError::Tls(error) = error else {
            panic!("{mode}: {text}")
        };
        assert!(error.is_certificate_refused(), "{mode}: {text}");
        assert!(
            text.contains("issued by 'CN=Walgate throw-away authority'"),
            "{text}"
        );
        assert!(text.contains("sslrootcert"), "{text}");
    }
    // libpq's own rule: prefer gives up on TLS then, and tries plain text.
    let config = parse(&text("trust_user", &format!("sslmode=prefer {root}")));
    assert!(!is_encrypted(&config).await);
}

#[tokio::test]
async fn the_default_root_certificate_counts_when_it_exists() {
    let home = tempfile::tempdir().expect("folder");
    let folder = home.path().join(".postgresql");
    fs::create_dir(&folder).expect("created");
    let variables = [("HOME", home.path().to_str().expect("utf-8"))];
    let config = |mode: &str| {
        crate::server::parse_with(&text("trust_user", &format!("sslmode={mode}")), &variables)
    };
    let (_, text) = failure(&config("verify-full")).await;
    assert!(text.contains("root certificate"), "{text}");
    assert!(is_encrypted(&config("require")).await);
    let foreign = tempfile::tempdir().expect("folder");
    fs::copy(foreign_ca(foreign.path()), folder.join("root.crt")).expect("copied");
    let (error, text) = failure(&config("require")).await;
    assert!(
        matches!(error, ConnectError::Tls(_)),
        "require verifies with a root: {text}"
    );
    fs::copy(ca(), folder.join("root.crt")).expect("copied");
    assert!(is_encrypted(&config("verify-full")).await);
}

#[tokio::test]
async fn a_named_root_certificate_must_exist() {
    for mode in ["prefer", "require", "verify-full"] {
        let more = format!("sslmode={mode} sslrootcert=/does/not/exist.pem");
        let (error, text) = failure(&parse(&text("trust_user", &more))).await;
        assert!(matches!(error, ConnectError::Config(_)), "{mode}: {text}");
        assert!(text.contains("/does/not/exist.pem"), "{text}");
    }
}

#[tokio::test]
async fn the_systems_authorities_do_not_know_this_server() {
    let (error, text) = failure(&parse(&text("trust_user", "sslrootcert=system"))).await;
    assert!(
        matches!(error, ConnectError::Tls(_) | ConnectError::Config(_)),
        "{text}"
    );
}

#[tokio::test]
async fn client_certificates() {
    let own = client_certificate("cert_user");
    let files = |certificate: &Path, key: &Path| {
        format!(
            "sslmode=require sslcert={} sslkey={}",
            certificate.display(),
            key.display()
        )
    };
    let good = parse(&text("cert_user", &files(&own.certificate, &own.key)));
    assert_eq!(who(&good).await.expect("connected"), "cert_user");

    let (error, shown) = failure(&parse(&text("cert_user", "sslmode=require"))).await;
    assert_eq!(
        error.server().expect("refused").sqlstate,
        "28000",
        "{shown}"
    );

    let other = client_certificate("somebody_else");
    let (error, shown) = failure(&parse(&text(
        "cert_user",
        &files(&other.certificate, &other.key),
    )))
    .await;
    assert_eq!(
        error.server().expect("refused").sqlstate,
        "28000",
        "{shown}"
    );

    let folder = tempfile::tempdir().expect("folder");
    let foreign = Certificates::new(folder.path()).expect("an authority");
    let foreign = foreign.issue_client("cert_user").expect("a certificate");
    let config = parse(&text(
        "cert_user",
        &files(&foreign.certificate, &foreign.key),
    ));
    let (error, shown) = failure(&config).await;
    assert!(matches!(error, ConnectError::Tls(_)), "{shown}");
    assert!(shown.contains("ssl_ca_file"), "{shown}");

    let config = parse(&text("cert_user", &files(&own.certificate, &other.key)));
    let (error, shown) = failure(&config).await;
    assert!(
        matches!(error, ConnectError::Config(_)),
        "a key of another certificate: {shown}"
    );
}

/// Makes a certificate of our own and serves it from a scripted server.
async fn served(
    prepare: impl FnOnce(&mut CertificateParams),
    issuer: Option<&Issuer<'_, KeyPair>>,
) -> (Scripted, String) {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    prepare(&mut params);
    let key = KeyPair::generate().expect("a key");
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    let certificate = certificate.expect("a certificate");
    let tls = Tls {
        certificate: certificate.der().clone(),
        key: key.serialize_der(),
        alpn: true,
    };
    (Scripted::encrypted(tls).await, certificate.pem())
}

fn authority(folder: &Path) -> (Issuer<'static, KeyPair>, PathBuf) {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let path = folder.join("root.pem");
    fs::write(
        &path,
        params.self_signed(&key).expect("a certificate").pem(),
    )
    .expect("written");
    (Issuer::new(params, key), path)
}

#[tokio::test]
async fn an_expired_certificate() {
    let folder = tempfile::tempdir().expect("folder");
    let (issuer, root) = authority(folder.path());
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let (server, _) = served(expired, Some(&issuer)).await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let more = format!("sslmode={mode} sslrootcert={}", root.display());
        let (error, text) = failure(&parse(&server.text(&more))).await;
        assert!(matches!(error, ConnectError::Tls(_)), "{mode}: {text}");
        assert!(
            text.contains("2021-01-01") && text.contains("renew"),
            "{text}"
        );
    }
    // Nobody asked for a check: libpq does not look either.
    parse(&server.text("sslmode=require"))
        .connect_sql(&[])
        .await
        .expect("connected");
}

#[tokio::test]
async fn a_certificate_with_only_a_common_name() {
    let folder = tempfile::tempdir().expect("folder");
    let (issuer, root) = authority(folder.path());
    let (server, _) = served(|_| {}, Some(&issuer)).await;
    let more = format!("sslmode=verify-full sslrootcert={}", root.display());
    parse(&server.text(&more))
        .connect_sql(&[])
        .await
        .expect("the common name counts");
    let other_name = server.text(&more).replace("localhost", "wrong.example");
    let (error, text) = failure(&parse(&other_name)).await;
    assert!(matches!(error, ConnectError::Tls(_)), "{text}");

    let with_alternatives = |params: &mut CertificateParams| {
        let name = "other.example".try_into().expect("a name");
        params.subject_alt_names.push(rcgen::SanType::DnsName(name));
    };
    let (server, _) = served(with_alternatives, Some(&issuer)).await;
    let (error, text) = failure(&parse(&server.text(&more))).await;
    assert!(
        matches!(error, ConnectError::Tls(_)),
        "names overrule the common name: {text}"
    );
}

#[tokio::test]
async fn a_self_signed_certificate_that_is_its_own_root() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("server.pem");
    let more = format!("sslmode=verify-full sslrootcert={}", root.display());
    // openssl req -x509 makes such certificates: they are their own authority.
    let own =
        |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (server, pem) = served(own, None).await;
    fs::write(&root, pem).expect("written");
    parse(&server.text(&more))
        .connect_sql(&[])
        .await
        .expect("trusted as it is");

    let expired = |params: &mut CertificateParams| {
        own(params);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let (server, pem) = served(expired, None).await;
    fs::write(&root, pem).expect("written");
    let (error, text) = failure(&parse(&server.text(&more))).await;
    assert!(
        matches!(error, ConnectError::Tls(_)),
        "even so, not for ever: {text}"
    );
}

#[tokio::test]
async fn direct_negotiation() {
    let (server, _) = served(|_| {}, None).await;
    let direct = "sslmode=require sslnegotiation=direct";
    parse(&server.text(direct))
        .connect_sql(&[])
        .await
        .expect("connected");
    parse(&server.text("sslmode=require"))
        .connect_sql(&[])
        .await
        .expect("both ways");
    let version = crate::server::server()
        .sql("SHOW server_version_num")
        .expect("version");
    let version = version
        .first()
        .and_then(|row| row.first())
        .and_then(Option::as_deref);
    let connected = parse(&text("trust_user", direct)).connect_sql(&[]).await;
    if version.is_some_and(|version| version >= "170000") {
        connected.expect("the server knows direct negotiation");
    } else {
        // An older server takes the handshake for a message, and hangs up.
        connected.expect_err("no direct negotiation before 17");
    }
}

/// A walsender makes a record of each row: one of them a read would cost more than to decrypt it.
#[tokio::test]
async fn a_read_brings_all_records_that_there_are() {
    let (server, _) = served(|_| {}, None).await;
    for split in [false, true] {
        let noted = server.received().len();
        let mut stream = parse(&server.text("sslmode=require"))
            .connect_replication(&[])
            .await
            .expect("connected");
        stream.write_all(b"d\0\0\0\x04").await.expect("written");
        stream.flush().await.expect("written");
        while server.received().len() == noted || server.received().last() != Some(&b'.') {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (mut bytes, mut reads) = (Vec::with_capacity(1 << 20), 0);
        let mut halves = None;
        if split {
            halves = Some(stream.split().expect("halves"));
        } else {
            while bytes.len() < RECORDS * RECORD.len() {
                stream.read_buf(&mut bytes).await.expect("more");
                reads += 1;
            }
        }
        if let Some((reader, _)) = &mut halves {
            while bytes.len() < RECORDS * RECORD.len() {
                reader.read_buf(&mut bytes).await.expect("more");
                reads += 1;
            }
        }
        assert_eq!(bytes, RECORD.repeat(RECORDS));
        assert!(reads < RECORDS / 10, "split {split}: {reads} reads");
    }
}
