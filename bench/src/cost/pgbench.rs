//! pgbench: its tables, its rate, and what of each transaction has to arrive.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};

use crate::live::TELL;
use crate::live::follower::Follower;

/// The tables that each transaction of the built-in script changes, one row each.
pub(super) const TABLES: [&str; 4] = [
    "pgbench_accounts",
    "pgbench_tellers",
    "pgbench_branches",
    "pgbench_history",
];

/// Changes of a transaction: three updates and one insert.
pub(super) const CHANGES: u64 = 4;

const CLIENTS: u32 = 4;

/// How long the maximum rate is measured, in seconds.
const TRIAL_S: u32 = 5;

const TRIGGERS: &str = "
create trigger tell after insert or update on pgbench_accounts for each row execute function tell();
create trigger tell after insert or update on pgbench_tellers for each row execute function tell();
create trigger tell after insert or update on pgbench_branches for each row execute function tell();
create trigger tell after insert or update on pgbench_history for each row execute function tell();";

/// The column by which polling finds what is new, kept by a trigger as `updated_at` is elsewhere.
const STAMP: &str = "
create function stamp() returns trigger language plpgsql as $$
begin
    new.xid = pg_current_xact_id();
    return new;
end $$;
alter table pgbench_accounts add column xid xid8 not null default '0';
alter table pgbench_tellers add column xid xid8 not null default '0';
alter table pgbench_branches add column xid xid8 not null default '0';
alter table pgbench_history add column xid xid8 not null default pg_current_xact_id();
create index on pgbench_accounts (xid);
create index on pgbench_tellers (xid);
create index on pgbench_branches (xid);
create index on pgbench_history (xid);
create trigger stamp before update on pgbench_accounts for each row execute function stamp();
create trigger stamp before update on pgbench_tellers for each row execute function stamp();
create trigger stamp before update on pgbench_branches for each row execute function stamp();";

/// What a database of pgbench needs for those who follow it.
pub(super) fn schema(database: &str) -> String {
    match database {
        "notified" => format!("{TELL}{TRIGGERS}"),
        "polled" => STAMP.to_owned(),
        _ => {
            let tables = TABLES.join(", ");
            format!("create publication bench for table {tables}")
        }
    }
}

/// What an event counts for.
pub(super) fn counts(follower: Follower, event: &[u8]) -> u64 {
    let has = |text: &[u8]| event.windows(text.len()).any(|part| part == text);
    match follower {
        // One line in the end: `done MESSAGES BYTES`.
        Follower::Bare => u64::from(event.starts_with(b"done ")),
        // Updates of a row between two looks are one; what is only inserted comes once.
        Follower::Polling => u64::from(has(b"\"delta\":")),
        Follower::Notify => u64::from(!has(b"\"ready\"")),
        Follower::Stdout | Follower::Kafka | Follower::WebSocket => 1,
    }
}

/// What has to come of so many transactions.
pub(super) fn expected(follower: Follower, transactions: u32) -> u64 {
    match follower {
        Follower::Bare => 1,
        Follower::Polling => u64::from(transactions),
        _ => u64::from(transactions) * CHANGES,
    }
}

/// The program.
pub(super) struct Pgbench(PathBuf);

impl Pgbench {
    /// Finds it.
    pub(super) fn find() -> Result<Self> {
        // Debian's clients come with a script of this name that only finds the program of a server.
        let found = walgate_throwaway::client_program("pgbench").map(Self);
        let found = found.filter(|own| own.command(&["--version"]).is_ok());
        found.context(
            "pgbench is not installed: apt-get install postgresql, or brew install postgresql@17",
        )
    }

    /// Fills a database.
    pub(super) fn initialise(&self, url: &str, scale: u32) -> Result<()> {
        let scale = scale.to_string();
        self.command(&["-i", "-q", "-s", &scale, url]).map(drop)
    }

    /// Transactions a second when nothing holds it back.
    pub(super) fn most(&self, url: &str) -> Result<u32> {
        let (clients, seconds) = (CLIENTS.to_string(), TRIAL_S.to_string());
        let output = self.command(&["-n", "-c", &clients, "-j", "2", "-T", &seconds, url])?;
        Ok(processed(&output)? / TRIAL_S)
    }

    /// As many transactions as all clients can do with the same number each.
    pub(super) const fn rounded(&self, transactions: u32) -> u32 {
        let each = transactions / CLIENTS;
        if each == 0 { CLIENTS } else { each * CLIENTS }
    }

    /// Runs so many transactions at a rate.
    pub(super) fn run(&self, url: &str, transactions: u32, rate: u32) -> Result<()> {
        let (clients, each) = (CLIENTS.to_string(), (transactions / CLIENTS).to_string());
        let rate = rate.to_string();
        let output = self.command(&[
            "-n", "-c", &clients, "-j", "2", "-t", &each, "-R", &rate, url,
        ])?;
        let done = processed(&output)?;
        ensure!(
            done == transactions,
            "pgbench has done {done} of {transactions} transactions"
        );
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.0);
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("start {command:?}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} has failed: {errors}");
        Ok(output)
    }
}

/// The number of a line such as `number of transactions actually processed: 4000/4000`.
fn processed(output: &Output) -> Result<u32> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find(|line| line.contains("actually processed"));
    let number = line.and_then(|line| line.split_once(": "));
    let number = number.and_then(|(_, value)| value.split('/').next());
    number
        .and_then(|value| value.trim().parse().ok())
        .with_context(|| format!("pgbench says no number of transactions: {text}"))
}
