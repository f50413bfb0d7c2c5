//! What the scenario, fault and end-to-end tests share: servers, the program as a process, and
//! the reading of its events.

mod bed;
mod event;
mod patience;
mod program;
mod scenario;
mod seed;
mod session;
mod slot;
mod topic;
mod verdict;
mod workload;

pub use bed::{Bed, file_sink, journal_on_disk};
pub use event::{commit_lsn, compact, events, fold, parse, place};
pub use patience::{PATIENCE, Patience, step, unwatched};
pub use program::{Ended, Program, program};
pub use scenario::Scenario;
pub use seed::{long, seed};
pub use session::{database, run_script, session, statements, versions};
pub use slot::{SlotRow, lsn, slot};
pub use topic::{Stored, each_record, ends, records};
pub use verdict::{AFTER_A_KILL, CREATED, alarms, clean, failed, quiet, refused, stop, until};
pub use workload::{LEDGER, Ledger, Replay, Workload, ledger, replay};
