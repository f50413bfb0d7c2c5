//! What a server may send decodes and encodes back to the same bytes; what it may not is refused
//! with the field and the offset. Byte-level, against captures of real servers, and at random.

mod capture;
mod captures;
mod copy_frames;
mod hex;
mod legal;
mod lsn;
mod malformed;
mod order;
mod properties;
mod samples;
mod streaming;
