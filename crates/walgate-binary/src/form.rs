//! How a type's values are written.

use std::sync::Arc;

use crate::container;
use crate::field::Refused;
use crate::scalar::Scalar;

/// How a type's values are written. Domains have the form of their base type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A value without parts that are values.
    Scalar(Scalar),
    /// `array_send`.
    Array {
        /// The form of its elements.
        element: Arc<Self>,
        /// The element type's `typdelim`.
        delimiter: u8,
    },
    /// `range_send`.
    Range(Arc<Self>),
    /// `multirange_send`, by the form of a bound.
    Multirange(Arc<Self>),
}

impl Form {
    /// Appends the text of one value, given what its type's send function has sent.
    ///
    /// # Errors
    /// When the bytes are not such a value, or its text is not certain. What was appended until then
    /// stays.
    #[inline]
    pub fn write(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        match self {
            Self::Scalar(scalar) => scalar.write(bytes, out),
            Self::Array { element, delimiter } => {
                container::write_array(element, *delimiter, bytes, out)
            }
            Self::Range(bound) => container::write_range(bound, bytes, out),
            Self::Multirange(bound) => container::write_multirange(bound, bytes, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every form there is, by the built-in types, and one of each kind that is made of others.
    fn forms() -> Vec<Form> {
        let scalars: Vec<Form> = (0..6000)
            .filter_map(Scalar::of_builtin)
            .map(Form::Scalar)
            .collect();
        assert!(scalars.len() > 45);
        let mut forms = scalars.clone();
        for scalar in scalars {
            let part = Arc::new(scalar);
            forms.push(Form::Range(Arc::clone(&part)));
            forms.push(Form::Multirange(Arc::clone(&part)));
            let (element, delimiter) = (part, b',');
            forms.push(Form::Array { element, delimiter });
        }
        forms
    }

    /// What looks like a value: small numbers in front, where counts and lengths are.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let field = prop_oneof![
            (0_u32..6).prop_map(|small| small.to_be_bytes().to_vec()),
            any::<[u8; 4]>().prop_map(Vec::from),
            any::<u8>().prop_map(|byte| vec![byte]),
            Just(vec![0xff; 4]),
        ];
        proptest::collection::vec(field, 0..12).prop_map(|fields| fields.concat())
    }

    proptest! {
        /// Nothing that a broken server sends may end the program.
        #[test]
        fn any_bytes_are_written_or_refused(bytes in bytes()) {
            let mut out = Vec::new();
            for form in forms() {
                out.clear();
                // Either is right; what counts is that it comes back, and with no more than that.
                if form.write(&bytes, &mut out).is_ok() {
                    prop_assert!(out.len() <= 200_000, "{form:?}: {} bytes", out.len());
                }
            }
        }

        #[test]
        fn a_value_that_is_cut_or_too_long_is_refused(integer in any::<i64>(), cut in 1_usize..8) {
            let bytes = integer.to_be_bytes();
            let mut out = Vec::new();
            for scalar in [Scalar::Int8, Scalar::Timestamp, Scalar::Float8, Scalar::Money] {
                prop_assert_eq!(scalar.write(&bytes[cut..], &mut out), Err(Refused));
                let long = [&bytes[..], &[0]].concat();
                prop_assert_eq!(scalar.write(&long, &mut out), Err(Refused));
            }
        }
    }
}
