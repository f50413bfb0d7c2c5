//! Changes to bytes: the native JSON event ([`NativeJson`]), and a form for people ([`Pretty`]).
//!
//! Both are [`Encoder`](walgate_core::Encoder)s: a change goes straight from the frame's bytes
//! into the output buffer. No tree of values is made, and nothing is allocated for a row; what is
//! the same in all rows of a table or all changes of a transaction is formatted once. There is no
//! I/O and no clock here.
//!
//! The event is a contract; this is how its silent points are read.
//!
//! # Which keys an operation has
//!
//! Always in this order; what is specific to an operation stands behind `time`.
//!
//! | `op` | `id` | `schema` `table` | `key` | `before` | `after` `unchanged` | `lsn` `xid` `time` | more |
//! |---|---|---|---|---|---|---|---|
//! | `insert` | yes | yes | of the new row | | yes | yes | |
//! | `read` | | yes | of the row | | yes | | |
//! | `update` | yes | yes | of the new row | where logged | yes | yes | |
//! | `delete` | yes | yes | of the old row | yes | | yes | |
//! | `leave` | yes | yes | of the row that matched | | | yes | |
//! | `truncate` | yes | yes | | | | yes | `cascade` `restart_identity` |
//! | `message` | yes | | | | | yes; outside a transaction `lsn` only, the message's own | `prefix` `content` or `content_base64` `transactional` |
//! | `schema` | | yes | | | | yes | `columns` |
//! | `begin` | yes | | | | | yes | |
//! | `commit` | yes | | | | | yes | `changes` |
//! | `gap` | yes | | | | | | `from` `to` `reason` |
//!
//! - `unchanged` is left out when it would be empty; `after` never is: a table may have no columns.
//! - `time` always has six decimals; a commit time before the year 1, after 9999 or infinite is
//!   PostgreSQL's text.
//! - `columns` of a `schema`: `type` is `pg_type.typname` (`int4`, `_int4`), and is left out for a
//!   type that nobody knows any more; `key` says whether the column is part of the event's `key`.
//! - A `gap` carries no `lsn`: its position is the one that it is given, its bounds are `from` and
//!   `to`.
//!
//! # `before`
//!
//! Under REPLICA IDENTITY FULL the whole old row, always. Under DEFAULT and INDEX the columns of
//! the identity: of each delete, and of an update that changes the value of one of them.
//! PostgreSQL also sends an old key when an unchanged key column is stored externally; it then
//! fills `key` and `after`, and is not told. Values are compared as text.
//!
//! # Keys
//!
//! `key` holds [`Table::key`](walgate_core::Table::key) in its order, NULL as `null`. A column
//! that the new row lacks (unchanged TOAST) is taken from the old one. Where the log does not hold
//! a key column at all (a delete, when the configured key is not part of the replica identity) the
//! change is refused: without its key, or with half of it, it would leave the order of its row.
//!
//! The old key is given ([`NativeJsonOptions::old_keys`]) when the key's values differ and all of
//! the old ones are logged. A configured key outside the replica identity can therefore change
//! unseen; a configuration should not allow it.
//!
//! # Columns
//!
//! A dropped column is nowhere, as if the table had no such column; an object that would only be
//! empty for that (`key`, and `before` of an old key) is left out. A masked one is the string
//! `hmac:` and 64 digits everywhere, NULL stays `null`.
//!
//! # Values
//!
//! [`write_value`] is the table of the format. Text that can't be of its type (an `int4` that is
//! not digits, an array without its end, a bytea that is not hex) is refused like text that is not
//! UTF-8: the error names the column and never shows the value. json is taken verbatim and is as
//! valid as the server says it is.
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
mod pretty;
mod type_name;
mod value;

pub use mask::MaskKey;
pub use native::{Int8, NativeJson, NativeJsonOptions};
pub use pretty::{Pretty, PrettyEvents, PrettyOptions};
pub use value::{ValueError, write_value};
