//! How a command ends: what is printed, and the exit code.

use walgate_core::Failure;

use crate::config::Problems;

/// The exit code of what has no code of its own.
pub const OTHER: u8 = 1;

/// Why a command ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum Ending {
    /// The configuration is wrong; each problem is printed.
    #[error(transparent)]
    Config(#[from] Problems),
    /// Something that needs a human.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// Everything else.
    #[error("{message}")]
    Other {
        /// What happened: lowercase, no period.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Nobody reads our output any more (`| head`): no error, nothing to say.
    #[error("standard output is closed")]
    OutputClosed,
}

impl Ending {
    /// Everything else.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other {
            message: message.into(),
            hint: None,
        }
    }

    /// Everything else, with what to do about it.
    pub fn other_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Other {
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// An error of writing to standard output.
    pub fn of_output(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::other(format!("can't write to standard output: {error}"))
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => walgate_core::StopReason::Config.exit_code(),
            Self::Failure(failure) => failure.reason.exit_code(),
            Self::Other { .. } => OTHER,
            Self::OutputClosed => 0,
        }
    }

    /// What is printed on stderr: `error: …` and, where there is one, `hint: …`, for each problem.
    pub fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        match self {
            Self::Config(problems) => {
                for failure in problems.failures() {
                    write_failure(&mut text, &failure.message, failure.hint.as_deref(), colour);
                }
            }
            Self::Failure(failure) => {
                write_failure(&mut text, &failure.message, failure.hint.as_deref(), colour);
            }
            Self::Other { message, hint } => {
                write_failure(&mut text, message, hint.as_deref(), colour);
            }
            Self::OutputClosed => {}
        }
        text
    }
}

fn write_failure(text: &mut String, message: &str, hint: Option<&str>, colour: bool) {
    let (error, note) = if colour {
        ("\x1b[1;31merror\x1b[0m", "\x1b[1;36mhint\x1b[0m")
    } else {
        ("error", "hint")
    };
    text.push_str(&format!("{error}: {}\n", one_paragraph(message)));
    if let Some(hint) = hint {
        text.push_str(&format!("{note}: {}\n", one_paragraph(hint)));
    }
}

/// Messages come from servers too: control characters must not reach the terminal.
fn one_paragraph(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use walgate_core::StopReason;

    use super::*;

    #[test]
    fn prints_error_and_hint() {
        let failure =
            Failure::new(StopReason::SlotBusy, "slot walgate is in use").hint("stop the other one");
        let ending = Ending::from(failure);
        assert_eq!(
            ending.render(false),
            "error: slot walgate is in use\nhint: stop the other one\n"
        );
        assert_eq!(ending.exit_code(), 5);
        assert!(
            ending
                .render(true)
                .starts_with("\x1b[1;31merror\x1b[0m: slot")
        );
    }

    #[test]
    fn control_characters_stay_out() {
        let ending = Ending::other("bad \x1b]0;title\x07 text");
        assert!(!ending.render(false).contains('\x1b'));
        assert_eq!(ending.exit_code(), 1);
    }

    #[test]
    fn a_closed_pipe_is_a_clean_end() {
        let ending = Ending::of_output(&std::io::ErrorKind::BrokenPipe.into());
        assert_eq!(
            (ending.exit_code(), ending.render(false)),
            (0, String::new())
        );
    }
}
