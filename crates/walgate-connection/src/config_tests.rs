use std::time::Duration;

use super::ConnectionConfig;
use crate::environment::Environment;
use crate::setting::{ChannelBindingMode, SslMode, TargetSessionAttrs};
use crate::tls_settings::Roots;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_pairs(pairs.iter().copied())
}

fn parse(text: &str) -> ConnectionConfig {
    ConnectionConfig::parse(text, &environment(&[])).expect("valid")
}

fn refusal(text: &str) -> String {
    let error = ConnectionConfig::parse(text, &environment(&[])).expect_err("refused");
    format!("{error} ({})", error.hint().unwrap_or_default())
}

#[test]
fn defaults_are_libpqs() {
    let config = parse("host=h");
    assert_eq!(config.user(), whoami::username().expect("a user"));
    assert_eq!(config.dbname(), config.user());
    assert_eq!(config.sslmode(), SslMode::Prefer);
    assert_eq!(config.channel_binding, ChannelBindingMode::Prefer);
    assert_eq!(config.target_session_attrs(), TargetSessionAttrs::Any);
    assert_eq!(config.endpoints(), ["h:5432"]);
    assert_eq!(parse("user=me").dbname(), "me");
    assert!(parse("").endpoints()[0].ends_with("/.s.PGSQL.5432"));
}

#[test]
fn the_environment_comes_second() {
    let variables = environment(&[
        ("PGHOST", "env.example"),
        ("PGHOSTADDR", "10.0.0.1"),
        ("PGPORT", "6000"),
        ("PGUSER", "env_user"),
        ("PGPASSWORD", "hunter2"),
        ("PGDATABASE", "env_db"),
        ("PGSSLMODE", "require"),
        ("PGSSLROOTCERT", "/root.pem"),
        ("PGSSLCERT", "/client.pem"),
        ("PGSSLKEY", "/client.key"),
        ("PGCHANNELBINDING", "require"),
        ("PGTARGETSESSIONATTRS", "primary"),
        ("PGCONNECT_TIMEOUT", "7"),
        ("PGAPPNAME", "env_app"),
        ("PGOPTIONS", "-c geqo=off"),
    ]);
    let config = ConnectionConfig::parse("", &variables).expect("valid");
    assert_eq!(
        config.to_string(),
        "env_user@env.example:6000/env_db (sslmode=require)"
    );
    assert_eq!(config.application_name(), Some("env_app"));
    assert_eq!(config.options.as_deref(), Some("-c geqo=off"));
    assert_eq!(config.tls.roots, Roots::File("/root.pem".into()));
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(7)));
    assert_eq!(config.channel_binding, ChannelBindingMode::Require);
    assert_eq!(config.target_session_attrs(), TargetSessionAttrs::Primary);
    let config = ConnectionConfig::parse("postgres://me@127.0.0.1/mine", &variables);
    assert_eq!(
        config.expect("valid").to_string(),
        "me@127.0.0.1:6000/mine (sslmode=require)",
        "the text wins"
    );
}

#[test]
fn nothing_shows_a_secret() {
    let config = parse("postgres://u:hunter2@h/d?options=-c%20my.key%3Dhunter2")
        .with_password_command(vec!["sh".into(), "-c".into(), "echo hunter2".into()]);
    assert!(!format!("{config} {config:?} {config:#?}").contains("hunter2"));
}

#[test]
fn values_that_cannot_be_are_refused_with_what_can() {
    for (text, expected) in [
        ("sslmode=on", "verify-full"),
        ("port=0", "1 to 65535"),
        ("port=65536", "1 to 65535"),
        ("postgres://h:hunter2/d", "1 to 65535"),
        ("connect_timeout=5s", "without unit"),
        ("keepalives=yes", "without unit"),
        ("keepalives=2", "0, 1"),
        ("target_session_attrs=master", "read-write"),
        ("channel_binding=yes", "require"),
        ("gssencmode=require", "prefer"),
        ("client_encoding=LATIN1", "UTF8"),
        ("ssl_max_protocol_version=TLSv1", "TLSv1.2"),
        ("sslcompression=1", "unsafe"),
        ("host='db.example '", "space"),
        ("hostaddr=db.example", "host"),
        ("service=missing", "pg_service.conf"),
    ] {
        let error = refusal(text);
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn contradictions_are_refused() {
    for text in [
        "sslrootcert=system sslmode=require",
        "sslrootcert=system sslmode=verify-ca",
        "sslnegotiation=direct sslmode=prefer",
        "sslnegotiation=direct",
        "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
        "sslkey=/key",
        "host=a,b port=1,2,3",
        "host=a,b hostaddr=10.0.0.1",
    ] {
        assert!(refusal(text).contains("contradict"), "{text}");
    }
}

#[test]
fn accepted_as_libpq_does() {
    assert_eq!(parse("sslrootcert=system").sslmode(), SslMode::VerifyFull);
    for text in [
        "gssencmode=disable client_encoding=utf-8 sslcompression=0 sslsni=0 ssl_min_protocol_version=TLSv1",
        "keepalives=1 keepalives_idle=5 keepalives_interval=5 keepalives_count=2",
        "load_balance_hosts=random require_auth=scram-sha-256 fallback_application_name=x",
        "sslnegotiation=direct sslmode=require",
    ] {
        parse(text);
    }
    assert!(parse("keepalives=0").keepalive.is_none());
    assert_eq!(parse("connect_timeout=0").connect_timeout, None);
    assert_eq!(
        parse("tcp_user_timeout=1500").tcp_user_timeout,
        Some(Duration::from_millis(1500))
    );
    assert_eq!(parse("tcp_user_timeout=0").tcp_user_timeout, None);
    assert_eq!(
        parse("fallback_application_name=x").application_name(),
        Some("x")
    );
}

#[test]
fn a_program_may_override() {
    let config = parse("application_name=a dbname=b")
        .with_application_name("x")
        .with_dbname("y");
    assert_eq!(
        (config.application_name(), config.dbname()),
        (Some("x"), "y")
    );
}
