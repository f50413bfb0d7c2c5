//! Events as the format writes them, read back.

mod log;
mod order;
mod round_trip;
