//! Whether the server makes commits wait for our walsender: a synchronous standby by accident.

use tokio_postgres::Client;

/// How the server sees our walsender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Synchrony {
    /// No commit waits for us, as far as one can tell.
    Async,
    /// `sync`, `quorum` or `potential`.
    Standby(String),
    /// We may not see `sync_state`, and `synchronous_standby_names` has a name for us.
    Perhaps,
}

impl Synchrony {
    /// What to say for `sync_state`; none when no commit waits for us.
    pub(crate) fn state(&self) -> Option<&str> {
        match self {
            Self::Async => None,
            Self::Standby(state) => Some(state),
            Self::Perhaps => {
                Some("unknown (only pg_read_all_stats shows it; the name of the connection fits)")
            }
        }
    }
}

/// Looks at the walsender `pid`.
///
/// `pg_stat_replication` shows a role without `pg_read_all_stats` that there is a walsender and
/// nothing else of it, even if it is its own. The setting is everybody's to read. Our SQL
/// connection has the walsender's `application_name`, cut and cleaned as the server does it.
pub(crate) async fn look(sql: &Client, pid: i32) -> Result<Synchrony, tokio_postgres::Error> {
    let row = sql
        .query_opt(
            "SELECT sync_state, pg_catalog.current_setting('synchronous_standby_names'), \
                    pg_catalog.current_setting('application_name'), pg_catalog.pg_is_in_recovery() \
             FROM pg_catalog.pg_stat_replication WHERE pid = $1",
            &[&pid],
        )
        .await?;
    let Some(row) = row else {
        return Ok(Synchrony::Async);
    };
    let state: Option<String> = row.try_get(0)?;
    let (names, ours): (String, String) = (row.try_get(1)?, row.try_get(2)?);
    // No standby counts a synchronous one of its own.
    let in_recovery: bool = row.try_get(3)?;
    Ok(match state.as_deref() {
        Some("async") => Synchrony::Async,
        Some(state) => Synchrony::Standby(state.to_owned()),
        None if !in_recovery && names_us(&names, &ours) => Synchrony::Perhaps,
        None => Synchrony::Async,
    })
}

/// Whether `synchronous_standby_names` has `*` or, in any case, `application_name`. Forms:
/// `a, b`, `2 (a, b)`, `FIRST 2 (a, b)`, `ANY 2 (a, b)`; a name may be quoted as an identifier.
fn names_us(setting: &str, application_name: &str) -> bool {
    let (mut names, mut name, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = setting.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => name.push('"'),
            '"' => quoted = !quoted,
            _ if quoted => name.push(char),
            // What stands before it is the method and the number.
            '(' => name.clear(),
            ',' | ')' => names.push(std::mem::take(&mut name)),
            _ if char.is_whitespace() => {}
            _ => name.push(char),
        }
    }
    names.push(name);
    names.iter().any(|name| {
        !name.is_empty() && (name == "*" || name.eq_ignore_ascii_case(application_name))
    })
}

#[cfg(test)]
mod tests {
    use super::names_us;

    #[test]
    fn names_in_every_form_of_the_setting() {
        for setting in [
            "*",
            "walgate",
            "other, WalGate",
            "2 (other, walgate)",
            "FIRST 1 (walgate)",
            "ANY 1(other,*)",
            "any 2 (\"x, y\", \"walgate\")",
        ] {
            assert!(names_us(setting, "walgate"), "{setting}");
        }
        for setting in [
            "",
            " ",
            "other",
            "ANY 1 (s1, s2)",
            "walgate_2",
            "\"wal gate\"",
        ] {
            assert!(!names_us(setting, "walgate"), "{setting}");
        }
        assert!(names_us("2 (\"a \"\"b\"\", c\")", "A \"b\", c"));
        assert!(names_us("*", ""), "a connection without a name");
        assert!(!names_us("FIRST 1 (s1)", ""));
        assert!(!names_us("FIRST 1 (s1)", "first1"));
    }
}
