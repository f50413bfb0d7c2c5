//! Programs that follow a load while it comes, and the load.
//!
//! Every follower is a real program with its own process, as somebody would run it; what it hands over is
//! read here, event by event.

pub(crate) mod arrivals;
pub(crate) mod broker;
pub(crate) mod follower;
pub(crate) mod load;
pub(crate) mod poll;
pub(crate) mod receive;

use std::time::{SystemTime, UNIX_EPOCH};

/// The trigger function that tells the server of `bench/peers/notify`.
pub(crate) const TELL: &str = "
create function tell() returns trigger language plpgsql as $$
begin
    perform pg_notify('moves', row_to_json(new)::text);
    return null;
end $$;";

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}
