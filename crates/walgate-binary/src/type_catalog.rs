//! The types of a database, as its catalog has them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::form::Form;
use crate::scalar::Scalar;

/// A domain of an array of a domain …: nobody nests deeper on purpose, and a catalog that goes round
/// in circles is none.
const MAX_DEPTH: usize = 16;

/// A type that is made of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogType {
    /// Its OID.
    pub oid: u32,
    /// What it is made of.
    pub nature: Nature,
}

/// What a type is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It is sent as it is printed: an enum, or a type of an extension that says so.
    Text,
    /// A domain.
    Domain {
        /// `typbasetype`
        base: u32,
    },
    /// An array.
    Array {
        /// `typelem`
        element: u32,
        /// The element's `typdelim`.
        delimiter: u8,
    },
    /// A range.
    Range {
        /// `rngsubtype`
        bound: u32,
    },
    /// A multirange.
    Multirange {
        /// `rngsubtype`
        bound: u32,
    },
}

/// The form of each type of a database that has one.
#[derive(Debug, Clone, Default)]
pub struct TypeCatalog(HashMap<u32, Form>);

impl TypeCatalog {
    /// From the types that are made of others. Those that are not are known.
    #[must_use]
    pub fn new(types: &[CatalogType]) -> Self {
        let natures: HashMap<u32, Nature> = types
            .iter()
            .map(|known| (known.oid, known.nature))
            .collect();
        let mut catalog = Self::default();
        for known in types {
            catalog.resolve(known.oid, &natures, MAX_DEPTH);
        }
        catalog
    }

    /// The form of a type; none for one whose binary form nobody can read here.
    #[must_use]
    pub fn form(&self, oid: u32) -> Option<Form> {
        let scalar = || Scalar::of_builtin(oid).map(Form::Scalar);
        self.0.get(&oid).cloned().or_else(scalar)
    }

    fn resolve(&mut self, oid: u32, natures: &HashMap<u32, Nature>, depth: usize) -> Option<Form> {
        let known = self.form(oid);
        if known.is_some() || depth == 0 {
            return known;
        }
        let mut part = |oid| self.resolve(oid, natures, depth - 1);
        let form = match *natures.get(&oid)? {
            Nature::Text => Form::Scalar(Scalar::Text),
            Nature::Domain { base } => part(base)?,
            Nature::Array { element, delimiter } => Form::Array {
                element: Arc::new(part(element)?),
                delimiter,
            },
            Nature::Range { bound } => Form::Range(Arc::new(part(bound)?)),
            Nature::Multirange { bound } => Form::Multirange(Arc::new(part(bound)?)),
        };
        self.0.insert(oid, form.clone());
        Some(form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_followed_to_their_parts_and_no_further_than_that() {
        let of = |oid, nature| CatalogType { oid, nature };
        let catalog = TypeCatalog::new(&[
            of(
                1007,
                Nature::Array {
                    element: 23,
                    delimiter: b',',
                },
            ),
            of(
                20_001,
                Nature::Array {
                    element: 20_002,
                    delimiter: b',',
                },
            ),
            of(20_002, Nature::Domain { base: 1007 }),
            of(20_003, Nature::Text),
            of(20_004, Nature::Range { bound: 142 }),
            of(20_005, Nature::Domain { base: 20_006 }),
            of(20_006, Nature::Domain { base: 20_005 }),
        ]);
        let array = |element| Form::Array {
            element: Arc::new(element),
            delimiter: b',',
        };
        let ints = array(Form::Scalar(Scalar::Int4));
        assert_eq!(catalog.form(20_002), Some(ints.clone()));
        assert_eq!(catalog.form(20_001), Some(array(ints)));
        assert!(catalog.form(20_003).is_some() && catalog.form(25).is_some());
        for unknown in [142, 20_004, 20_005, 20_006, 99_999] {
            assert_eq!(catalog.form(unknown), None, "{unknown}");
        }
    }
}
