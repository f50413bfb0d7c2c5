//! What was found, for people.

use walgate_slot::TimeLeft;
use walgate_slot::words::{bytes, duration, rate};

use super::report::{Report, SlotReport};
use crate::journal_command::table as columns;

/// An eighth of a line's height more each.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The table, then why log is held back, then what the numbers mean.
pub(super) fn render(report: &Report, with_past: bool) -> String {
    let mut text = String::new();
    if report.slots.is_empty() {
        text.push_str("there are no replication slots\n");
    } else {
        text.push_str(&columns(&rows(report, with_past), &[2, 3, 4, 5]));
    }
    for slot in &report.slots {
        if let Some(why) = &slot.why {
            text.push_str(&format!("\nwhy: {}\n", clean(why)));
            if let Some(fix) = &slot.fix {
                text.push_str(&format!("fix: {}\n", clean(fix)));
            }
        }
    }
    text.push('\n');
    text.push_str(&server(report));
    text
}

fn rows(report: &Report, with_past: bool) -> Vec<Vec<String>> {
    let mut heading = vec![
        "SLOT",
        "DATABASE",
        "RETAINED",
        "RATE",
        "FULL IN",
        "IF STOPPED",
        "DANGER",
        "STATE",
        "CULPRIT",
        "CONSUMER",
    ];
    if with_past {
        heading.insert(3, "PAST");
    }
    let heading = heading.into_iter().map(str::to_owned).collect();
    let slots = report.slots.iter().map(|slot| row(slot, with_past));
    std::iter::once(heading).chain(slots).collect()
}

fn row(slot: &SlotReport, with_past: bool) -> Vec<String> {
    let newest_rate = ["1m", "15m", "60m"]
        .iter()
        .find_map(|window| slot.trend_bytes_per_second.get(window).copied().flatten());
    let mark = if slot.ours { "*" } else { "" };
    let mut row = vec![
        format!("{}{mark}", slot.slot),
        slot.database
            .as_deref()
            .map_or_else(|| "-".to_owned(), clean),
        slot.retained_bytes.map_or_else(|| "-".to_owned(), bytes),
        newest_rate.map_or_else(|| "?".to_owned(), rate),
        left(slot.at_trend),
        left(slot.if_stopped),
        match slot.danger {
            "unknown" => "?".to_owned(),
            "near" => "NEAR".to_owned(),
            "reached" => "REACHED".to_owned(),
            other => other.to_owned(),
        },
        slot.state.to_owned(),
        slot.culprit.to_owned(),
        slot.consumer
            .as_deref()
            .map_or_else(|| "-".to_owned(), clean),
    ];
    if with_past {
        row.insert(3, sparkline(&slot.past));
    }
    row
}

fn left(left: TimeLeft) -> String {
    match left {
        TimeLeft::Never => "never".to_owned(),
        TimeLeft::In(time) => duration(time),
        TimeLeft::NoLimit => "no limit".to_owned(),
        TimeLeft::Unknown => "?".to_owned(),
    }
}

/// A bar for each number, from nothing to the highest.
fn sparkline(past: &[u64]) -> String {
    let highest = past.iter().copied().max().unwrap_or(0).max(1);
    let bar = |number: u64| {
        // Rounded down: only the highest fills its place.
        let eighths = u128::from(number) * 7 / u128::from(highest);
        let bar = usize::try_from(eighths).ok().and_then(|at| BARS.get(at));
        bar.copied().unwrap_or('█')
    };
    past.iter().copied().map(bar).collect()
}

/// Names and statements come from other sessions: no control character of theirs reaches the
/// terminal, nor one that turns the direction of the text.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            char if char.is_control() => '\u{fffd}',
            char => char,
        })
        .collect()
}

fn server(report: &Report) -> String {
    let server = &report.server;
    let mut text = format!(
        "PostgreSQL {} at {}{}: log at {}",
        clean(&server.version),
        server.endpoint,
        if server.in_recovery {
            ", a standby"
        } else {
            ""
        },
        server.wal_lsn.as_deref().unwrap_or("?"),
    );
    if let Some(Some(speed)) = server.wal_bytes_per_second.get("1m") {
        text.push_str(&format!(", written at {}", rate(*speed)));
    }
    let most = server.settings.get("max_replication_slots");
    if let Some(Some(most)) = most {
        text.push_str(&format!("; {} of {most} slots", report.slots.len()));
    }
    text.push('\n');
    text.push_str(&match server.keep_size_bytes {
        Some(limit) => format!("max_slot_wal_keep_size: {}\n", bytes(limit)),
        None => {
            "max_slot_wal_keep_size is -1: a slot that nobody reads can fill the server's disk\n"
                .to_owned()
        }
    });
    text.push_str(&format!(
        "FULL IN: at the steepest trend of the last 1, 15 and 60 minutes. IF STOPPED: if the consumer \
         stopped now,\nat the highest rate of 15 minutes that was seen in {}{}.\n\
         Faster bursts are not counted.\n",
        duration(std::time::Duration::from_secs_f64(
            server.measured_seconds.round().max(0.0)
        )),
        server
            .average_wal_bytes_per_second
            .map_or_else(String::new, |average| format!(
                ", or at the long average of {} where that is more",
                rate(average)
            )),
    ));
    for unseen in &report.unseen {
        text.push_str(&format!("not seen: {}\n", clean(unseen)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_past() {
        assert_eq!(sparkline(&[0, 1, 4, 7, 7]), "▁▂▅██");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[u64::MAX]), "█");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn control_characters_stay_out() {
        assert_eq!(clean("a\u{202e}b\u{2066}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(clean("a\x1b[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
    }
}
