//! Changes to browsers and terminals, as they happen.
//!
//! What is here so far decides which change concerns whom: row filters, and how one change finds
//! the few filters out of many that may match it.
#![forbid(unsafe_code)]

pub mod filter;
