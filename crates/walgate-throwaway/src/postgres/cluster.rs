//! Files of a server: `initdb`, postgresql.conf, pg_hba.conf, certificates.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::certificates::Certificates;
use crate::error::ThrowawayError;
use crate::postgres::binaries::Binaries;
use crate::postgres::options::{PgAuth, PostgresOptions};
use crate::run_as::{User, run_to_end};

/// What every throw-away server has. fsync is off: these servers survive kill -9 of themselves
/// (the page cache stays), and nobody needs them after a crash of the machine.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("wal_level", "logical"),
    ("max_wal_senders", "20"),
    ("max_replication_slots", "20"),
    ("max_prepared_transactions", "20"),
    ("fsync", "off"),
    ("shared_buffers", "32MB"),
    ("lc_messages", "C"),
    ("log_line_prefix", "%m [%p] %a "),
    ("logging_collector", "off"),
];

/// Makes the data folder with `initdb`.
pub(crate) fn init(
    binaries: &Binaries,
    data: &Path,
    options: &PostgresOptions,
    user: Option<User>,
) -> Result<(), ThrowawayError> {
    let mut command = Command::new(binaries.bin.join("initdb"));
    command
        .arg("-D")
        .arg(data)
        .args(["-U", "postgres", "-E", "UTF8", "--locale=C"]);
    command.args(["--no-sync", "--auth=trust"]).current_dir("/");
    if let Some(mib) = options.wal_segment_mib {
        command.arg(format!("--wal-segsize={mib}"));
    }
    if let Some(user) = user {
        user.run(&mut command);
    }
    run_to_end(&mut command)?;
    write_hba(data, options)
}

/// Appends to postgresql.conf; the last line of a name counts.
pub(crate) fn append_settings<'a>(
    data: &Path,
    settings: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), ThrowawayError> {
    let mut text = String::new();
    for (name, value) in settings {
        writeln!(text, "{name} = '{}'", value.replace('\'', "''"))
            .map_err(|error| ThrowawayError::Setup(error.to_string()))?;
    }
    let conf = data.join("postgresql.conf");
    fs::OpenOptions::new()
        .append(true)
        .open(&conf)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(ThrowawayError::io("write", &conf))
}

/// Our settings, then the caller's.
pub(crate) fn write_settings(
    data: &Path,
    socket: &Path,
    port: u16,
    options: &PostgresOptions,
) -> Result<(), ThrowawayError> {
    let (socket, port) = (socket.to_string_lossy(), port.to_string());
    let own = [
        ("unix_socket_directories", socket.as_ref()),
        ("port", &port),
    ];
    let wanted = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    append_settings(data, SETTINGS.iter().copied().chain(own).chain(wanted))
}

fn write_hba(data: &Path, options: &PostgresOptions) -> Result<(), ThrowawayError> {
    let kind = match &options.tls {
        Some(tls) if tls.only || options.auth == PgAuth::Cert => "hostssl",
        _ => "host",
    };
    let method = options.auth.method();
    let mut text = String::new();
    for line in &options.hba {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("local all all trust\nlocal replication all trust\n");
    for database in ["all", "replication"] {
        for address in ["127.0.0.1/32", "::1/128"] {
            text.push_str(&format!("{kind} {database} all {address} {method}\n"));
        }
    }
    let hba = data.join("pg_hba.conf");
    fs::write(&hba, text).map_err(ThrowawayError::io("write", &hba))
}

/// Makes the certificates and names them in postgresql.conf.
pub(crate) fn enable_tls(
    data: &Path,
    dir: &Path,
    options: &PostgresOptions,
    user: Option<User>,
) -> Result<Option<Certificates>, ThrowawayError> {
    let Some(tls) = &options.tls else {
        return Ok(None);
    };
    let certificates = Certificates::new(dir)?;
    let hosts: Vec<&str> = tls.hosts.iter().map(String::as_str).collect();
    let server = certificates.issue_server("server", &hosts)?;
    if let Some(user) = user {
        user.own(dir)?;
        user.own(&server.key)?;
    }
    let (ca, certificate, key) = (certificates.ca(), server.certificate, server.key);
    append_settings(
        data,
        [
            ("ssl", "on"),
            ("ssl_ca_file", ca.to_string_lossy().as_ref()),
            ("ssl_cert_file", certificate.to_string_lossy().as_ref()),
            ("ssl_key_file", key.to_string_lossy().as_ref()),
        ],
    )?;
    Ok(Some(certificates))
}
