//! `walgate check --fix`.

use std::io::{BufRead, IsTerminal, Read};

use serde::Serialize;
use walgate_connection::ConnectionConfig;
use walgate_core::{Failure, StopReason};
use walgate_slot::check::Finding;
use walgate_slot::manage::Manager;

use crate::args::CheckArgs;
use crate::ending::Ending;
use crate::slots::table::clean;
use crate::slots::{print, refused};

/// A statement that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ran {
    statement: String,
    /// What the server said instead of doing it.
    error: Option<String>,
}

/// The statements that may be run, each once. `identities` are the tables whose replica identity may be
/// changed.
///
/// # Errors
///
/// When a table is named whose replica identity needs no change.
pub(super) fn statements(
    findings: &[Finding],
    identities: &[String],
) -> Result<Vec<String>, Ending> {
    let needs = |table: &String| {
        let mut all = findings.iter();
        all.any(|finding| finding.only_for.as_ref() == Some(table))
    };
    if let Some(table) = identities.iter().find(|table| !needs(table)) {
        let message = format!("table {table} does not lack a replica identity");
        let failure = Failure::new(StopReason::Config, message);
        return Err(failure
            .hint("name one that replica_identity fails for, as schema.table, in the quotes that SQL needs")
            .into());
    }
    let mut statements: Vec<String> = Vec::new();
    for finding in findings {
        let is_meant = match &finding.only_for {
            Some(table) => identities.contains(table),
            None => true,
        };
        let fresh = finding.statements.iter().filter(|_| is_meant);
        for statement in fresh {
            if !statements.contains(statement) {
                statements.push(statement.clone());
            }
        }
    }
    Ok(statements)
}

/// Shows the statements, and runs them after a yes, each by itself. One that fails doesn't keep the
/// others.
pub(super) async fn run(
    connection: &ConnectionConfig,
    statements: Vec<String>,
    args: &CheckArgs,
) -> Result<Vec<Ran>, Ending> {
    if !args.json {
        print(&shown(&statements))?;
    }
    if !args.yes && !confirmed(args.json)? {
        return Err(Ending::other("nothing was changed".to_owned()));
    }
    let manager = Manager::connect(connection).await.map_err(refused)?;
    let mut all = Vec::with_capacity(statements.len());
    for statement in statements {
        let error = manager.run(&statement).await.err();
        let error = error.map(|error| error.to_string());
        if !args.json {
            let result = error
                .as_ref()
                .map_or_else(|| "done".to_owned(), |error| format!("REFUSED: {error}"));
            print(&format!("{}\n  {}\n", clean(&statement), clean(&result)))?;
        }
        all.push(Ran { statement, error });
    }
    if !args.json {
        print("\n")?;
    }
    Ok(all)
}

fn shown(statements: &[String]) -> String {
    let mut text = String::from("These statements are safe, and need no restart:\n");
    for statement in statements {
        text.push_str(&format!("  {};\n", clean(statement)));
    }
    text
}

/// Asks on a terminal; elsewhere nobody can answer.
fn confirmed(json: bool) -> Result<bool, Ending> {
    if json || !std::io::stdin().is_terminal() {
        let message = "running statements needs a yes, and nobody can be asked";
        let failure = Failure::new(StopReason::Config, message);
        return Err(failure.hint("say it beforehand: --yes").into());
    }
    print("Type yes to run them: ")?;
    answered(&mut std::io::stdin().lock())
        .map_err(|error| Ending::other(format!("can't read the answer: {error}")))
}

/// Whether the answer is yes; nothing and the end of the input are a no.
fn answered(input: &mut impl BufRead) -> std::io::Result<bool> {
    /// A word and a line's end.
    const MOST: u64 = 20;
    let mut answer = String::new();
    input.take(MOST).read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(statements: &[&str], only_for: Option<&str>) -> Finding {
        let mut finding = Finding::fail("x", "x", "x", "x");
        finding.statements = statements.iter().map(|&one| one.to_owned()).collect();
        finding.only_for = only_for.map(str::to_owned);
        finding
    }

    #[test]
    fn each_statement_once_and_identities_only_when_named() {
        let findings = [
            finding(&["a", "b"], None),
            finding(&["a"], None),
            finding(&["i"], Some("public.t")),
        ];
        let named = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            statements(&findings, &names)
        };
        assert_eq!(named(&[]).expect("statements"), ["a", "b"]);
        assert_eq!(named(&["public.t"]).expect("statements"), ["a", "b", "i"]);
        assert!(named(&["public.other"]).is_err());
    }

    #[test]
    fn only_yes_is_a_yes() {
        let answered = |text: &str| answered(&mut text.as_bytes()).expect("read");
        assert!(answered("yes\n") && answered(" yes"));
        for no in ["", "\n", "y\n", "no\n", "yes please\n"] {
            assert!(!answered(no), "{no:?}");
        }
    }
}
