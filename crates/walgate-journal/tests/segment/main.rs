//! The codec of the journal's segments: what is written is read again, whatever was damaged is
//! found, whatever is of a later version is told apart, and the document is true.

mod capture;
mod damage;
mod definitions;
mod document;
mod golden;
mod hostile;
mod newer;
mod packed;
mod reading;
mod refused;
mod round_trip;
mod seeks;
mod spools;
