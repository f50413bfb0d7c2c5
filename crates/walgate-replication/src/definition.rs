//! A definition of a relation as the stream has it, and what of it only the catalog knows.

use std::collections::HashMap;

use walgate_core::{Column, Oid, Relation, ReplicaIdentity, Shape, Xid};
use walgate_pgoutput::{MAX_COLUMNS, RelationBody};

/// What Type messages have said: the name of each user-defined type, of a domain its base type's.
/// The server sends those of a relation's columns directly in front of each Relation message
/// (`send_relation_and_attrs` in `pgoutput.c`), so they are kept no longer.
#[derive(Debug, Default)]
pub(crate) struct TypeNames(HashMap<Oid, (String, String)>);

impl TypeNames {
    /// The Relation message for which they came was read.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// A Type message.
    pub(crate) fn insert(&mut self, oid: Oid, namespace: &str, name: &str) {
        if self.0.len() >= usize::from(MAX_COLUMNS) {
            // No relation has so many columns: these are not in front of one.
            self.0.clear();
        }
        self.0.insert(oid, (namespace.to_owned(), name.to_owned()));
    }

    /// How values of a type are read, as far as the stream tells.
    fn shape(&self, oid: Oid) -> Option<Shape> {
        Shape::of_builtin(oid).or_else(|| {
            let (namespace, name) = self.0.get(&oid)?;
            // The stream leaves the name space pg_catalog out.
            let builtin = namespace.is_empty() || namespace == "pg_catalog";
            builtin.then(|| Shape::of_builtin_name(name)).flatten()
        })
    }

    /// The name of a type; empty for a built-in one.
    fn name(&self, oid: Oid) -> String {
        match (Shape::of_builtin(oid), self.0.get(&oid)) {
            (None, Some((_, name))) => name.clone(),
            _ => String::new(),
        }
    }

    /// The definition in a Relation message that came with transaction `xid`.
    pub(crate) fn definition(&self, body: &RelationBody<'_>, xid: Option<Xid>) -> Definition {
        let mut unknown = Vec::new();
        let column = |column: walgate_pgoutput::Column<'_>| {
            let shape = self.shape(column.type_oid);
            if shape.is_none() && !unknown.contains(&column.type_oid) {
                unknown.push(column.type_oid);
            }
            Column {
                name: column.name.to_owned(),
                type_oid: column.type_oid,
                type_name: self.name(column.type_oid),
                typmod: column.typmod,
                key: column.key,
                shape: shape.unwrap_or(Shape::TEXT),
            }
        };
        let columns = body.columns.iter().map(column).collect();
        let schema = if body.namespace.is_empty() {
            "pg_catalog"
        } else {
            body.namespace
        };
        let relation = Relation {
            oid: body.oid,
            schema: schema.to_owned(),
            name: body.name.to_owned(),
            identity: body.identity,
            columns,
            primary_key: Vec::new(),
        };
        Definition {
            relation,
            unknown_types: unknown,
            xid,
        }
    }
}

/// What the catalog said about a definition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The form of the types that were asked for; those that are gone are missing.
    pub(crate) shapes: HashMap<Oid, Shape>,
    /// The names of the primary key's columns.
    pub(crate) primary_key: Vec<String>,
}

/// A definition that has just arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    relation: Relation,
    unknown_types: Vec<Oid>,
    xid: Option<Xid>,
}

impl Definition {
    /// A definition that the catalog has given.
    pub(crate) fn of_catalog(relation: Relation, unknown_types: Vec<Oid>) -> Self {
        Self {
            relation,
            unknown_types,
            xid: None,
        }
    }

    /// Whether the catalog has to be asked.
    pub(crate) fn needs_facts(&self) -> bool {
        !self.unknown_types.is_empty() || self.wants_primary_key()
    }

    /// Whether the primary key is wanted.
    pub(crate) fn wants_primary_key(&self) -> bool {
        self.relation.identity == ReplicaIdentity::Full
    }

    /// The relation, as far as the stream tells.
    pub(crate) const fn relation(&self) -> &Relation {
        &self.relation
    }

    /// The types that the stream does not explain.
    pub(crate) fn unknown_types(&self) -> &[Oid] {
        &self.unknown_types
    }

    /// The transaction that brought it.
    pub(crate) const fn xid(&self) -> Option<Xid> {
        self.xid
    }

    /// The relation when nothing had to be asked.
    pub(crate) fn without_facts(self) -> Relation {
        self.relation
    }

    /// The relation with what the catalog said. A key of which a column is not published is none.
    pub(crate) fn with_facts(mut self, facts: &Facts) -> Relation {
        for column in &mut self.relation.columns {
            if let Some(shape) = facts.shapes.get(&column.type_oid) {
                column.shape = *shape;
            }
        }
        let place = |name: &String| {
            let place = self
                .relation
                .columns
                .iter()
                .position(|column| column.name == *name)?;
            u16::try_from(place).ok()
        };
        let key: Option<Vec<u16>> = facts.primary_key.iter().map(place).collect();
        let mut key = key.unwrap_or_default();
        key.sort_unstable();
        self.relation.primary_key = key;
        self.relation
    }
}
