//! A hot standby of a throw-away server, and its promotion.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::error::ThrowawayError;
use crate::postgres::admin::AdminSession;
use crate::postgres::{Postgres, PostgresOptions, cluster};
use crate::run_as::run_to_end;

/// What a copy must not take along: the postmaster's lock and an older backup's label.
const NOT_COPIED: [&str; 3] = ["postmaster.pid", "postmaster.opts", "backup_label"];

/// Start of the name of a standby's physical slot; its folder's name follows.
const SLOT_PREFIX: &str = "walgate_standby_";

impl Postgres {
    /// Starts a hot standby that streams from this server through a physical slot of its own. The
    /// primary goes on meanwhile. `settings` are added to those of the primary.
    ///
    /// # Errors
    ///
    /// When the copy fails or the standby doesn't start.
    pub fn start_standby(&self, settings: &[(&str, &str)]) -> Result<Self, ThrowawayError> {
        let mut options: PostgresOptions = self.options.clone();
        let owned = settings
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        options.settings.extend(owned);
        let mut standby = Self::prepare(&options)?;
        standby.binaries = self.binaries.clone();
        let data = standby.data_dir();
        self.back_up(&data)?;
        let suffix = standby.guard.dir().to_string_lossy().to_lowercase();
        let suffix: String = suffix.chars().filter(char::is_ascii_alphanumeric).collect();
        let slot = format!("{SLOT_PREFIX}{suffix}");
        self.sql(&format!(
            "SELECT pg_create_physical_replication_slot('{slot}', true)"
        ))?;
        let socket = self.socket_dir();
        let primary = format!(
            "host={} port={} user=postgres dbname=postgres application_name={slot}",
            socket.display(),
            self.port
        );
        cluster::append_settings(
            &data,
            [
                ("primary_conninfo", primary.as_str()),
                ("primary_slot_name", &slot),
                ("hot_standby", "on"),
                ("hot_standby_feedback", "on"),
            ],
        )?;
        let signal = data.join("standby.signal");
        fs::write(&signal, "").map_err(ThrowawayError::io("write", &signal))?;
        standby.own_data()?;
        standby.settle()?;
        Ok(standby)
    }

    /// Makes a standby a primary and waits until it takes writes.
    ///
    /// # Errors
    ///
    /// When this is no standby, or the promotion takes longer than a minute.
    pub fn promote(&self) -> Result<(), ThrowawayError> {
        let done = self.sql("SELECT pg_promote(true, 60)")?;
        if done == [[Some("t".to_owned())]] {
            return Ok(());
        }
        Err(ThrowawayError::Sql(format!("pg_promote gave {done:?}")))
    }

    /// Copies the running server's files with the low-level backup interface: the prebuilt
    /// binaries come without pg_basebackup.
    fn back_up(&self, to: &Path) -> Result<(), ThrowawayError> {
        let mut session: AdminSession = self.admin()?;
        let (start, stop) = if self.major() >= 15 {
            ("pg_backup_start('standby', true)", "pg_backup_stop(false)")
        } else {
            (
                "pg_start_backup('standby', true, false)",
                "pg_stop_backup(false, false)",
            )
        };
        session.query(&format!("SELECT {start}"))?;
        copy_tree(&self.data_dir(), to)?;
        let rows = session.query(&format!("SELECT labelfile FROM {stop}"))?;
        let label = rows
            .into_iter()
            .flatten()
            .next()
            .flatten()
            .unwrap_or_default();
        let file = to.join("backup_label");
        fs::write(&file, label).map_err(ThrowawayError::io("write", &file))?;
        // The WAL since the start of the backup comes through streaming; slots stay behind.
        empty_dir(&to.join("pg_replslot"))?;
        Ok(())
    }

    /// Gives a copied data folder to the user that runs the server.
    fn own_data(&self) -> Result<(), ThrowawayError> {
        use std::os::unix::fs::PermissionsExt;
        let data = self.data_dir();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700))
            .map_err(ThrowawayError::io("chmod", &data))?;
        if let Some(user) = self.user {
            run_to_end(Command::new("chown").arg("-R").arg(user.owner()).arg(&data))?;
        }
        Ok(())
    }
}

/// Copies a tree in which files come and go.
fn copy_tree(from: &Path, to: &Path) -> Result<(), ThrowawayError> {
    fs::create_dir(to).map_err(ThrowawayError::io("create", to))?;
    for entry in fs::read_dir(from).map_err(ThrowawayError::io("list", from))? {
        let entry = entry.map_err(ThrowawayError::io("list", from))?;
        let name = entry.file_name();
        if NOT_COPIED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(&name));
        let done = match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                copy_tree(&source, &target)?;
                Ok(())
            }
            Ok(kind) if kind.is_file() => fs::copy(&source, &target).map(|_| ()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ThrowawayError::io("copy", source)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn empty_dir(dir: &Path) -> Result<(), ThrowawayError> {
    fs::remove_dir_all(dir)
        .and_then(|()| fs::create_dir(dir))
        .map_err(ThrowawayError::io("empty", dir))
}
