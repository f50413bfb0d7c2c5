//! What the scenario, fault and end-to-end tests share: servers, the program as a process, and
//! the reading of its events.

mod event;
mod program;
mod scenario;
mod session;
mod workload;

pub use event::{compact, fold};
pub use program::{Ended, Program, alarms, program};
pub use scenario::Scenario;
pub use session::{database, run_script, session, statements, versions};
pub use workload::{LEDGER, Ledger, Workload, ledger, replay};
