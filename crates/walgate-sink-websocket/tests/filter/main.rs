//! Row filters: their language, their logic, what finds them, and PostgreSQL's opinion of them.

mod bed;
mod binding;
mod differential;
mod document;
mod grammar;
mod index;
mod judging;
mod properties;
mod stream;
