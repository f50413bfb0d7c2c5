//! `main`: arguments in, exit code out.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::args::{Args, Command, GatewayArgs, GlobalArgs, RunArgs};
use crate::config::{LogFormat, LogLevel, Overrides, Surroundings, load};
use crate::ending::{Ending, OTHER};
use crate::logging::{self, LogHandle};
use crate::terminal::Terminal;
use crate::{
    alerts, check, completions, config_command, demo, diff, follow, gateway, journal_command,
    manual, record, replay, rewind, run, slots, status, tail,
};

/// What a command has besides its arguments.
#[derive(Debug, Clone)]
pub struct Console {
    /// stderr: log entries and the status line.
    pub terminal: Arc<Terminal>,
    /// Changes the level of the log.
    pub log: LogHandle,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether to use colours on stdout.
    pub stdout_colour: bool,
    /// Whether only warnings are wanted on stderr.
    pub quiet: bool,
}

/// Runs the program.
pub fn entry(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    std::panic::set_hook(Box::new(report_panic));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let args: Vec<_> = args.into_iter().collect();
        let args = match Args::try_parse_from(args) {
            Ok(args) => args,
            Err(error) => return usage(&error),
        };
        let colour = stderr_colour(&args.global);
        match dispatch(&args) {
            Ok(()) => 0,
            Err(ending) => {
                to_stderr(&ending.render(colour));
                ending.exit_code()
            }
        }
    }));
    ExitCode::from(ended.unwrap_or(OTHER))
}

fn dispatch(args: &Args) -> Result<(), Ending> {
    match &args.command {
        Command::Run(run) => start_run(&args.global, run),
        Command::Gateway(asked) => start_gateway(&args.global, asked),
        Command::Tail(tail) => {
            let console = console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            tail::tail(tail, &console)
        }
        Command::Follow(asked) => {
            let console = console(&args.global, LogLevel::Info, LogFormat::Human)?;
            follow::follow(asked, &console)
        }
        Command::Demo(demo) => {
            let console = console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            demo::demo(demo, &console)
        }
        Command::Check(asked) => {
            let console = console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            check::check(asked, &console)
        }
        Command::Slots(asked) => {
            let console = console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            slots::slots(asked, &console)
        }
        Command::Status(asked) => {
            console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            let said = status::status(asked)?;
            to_stdout(said.text.as_bytes())?;
            said.trouble.map_or(Ok(()), Err)
        }
        Command::Alerts(asked) => {
            console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            alerts::alerts(&asked.command)
        }
        Command::Journal(journal) => {
            console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            let said = journal_command::journal_command(&journal.command)?;
            to_stdout(said.text.as_bytes())?;
            said.failure
                .map_or(Ok(()), |failure| Err(Ending::from(failure)))
        }
        Command::Record(record) => {
            let console = console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            record::record(record, &console)
        }
        Command::Replay(replay) => {
            let console = console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            replay::replay(replay, &console)
        }
        Command::Rewind(asked) => {
            console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            to_stdout(rewind::rewind(asked)?.as_bytes())
        }
        Command::Diff(diff) => {
            console(&args.global, LogLevel::Warn, LogFormat::Human)?;
            to_stdout(diff::diff(diff)?.as_bytes())
        }
        Command::Config(config) => {
            to_stdout(config_command::config_command(&config.command)?.as_bytes())
        }
        Command::Completions { shell } => to_stdout(&completions::completions(*shell)),
        Command::Man { dir: None } => {
            to_stdout(&manual::page().map_err(|error| Ending::of_output(&error))?)
        }
        Command::Man { dir: Some(folder) } => manual::write_pages(folder).map_err(|error| {
            Ending::other(format!("can't write to {}: {error}", folder.display()))
        }),
    }
}

fn start_run(global: &GlobalArgs, args: &RunArgs) -> Result<(), Ending> {
    let file = (!args.without_file()).then(|| args.file.path());
    let overrides: Overrides = args.overrides();
    let loaded = load(file, &overrides, &Surroundings::of_process())?;
    let console = console(global, loaded.config.log.level, loaded.config.log.format)?;
    run::run(loaded, &overrides, args.until, &console)
}

fn start_gateway(global: &GlobalArgs, args: &GatewayArgs) -> Result<(), Ending> {
    let file = Some(args.file.path());
    let loaded = load(file, &Overrides::default(), &Surroundings::of_process())?;
    let console = console(global, loaded.config.log.level, loaded.config.log.format)?;
    gateway::gateway(&loaded, &console)
}

fn console(global: &GlobalArgs, level: LogLevel, format: LogFormat) -> Result<Console, Ending> {
    let format = global.log_format.unwrap_or(format);
    let terminal = Arc::new(Terminal::stderr(
        format == LogFormat::Human && global.quiet == 0,
    ));
    let log = logging::start(level, format, global, stderr_colour(global), &terminal)
        .map_err(|error| Ending::other(format!("can't start the log: {error}")))?;
    let stdout_is_terminal = std::io::stdout().is_terminal();
    let no_color = std::env::var_os("NO_COLOR");
    let stdout_colour = global
        .color
        .applies(stdout_is_terminal, no_color.as_deref());
    Ok(Console {
        terminal,
        log,
        stdout_is_terminal,
        stdout_colour,
        quiet: global.quiet > 0,
    })
}

fn stderr_colour(global: &GlobalArgs) -> bool {
    let no_color = std::env::var_os("NO_COLOR");
    global
        .color
        .applies(std::io::stderr().is_terminal(), no_color.as_deref())
}

/// Help and version go to stdout with 0, what is wrong to stderr with 2.
fn usage(error: &clap::Error) -> u8 {
    // A closed pipe is all that can go wrong, and then nobody reads why.
    drop(error.print());
    u8::try_from(error.exit_code()).unwrap_or(OTHER)
}

fn to_stdout(text: &[u8]) -> Result<(), Ending> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    written.map_err(|error| Ending::of_output(&error))
}

fn to_stderr(text: &str) {
    // When stderr is gone as well, the exit code is all that is left.
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// A panic is a bug; it is said as an error, on one line, with what a report needs.
fn report_panic(info: &PanicHookInfo<'_>) {
    let said = info.payload();
    let said = said.downcast_ref::<&str>().copied();
    let said = said.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
    let place = info
        .location()
        .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    let said = said.unwrap_or("no message");
    to_stderr(&format!(
        "\nerror: internal error{place}: {said}\n\
         hint: this is a bug in walgate {}; please report it with this message\n",
        env!("CARGO_PKG_VERSION"),
    ));
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        to_stderr(&format!("{trace}\n"));
    }
}
