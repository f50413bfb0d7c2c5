//! What clients want, and what the log is for them: said once more, plainly.

use std::collections::BTreeSet;
use std::sync::Arc;

use walgate_core::Position;

use super::log::{COLUMNS, LEVELS, Logged, Row, TABLES, What};
use crate::access::{Rights, Rule, RuleText};
use crate::interest::Interest;
use crate::protocol::Wanted;
use crate::subscription::Subscription;

/// A condition on a row.
#[derive(Debug, Clone, Copy)]
enum Where {
    Any,
    Grp(u32),
    GrpIn(u32, u32),
    NotLevel(usize),
    Both(u32, usize),
}

impl Where {
    fn random(random: &mut fastrand::Rng) -> Self {
        let (one, other) = (random.u32(0..4), random.u32(0..4));
        let level = random.usize(0..LEVELS.len());
        match random.u8(0..6) {
            0 | 1 => Self::Any,
            2 => Self::Grp(one),
            3 => Self::GrpIn(one, other),
            4 => Self::NotLevel(level),
            _ => Self::Both(one, level),
        }
    }

    fn sql(self) -> Option<String> {
        Some(match self {
            Self::Any => return None,
            Self::Grp(grp) => format!("grp = {grp}"),
            Self::GrpIn(one, other) => format!("grp in ({one}, {other})"),
            Self::NotLevel(level) => format!("not level = '{}'", LEVELS[level]),
            Self::Both(grp, level) => format!("grp >= {grp} and level = '{}'", LEVELS[level]),
        })
    }

    fn is_true(self, row: Row) -> bool {
        match self {
            Self::Any => true,
            Self::Grp(grp) => row.grp == Some(grp),
            Self::GrpIn(one, other) => row.grp == Some(one) || row.grp == Some(other),
            Self::NotLevel(level) => row.level != level,
            Self::Both(grp, level) => row.grp.is_some_and(|own| own >= grp) && row.level == level,
        }
    }
}

/// A subscription.
#[derive(Debug, Clone)]
struct Want {
    /// None: all.
    table: Option<usize>,
    ops: Vec<&'static str>,
    condition: Where,
    columns: Option<BTreeSet<&'static str>>,
}

enum Found {
    Nothing,
    Leave,
    Event,
}

impl Want {
    fn random(random: &mut fastrand::Rng) -> Self {
        let ops = ["insert", "update", "delete", "truncate", "message"];
        let columns = [&["grp"][..], &["level"], &["id", "level"]];
        Self {
            table: [None, Some(0), Some(1)][random.usize(0..3)],
            ops: match random.u8(0..4) {
                0 => random.choose_multiple(ops, 3),
                _ => Vec::new(),
            },
            condition: Where::random(random),
            columns: (random.u8(0..3) == 0)
                .then(|| columns[random.usize(0..3)].iter().copied().collect()),
        }
    }

    /// `rule` says of a row whether it may be seen.
    fn judge(&self, logged: &Logged, rule: impl Fn(Row) -> bool) -> Found {
        let shown = |row| rule(row) && self.condition.is_true(row);
        let op = match logged.what {
            What::Begin | What::Commit => return Found::Nothing,
            What::Message => "message",
            What::Truncate => "truncate",
            What::Insert(_) => "insert",
            What::Update(..) => "update",
            What::Delete(_) => "delete",
        };
        if !self.ops.is_empty() && !self.ops.contains(&op) {
            return Found::Nothing;
        }
        let about = match logged.what {
            What::Message => self.table.is_none(),
            _ => self.table.is_none_or(|table| table == logged.table),
        };
        let (was, is) = match logged.what {
            What::Insert(row) | What::Delete(row) => (false, shown(row)),
            What::Update(old, new) => (shown(old), shown(new)),
            _ => (false, true),
        };
        match (about, was, is) {
            (true, _, true) => Found::Event,
            (true, true, false) => Found::Leave,
            _ => Found::Nothing,
        }
    }
}

/// What a connection wants.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    wants: Vec<Want>,
    pub(super) transactions: bool,
    /// Values of `grp` that its token shows; none for all rows.
    rule: Option<BTreeSet<u32>>,
}

/// An event that a client is given.
pub(super) type Event = (Position, String);

impl Wish {
    pub(super) fn random(random: &mut fastrand::Rng) -> Self {
        let wants = (0..random.usize(1..3)).map(|_| Want::random(random));
        Self {
            wants: wants.collect(),
            transactions: random.u8(0..3) == 0,
            rule: (random.u8(0..3) == 0).then(|| (0..4).filter(|_| random.bool()).collect()),
        }
    }

    /// The same with a token that shows less.
    pub(super) fn narrowed(&self, random: &mut fastrand::Rng) -> Self {
        let all = self.rule.clone().unwrap_or_else(|| (0..4).collect());
        let rule = all.into_iter().filter(|_| random.bool()).collect();
        Self {
            rule: Some(rule),
            ..self.clone()
        }
    }

    fn rights(&self) -> Rights {
        let Some(shown) = &self.rule else {
            return Rights::default();
        };
        let tables = ["s.*".to_owned()];
        let rule = Rule::new(RuleText {
            tables: &tables,
            rows: Some("grp in claims.grps"),
            ..RuleText::default()
        });
        let claims = [("grps".to_owned(), serde_json::json!(shown))];
        let claims = claims.into_iter().collect::<serde_json::Map<_, _>>();
        Rights::new(None, &[rule.expect("a rule")], &claims.into())
    }

    pub(super) fn interest(&self) -> Interest {
        let all = self.wants.iter().map(|want| {
            let table = want
                .table
                .map_or_else(|| "*".to_owned(), |own| format!("s.{}", TABLES[own]));
            let columns = want.columns.as_ref();
            let wanted = Wanted {
                tables: vec![table],
                ops: want.ops.iter().map(|op| (*op).to_owned()).collect(),
                filter: want.condition.sql(),
                columns: columns.map(|own| own.iter().map(|name| (*name).to_owned()).collect()),
                transactions: self.transactions,
                ..Wanted::default()
            };
            Subscription::parse(&wanted).expect("a subscription")
        });
        Interest::new(Arc::new(self.rights()), all.collect())
    }

    /// The log behind `after` up to `upto`, as it is for this client.
    pub(super) fn filtered(
        &self,
        log: &[Arc<Logged>],
        after: Position,
        upto: Position,
        out: &mut Vec<Event>,
    ) {
        let mut own = Vec::new();
        let mut changes = 0;
        for logged in log {
            if logged.position.index() <= Position::BEGIN {
                changes = 0;
            }
            let at = logged.position;
            if let What::Commit = logged.what {
                if changes > 0 && self.transactions {
                    own.push((at, format!("commit {at} {changes}")));
                }
                continue;
            }
            let Some(text) = self.text(logged) else {
                continue;
            };
            if changes == 0 && self.transactions && at.index() > 0 {
                let begin = Position::new(at.epoch(), at.lsn(), Position::BEGIN);
                own.push((begin, format!("begin {begin}")));
            }
            changes += 1;
            own.push((at, text));
        }
        out.extend(own.into_iter().filter(|(at, _)| *at > after && *at <= upto));
    }

    fn text(&self, logged: &Logged) -> Option<String> {
        let (mut leaves, mut given) = (false, Vec::new());
        for want in &self.wants {
            let shown = |row: Row| match (&self.rule, row.grp) {
                (None, _) => true,
                (Some(rule), grp) => grp.is_some_and(|grp| rule.contains(&grp)),
            };
            match want.judge(logged, shown) {
                Found::Nothing => {}
                Found::Leave => leaves = true,
                Found::Event => given.push(want.columns.as_ref()),
            }
        }
        let (at, table) = (logged.position, TABLES[logged.table]);
        let (op, row) = match logged.what {
            What::Begin | What::Commit => return None,
            What::Message => return (!given.is_empty()).then(|| format!("message {at}")),
            What::Truncate => return (!given.is_empty()).then(|| format!("truncate {at} {table}")),
            What::Insert(row) => ("insert", row),
            What::Update(_, row) => ("update", row),
            What::Delete(row) => ("delete", row),
        };
        if given.is_empty() {
            return leaves.then(|| format!("leave {at} {table} {}", row.id));
        }
        let shown = |name: &&&str| {
            let has =
                |columns: &Option<&BTreeSet<&str>>| columns.is_none_or(|own| own.contains(**name));
            **name == "id" || given.iter().any(has)
        };
        let names: Vec<_> = COLUMNS.iter().filter(shown).copied().collect();
        Some(format!("{op} {at} {table} {} {}", row.id, names.join(" ")))
    }
}
