//! Text to tree, by recursive descent.
//!
//! Written by hand: the grammar has three levels and one context (a bare word is a name on the
//! left and a literal on the right), and a message with its place for each mistake is most of it,
//! which a parser library would not save.

use super::expression::{Comparison, Expression, Predicate};
use super::parse_error::{ParseError, ParseErrorKind};
use super::scanner::Scanner;
use super::{MAX_DEPTH, MAX_FILTER_BYTES, MAX_TESTS, MAX_VALUES};

const AFTER_COLUMN: &str = "=, <>, <, <=, >, >=, in, between or is behind the column";

/// Two characters before one, or `<=` would be `<`.
const COMPARISONS: [(&str, Comparison); 7] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<>", Comparison::NotEqual),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Expression, ParseError> {
    whole(text, Scanner::new(text))
}

/// Reads a whole text in which `claims.name` stands for what a token says.
pub(super) fn parse_rule(text: &str) -> Result<Expression, ParseError> {
    whole(text, Scanner::of_rule(text))
}

fn whole(text: &str, scanner: Scanner<'_>) -> Result<Expression, ParseError> {
    let mut parser = Parser { scanner, tests: 0 };
    if text.len() > MAX_FILTER_BYTES {
        let kind = ParseErrorKind::TooLong(text.len());
        let at = MAX_FILTER_BYTES;
        return Err(ParseError { kind, at });
    }
    if parser.scanner.is_at_end() {
        return parser.scanner.error(ParseErrorKind::Empty);
    }
    let expression = parser.disjunction(0)?;
    if !parser.scanner.is_at_end() {
        return parser.scanner.expected("and, or, or the end");
    }
    Ok(expression)
}

struct Parser<'a> {
    scanner: Scanner<'a>,
    tests: usize,
}

impl Parser<'_> {
    fn disjunction(&mut self, depth: usize) -> Result<Expression, ParseError> {
        let mut parts = vec![self.conjunction(depth)?];
        while self.scanner.keyword("or") {
            parts.push(self.conjunction(depth)?);
        }
        Ok(Expression::any(parts))
    }

    fn conjunction(&mut self, depth: usize) -> Result<Expression, ParseError> {
        let mut parts = vec![self.condition(depth)?];
        while self.scanner.keyword("and") {
            parts.push(self.condition(depth)?);
        }
        Ok(Expression::all(parts))
    }

    fn condition(&mut self, depth: usize) -> Result<Expression, ParseError> {
        let mut inner = self.scanner;
        if inner.symbol("(") {
            let depth = self.deeper(depth)?;
            self.scanner = inner;
            let expression = self.disjunction(depth)?;
            if !self.scanner.symbol(")") {
                return self.scanner.expected("and, or, or )");
            }
            Ok(expression)
        } else if inner.keyword("not") {
            let depth = self.deeper(depth)?;
            self.scanner = inner;
            Ok(self.condition(depth)?.negated())
        } else {
            self.test(depth)
        }
    }

    fn test(&mut self, depth: usize) -> Result<Expression, ParseError> {
        self.count_test()?;
        let column = self.scanner.name()?;
        if self.scanner.keyword("is") {
            return self.is_test(column, depth);
        }
        let negated = self.scanner.keyword("not");
        let depth = if negated { self.deeper(depth)? } else { depth };
        let expression = if self.scanner.keyword("in") {
            let predicate = Predicate::In(self.values()?);
            Expression::Test { column, predicate }
        } else if self.scanner.keyword("between") {
            self.between(column, depth)?
        } else if negated {
            return self.unsupported_or("in or between behind not");
        } else {
            let comparison = self.comparison()?;
            let predicate = Predicate::Compare(comparison, self.scanner.literal()?);
            Expression::Test { column, predicate }
        };
        Ok(if negated {
            expression.negated()
        } else {
            expression
        })
    }

    fn comparison(&mut self) -> Result<Comparison, ParseError> {
        if self.scanner.is_at_end() {
            return self.scanner.expected(AFTER_COLUMN);
        }
        if self.scanner.is_next("==") {
            let reason = "there is no ==; equality is one =";
            return self.scanner.error(ParseErrorKind::Unsupported(reason));
        }
        for (symbol, comparison) in COMPARISONS {
            if self.scanner.symbol(symbol) {
                return Ok(comparison);
            }
        }
        self.unsupported_or(AFTER_COLUMN)
    }

    /// `is [not] null` and `is [not] distinct from`; `is` was read.
    fn is_test(&mut self, column: String, depth: usize) -> Result<Expression, ParseError> {
        let mut negated = self.scanner.keyword("not");
        let predicate = if self.scanner.keyword("null") {
            Predicate::Null
        } else if self.scanner.keyword("distinct") {
            if !self.scanner.keyword("from") {
                return self.scanner.expected("from");
            }
            // What is distinct is not the same.
            negated = !negated;
            if self.scanner.keyword("null") {
                Predicate::Null
            } else {
                Predicate::Same(self.scanner.literal()?)
            }
        } else {
            return self.scanner.expected("null or distinct from");
        };
        let expression = Expression::Test { column, predicate };
        if negated {
            self.deeper(depth)?;
            return Ok(expression.negated());
        }
        Ok(expression)
    }

    /// `between low and high`, of which `between` was read: two tests.
    fn between(&mut self, column: String, depth: usize) -> Result<Expression, ParseError> {
        // Its text as a tree has parentheses where a not is in front of it.
        self.deeper(depth)?;
        self.count_test()?;
        let low = self.scanner.literal()?;
        if !self.scanner.keyword("and") {
            return self
                .scanner
                .expected("and, with the upper bound of between");
        }
        let high = self.scanner.literal()?;
        let bound = |comparison, literal| Expression::Test {
            column: column.clone(),
            predicate: Predicate::Compare(comparison, literal),
        };
        Ok(Expression::all(vec![
            bound(Comparison::GreaterOrEqual, low),
            bound(Comparison::LessOrEqual, high),
        ]))
    }

    /// `(literal, …)`; in a rule also `claims.name`.
    fn values(&mut self) -> Result<Vec<super::Literal>, ParseError> {
        // A claim is a list itself.
        if let Some(claim) = self.scanner.claim() {
            return Ok(vec![claim]);
        }
        if !self.scanner.symbol("(") {
            return self.scanner.expected("( behind in");
        }
        let mut values = Vec::new();
        if self.scanner.symbol(")") {
            return Ok(values);
        }
        loop {
            if values.len() == MAX_VALUES {
                return self.scanner.error(ParseErrorKind::TooManyValues);
            }
            values.push(self.scanner.literal()?);
            if self.scanner.symbol(")") {
                return Ok(values);
            }
            if !self.scanner.symbol(",") {
                return self.scanner.expected(", or ) in the list");
            }
        }
    }

    fn deeper(&mut self, depth: usize) -> Result<usize, ParseError> {
        if depth == MAX_DEPTH {
            return self.scanner.error(ParseErrorKind::TooDeep);
        }
        Ok(depth + 1)
    }

    fn count_test(&mut self) -> Result<(), ParseError> {
        if self.tests == MAX_TESTS {
            return self.scanner.error(ParseErrorKind::TooManyTests);
        }
        self.tests += 1;
        Ok(())
    }

    /// An error that says what SQL has there and filters have not, or what was to come.
    fn unsupported_or<T>(&mut self, expected: &'static str) -> Result<T, ParseError> {
        let word = self.scanner.peek_word();
        if ["like", "ilike", "similar"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(word))
        {
            let reason = "filters have no patterns; use =, in, or a range with >= and <";
            return self.scanner.error(ParseErrorKind::Unsupported(reason));
        }
        self.scanner.expected(expected)
    }
}
