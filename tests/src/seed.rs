//! Seeds of random tests.

use std::time::{SystemTime, UNIX_EPOCH};

/// The seed of a random test: `WALGATE_TEST_SEED`, or a new one. The test prints it when it fails,
/// because the name of a test and a seed are all that is needed to run it again.
///
/// # Panics
///
/// When the variable is not a number.
pub fn seed() -> u64 {
    if let Ok(text) = std::env::var("WALGATE_TEST_SEED") {
        return text
            .parse()
            .unwrap_or_else(|_| panic!("WALGATE_TEST_SEED is a number, not {text}"));
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}

/// Whether the long form of the tests was asked for (`make test-all`).
pub fn long() -> bool {
    std::env::var_os("WALGATE_TEST_LONG").is_some_and(|value| value != "0" && !value.is_empty())
}
