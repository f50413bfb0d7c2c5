//! The eyes on real servers: what is seen on every version, and who is found to be to blame for a
//! state that a test has made.

mod bed;
mod causes;
mod checking;
mod cost;
mod limits;
mod look;
mod managing;
mod standbys;
