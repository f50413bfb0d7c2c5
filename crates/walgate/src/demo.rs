//! `walgate demo`: a throw-away PostgreSQL with a lively table, and Walgate following it.

mod kafka;
mod maze;
mod measured;
mod page;
mod readable;
mod servers;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use walgate_core::Encoder;
use walgate_format::{NativeJson, NativeJsonOptions, Pretty, PrettyOptions};
use walgate_pipeline::{Pipeline, Stop};
use walgate_replication::SourceConfig;

use crate::args::{DemoArgs, OutputFormat, TailArgs};
use crate::ending::Ending;
use crate::entry::Console;
use crate::signals::Signals;
use crate::tail::follow;
use crate::wiring::{Keeping, block_on};
use measured::Measure;
use servers::Servers;
use tally::SharedTally;

/// Shows changes flowing from a throw-away PostgreSQL.
///
/// # Errors
///
/// When a server can't be had, or something on the way needs a human.
pub fn demo(args: &DemoArgs, console: &Console) -> Result<(), Ending> {
    block_on(Box::pin(async {
        let mut signals = Signals::new()
            .map_err(|error| Ending::other(format!("can't take over the signals: {error}")))?;
        let Some(servers) = servers::start(args.kafka, console, &mut signals).await? else {
            return Ok(());
        };
        introduce(args, &servers, console);
        let tally = SharedTally::default();
        let shown = show(args, &servers, console, &mut signals, &tally).await;
        servers.end().await;
        say(console, &format!("\n{}", tally::locked(&tally).summary()));
        match shown {
            // `walgate demo | head`: whoever read has seen enough.
            Err(Ending::OutputClosed) => Ok(()),
            other => other,
        }
    }))
}

/// Lets the maze run and its changes through, until somebody or the time ends it.
async fn show(
    args: &DemoArgs,
    servers: &Servers,
    console: &Console,
    signals: &mut Signals,
    tally: &SharedTally,
) -> Result<(), Ending> {
    let stop = Stop::new();
    let url = servers.private_url();
    let seconds = args.seconds.map(Duration::from_secs);
    let maze = tokio::spawn(maze::run(url.clone(), seconds, stop.clone()));
    let tail = TailArgs::everything(url);
    let folder = servers.scratch("walgate-journal");
    let journal = Keeping::scratch(&folder, page::KEPT).await?;
    let with_page = |pipeline: &mut Pipeline, shown, source: &SourceConfig| {
        let added = page::add(pipeline, shown, page::look(source, &folder))?;
        if let Some(url) = page::url(&added) {
            say(console, &format!("the page runs at {url}\n\n"));
        }
        Ok(added)
    };
    let result = match servers.bootstrap() {
        Some(bootstrap) => {
            let reader = kafka::read_back(&bootstrap, args.format, console, tally, stop.clone())?;
            let add = |pipeline: &mut Pipeline, options, source: &SourceConfig| {
                let shown = kafka::add(pipeline, options, &bootstrap)?;
                with_page(pipeline, shown, source)
            };
            let followed = follow(&tail, console, signals, stop, (journal, add));
            let followed = Box::pin(followed).await;
            let read = reader.finish().await;
            followed.map(drop).and(read)
        }
        None => {
            let encoder = encoder(args.format, console);
            let measure = Measure::new(Arc::clone(tally));
            let add = |pipeline: &mut Pipeline, options, source: &SourceConfig| {
                let shown = measure.add(pipeline, options, encoder, console)?;
                with_page(pipeline, shown, source)
            };
            let followed = follow(&tail, console, signals, stop, (journal, add));
            let followed = Box::pin(followed).await;
            measure.settle();
            followed.map(drop)
        }
    };
    maze.abort();
    match (result, maze.await) {
        (Ok(()), Ok(Err(problem))) => Err(problem),
        (result, _) => result,
    }
}

fn encoder(format: OutputFormat, console: &Console) -> Box<dyn Encoder> {
    match format {
        OutputFormat::Json => Box::new(NativeJson::new(NativeJsonOptions::default())),
        OutputFormat::Pretty => Box::new(Pretty::new(PrettyOptions {
            colour: console.stdout_colour,
            ..PrettyOptions::default()
        })),
    }
}

/// What runs where, how to look at it, how to end it.
fn introduce(args: &DemoArgs, servers: &Servers, console: &Console) {
    let (major, url) = (servers.postgres_major(), servers.url());
    let mut text = format!(
        "PostgreSQL {major} runs at {url}\n\
         agents walk a maze in it: each step is a row of maze.agent_actions\n"
    );
    match servers.bootstrap() {
        Some(bootstrap) => text.push_str(&format!(
            "Apache Kafka runs at {bootstrap}\n\
             walgate sends each change there; what you see is read back from the topics\n\
             maze.experiments and maze.agent_actions, in order for each key\n"
        )),
        None => text.push_str("walgate follows it: each line is a committed change\n"),
    }
    text.push_str(&format!(
        "\n  look at it     psql {url}\n\
         \x20 join in        psql {url} -c \"select maze.start_experiment('mine')\"\n"
    ));
    let end = args.seconds.map_or_else(
        || "Ctrl-C: nothing keeps running, nothing stays on disk".to_owned(),
        |seconds| format!("in {seconds} s, or with Ctrl-C"),
    );
    text.push_str(&format!("  end it         {end}\n\n"));
    say(console, &text);
}

/// Speaks to the person who watches, unless they want quiet. A closed stderr is no reason to end.
fn say(console: &Console, text: &str) {
    if !console.quiet {
        drop(console.terminal.log(text.as_bytes()));
    }
}
