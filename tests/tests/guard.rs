//! The guard and its alerts, end to end: a real server, a real receiver, and a sink that is dead.

mod channels;
mod drops;
mod outages;
mod promotions;
mod receiver;
mod releases;
mod reloads;
mod states;
mod tells;
mod transactions;
mod trouble;
mod undone;
mod watched;

use anyhow::Result;
use walgate_tests::{Bed, file_sink};
use walgate_throwaway::Postgres;

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// Everything off but the headroom, and times for people who can't wait.
const GUARD: &str = "retained_bytes = []\nlag = []\ntime_to_limit = []\nslot_inactive = []\n\
                     server_silent = []\nsink_down = []\nerror_rate = []\nbacklog = []\n\
                     headroom = [60, 40, 20]\nraise_after = \"1s\"\nsettle_after = \"2s\"\n\
                     effect_after = \"1s\"";

/// A database on a server of its own, with a slot that was made for the table `t`.
fn bed(server: &Postgres, name: &str) -> Result<Bed> {
    let setup = "create table t (id int primary key);\ncreate publication walgate for table t;";
    let mut bed = Bed::on(server, name, setup)?;
    let sink = up(&bed, "out");
    bed.configure(&sink)?;
    bed.begin()?;
    Ok(bed)
}

/// The sections of the guard: a budget of 64 MiB.
fn sections(guard: &str, alerts: &str) -> String {
    format!(
        "[watch]\ninterval = \"500ms\"\nbudget = \"64MiB\"\n[guard]\n{GUARD}\n{guard}\n[alerts]\n{alerts}\n"
    )
}

/// A required sink that is a file.
fn up(bed: &Bed, name: &str) -> String {
    let file = bed.path(&format!("{name}.ndjson"));
    file_sink(&file).replace("[sinks.file]", &format!("[sinks.{name}]"))
}

/// A required sink that is a Kafka which is not there.
fn down(name: &str) -> String {
    format!(
        "[sinks.{name}]\ntype = \"kafka\"\nbrokers = [\"{NOWHERE}\"]\ntopic = \"nowhere\"\nbuffer = \"1MiB\"\n"
    )
}

/// Writes log that nobody wants, so many MiB.
fn write(bed: &Bed, mib: u32) -> Result<()> {
    let mut admin = bed.admin()?;
    for _ in 0..mib {
        admin
            .batch_execute("select pg_logical_emit_message(false, 'load', repeat('x', 1 << 20))")?;
    }
    Ok(())
}
