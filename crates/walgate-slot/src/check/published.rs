//! Publications and their tables.

use std::collections::BTreeSet;

use super::{Finding, PublishedTable, Subject, UnpublishedTable, identities};
use crate::words::{bytes, identifier};

/// So many names are printed; the rest is counted.
const MOST_NAMES: usize = 10;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.wanted.publications.is_empty() {
        return Vec::new();
    }
    let mut findings = publications(subject);
    findings.extend(unpublished(subject));
    findings.extend(unexpected(subject));
    findings.extend(identities::check(subject));
    findings.extend(peculiar(subject));
    findings.extend(reading(subject));
    findings.extend(size(subject));
    findings
}

fn publications(subject: &Subject<'_>) -> Vec<Finding> {
    const CHECK: &str = "publication";
    let mut findings = Vec::new();
    for name in &subject.wanted.publications {
        let found = subject
            .facts
            .publications
            .iter()
            .find(|one| one.name == *name);
        let Some(publication) = found else {
            findings.push(absent(subject, name));
            continue;
        };
        let all = [
            ("insert", publication.insert),
            ("update", publication.update),
            ("delete", publication.delete),
            ("truncate", publication.truncate),
        ];
        let off: Vec<_> = all
            .iter()
            .filter(|(_, on)| !on)
            .map(|(op, _)| *op)
            .collect();
        findings.push(match off.is_empty() {
            true => Finding::pass(CHECK, format!("publication {name} publishes every operation")),
            false => Finding::warn(
                CHECK,
                format!("publication {name} does not publish {}", off.join(", ")),
                "these changes never arrive",
                format!(
                    "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate'), unless that is meant",
                    identifier(name)
                ),
            ),
        });
        if publication.all_tables {
            findings.push(Finding::warn(
                CHECK,
                format!("publication {name} is FOR ALL TABLES"),
                "updates and deletes of every table without a replica identity fail in the application",
                "name the tables instead",
            ));
        }
    }
    if subject.facts.tables.is_empty() && !subject.facts.publications.is_empty() {
        findings.push(Finding::fail(
            CHECK,
            "the publications hold no table",
            "nothing will come",
            "ALTER PUBLICATION … ADD TABLE schema.table",
        ));
    }
    findings
}

/// A publication that is made here takes in what is wanted, but no table whose updates it would make
/// fail.
fn absent(subject: &Subject<'_>, name: &str) -> Finding {
    let wanted = &subject.wanted.tables;
    let can_be_made = !wanted.is_empty()
        && subject.wanted.publications.len() == 1
        && subject.facts.unpublished.len() == wanted.len()
        && subject.facts.unpublished.iter().all(can_be_added);
    let tables = match can_be_made {
        true => quoted(subject.facts.unpublished.iter()).join(", "),
        false => "schema.table, …".to_owned(),
    };
    let statement = format!("CREATE PUBLICATION {} FOR TABLE {tables}", identifier(name));
    let finding = Finding::fail(
        "publication",
        format!(
            "publication {name} does not exist in database {}",
            subject.server.database
        ),
        "nothing would be sent; and a slot never sees a publication that is younger than itself",
        statement.clone(),
    );
    match can_be_made {
        true => finding.with_statement(statement),
        false => finding,
    }
}

fn can_be_added(table: &UnpublishedTable) -> bool {
    table.obstacle().is_none() && table.has_identity == Some(true)
}

fn quoted<'a>(tables: impl Iterator<Item = &'a UnpublishedTable>) -> Vec<String> {
    tables
        .map(|table| qualified(&table.schema, &table.name))
        .collect()
}

/// A table as SQL takes it.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

fn unpublished(subject: &Subject<'_>) -> Vec<Finding> {
    const CHECK: &str = "tables";
    let why = "their changes never arrive; DROP TABLE and CREATE TABLE take a table out silently";
    let there = &subject.facts.publications;
    let Some(publication) = there.first() else {
        // What is wrong with the publication comes first.
        return Vec::new();
    };
    let missing = subject.facts.unpublished.iter();
    let mut findings: Vec<_> = missing
        .clone()
        .filter_map(|table| {
            let name = qualified(&table.schema, &table.name);
            let obstacle = table.obstacle()?;
            Some(Finding::fail(
                CHECK,
                format!("{name} is configured, and {obstacle}"),
                "there are no changes of it in the log that could be published",
                "take it out of [source] tables",
            ))
        })
        .collect();
    let plain: Vec<_> = missing.filter(|table| table.obstacle().is_none()).collect();
    if plain.is_empty() {
        return findings;
    }
    let add = |names: &[String]| {
        let names = names.join(", ");
        format!(
            "ALTER PUBLICATION {} ADD TABLE {names}",
            identifier(&publication.name)
        )
    };
    let names = quoted(plain.iter().copied());
    let mut finding = Finding::fail(
        CHECK,
        format!("configured and not published: {}", listed(&names)),
        why,
        add(&names),
    );
    let safe = quoted(plain.into_iter().filter(|table| can_be_added(table)));
    if !safe.is_empty() {
        finding = finding.with_statement(add(&safe));
    }
    findings.push(finding);
    findings
}

/// What is published and was not asked for is delivered all the same.
fn unexpected(subject: &Subject<'_>) -> Option<Finding> {
    let wanted = &subject.wanted.tables;
    if wanted.is_empty() {
        return None;
    }
    let more = subject.facts.tables.iter().filter(|table| {
        !wanted
            .iter()
            .any(|(schema, name)| table.schema == *schema && table.name == *name)
    });
    let more: Vec<_> = more
        .map(|table| qualified(&table.schema, &table.name))
        .collect();
    (!more.is_empty()).then(|| {
        Finding::warn(
            "more_tables",
            format!("published and not in [source] tables: {}", listed(&more)),
            "they are read and delivered all the same",
            "add them to [source] tables, or take them out with ALTER PUBLICATION … DROP TABLE",
        )
    })
}

fn peculiar(subject: &Subject<'_>) -> Vec<Finding> {
    let named = |which: fn(&&PublishedTable) -> bool| -> Vec<String> {
        let tables = subject.facts.tables.iter().filter(which);
        tables
            .map(|table| format!("{}.{}", table.schema, table.name))
            .collect()
    };
    let cases = [
        (
            "large_values",
            named(|table| table.large_values && table.identity != "f"),
            "large values that an update leaves alone are not in the log: events list them as unchanged",
            "ALTER TABLE … REPLICA IDENTITY FULL where a consumer needs them, at the price of more log",
        ),
        (
            "generated_columns",
            named(|table| table.generated),
            "generated columns are not in the log before PostgreSQL 18",
            "from 18 on: ALTER PUBLICATION … SET (publish_generated_columns = stored)",
        ),
        (
            "partitions",
            named(|table| table.partition),
            "partitions are published one by one, under names of their own; new ones may be missing",
            "publish the root, WITH (publish_via_partition_root = true), unless that is meant",
        ),
        (
            "identity_full",
            named(|table| table.identity == "f"),
            "the whole old row is logged for each update and delete",
            "use a key where there is one",
        ),
    ];
    cases
        .into_iter()
        .filter(|(_, tables, ..)| !tables.is_empty())
        .map(|(check, tables, why, fix)| Finding::warn(check, listed(&tables), why, fix))
        .collect()
}

/// The log is read without any right on the tables; who reads rows needs it.
fn reading(subject: &Subject<'_>) -> Option<Finding> {
    let tables = &subject.facts.tables;
    let hidden = tables.iter().filter(|table| !table.readable).count();
    let bypasses = subject.facts.bypasses_row_security == Some(true);
    let secured = tables
        .iter()
        .filter(|table| table.row_security && !bypasses);
    let secured = secured.count();
    if tables.is_empty() {
        return None;
    }
    let mut seen = match hidden {
        0 => "the role may read every published table".to_owned(),
        hidden => format!(
            "the role may not read {hidden} of {} published tables; the log is read all the same",
            tables.len()
        ),
    };
    if secured > 0 {
        seen.push_str(&format!(
            "; row security hides rows of {secured} from queries, not from the log"
        ));
    }
    Some(Finding::pass("table_rights", seen))
}

fn size(subject: &Subject<'_>) -> Option<Finding> {
    let tables = &subject.facts.tables;
    let total = tables.iter().map(|table| table.bytes).sum::<u64>();
    let types: BTreeSet<_> = tables.iter().flat_map(|table| &table.texts).collect();
    let types: Vec<_> = types.into_iter().cloned().collect();
    if tables.is_empty() {
        return None;
    }
    let mut seen = format!(
        "{} published tables hold about {}; what is in them now is not sent, only what changes",
        tables.len(),
        bytes(total)
    );
    if !types.is_empty() {
        seen.push_str(&format!("; as PostgreSQL's own text: {}", listed(&types)));
    }
    Some(Finding::pass("table_size", seen))
}

pub(super) fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(MOST_NAMES).cloned().collect();
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
