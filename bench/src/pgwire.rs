//! The client of the `pgwire-replication` crate on one slot: reads, counts, throws away.

use anyhow::{Result, ensure};
use clap::Args;
use pgwire_replication::client::ReplicationEvent;
use pgwire_replication::{Lsn, ReplicationClient, ReplicationConfig, TlsConfig};
use postgres::config::Host;

use crate::bare::is_counted;
use crate::slot_args::SlotArgs;

/// Reads a slot with the client of the `pgwire-replication` crate, and counts. For `make bench`.
#[derive(Args)]
pub(crate) struct PgwireArgs {
    #[command(flatten)]
    from: SlotArgs,
    /// Ends behind the last transaction that is committed before this LSN.
    #[arg(long)]
    until: String,
}

/// Reads to the end, and prints how many messages and bytes came.
#[expect(clippy::print_stdout, reason = "the count is the program's output")]
pub(crate) fn run(args: &PgwireArgs) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (messages, bytes) = runtime.block_on(read(args))?;
    println!("done {messages} {bytes}");
    Ok(())
}

async fn read(args: &PgwireArgs) -> Result<(u64, u64)> {
    let server: postgres::Config = args.from.url.parse()?;
    let host = match server.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => "127.0.0.1".to_owned(),
    };
    let password = String::from_utf8_lossy(server.get_password().unwrap_or_default()).into_owned();
    let config = ReplicationConfig::new(
        host,
        server.get_user().unwrap_or("postgres"),
        password,
        server.get_dbname().unwrap_or("postgres"),
        &args.from.slot,
        args.from.publication.as_str(),
    )
    .with_port(server.get_ports().first().copied().unwrap_or(5432))
    .with_tls(TlsConfig::disabled());
    let until = Lsn::parse(&args.until).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut client = ReplicationClient::connect(config).await?;
    let (mut messages, mut bytes) = (0_u64, 0);
    while let Some(event) = client.recv().await? {
        let end = match event {
            ReplicationEvent::XLogData { wal_end, data, .. } => {
                messages += u64::from(is_counted(&data));
                bytes += data.len() as u64;
                wal_end
            }
            ReplicationEvent::Begin { .. } | ReplicationEvent::Message { .. } => {
                messages += 1;
                continue;
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                messages += 1;
                client.update_applied_lsn(end_lsn);
                end_lsn
            }
            ReplicationEvent::KeepAlive { wal_end, .. } => wal_end,
            ReplicationEvent::StoppedAt { reached } => reached,
        };
        if end >= until {
            return Ok((messages, bytes));
        }
    }
    ensure!(false, "the stream ended before {}", args.until);
    Ok((messages, bytes))
}
