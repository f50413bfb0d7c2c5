//! What of a filter the server can judge by itself, when it reads rows.

use walgate_core::{KeyValues, Oid, Relation, RowKey};

use super::bound::Bound;
use super::constant::Constant;
use super::index::{Need, needs};

/// Types whose equality here and in the server is the same, as `pg_type.dat` numbers them; of a collation that is not
/// deterministic the server finds more, which does no harm.
const INTEGERS: [Oid; 3] = [20, 21, 23];
const TEXTS: [Oid; 2] = [25, 1043];
const UUID: Oid = 2950;

impl Bound {
    /// Keys all of which a row has to meet in order to match; what meets them still has to be judged. None are known of
    /// a filter that asks for no values of such types.
    pub(crate) fn row_keys(&self, relation: &Relation) -> Vec<RowKey> {
        let needs = needs(self.node()).into_iter();
        needs.filter_map(|need| row_key(&need, relation)).collect()
    }
}

fn row_key(need: &Need<'_>, relation: &Relation) -> Option<RowKey> {
    let column = relation.columns.get(usize::from(need.place))?;
    let values = need.values.iter();
    let values = match column.type_oid {
        oid if INTEGERS.contains(&oid) => {
            let values = values.map(|value| match value {
                Constant::Integer(value) => Some(*value),
                _ => None,
            });
            KeyValues::Integers(values.collect::<Option<_>>()?)
        }
        oid if TEXTS.contains(&oid) => {
            let mut texts = values.map(text).collect::<Option<Vec<_>>>()?;
            texts.retain(|text| !text.contains('\0'));
            KeyValues::Texts(texts)
        }
        UUID => KeyValues::Uuids(values.map(text).collect::<Option<_>>()?),
        _ => return None,
    };
    Some(RowKey {
        column: column.name.clone(),
        values,
    })
}

fn text(value: &&Constant) -> Option<String> {
    match value {
        Constant::Text(text) => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::{Column, ReplicaIdentity, Shape};

    use super::*;
    use crate::filter::Filter;

    fn relation() -> Relation {
        let column = |(name, oid, type_name): (&str, Oid, &str)| Column {
            name: name.to_owned(),
            type_oid: oid,
            type_name: type_name.to_owned(),
            typmod: -1,
            key: name == "id",
            shape: Shape::of_builtin(oid).unwrap_or(Shape::TEXT),
        };
        let columns = [
            ("id", 20, ""),
            ("small", 21, ""),
            ("level", 25, ""),
            ("code", 1043, ""),
            ("uid", 2950, ""),
            ("padded", 1042, ""),
            ("price", 1700, ""),
            ("day", 1082, ""),
            ("number", 70_000, "int4"),
        ];
        Relation {
            oid: 1,
            schema: "public".to_owned(),
            name: "t".to_owned(),
            identity: ReplicaIdentity::Default,
            columns: columns.into_iter().map(column).collect(),
            primary_key: Vec::new(),
        }
    }

    fn keys(filter: &str) -> String {
        let filter = Filter::parse(filter).expect(filter);
        let bound = filter.bind(&relation(), |_| true).expect("it fits");
        let keys = bound.row_keys(&relation());
        let keys = keys.iter().map(|key| match &key.values {
            KeyValues::Integers(values) => format!("{} {values:?}", key.column),
            KeyValues::Texts(values) | KeyValues::Uuids(values) => {
                format!("{} {values:?}", key.column)
            }
        });
        keys.collect::<Vec<_>>().join(" and ")
    }

    #[test]
    fn what_the_server_can_judge_is_found_and_nothing_else() {
        for (filter, expected) in [
            ("id = 7", "id [7]"),
            ("small in (1, 2) and price > 3", "small [1, 2]"),
            (
                "id = 1 and level = 'O''Hara'",
                "id [1] and level [\"O'Hara\"]",
            ),
            ("level is not distinct from 'a'", "level [\"a\"]"),
            ("id = 1 or id = 2", "id [1, 2]"),
            // An integer is never that.
            ("id = 20.5", "id []"),
            ("code = ''", "code [\"\"]"),
            (
                "uid = '018F4F6E000070008000000000000000'",
                "uid [\"018f4f6e-0000-7000-8000-000000000000\"]",
            ),
            ("id <> 7", ""),
            ("not id = 7", ""),
            ("id > 7", ""),
            ("id is null", ""),
            ("id = 1 or level = 'a'", ""),
            ("padded = 'a'", ""),
            ("price = 1", ""),
            ("day = '2026-11-22'", ""),
            // A domain over an integer: its own type, which the server compares otherwise.
            ("number = 1", ""),
        ] {
            assert_eq!(keys(filter), expected, "{filter}");
        }
    }
}
