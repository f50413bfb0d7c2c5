//! Rows of a snapshot that are asked for by their values.

use std::time::{Duration, Instant};

use walgate_core::{KeyValues, RowKey, Tuple, Value};
use walgate_replication::TableSnapshot;
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, PATIENCE, config, unique};

const TABLE: &str = "\
    CREATE TABLE t (id bigint PRIMARY KEY, small int2, number int4, level text, code varchar(20), uid uuid); \
    INSERT INTO t SELECT g, g % 100, g, 'level ' || g % 10, 'it''s ' || g, \
                         ('018f4f6e-0000-7000-8000-' || lpad(g::text, 12, '0'))::uuid FROM generate_series(1, 5000) g; \
    INSERT INTO t (id) VALUES (5001); CREATE INDEX ON t (code); CREATE INDEX ON t (uid); ANALYZE t;";

fn key(column: &str, values: KeyValues) -> RowKey {
    RowKey {
        column: column.to_owned(),
        values,
    }
}

fn integers(column: &str, values: &[i64]) -> RowKey {
    key(column, KeyValues::Integers(values.to_vec()))
}

fn texts(column: &str, values: &[&str]) -> RowKey {
    let values = values.iter().map(|text| (*text).to_owned());
    key(column, KeyValues::Texts(values.collect()))
}

/// The ids of the rows that are read.
async fn ids(bed: &Bed, keys: Option<&[Vec<RowKey>]>) -> Vec<i64> {
    let source = config(&bed.url(), &unique("s"));
    let taken = TableSnapshot::take(&source, &|_, _| true, Duration::from_secs(60)).await;
    let mut snapshot = taken.expect("a snapshot");
    assert_eq!(snapshot.table().expect("a table").name, "t");
    snapshot.read(keys).await.expect("it is read");
    let mut ids = Vec::new();
    while let Some(batch) = snapshot.next().await.expect("rows") {
        let mut start = 0;
        for end in batch.ends {
            let row = Tuple::parse(&batch.bytes[start..end]).expect("a row");
            start = end;
            let Some(Value::Text(id)) = row.iter().next() else {
                panic!("a row without an id");
            };
            let id = std::str::from_utf8(id).expect("a number");
            ids.push(id.parse().expect("a number"));
        }
    }
    assert!(snapshot.table().is_none());
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rows_of_keys_are_read_and_no_others() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let bed = Bed::new(version);
        bed.sql(&format!("{TABLE} CREATE PUBLICATION p FOR TABLE t"));
        let uid = "018f4f6e-0000-7000-8000-000000000042".to_owned();
        let cases = [
            (vec![vec![integers("id", &[1, 5001, 9999])]], vec![1, 5001]),
            (
                vec![vec![integers("small", &[7]), integers("number", &[7, 8])]],
                vec![7],
            ),
            // Beyond what the column can hold, and nothing at all.
            (vec![vec![integers("small", &[1 << 40])]], vec![]),
            (vec![vec![integers("id", &[])]], vec![]),
            (Vec::new(), Vec::new()),
            (
                vec![
                    vec![texts("code", &["it's 3", "' OR true; --"])],
                    vec![integers("id", &[4])],
                ],
                vec![3, 4],
            ),
            (
                vec![vec![key("uid", KeyValues::Uuids(vec![uid]))]],
                vec![42],
            ),
        ];
        for (keys, expected) in cases {
            assert_eq!(ids(&bed, Some(&keys)).await, expected, "{keys:?}");
        }
        // More than one fetch.
        let many = ids(
            &bed,
            Some(&[vec![texts("level", &["level 1", "level 2", "level 3"])]]),
        )
        .await;
        let expected: Vec<i64> = (1..=5000)
            .filter(|id| [1, 2, 3].contains(&(id % 10)))
            .collect();
        assert_eq!(many, expected);
        // Who has no keys wants all rows.
        assert_eq!(
            ids(&bed, Some(&[vec![], vec![integers("id", &[1])]]))
                .await
                .len(),
            5001
        );
        assert_eq!(ids(&bed, None).await.len(), 5001);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_used_and_the_publication_s_filter_holds() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql(&format!(
        "{TABLE} CREATE PUBLICATION p FOR TABLE t WHERE (id < 100 OR id > 4000)"
    ));
    let keys = [vec![texts("code", &["it's 7", "it's 700", "it's 4700"])]];
    assert_eq!(ids(&bed, Some(&keys)).await, [7, 4700]);
    // Nothing else reads by an index here. A session tells what it did when it ends.
    let deadline = Instant::now() + PATIENCE;
    while bed.text("SELECT idx_scan > 0 FROM pg_stat_user_tables WHERE relname = 't'") != "t" {
        assert!(Instant::now() < deadline, "no index was used");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
