//! Publications and their tables.

use super::{Finding, PublishedTable, Subject};
use crate::words::identifier;

/// So many names are printed; the rest is counted.
const MOST_NAMES: usize = 10;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    if subject.wanted.publications.is_empty() {
        return Vec::new();
    }
    let mut findings = publications(subject);
    findings.extend(missing_tables(subject));
    findings.extend(identities(subject));
    findings.extend(peculiar(subject));
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
            findings.push(Finding::fail(
                CHECK,
                format!("publication {name} does not exist in database {}", subject.server.database),
                "nothing would be sent; and a slot never sees a publication that is younger than itself",
                format!("CREATE PUBLICATION {} FOR TABLE schema.table, …", identifier(name)),
            ));
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

fn missing_tables(subject: &Subject<'_>) -> Option<Finding> {
    let published = |(schema, name): &&(String, String)| {
        let tables = &subject.facts.tables;
        tables
            .iter()
            .any(|one| one.schema == *schema && one.name == *name)
    };
    let missing: Vec<_> = subject
        .wanted
        .tables
        .iter()
        .filter(|table| !published(table))
        .map(|(schema, name)| format!("{}.{}", identifier(schema), identifier(name)))
        .collect();
    let publication = subject.wanted.publications.first()?;
    (!missing.is_empty()).then(|| {
        Finding::fail(
            "tables",
            format!("configured and not published: {}", listed(&missing)),
            "their changes never arrive; DROP TABLE and CREATE TABLE take a table out silently",
            format!(
                "ALTER PUBLICATION {} ADD TABLE {}",
                identifier(publication),
                missing.join(", ")
            ),
        )
    })
}

fn identities(subject: &Subject<'_>) -> Vec<Finding> {
    const CHECK: &str = "replica_identity";
    let without: Vec<&PublishedTable> = subject
        .facts
        .tables
        .iter()
        .filter(|table| table.publishes_changes && !table.has_identity())
        .collect();
    if without.is_empty() {
        return match subject.facts.tables.len() {
            0 => Vec::new(),
            count => vec![Finding::pass(
                CHECK,
                format!("{count} published tables can be told by row"),
            )],
        };
    }
    without
        .into_iter()
        .map(|table| {
            let full = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
            let fix = table.candidate.as_ref().map_or_else(
                || format!("ALTER TABLE {full} ADD PRIMARY KEY (…), or REPLICA IDENTITY FULL"),
                |index| {
                    format!(
                        "ALTER TABLE {full} REPLICA IDENTITY USING INDEX {}",
                        identifier(index)
                    )
                },
            );
            Finding::fail(
                CHECK,
                format!(
                    "table {full} has no replica identity, and its updates or deletes are published"
                ),
                "the application's own UPDATE and DELETE of it fail",
                fix,
            )
        })
        .collect()
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

fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(MOST_NAMES).cloned().collect();
    match names.len().saturating_sub(MOST_NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
