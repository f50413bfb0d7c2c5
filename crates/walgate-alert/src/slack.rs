//! Slack's incoming webhooks, and those that take the same (Mattermost, Discord's `/slack`).
//!
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use serde_json::{Value, json};

use crate::message::{Message, cut};

/// Slack cuts longer texts.
const MOST_TEXT: usize = 3000;

/// What is posted.
pub(crate) fn text(message: &Message) -> Value {
    let mut lines = vec![format!("*{}*", escaped(&message.headline()))];
    if !message.is_over() {
        let said = [
            ("why", &message.culprit),
            ("forecast", &message.forecast),
            ("do", &message.command),
        ];
        for (name, text) in said {
            if let Some(text) = text {
                lines.push(format!("{name}: {}", escaped(text)));
            }
        }
    }
    lines.push(format!(
        "_{} · {}_",
        escaped(&message.source),
        escaped(&message.rule)
    ));
    json!({ "text": lines.join("\n") })
}

/// The three characters that Slack takes for itself.
fn escaped(text: &str) -> String {
    cut(text, MOST_TEXT)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::example;

    #[test]
    fn people_read_what_why_and_what_to_do() {
        let said = text(&example("raised", "k"));
        let said = said["text"].as_str().unwrap_or_default().to_owned();
        for part in [
            "*critical: slot walgate",
            "&lt;the budget&gt;",
            "why: walgate holds",
        ] {
            assert!(said.contains(part), "{said}");
        }
        let over = text(&example("resolved", "k"));
        let over = over["text"].as_str().unwrap_or_default().to_owned();
        assert!(
            over.starts_with("*resolved: ") && !over.contains("why"),
            "{over}"
        );
    }
}
