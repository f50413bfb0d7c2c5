//! Options of every command.

use clap::{ArgAction, Args, ValueEnum};

use crate::config::LogFormat;

/// Options of every command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct GlobalArgs {
    /// Say more on stderr; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet", help_heading = "Output")]
    pub verbose: u8,
    /// Say less on stderr: only warnings; twice for errors only
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub quiet: u8,
    /// For whom the log on stderr is [default: as the configuration says, else human]
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        help_heading = "Output"
    )]
    pub log_format: Option<LogFormat>,
    /// When to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Output"
    )]
    pub color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// Whether to use colours on an output that is a terminal or not.
    ///
    /// `no_color` is the variable `NO_COLOR`, which counts when it is not empty
    /// (<https://no-color.org>).
    pub fn applies(self, is_terminal: bool, no_color: Option<&std::ffi::OsStr>) -> bool {
        match self {
            Self::Auto => is_terminal && no_color.is_none_or(std::ffi::OsStr::is_empty),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn colours_follow_the_terminal_and_no_color() {
        assert!(Color::Auto.applies(true, None));
        assert!(Color::Auto.applies(true, Some(OsStr::new(""))));
        assert!(!Color::Auto.applies(true, Some(OsStr::new("1"))));
        assert!(!Color::Auto.applies(false, None));
        assert!(Color::Always.applies(false, Some(OsStr::new("1"))));
        assert!(!Color::Never.applies(true, None));
    }
}
