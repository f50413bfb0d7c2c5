use std::time::{Duration, Instant};

use super::tests::{LOOK, dwell, facts, guard, look};
use super::*;

/// What is told to one who hears of everything.
pub(super) fn telling() -> Telling {
    Telling {
        least: Level::Warning,
        repeat: Some(Duration::from_secs(600)),
        channels: vec!["webhook".to_owned()],
    }
}

/// The kinds and levels of what is told.
pub(super) fn kinds(notices: &[Notice]) -> Vec<(&'static str, Level)> {
    let of = notices.iter();
    of.map(|notice| (notice.kind.name(), notice.level))
        .collect()
}

pub(super) fn acknowledge(book: &mut Book, now: u64, notices: &[Notice]) {
    for notice in notices {
        for channel in &notice.channels {
            answer(book, now, notice, channel, true);
        }
    }
}

fn answer(book: &mut Book, now: u64, notice: &Notice, channel: &str, arrived: bool) {
    let level = match notice.kind {
        Kind::Resolved => Level::Ok,
        _ => notice.level,
    };
    let answer = Answer {
        rule: &notice.rule,
        subject: &notice.subject,
        channel,
        level,
        arrived,
    };
    book.answered(now, &answer);
}

#[test]
fn an_alert_is_told_once_at_each_level_and_repeated_and_resolved() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let mut book = Book::default();
    let mut told = Vec::new();
    let mut wall = 1_000_000;
    let phases = [(750, 60), (950, 60), (980, 1300), (10, 300)];
    for (retained, seconds) in phases {
        for _ in 0..seconds / 5 {
            (now, wall) = (now + LOOK, wall + 5);
            let verdict = guard.judge(now, &facts(retained));
            let notices = book.update(wall, &verdict.standings, &telling());
            acknowledge(&mut book, wall, &notices);
            told.extend(kinds(&notices));
            // As if the process had ended and begun again after each look.
            let kept = book.to_json();
            book = Book::from_json(&kept).expect("what was written");
        }
    }
    assert_eq!(
        told,
        [
            ("raised", Level::Warning),
            ("escalated", Level::Critical),
            ("escalated", Level::Emergency),
            ("repeated", Level::Emergency),
            ("repeated", Level::Emergency),
            ("resolved", Level::Emergency),
        ]
    );
    assert_eq!(book.standing().count(), 0);
}

#[test]
fn what_nobody_has_heard_yet_is_told_again_by_the_next_process() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let mut book = Book::default();
    let verdict = look(&mut guard, &mut now, 20, &facts(980));
    let notices = book.update(1000, &verdict.standings, &telling());
    assert_eq!(kinds(&notices), [("raised", Level::Emergency)]);
    assert!(
        book.update(1005, &verdict.standings, &telling()).is_empty(),
        "it is being told"
    );
    let mut next = Book::from_json(&book.to_json()).expect("what was written");
    let again = next.update(1010, &verdict.standings, &telling());
    assert_eq!(kinds(&again), [("raised", Level::Emergency)]);
    acknowledge(&mut next, 1010, &again);
    // The guard of the next process goes on where the last one was.
    let mut guard = Guard::new(Rules::default(), dwell(), &next);
    assert_eq!(
        guard.judge(now + LOOK, &facts(980)).level(),
        Level::Emergency
    );
    // A clock that jumps ahead repeats it; one that is set back does not silence it for longer.
    let jumped = next.update(900_000, &verdict.standings, &telling());
    assert_eq!(kinds(&jumped), [("repeated", Level::Emergency)]);
    acknowledge(&mut next, 900_000, &jumped);
    assert!(next.update(1000, &verdict.standings, &telling()).is_empty());
    assert_eq!(next.update(1600, &verdict.standings, &telling()).len(), 1);
}

#[test]
fn an_end_is_told_once_and_over_when_changes_flow() {
    let end = |why: &str| Standing::of_end("walgate", Rule::Down, why.to_owned(), String::new());
    let mut book = Book::default();
    let raised = book.raise(1000, &end("no route"), &telling());
    assert_eq!(kinds(&raised), [("raised", Level::Critical)]);
    acknowledge(&mut book, 1000, &raised);
    // A supervisor starts it again and again.
    let mut book = Book::from_json(&book.to_json()).expect("what was written");
    assert_eq!(book.raise(1010, &end("no route"), &telling()), []);
    let (mut guard, mut now) = (Guard::new(Rules::default(), dwell(), &book), Instant::now());
    let mut facts = facts(0);
    let verdict = look(&mut guard, &mut now, 300, &facts);
    assert!(
        book.update(1310, &verdict.standings, &telling()).is_empty(),
        "not known yet"
    );
    facts.streaming = Some(true);
    let verdict = look(&mut guard, &mut now, 300, &facts);
    let notices = book.update(1610, &verdict.standings, &telling());
    assert_eq!(kinds(&notices), [("resolved", Level::Critical)]);
}

#[test]
fn nonsense_is_no_book() {
    for text in ["", "{", "[]", r#"{"v":1,"alerts":{}}"#] {
        assert!(Book::from_json(text.as_bytes()).is_err(), "{text}");
    }
}

/// Two who are told, of whom one does not answer.
fn two() -> Telling {
    Telling {
        channels: vec!["pagerduty".to_owned(), "slack".to_owned()],
        ..telling()
    }
}

fn end() -> Standing {
    let why = "no route".to_owned();
    Standing::of_end("walgate", Rule::Down, why, String::new())
}

fn again(book: &Book) -> Book {
    Book::from_json(&book.to_json()).expect("what was written")
}

/// Whom what is told.
fn whom(notices: &[Notice]) -> Vec<(&'static str, Vec<&str>)> {
    let mut whom = Vec::new();
    for notice in notices {
        let channels = notice.channels.iter().map(String::as_str);
        whom.push((notice.kind.name(), channels.collect()));
    }
    whom
}

#[test]
fn each_channel_is_told_also_when_another_one_was_before_a_restart() {
    let mut book = Book::default();
    let raised = book.update(1000, &[end()], &two());
    assert_eq!(whom(&raised), [("raised", vec!["pagerduty", "slack"])]);
    answer(&mut book, 1001, &raised[0], "slack", true);
    let mut book = again(&book);
    let raised = book.update(1010, &[end()], &two());
    assert_eq!(whom(&raised), [("raised", vec!["pagerduty"])]);
    acknowledge(&mut book, 1011, &raised);
    let over = book.update(1020, &[], &two());
    assert_eq!(whom(&over), [("resolved", vec!["pagerduty", "slack"])]);
    answer(&mut book, 1021, &over[0], "slack", true);
    // The incident is still open, and is closed by the next process.
    let mut book = again(&book);
    let over = book.update(1030, &[], &two());
    assert_eq!(whom(&over), [("resolved", vec!["pagerduty"])]);
    acknowledge(&mut book, 1031, &over);
    assert_eq!(book.standing().count(), 0);
    // A channel that is new hears of what stands, and one that is gone is not waited for.
    let raised = book.update(2000, &[end()], &telling());
    acknowledge(&mut book, 2001, &raised);
    let raised = book.update(2005, &[end()], &two());
    assert_eq!(whom(&raised), [("raised", vec!["pagerduty", "slack"])]);
}

#[test]
fn what_did_not_arrive_is_told_again_after_a_while() {
    let mut book = Book::default();
    let raised = book.update(1000, &[end()], &two());
    answer(&mut book, 1001, &raised[0], "slack", false);
    answer(&mut book, 1001, &raised[0], "pagerduty", true);
    assert_eq!(book.update(1005, &[end()], &two()), []);
    let later = book.update(1301, &[end()], &two());
    assert_eq!(whom(&later), [("raised", vec!["slack"])]);
    answer(&mut book, 1302, &later[0], "slack", false);
    let over = book.update(1310, &[], &two());
    assert_eq!(
        whom(&over),
        [("resolved", vec!["pagerduty"])],
        "it knows of nothing"
    );
    // Whoever does not take that it is over is told for a day.
    answer(&mut book, 1311, &over[0], "pagerduty", false);
    assert_eq!(book.update(1320, &[], &two()), []);
    assert_eq!(book.update(1700, &[], &two()).len(), 1);
    assert_eq!(book.standing().count(), 1);
    book.update(1310 + 24 * 3600, &[], &two());
    assert_eq!(book.standing().count(), 0);
}

#[test]
fn what_is_worse_than_what_did_not_arrive_is_told_at_once() {
    let mut standing = end();
    let mut book = Book::default();
    let raised = book.update(1000, &[standing.clone()], &telling());
    answer(&mut book, 1001, &raised[0], "webhook", false);
    standing.level = Level::Emergency;
    let raised = book.update(1002, &[standing.clone()], &telling());
    assert_eq!(kinds(&raised), [("raised", Level::Emergency)]);
    // An answer that comes late says nothing of what was told since.
    let mut late = raised[0].clone();
    late.level = Level::Critical;
    answer(&mut book, 1003, &late, "webhook", true);
    acknowledge(&mut book, 1004, &raised);
    assert_eq!(book.update(1005, &[standing.clone()], &telling()), []);
    // Nobody answers any more: the channels are others now.
    standing.level = Level::Critical;
    assert_eq!(book.update(1006, &[standing.clone()], &telling()).len(), 1);
    assert_eq!(book.update(1007, &[standing.clone()], &telling()), []);
    book.forget_answers();
    assert_eq!(book.update(1008, &[standing], &telling()).len(), 1);
}

#[test]
fn what_was_told_by_one_that_waited_is_over_when_it_has_taken_over() {
    let inactive = Standing::of_end("walgate", Rule::SlotInactive, String::new(), String::new());
    let mut leader = Book::default();
    let raised = leader.update(1000, &[end()], &telling());
    acknowledge(&mut leader, 1001, &raised);
    let mut waited = Book::default();
    let raised = waited.update(1100, &[inactive], &telling());
    acknowledge(&mut waited, 1101, &raised);
    waited.take_over(again(&leader));
    let standing: Vec<_> = waited.standing().map(|(rule, ..)| rule).collect();
    assert_eq!(standing, ["down", "slot_inactive"]);
    let over = waited.update(1200, &[end()], &telling());
    assert_eq!(kinds(&over), [("resolved", Level::Critical)]);
    assert_eq!(over[0].rule, "slot_inactive");
}
