//! Publications are looked at before the slot is touched, and again while it streams.

use walgate_core::StopReason;
use walgate_replication::{PublicationMode, TableName};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, Reader, config, unique};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_publication_stops_before_a_slot_is_made() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION other FOR TABLE t");
    let slot = unique("s");
    let failure = Reader::start(config(&bed.url(), &slot), None)
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Config);
    assert!(failure.message.contains("other"), "{failure}");
    assert!(
        failure
            .hint
            .expect("says how")
            .contains("CREATE PUBLICATION")
    );
    assert_eq!(
        bed.text(&format!(
            "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}'"
        )),
        "0"
    );
}

/// 14 to 17 raise an error at the first change; 18 warns once and then confirms past the changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_older_than_its_publication_loses_nothing_silently() {
    for version in [PgVersion::V15, PgVersion::V18] {
        let bed = Bed::new(version);
        let slot = unique("s");
        bed.sql(&format!(
            "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ));
        bed.sql("CREATE TABLE t (id int PRIMARY KEY)");
        bed.sql("INSERT INTO t VALUES (1)");
        bed.sql("CREATE PUBLICATION p FOR TABLE t");
        bed.sql("INSERT INTO t VALUES (2)");
        let mut reader = Reader::start(config(&bed.url(), &slot), None)
            .await
            .expect("starts");
        let failure = reader.until(|_| false).await.expect_err("must not go on");
        assert_eq!(failure.reason, StopReason::Config, "{version}: {failure}");
        assert!(
            failure
                .hint
                .as_deref()
                .unwrap_or_default()
                .contains("new slot"),
            "{version}: {failure:?}"
        );
        assert!(reader.rows().is_empty(), "{version}: {:?}", reader.rows());
        assert_eq!(
            reader.progress,
            walgate_core::Lsn::ZERO,
            "{version}: nothing may be confirmed past it"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_tables_must_be_published() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE \"odd \"\" name\" (id int); CREATE PUBLICATION p FOR TABLE t; \
             CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id); \
             CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (100); ALTER PUBLICATION p ADD TABLE root");
    let mut wanting = config(&bed.url(), &unique("s"));
    wanting.tables = vec![
        TableName::new("public", "t"),
        TableName::new("public", "odd \" name"),
        TableName::new("public", "root"),
    ];
    let failure = Reader::start(wanting.clone(), None)
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Config, "{failure}");
    let hint = failure.hint.expect("says how");
    assert!(
        hint.contains(r#"ALTER PUBLICATION "p" ADD TABLE "public"."odd "" name";"#),
        "{hint}"
    );
    assert!(!hint.contains("root"), "{hint}");

    wanting.publication_mode = PublicationMode::Manage;
    let mut reader = Reader::start(wanting, None).await.expect("manages");
    assert_eq!(
        bed.text("SELECT pubupdate FROM pg_publication WHERE pubname = 'p_inserts'"),
        "f"
    );
    bed.sql("UPDATE \"odd \"\" name\" SET id = 1; INSERT INTO \"odd \"\" name\" VALUES (8); UPDATE \"odd \"\" name\" SET id = 9");
    reader
        .until_row("name 8")
        .await
        .expect("streams; and the application's update works");
}
