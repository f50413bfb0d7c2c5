//! Transactions that are larger than any memory that Walgate may use. The numbers are rows of the
//! fault matrix. `make test-all` runs them with a million rows.

mod one_transaction;
