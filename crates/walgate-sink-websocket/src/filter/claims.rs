//! Filters that a token fills in: the row rules of a configuration.

use serde_json::Value;

use super::expression::{Expression, Literal, Predicate};
use super::parse_error::ParseError;
use super::{Filter, parser};

/// The greatest number that a claim may have to be compared: above it, JSON as many write and read it
/// does not tell neighbours apart.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A filter with places for what a token says: `experiment_id in claims.experiments`.
///
/// What a claim holds becomes a value in the tree, never a piece of text: it can't add a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    expression: Expression,
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with the text, and at which byte of it.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parser::parse_rule(text).map(|expression| Self { expression })
    }

    /// The filter for who has these claims; `claim` gives one by its name. None when one is missing, is
    /// a list where one value belongs or the other way round, or holds what no column is compared
    /// with: then nothing is known to match, also not behind a `not`.
    pub fn fill<'c>(&self, claim: impl Fn(&str) -> Option<&'c Value>) -> Option<Filter> {
        let expression = fill(&self.expression, &claim)?;
        Some(Filter { expression })
    }
}

impl Filter {
    /// Whether it surely matches no more rows than another: it is the same, with fewer values in some
    /// `in` that stands behind no `not`. Not all that are narrower are found to be.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        is_within(&self.expression, &other.expression)
    }
}

fn is_within(own: &Expression, other: &Expression) -> bool {
    let all = |own: &[Expression], other: &[Expression]| {
        let mut pairs = own.iter().zip(other);
        own.len() == other.len() && pairs.all(|(own, other)| is_within(own, other))
    };
    match (own, other) {
        (
            Expression::Test {
                column: own,
                predicate: Predicate::In(fewer),
            },
            Expression::Test {
                column: other,
                predicate: Predicate::In(more),
            },
        ) => own == other && fewer.iter().all(|literal| more.contains(literal)),
        (Expression::And(own), Expression::And(other))
        | (Expression::Or(own), Expression::Or(other)) => all(own, other),
        _ => own == other,
    }
}

fn fill<'c>(
    expression: &Expression,
    claim: &dyn Fn(&str) -> Option<&'c Value>,
) -> Option<Expression> {
    let all = |parts: &[Expression]| -> Option<Vec<Expression>> {
        parts.iter().map(|part| fill(part, claim)).collect()
    };
    Some(match expression {
        Expression::Test { column, predicate } => Expression::Test {
            column: column.clone(),
            predicate: fill_predicate(predicate, claim)?,
        },
        Expression::Not(inner) => Expression::Not(Box::new(fill(inner, claim)?)),
        Expression::And(parts) => Expression::And(all(parts)?),
        Expression::Or(parts) => Expression::Or(all(parts)?),
    })
}

fn fill_predicate<'c>(
    predicate: &Predicate,
    claim: &dyn Fn(&str) -> Option<&'c Value>,
) -> Option<Predicate> {
    let one = |literal: &Literal| match literal {
        Literal::Claim(name) => literal_of(claim(name)?),
        other => Some(other.clone()),
    };
    Some(match predicate {
        Predicate::Null => Predicate::Null,
        Predicate::Compare(comparison, literal) => Predicate::Compare(*comparison, one(literal)?),
        Predicate::Same(literal) => Predicate::Same(one(literal)?),
        Predicate::In(literals) => match literals.as_slice() {
            [Literal::Claim(name)] => {
                let values = claim(name)?.as_array()?;
                Predicate::In(values.iter().map(literal_of).collect::<Option<_>>()?)
            }
            literals => Predicate::In(literals.iter().map(one).collect::<Option<_>>()?),
        },
    })
}

fn literal_of(value: &Value) -> Option<Literal> {
    match value {
        Value::Bool(value) => Some(Literal::Bool(*value)),
        Value::String(text) => Some(Literal::Text(text.clone())),
        Value::Number(number) => {
            let is_exact = number.is_i64()
                || number.is_u64()
                || number
                    .as_f64()
                    .is_some_and(|value| value.abs() <= MAX_EXACT);
            is_exact.then(|| Literal::Number(number.to_string()))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(text: &str, claims: &Value) -> Option<String> {
        let template = Template::parse(text).expect("a rule");
        template
            .fill(|name| claims.get(name))
            .map(|filter| filter.to_string())
    }

    #[test]
    fn claims_become_values() {
        let claims = json!({"experiments": [1, 2], "team": "a' or 'b", "admin": true});
        let text = "experiment_id in claims.experiments and (team = claims.team or x = 1)";
        assert_eq!(
            filled(text, &claims).as_deref(),
            Some("experiment_id in (1, 2) and (team = 'a'' or ''b' or x = 1)")
        );
        assert_eq!(
            filled("flag = claims.admin", &claims).as_deref(),
            Some("flag = true")
        );
        assert_eq!(
            filled("team in (claims.team, 'c')", &claims).as_deref(),
            Some("team in ('a'' or ''b', 'c')")
        );
    }

    #[test]
    fn what_is_missing_or_of_another_kind_fills_nothing() {
        for claims in [
            json!({}),
            json!({"x": null}),
            json!({"x": 20}),
            json!({"x": "20"}),
            json!({"x": [[1]]}),
            json!({"x": [null]}),
            json!({"x": {"a": 1}}),
            json!({"x": [1e300]}),
        ] {
            for text in [
                "a in claims.x",
                "not a in claims.x",
                "b = 1 or a in claims.x",
            ] {
                assert_eq!(filled(text, &claims), None, "{text} {claims}");
            }
        }
        assert_eq!(filled("a = claims.x", &json!({"x": [1]})), None);
        assert_eq!(
            filled("a in claims.x", &json!({"x": []})).as_deref(),
            Some("a in ()")
        );
    }

    #[test]
    fn a_filter_of_a_client_knows_no_claims() {
        let own = Filter::parse("a = claims.x").expect("a text");
        assert_eq!(own.to_string(), "a = 'claims.x'");
        assert!(Filter::parse("a in claims.x").is_err());
        assert!(Template::parse("a in claims.").is_err());
    }

    #[test]
    fn what_is_surely_narrower_is_told_from_what_may_not_be() {
        let is_within = |own: &str, other: &str| {
            let read = |text| Filter::parse(text).expect("a filter");
            read(own).is_within(&read(other))
        };
        let of = |values| format!("a in ({values}) and not b = 1");
        assert!(is_within(&of("1, 2"), &of("2, 1, 3")));
        assert!(is_within(&of(""), &of("1")));
        assert!(is_within("a in (1) or b in (2)", "a in (1, 2) or b in (2)"));
        assert!(!is_within(&of("1, 2"), &of("1")));
        for (own, other) in [
            ("not a in (1)", "not a in (1, 2)"),
            ("not (a in (1) and b = 1)", "not (a in (1, 2) and b = 1)"),
            ("a in (1)", "b in (1)"),
            ("a = 1", "a = 2"),
            ("a in (1)", "a in (1, 2) and b = 1"),
            ("a in ('1')", "a in (1)"),
        ] {
            assert!(!is_within(own, other), "{own}: {other}");
        }
    }
}
