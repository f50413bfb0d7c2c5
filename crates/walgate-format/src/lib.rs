//! Changes to bytes: the native JSON event, and a form for people.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod commit_time;
mod escape;
mod mask;
mod native;
mod type_name;
mod value;

pub use mask::MaskKey;
pub use native::{Int8, NativeJson, NativeJsonOptions};
pub use value::{ValueError, write_value};
