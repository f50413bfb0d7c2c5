//! What the stream lacks is asked of the catalog before the first row goes on.

use walgate_core::{Scalar, Shape};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, Reader, config, unique};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shapes_of_user_defined_types() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let bed = Bed::new(version);
        bed.sql("CREATE SCHEMA x; CREATE TYPE x.mood AS ENUM ('sad', 'ok'); CREATE DOMAIN x.small AS int CHECK (value < 100); \
                 CREATE DOMAIN x.smaller AS x.small; CREATE DOMAIN x.ints AS int[]; CREATE DOMAIN x.moods AS x.mood[]; \
                 CREATE DOMAIN x.doc AS jsonb; CREATE DOMAIN x.boxes AS box[]; CREATE TYPE x.pair AS (a int, b text); \
                 CREATE TABLE t (a x.mood, b x.mood[], c x.smaller, d x.smaller[], e x.ints, f x.moods, g x.doc, \
                                 h x.boxes, i x.pair[], j x.ints[], k int, l x.doc[]); \
                 CREATE PUBLICATION p FOR TABLE t");
        let mut reader = Reader::start(config(&bed.url(), &unique("s")), None)
            .await
            .expect("starts");
        bed.sql("INSERT INTO t (k) VALUES (7)");
        reader.until_row("7").await.expect("streams");
        let relation = reader.relation("t");
        let array = |element| Shape::Array {
            element,
            delimiter: b',',
        };
        let shapes: Vec<(&str, &str, Shape)> = relation
            .columns
            .iter()
            .map(|column| {
                (
                    column.name.as_str(),
                    column.type_name.as_str(),
                    column.shape,
                )
            })
            .collect();
        assert_eq!(
            shapes,
            [
                ("a", "mood", Shape::TEXT),
                ("b", "_mood", array(Scalar::Text)),
                ("c", "int4", Shape::Scalar(Scalar::Integer)),
                ("d", "_smaller", array(Scalar::Integer)),
                ("e", "_int4", array(Scalar::Integer)),
                ("f", "_mood", array(Scalar::Text)),
                ("g", "jsonb", Shape::Scalar(Scalar::Json)),
                (
                    "h",
                    "_box",
                    Shape::Array {
                        element: Shape::of_builtin(603).map_or(Scalar::Text, scalar),
                        delimiter: b';'
                    }
                ),
                ("i", "_pair", array(Scalar::Text)),
                ("j", "_ints", array(Scalar::Text)),
                ("k", "", Shape::Scalar(Scalar::Integer)),
                ("l", "_doc", array(Scalar::Json)),
            ],
            "{version}"
        );
    }
}

fn scalar(shape: Shape) -> Scalar {
    match shape {
        Shape::Scalar(scalar) => scalar,
        Shape::Array { .. } => Scalar::Text,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_key_of_a_table_with_identity_full() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql("CREATE TABLE t (v text, b int, a int, PRIMARY KEY (a, b) INCLUDE (v)); ALTER TABLE t REPLICA IDENTITY FULL; \
             CREATE TABLE nokey (a int); ALTER TABLE nokey REPLICA IDENTITY FULL; \
             CREATE TABLE part (id int PRIMARY KEY, v text); ALTER TABLE part REPLICA IDENTITY FULL; \
             CREATE PUBLICATION p FOR TABLE t, nokey WITH (publish = 'insert'); ");
    bed.sql("CREATE PUBLICATION q FOR TABLE part (v) WITH (publish = 'insert')");
    let mut both = config(&bed.url(), &unique("s"));
    both.publications.push("q".to_owned());
    let mut reader = Reader::start(both, None).await.expect("starts");
    bed.sql("BEGIN; INSERT INTO t VALUES ('x', 1, 2); INSERT INTO nokey VALUES (3); INSERT INTO part VALUES (4, 'four'); COMMIT");
    reader.until_row("four").await.expect("streams");
    assert!(
        reader.relation("part").key().is_empty(),
        "a key that is not published is none"
    );
    assert!(reader.relation("nokey").key().is_empty());
    assert_eq!(
        reader.relation("t").primary_key,
        [1, 2],
        "in column order, without INCLUDE"
    );
    // The same definition, announced again after a change that the stream does not show.
    bed.sql("ALTER TABLE part ADD COLUMN w int; ALTER TABLE nokey ADD PRIMARY KEY (a); INSERT INTO nokey VALUES (5)");
    reader.until_row("insert nokey 5").await.expect("streams");
    assert_eq!(reader.relation("nokey").primary_key, [0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_or_table_that_is_gone_stays_text_or_has_no_key() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t (id int PRIMARY KEY, m mood[]); \
             ALTER TABLE t REPLICA IDENTITY FULL; CREATE TABLE u (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t, u");
    let slot = unique("s");
    bed.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    bed.sql("INSERT INTO t VALUES (1, '{ok}')");
    bed.sql("DROP TABLE t; DROP TYPE mood; INSERT INTO u VALUES (2)");
    let mut reader = Reader::start(config(&bed.url(), &slot), None)
        .await
        .expect("starts");
    reader.until_row("insert t 1,{ok}").await.expect("streams");
    let t = reader.relation("t");
    assert_eq!(t.columns[1].shape, Shape::TEXT);
    assert_eq!(t.key(), Vec::<u16>::new());
    reader.until_row("insert u 2").await.expect("goes on");
}
