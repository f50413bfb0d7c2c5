//! What comes out of the encoders, byte for byte.

mod errors;
mod events;
mod fixture;
mod keys;
mod pretty;
mod properties;
mod rows;
mod values;
