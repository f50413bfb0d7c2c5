//! Rules of `[journal]`.

use std::path::Path;

use walgate_journal::log::LogOptions;

use super::{Rules, plain};
use crate::config::{Config, Destination, Journal, OnFull, Size};

/// Keys that mean something without a disk.
const IN_MEMORY: [&str; 2] = ["memory", "path"];

/// A journal of fewer segments could not give space back while it writes: one is being written, one
/// is read, one may go.
const LEAST_SEGMENTS: u64 = 4;

impl Rules<'_> {
    pub(super) fn journal(&mut self, config: &Config) {
        let journal = &config.journal;
        let Some(path) = &journal.path else {
            return self.unused_journal();
        };
        self.journal_folder(config, path);
        self.journal_sizes(journal);
        self.spool_sizes(journal);
        self.journal_keys(journal, path);
        self.on_full(config);
    }

    fn unused_journal(&mut self) {
        let given = self
            .document
            .get("journal")
            .map(|node| node.keys())
            .unwrap_or_default();
        for key in given
            .iter()
            .filter(|key| !IN_MEMORY.contains(&key.as_str()))
        {
            let message = format!("`journal.{key}` is never used without `journal.path`");
            let hint = "give the journal a folder on disk, or leave it out";
            self.refuse(&["journal", key], message, hint);
        }
    }

    fn journal_folder(&mut self, config: &Config, path: &Path) {
        let key = ["journal", "path"];
        let folder = plain(path);
        let state = plain(&config.state.dir);
        if state.starts_with(&folder) {
            let message = "`journal.path` is the folder of `state.dir`, or around it";
            let hint = "give the journal a folder of its own; one inside of `state.dir` is fine";
            self.refuse(&key, message, hint);
        }
        for (name, sink) in &config.sinks {
            let file = match &sink.destination {
                Destination::File(file) => Some(&file.path),
                Destination::Stdout(_) | Destination::Kafka(_) | Destination::Websocket(_) => None,
            };
            let dead = sink.dead_letter.file.as_ref();
            if file
                .into_iter()
                .chain(dead)
                .any(|file| plain(file).starts_with(&folder))
            {
                let message = format!("`sinks.{name}` writes a file into `journal.path`");
                self.refuse(&key, message, "give the journal a folder of its own");
            }
        }
    }

    fn journal_sizes(&mut self, journal: &Journal) {
        if journal.sync_bytes > journal.memory {
            let message = "`journal.sync_bytes` is larger than `journal.memory`";
            let hint = "at most half of it: what is not fsynced yet stays in memory";
            self.refuse(&["journal", "sync_bytes"], message, hint);
        }
        let Some(budget) = journal.budget else {
            return;
        };
        if budget.0 / LEAST_SEGMENTS < journal.segment.0 {
            let message = format!(
                "`journal.budget` is {budget}, less than {LEAST_SEGMENTS} times `journal.segment`, {}",
                journal.segment
            );
            let most = Size(budget.0 / LEAST_SEGMENTS);
            let hint = format!(
                "raise it, or lower journal.segment to at most {} bytes",
                most.0
            );
            self.refuse(&["journal", "budget"], message, hint);
        }
    }

    /// What was streamed lies in the journal once it has committed.
    fn spool_sizes(&mut self, journal: &Journal) {
        let Some(spools) = journal.spool_budget else {
            return;
        };
        let (budget, whose) = match journal.budget {
            Some(budget) => (budget, "`journal.budget`"),
            None => (
                Size(LogOptions::default().budget(None)),
                "what the journal takes without `journal.budget`",
            ),
        };
        if spools > budget {
            let message =
                format!("`journal.spool_budget` is {spools}, more than {whose}, {budget}");
            let hint =
                "lower it, or raise journal.budget: one such transaction would fill the journal";
            self.refuse(&["journal", "spool_budget"], message, hint);
        }
        let table = self.document.get("journal");
        let is_given = table.is_some_and(|table| table.get("max_transaction").is_some());
        if is_given && journal.max_transaction > spools {
            let message = format!(
                "`journal.max_transaction` is {}, more than `journal.spool_budget`, {spools}",
                journal.max_transaction
            );
            let hint = "no transaction gets so large while it runs: lower it, or leave it out";
            self.refuse(&["journal", "max_transaction"], message, hint);
        }
    }

    fn journal_keys(&mut self, journal: &Journal, path: &Path) {
        let (file, command) = (
            &journal.encryption_key_file,
            &journal.encryption_key_command,
        );
        let program = command.as_ref().and_then(|words| words.first());
        if program.is_some_and(|program| program.trim().is_empty()) {
            let message = "`journal.encryption_key_command` has an empty program";
            let hint = "write [\"program\", \"argument\", …]";
            self.refuse(&["journal", "encryption_key_command"], message, hint);
        }
        if file.is_some() && command.is_some() {
            let message = "`journal` has both `encryption_key_file` and `encryption_key_command`";
            self.refuse(
                &["journal", "encryption_key_command"],
                message,
                "leave one out",
            );
        }
        if file
            .as_ref()
            .is_some_and(|file| plain(file).starts_with(plain(path)))
        {
            let message = "`journal.encryption_key_file` lies in the folder that it encrypts";
            let hint = "keep it elsewhere: who takes the folder must not have the key";
            self.refuse(&["journal", "encryption_key_file"], message, hint);
        }
        if !journal.encrypt && file.is_none() && command.is_none() {
            let message = "`journal.encrypt` is never used without keys";
            let hint = "set encryption_key_file, or leave it out";
            self.refuse(&["journal", "encrypt"], message, hint);
        }
    }

    fn on_full(&mut self, config: &Config) {
        let journal = &config.journal;
        let key = ["journal", "on_full"];
        if journal.on_full == OnFull::Hold {
            if !journal.release.is_empty() {
                let message = "`journal.release` is never used with on_full = \"hold\"";
                let hint = "set on_full = \"release-sink\", or leave it out";
                self.refuse(&["journal", "release"], message, hint);
            }
            if journal.allow_data_loss {
                let message = "`journal.allow_data_loss` is never used with on_full = \"hold\"";
                self.refuse(&["journal", "allow_data_loss"], message, "leave it out");
            }
            return;
        }
        if journal.release.is_empty() {
            let message = "`journal.on_full = \"release-sink\"` names no sink";
            let hint = "say which sinks may lose changes, in order: release = [\"NAME\"]";
            self.refuse(&key, message, hint);
        }
        if !journal.allow_data_loss {
            let message = "`journal.on_full = \"release-sink\"` makes a required sink lose changes";
            let hint = "if that is meant, set allow_data_loss = true; \"hold\" loses nothing";
            self.refuse(&key, message, hint);
        }
        for (place, name) in journal.release.iter().enumerate() {
            let key = ["journal", "release"];
            let twice = journal
                .release
                .iter()
                .take(place)
                .any(|other| other == name);
            match config.sinks.get(name) {
                None => {
                    let message =
                        format!("`journal.release` names the sink {name:?}, which is not there");
                    self.refuse(&key, message, "name a table [sinks.NAME] of this file");
                }
                Some(sink) if !sink.required => {
                    let message =
                        format!("`journal.release` names {name:?}, which is not required");
                    self.refuse(
                        &key,
                        message,
                        "leave it out: an optional sink never holds anything",
                    );
                }
                Some(_) if twice => {
                    let message = format!("`journal.release` names {name:?} twice");
                    self.refuse(&key, message, "leave one out");
                }
                Some(_) => {}
            }
        }
    }
}
