//! Lines that go silent, break, are slow, or are cut inside a message.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, Program, Workload, long, refused, seed, stop, until};
use walgate_throwaway::{Direction, FaultProxy, PgTls, PgVersion, Postgres, PostgresOptions};

use super::ledger_bed::{DOWN, LedgerBed};

/// A bed on a shared server, its program behind a proxy.
fn behind_a_proxy(version: PgVersion, name: &str) -> Result<(LedgerBed, FaultProxy)> {
    let mut bed = LedgerBed::shared(version, name)?;
    let address = bed.direct.rsplit_once('/').context("a database")?.0;
    let port = address
        .rsplit_once(':')
        .context("a port")?
        .1
        .parse::<u16>()?;
    let proxy = FaultProxy::start(([127, 0, 0, 1], port).into())?;
    bed.through(&proxy)?;
    Ok((bed, proxy))
}

/// Row 16: nothing comes and nothing goes, and no FIN says so. An idle server says nothing by
/// itself, so it has to be asked.
#[test]
fn a_silent_line_is_found_out_and_replaced() -> Result<()> {
    let (mut bed, proxy) = behind_a_proxy(PgVersion::V17, "silent_line")?;
    bed.source = "status_interval = \"200ms\"\nwal_sender_timeout = \"1s\"\n".to_owned();
    bed.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    // Idle: only its own requests can tell.
    proxy.stall();
    program.wait_for_log("the connection is dead")?;
    bed.insert(11..=20)?;
    proxy.resume();
    program.wait_for_log("connected again")?;
    bed.until_complete(&mut program)?;
    // Only what comes is lost: the server hears us, and we don't hear it.
    proxy.stall_only(Direction::ToClient);
    program.wait_until("a second outage", |log| log.matches(DOWN).count() == 2)?;
    bed.insert(21..=30)?;
    proxy.resume();
    bed.until_complete(&mut program)?;
    stop(program, &[DOWN])?;
    bed.complete()
}

/// Row 16: the line dies in the midst of a backlog, and the server refuses for a while.
#[test]
fn a_cut_and_a_refusing_server_lose_nothing() -> Result<()> {
    let (bed, proxy) = behind_a_proxy(PgVersion::V14, "cut_line")?;
    bed.begin()?;
    let workload = Workload::start(&bed.direct, seed(), 2, Duration::from_millis(4));
    let mut program = bed.serve()?;
    for outage in 1..=3 {
        let events = bed.events()?.len();
        program.wait_until("new events", |_| {
            bed.events().is_ok_and(|now| now.len() > events)
        })?;
        proxy.refuse();
        proxy.cut();
        program.wait_until("an outage", |log| log.matches(DOWN).count() >= outage)?;
        proxy.accept();
        program.wait_until("a new connection", |log| {
            log.matches("connected again").count() >= outage
        })?;
    }
    workload.stop()?;
    bed.until_complete(&mut program)?;
    let ended = stop(program, &[DOWN])?;
    ensure!(
        ended.stderr.matches(DOWN).count() == 3,
        "one line for each outage: {}",
        ended.stderr
    );
    bed.complete()
}

/// Row 17: one byte at a time, some ten kilobytes a second, then half a second for each packet.
/// Slow is not dead.
#[test]
fn a_slow_line_is_slow_and_correct() -> Result<()> {
    let (mut bed, proxy) = behind_a_proxy(PgVersion::V18, "slow_line")?;
    bed.source = "status_interval = \"500ms\"\nwal_sender_timeout = \"3s\"\n".to_owned();
    bed.begin()?;
    // Already the start is slow.
    proxy.slice(1, Duration::from_micros(20));
    let mut program = bed.serve()?;
    bed.insert(1..=100)?;
    bed.until_complete(&mut program)?;
    proxy.slice(1 << 16, Duration::from_millis(500));
    let connections = proxy.connections();
    for ids in 0..4 {
        bed.insert(101 + ids * 10..=110 + ids * 10)?;
        bed.until_complete(&mut program)?;
    }
    bed.until_confirmed(&mut program)?;
    ensure!(
        proxy.connections() <= connections + 1,
        "it has connected again: {}",
        program.stderr()
    );
    proxy.resume();
    let ended = stop(program, &[])?;
    ensure!(!ended.stderr.contains(DOWN), "{}", ended.stderr);
    bed.complete()
}

/// Row 18: the connection ends inside a message, at many places.
#[test]
fn a_connection_that_ends_inside_a_message_hands_over_no_fragment() -> Result<()> {
    let (bed, proxy) = behind_a_proxy(PgVersion::V15, "inside_message")?;
    bed.begin()?;
    let mut id = 0;
    // Each with a program of its own: the wait before a new connection grows.
    for bytes in [1_u64, 3, 29, 131, 1009, 7919] {
        let mut program = bed.serve()?;
        for more in 0..3 {
            let outages = program.stderr().matches("connected again").count();
            proxy.limit_after(bytes + more * 17);
            bed.insert(id + 1..=id + 200)?;
            id += 200;
            program.wait_until("a new connection", |log| {
                log.matches("connected again").count() > outages
            })?;
        }
        bed.until_complete(&mut program)?;
        stop(program, &[DOWN])?;
    }
    bed.complete()
}

/// Row 18 during the start: wherever the connection ends, it is tried again.
#[test]
fn a_connection_that_ends_during_the_start_is_tried_again() -> Result<()> {
    let (bed, proxy) = behind_a_proxy(PgVersion::V15, "inside_start")?;
    bed.begin()?;
    bed.insert(1..=10)?;
    let before = proxy.bytes(Direction::ToClient);
    let mut program = bed.serve()?;
    bed.until_complete(&mut program)?;
    stop(program, &[])?;
    let whole = proxy.bytes(Direction::ToClient) - before;
    for part in 0..8 {
        proxy.limit_after(1 + whole * part / 9);
        let id = i32::try_from(part)? + 11;
        bed.insert(id..=id)?;
        let mut program = bed.start()?;
        bed.until_complete(&mut program)?;
        stop(program, &[DOWN])?;
    }
    bed.complete()
}

/// Row 15: behind the same address is another system.
#[test]
fn another_system_behind_the_address_stops_it() -> Result<()> {
    let options = PostgresOptions::version(PgVersion::V17);
    let (server, other) = (Postgres::start(&options)?, Postgres::start(&options)?);
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into())?;
    let mut bed = LedgerBed::on(&server, "other_system")?;
    let beside = LedgerBed::on(&other, "other_system")?;
    bed.through(&proxy)?;
    bed.begin()?;
    // It even has the slot.
    beside.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    proxy.set_target(([127, 0, 0, 1], other.port()).into());
    proxy.cut();
    let ended = program.wait()?;
    let system = |bed: &LedgerBed| -> Result<String> {
        let query = "select system_identifier::text from pg_control_system()";
        Ok(bed.admin()?.query_one(query, &[])?.get(0))
    };
    let (ours, theirs) = (system(&bed)?, system(&beside)?);
    refused(&ended, 4, &[&ours, &theirs, "epoch"], &[DOWN])?;
    refused(&bed.run_until_now()?, 4, &[&ours, &theirs, "epoch"], &[])?;
    // A human says that this one takes its place.
    beside.insert(11..=12)?;
    bed.source = "epoch = 1\n".to_owned();
    let ended = bed.run_until_now()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let events = bed.events()?;
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str()).collect();
    ensure!(
        ids.len() == 13 && ids.is_sorted_by(|a, b| a < b) && events[10]["op"] == "gap",
        "ids go on growing: {ids:?}"
    );
    Ok(())
}

/// Row 21: the wrong authority, the wrong name and no TLS at all are refused, and nothing goes over
/// the line in plain text.
#[test]
fn tls_that_can_not_be_verified_is_refused_without_a_fall_back() -> Result<()> {
    let tls = |host: &str| PgTls {
        hosts: vec![host.to_owned()],
        only: false,
    };
    let options = |host: &str| PostgresOptions::version(PgVersion::V16).tls(tls(host));
    let server = Postgres::start(&options("localhost"))?;
    let other = Postgres::start(&options("localhost"))?;
    let ca = |server: &Postgres| -> Result<String> {
        let certificates = server.certificates().context("certificates")?;
        Ok(certificates.ca().display().to_string())
    };
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into())?;
    let mut bed = LedgerBed::on(&server, "tls")?;
    bed.through(&proxy)?;
    let base = bed.url.clone();
    // The wrong authority.
    let named = base.replace("127.0.0.1", "localhost");
    bed.url = format!("{named}?sslmode=verify-full&sslrootcert={}", ca(&other)?);
    refused(&bed.run_until_now()?, 2, &["certificate"], &[])?;
    // It counts under require too, once it is given.
    bed.url = format!("{named}?sslmode=require&sslrootcert={}", ca(&other)?);
    refused(&bed.run_until_now()?, 2, &["certificate"], &[])?;
    // The wrong name: the certificate is of localhost.
    bed.url = format!("{base}?sslmode=verify-full&sslrootcert={}", ca(&server)?);
    refused(&bed.run_until_now()?, 2, &["127.0.0.1"], &[])?;
    ensure!(bed.slot()?.is_none(), "nothing has happened on the server");
    // The right ones.
    bed.url = format!("{named}?sslmode=verify-full&sslrootcert={}", ca(&server)?);
    bed.catch_up(&[CREATED])?;
    // No TLS.
    server.configure(&[("ssl", "off")])?;
    server.reload()?;
    until("TLS is off", || {
        let row = bed.admin()?.query_one("show ssl", &[])?;
        Ok(row.get::<_, &str>(0) == "off")
    })?;
    let ended = {
        bed.url = format!("{base}?sslmode=require");
        bed.run_until_now()?
    };
    refused(&ended, 2, &["the server does not offer tls"], &[])
}

/// Row 20: the name of the host has another address after a failover.
///
/// Names of our own take a mount of our own, which not every machine allows: in the long form only.
#[test]
fn a_host_name_is_resolved_again_for_each_connection() -> Result<()> {
    if !long() {
        return Ok(());
    }
    let mut bed = LedgerBed::shared(PgVersion::V16, "moved_host")?;
    bed.url = bed.direct.replace("127.0.0.1", "database.test");
    let hosts = bed.path("hosts");
    // Nobody listens there.
    let (away, here) = ("127.0.0.9 database.test\n", "127.0.0.1 database.test\n");
    std::fs::write(&hosts, away)?;
    let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    let prefix = ["unshare", "-Urm", "sh", "-c", &mount, "sh"];
    let config = bed.write_config()?;
    let args = ["run".as_ref(), "-c".as_ref(), config.as_os_str()];
    let mut program = Program::start_under(&prefix, args)?;
    program.wait_for_log(DOWN)?;
    std::fs::write(&hosts, here)?;
    program.wait_for_log("streaming")?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    std::fs::write(&hosts, away)?;
    bed.sql(
        "select pg_terminate_backend(active_pid) from pg_replication_slots \
         where slot_name = 'moved_host';",
    )?;
    program.wait_until("a second outage", |log| log.matches(DOWN).count() == 2)?;
    bed.insert(11..=20)?;
    std::fs::write(&hosts, here)?;
    program.wait_for_log("connected again")?;
    bed.until_complete(&mut program)?;
    stop(program, &[DOWN, CREATED])?;
    bed.complete()
}
