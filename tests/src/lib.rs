//! What the scenario, fault and end-to-end tests share: servers, the program as a process, and
//! the reading of its events.

mod event;
mod program;
mod scenario;
mod seed;
mod session;
mod topic;
mod workload;

pub use event::{compact, fold};
pub use program::{Ended, Program, alarms, program};
pub use scenario::Scenario;
pub use seed::{long, seed};
pub use session::{database, run_script, session, statements, versions};
pub use topic::{Stored, ends, records};
pub use workload::{LEDGER, Ledger, Workload, ledger, replay};
