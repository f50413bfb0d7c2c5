//! What a type's send function (`typsend`) sends, into exactly what its output function prints.
//!
//! A walsender that is asked for `binary 'true'` spares the server the output functions, which are a
//! large part of what it does for a row. The text is that of a connection with the settings that
//! Walgate pins (`DateStyle=ISO`, `IntervalStyle=iso_8601`, `TimeZone=UTC`, `extra_float_digits=3`,
//! `bytea_output=hex`, `lc_monetary=C`) and of a database in UTF-8, byte for byte.
//!
//! ```
//! use walgate_binary::{Form, Scalar};
//!
//! let mut text = Vec::new();
//! Form::Scalar(Scalar::Int4).write(&[0xff, 0xff, 0xff, 0xfe], &mut text)?;
//! assert_eq!(text, b"-2");
//! # Ok::<(), walgate_binary::Refused>(())
//! ```
//!
//! A value whose text is not certain is [`Refused`], never guessed: whoever asked reads it as text.

#![forbid(unsafe_code)]

mod bits;
mod clock;
mod container;
mod field;
mod float;
mod form;
mod geometry;
mod network;
mod number;
mod scalar;
mod type_catalog;

pub use field::Refused;
pub use form::Form;
pub use scalar::Scalar;
pub use type_catalog::{CatalogType, Nature, TypeCatalog};
