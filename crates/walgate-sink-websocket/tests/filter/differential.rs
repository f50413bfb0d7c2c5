//! PostgreSQL's opinion: the same filters over the same rows, as its WHERE sees them.

use fastrand::Rng;
use walgate_core::{Column, Relation, ReplicaIdentity, Shape};
use walgate_sink_websocket::filter::{MAX_FILTER_BYTES, Truth};
use walgate_throwaway::{AdminSession, PgVersion, Postgres, PostgresOptions, Rows};

use crate::bed::{bound, relation, row};

const ROWS: usize = 200;
const FILTERS: usize = 600;

/// Another one finds other filters; this one is the same in every run.
const SEED: u64 = 20_261_122;

/// What can be asked of a column.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    Order,
    Equality,
    Null,
}

/// A column, the values that rows have there, and the literals that it is compared with.
struct Sample {
    name: &'static str,
    sql_type: &'static str,
    asked: Asked,
    stored: &'static [&'static str],
    literals: &'static [&'static str],
}

#[rustfmt::skip]
const SAMPLES: &[Sample] = &[
    Sample { name: "b", sql_type: "bool", asked: Asked::Order,
        stored: &["t", "f"], literals: &["true", "false"] },
    Sample { name: "i2", sql_type: "int2", asked: Asked::Order,
        stored: &["-32768", "-1", "0", "1", "32767"], literals: &["-32768", "0", "1", "1.5", "-0.5"] },
    Sample { name: "i4", sql_type: "int4", asked: Asked::Order,
        stored: &["-2147483648", "-7", "0", "20", "21", "2147483647"],
        literals: &["20", "20.5", "-7.0", "2e1", "3000000000", "-2147483648"] },
    Sample { name: "i8", sql_type: "int8", asked: Asked::Order,
        stored: &["-9223372036854775808", "-1", "0", "20", "9223372036854775807"],
        literals: &["0", "-1.5", "9223372036854775807", "9223372036854775808", "-1e30", "1e-3",
                    "-9223372036854775808", "-9223372036854775809.5"] },
    Sample { name: "o", sql_type: "oid", asked: Asked::Order,
        stored: &["0", "16384", "4294967295"], literals: &["0", "16384", "4294967295"] },
    Sample { name: "f4", sql_type: "float4", asked: Asked::Order,
        stored: &["0.1", "-0", "0", "1e-45", "3.4028235e38", "NaN", "Infinity", "-Infinity", "16777217"],
        literals: &["0.1", "0", "-0", "16777216", "NaN", "Infinity", "-Infinity", "1e10"] },
    Sample { name: "f8", sql_type: "float8", asked: Asked::Order,
        stored: &["0.1", "0.30000000000000004", "-0", "5e-324", "1.7976931348623157e308", "NaN",
                  "Infinity", "-Infinity", "123456789012345680"],
        literals: &["0.1", "0.3", "0.30000000000000004", "0", "NaN", "Infinity", "-infinity", "1e308",
                    "123456789012345678"] },
    Sample { name: "n", sql_type: "numeric", asked: Asked::Order,
        stored: &["0", "0.00", "-0.10", "1.5", "1.50", "99999999999999999999999999.9", "1000", "NaN",
                  "Infinity", "-Infinity", "0.000000000000000000001", "-1000.001"],
        literals: &["0", "-0.1", "1.5", "1e3", "1e-21", "99999999999999999999999999.90", "NaN",
                    "Infinity", "-Infinity", "-1000", "9.99"] },
    Sample { name: "money_like", sql_type: "price", asked: Asked::Order,
        stored: &["0.01", "10.00", "9.99"], literals: &["9.990", "10", "0"] },
    Sample { name: "t", sql_type: "text", asked: Asked::Order,
        stored: &["", "a", "A", "Z", "ä", "ERROR", "it''s", "a ", "ab", "10", "9", "日本"],
        literals: &["", "a", "B", "ä", "ERROR", "it''s", "a ", "10", "日"] },
    Sample { name: "v", sql_type: "varchar(20)", asked: Asked::Order,
        stored: &["x", "X", "y z", ""], literals: &["x", "Y", ""] },
    Sample { name: "bp", sql_type: "char(6)", asked: Asked::Order,
        stored: &["a", "a b", "", "abcdef", "ä"], literals: &["a", "a  ", "a b", "", "ab"] },
    Sample { name: "nm", sql_type: "name", asked: Asked::Order,
        stored: &["pg_class", "Pg", "_"], literals: &["pg_class", "a"] },
    Sample { name: "e", sql_type: "mood", asked: Asked::Equality,
        stored: &["sad", "ok", "happy"], literals: &["sad", "happy"] },
    Sample { name: "u", sql_type: "uuid", asked: Asked::Order,
        stored: &["00000000-0000-0000-0000-000000000000", "018f4f6e-aaaa-7000-8000-0000000000ff",
                  "ffffffff-ffff-ffff-ffff-ffffffffffff"],
        literals: &["018F4F6E-AAAA-7000-8000-0000000000FF", "{018f4f6eaaaa70008000000000000000}",
                    "00000000-0000-0000-0000-000000000000"] },
    Sample { name: "ip", sql_type: "inet", asked: Asked::Equality,
        stored: &["10.0.0.1", "10.0.0.1/24", "::1", "2001:db8::/32", "::ffff:1.2.3.4", "::10.2.3.4"],
        literals: &["10.0.0.1", "10.0.0.1/32", "10.0.0.1/24", "0:0::1", "2001:DB8:0::/32",
                    "::ffff:1.2.3.4", "::ffff:102:304", "::10.2.3.4"] },
    Sample { name: "net", sql_type: "cidr", asked: Asked::Equality,
        stored: &["10.0.0.0/8", "10.0.0.1", "2001:db8::/32"],
        literals: &["10.0.0.0/8", "10.0.0.1/32", "2001:db8::/32"] },
    Sample { name: "d", sql_type: "date", asked: Asked::Order,
        stored: &["2026-11-21", "2000-02-29", "0044-03-15 BC", "4714-11-24 BC", "5874897-12-31",
                  "infinity", "-infinity", "1970-01-01"],
        literals: &["2026-11-21", "2000-03-01", "0044-03-15 BC", "infinity", "-infinity", "0001-01-01"] },
    Sample { name: "tm", sql_type: "time", asked: Asked::Order,
        stored: &["00:00:00", "09:30:00.000001", "09:30:00", "24:00:00", "23:59:59.999999"],
        literals: &["09:30", "09:30:00.000001", "24:00:00", "00:00"] },
    Sample { name: "tz", sql_type: "timetz", asked: Asked::Order,
        stored: &["10:00:00+02", "08:00:00+00", "00:30:00+05:30", "23:00:00-08", "24:00:00+00"],
        literals: &["10:00:00+02:00", "08:00", "08:00Z", "09:00:00+01", "00:30+0530"] },
    Sample { name: "ts", sql_type: "timestamp", asked: Asked::Order,
        stored: &["2026-11-21 09:30:00", "2026-11-21 09:30:00.5", "0044-03-15 12:00:00 BC", "infinity",
                  "-infinity", "294276-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"],
        literals: &["2026-11-21T09:30:00", "2026-11-21 09:30:00.500", "2026-11-21", "infinity",
                    "-infinity", "0044-03-15 12:00:00 BC", "1970-01-01"] },
    Sample { name: "tstz", sql_type: "timestamptz", asked: Asked::Order,
        stored: &["2026-11-21 09:30:00+00", "2026-11-21 11:30:00+02", "0044-03-15 12:00:00+00 BC",
                  "infinity", "-infinity", "294276-12-31 23:59:59+00"],
        literals: &["2026-11-21T09:30:00Z", "2026-11-21T15:00:00+05:30", "2026-11-21 09:30",
                    "2026-11-21", "infinity", "0044-03-15 12:00:00+00 BC"] },
    Sample { name: "js", sql_type: "jsonb", asked: Asked::Null, stored: &["{}"], literals: &[] },
    Sample { name: "ar", sql_type: "int4[]", asked: Asked::Null, stored: &["{1,2}"], literals: &[] },
    Sample { name: "Strange \"name\"", sql_type: "int4", asked: Asked::Order,
        stored: &["1", "2"], literals: &["1", "2"] },
];

impl Sample {
    fn quoted_name(&self) -> String {
        format!("\"{}\"", self.name.replace('"', "\"\""))
    }

    /// The column as PostgreSQL is to compare it: text byte by byte.
    fn sql(&self) -> String {
        let name = self.quoted_name();
        match self.sql_type {
            "text" | "varchar(20)" | "char(6)" => format!("{name} COLLATE \"C\""),
            _ => name,
        }
    }

    /// A value that nobody has thought of; `None` for types whose values are all in the samples.
    fn any_value(&self, rng: &mut Rng) -> Option<String> {
        let pair = |rng: &mut Rng, from, to| format!("{:02}", rng.u8(from..to));
        let sign = if rng.bool() { "-" } else { "" };
        match self.sql_type {
            "int4" => Some(rng.i32(..).to_string()),
            "int8" => Some(rng.i64(..).to_string()),
            "float8" => Some(f64::from_bits(rng.u64(..)))
                .filter(|value| value.is_normal())
                .map(|value| format!("{value:e}")),
            "numeric" => {
                let digits = |rng: &mut Rng| -> String {
                    let count = rng.usize(1..40);
                    (0..count).map(|_| rng.digit(10)).collect()
                };
                Some(format!("{sign}{}.{}", digits(rng), digits(rng)))
            }
            "text" | "varchar(20)" => {
                let count = rng.usize(..12);
                // Letters of one, two, three and four bytes.
                let letter = |_| {
                    *rng.choice(&['a', 'Z', '~', 'é', '日', '𝄞'])
                        .expect("a letter")
                };
                Some((0..count).map(letter).collect())
            }
            "date" | "timestamp" | "timestamptz" => {
                // The first year of PostgreSQL is 4714 BC.
                let year = rng.u16(1..4714);
                let mut text = format!("{year:04}-{}-{}", pair(rng, 1, 13), pair(rng, 1, 29));
                if self.sql_type != "date" {
                    let micros = rng.u32(..1_000_000);
                    let (hour, minute) = (pair(rng, 0, 24), pair(rng, 0, 60));
                    text += &format!(" {hour}:{minute}:{}.{micros:06}", pair(rng, 0, 60));
                }
                if self.sql_type == "timestamptz" {
                    let east = if rng.bool() { "+" } else { "-" };
                    text += &format!("{east}{}:{}", pair(rng, 0, 15), pair(rng, 0, 60));
                }
                Some(text + if rng.u8(..4) == 0 { " BC" } else { "" })
            }
            _ => None,
        }
    }

    /// One of these, or any value.
    fn choose(&self, among: &[&str], rng: &mut Rng) -> String {
        let any = if rng.u8(..4) == 0 {
            self.any_value(rng)
        } else {
            None
        };
        any.unwrap_or_else(|| (*rng.choice(among).expect("a value")).to_owned())
    }

    /// A literal for a filter and for SQL. PostgreSQL reads a quoted one as the column's type, so
    /// that a float4 is compared with a float4; of an integer it then takes no fraction.
    fn literal(&self, rng: &mut Rng) -> (String, String) {
        let literal = self.choose(self.literals, rng);
        let quoted = format!("'{literal}'");
        match self.sql_type {
            "int2" | "int4" | "int8" if rng.bool() => (quoted, literal),
            "int2" | "int4" | "int8" => (literal.clone(), literal),
            "bool" => (literal, quoted),
            _ => (quoted.clone(), quoted),
        }
    }
}

/// A random condition on one column, for a filter and for SQL.
fn test(rng: &mut Rng) -> (String, String) {
    let sample = rng.choice(SAMPLES).expect("a column");
    let (name, sql) = (sample.quoted_name(), sample.sql());
    let kinds = match sample.asked {
        Asked::Null => 1,
        Asked::Equality => 5,
        Asked::Order => 10,
    };
    match rng.u8(0..kinds) {
        0 => {
            let test = *rng.choice(&["is null", "is not null"]).expect("a test");
            (format!("{name} {test}"), format!("{sql} {test}"))
        }
        1 | 2 => {
            let values: Vec<_> = (0..rng.usize(1..4)).map(|_| sample.literal(rng)).collect();
            let (ours, theirs): (Vec<_>, Vec<_>) = values.into_iter().unzip();
            let not = if rng.bool() { "not in" } else { "in" };
            (
                format!("{name} {not} ({})", ours.join(", ")),
                format!("{sql} {not} ({})", theirs.join(", ")),
            )
        }
        3 | 4 => {
            let operators = ["=", "<>", "!=", "is distinct from", "is not distinct from"];
            let operator = *rng.choice(&operators).expect("an operator");
            let (ours, theirs) = sample.literal(rng);
            (
                format!("{name} {operator} {ours}"),
                format!("{sql} {operator} {theirs}"),
            )
        }
        5 => {
            let (low, high) = (sample.literal(rng), sample.literal(rng));
            let not = if rng.bool() { "not between" } else { "between" };
            (
                format!("{name} {not} {} and {}", low.0, high.0),
                format!("{sql} {not} {} and {}", low.1, high.1),
            )
        }
        _ => {
            let operator = *rng.choice(&["<", "<=", ">", ">="]).expect("an operator");
            let (ours, theirs) = sample.literal(rng);
            (
                format!("{name} {operator} {ours}"),
                format!("{sql} {operator} {theirs}"),
            )
        }
    }
}

/// A random condition. Parentheses only where they change something, so that the precedence is
/// compared too.
fn condition(rng: &mut Rng, depth: u8) -> (String, String) {
    match rng.u8(0..6) {
        0 | 1 if depth > 0 => {
            let parts: Vec<_> = (0..3).map(|_| condition(rng, depth - 1)).collect();
            let mut joined = (String::new(), String::new());
            for (place, (ours, theirs)) in parts.into_iter().enumerate() {
                let word = if rng.bool() { " and " } else { " or " };
                let word = if place == 0 { "" } else { word };
                joined.0 += &format!("{word}{ours}");
                joined.1 += &format!("{word}{theirs}");
            }
            joined
        }
        2 if depth > 0 => {
            let (ours, theirs) = condition(rng, depth - 1);
            (format!("not ({ours})"), format!("not ({theirs})"))
        }
        3 if depth > 0 => {
            let (ours, theirs) = condition(rng, depth - 1);
            (format!("({ours})"), format!("({theirs})"))
        }
        4 if depth > 0 => {
            let (ours, theirs) = condition(rng, 0);
            (format!("not {ours}"), format!("not {theirs}"))
        }
        _ => test(rng),
    }
}

fn fill(session: &mut AdminSession, rng: &mut Rng) {
    let definition = |sample: &Sample| format!("{} {}", sample.quoted_name(), sample.sql_type);
    let columns: Vec<String> = SAMPLES.iter().map(definition).collect();
    run(
        session,
        &format!(
            "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET extra_float_digits = 1; \
             CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); \
             CREATE DOMAIN price AS numeric CHECK (VALUE >= 0); \
             CREATE TABLE samples (row_number int PRIMARY KEY, {})",
            columns.join(", ")
        ),
    );
    let rows: Vec<String> = (0..ROWS)
        .map(|number| {
            let mut value = |sample: &Sample| match rng.u8(0..6) {
                0 => "NULL".to_owned(),
                _ => format!("'{}'", sample.choose(sample.stored, rng)),
            };
            let values: Vec<String> = SAMPLES.iter().map(&mut value).collect();
            format!("({number}, {})", values.join(", "))
        })
        .collect();
    run(
        session,
        &format!("INSERT INTO samples VALUES {}", rows.join(", ")),
    );
}

/// The definition of the table, as the stream would have it.
fn definition(session: &mut AdminSession) -> Relation {
    let columns = run(
        session,
        "SELECT a.attname, a.atttypid, coalesce(b.typname, t.typname), b.typname IS NOT NULL \
         FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
         LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd' \
         WHERE a.attrelid = 'samples'::regclass AND a.attnum > 0 ORDER BY a.attnum",
    );
    let column = |values: Vec<Option<String>>| {
        let mut values = values.into_iter().map(|value| value.expect("a value"));
        let mut next = || values.next().expect("four columns");
        let (name, oid, type_name, is_domain) = (next(), next(), next(), next() == "t");
        let type_oid = oid.parse().expect("an OID");
        let builtin = Shape::of_builtin(type_oid);
        let shape = match builtin {
            Some(shape) => shape,
            None if is_domain => Shape::of_builtin_name(&type_name).expect("a built-in base"),
            None => Shape::TEXT,
        };
        Column {
            name,
            type_oid,
            type_name: if builtin.is_some() {
                String::new()
            } else {
                type_name
            },
            typmod: -1,
            key: false,
            shape,
        }
    };
    relation(
        ReplicaIdentity::Full,
        columns.into_iter().map(column).collect(),
    )
}

fn run(session: &mut AdminSession, sql: &str) -> Rows {
    session
        .query(sql)
        .unwrap_or_else(|error| panic!("{sql:.2000}: {error}"))
}

#[test]
fn postgresql_finds_the_same_rows() {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))
        .expect("a throw-away PostgreSQL");
    let mut session = server.admin().expect("a session");
    let mut rng = Rng::with_seed(SEED);
    fill(&mut session, &mut rng);
    let relation = definition(&mut session);
    let rows = run(&mut session, "SELECT * FROM samples ORDER BY row_number");
    assert_eq!(rows.len(), ROWS);
    let tuples: Vec<_> = rows
        .iter()
        .map(|values| row(&values.iter().map(Option::as_deref).collect::<Vec<_>>()))
        .collect();
    let mut seen = [0_usize; 3];
    for _ in 0..FILTERS {
        let (ours, theirs) = condition(&mut rng, 3);
        if ours.len() > MAX_FILTER_BYTES {
            continue;
        }
        let filter = bound(&ours, &relation);
        let sql = format!("SELECT {theirs} FROM samples ORDER BY row_number");
        let answers = run(&mut session, &sql);
        assert_eq!(answers.len(), ROWS);
        for ((tuple, values), answer) in tuples.iter().zip(&rows).zip(&answers) {
            let expected = match answer.first().and_then(Option::as_deref) {
                Some("t") => Truth::True,
                Some("f") => Truth::False,
                Some(other) => panic!("{sql}: {other} is no boolean"),
                None => Truth::Unknown,
            };
            let found = filter.truth(&tuple.as_tuple());
            assert_eq!(found, expected, "{ours}\n{sql}\n{values:?}");
            seen[match expected {
                Truth::True => 0,
                Truth::False => 1,
                Truth::Unknown => 2,
            }] += 1;
        }
    }
    // Filters that find nothing, or everything, would prove nothing.
    let least = ROWS * FILTERS / 20;
    assert!(seen.iter().all(|count| *count > least), "{seen:?}");
}
