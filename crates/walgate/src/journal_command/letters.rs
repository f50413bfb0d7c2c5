//! `walgate journal letters`.

use std::fs::File;
use std::io::{BufRead, BufReader};

use walgate_core::{Failure, StopReason};
use walgate_pipeline::open_letter;

use crate::args::LettersArgs;
use crate::ending::Ending;

/// The lines of a file of dead letters, each as it was before it was encrypted.
pub(super) fn letters(args: &LettersArgs) -> Result<String, Ending> {
    let keys = args.keys.load()?;
    let file = args.file.display();
    let unreadable = |error: std::io::Error| {
        let message = format!("{file} can't be read: {error}");
        Failure::new(StopReason::State, message).hint("name a file of sinks.NAME.dead_letter.file")
    };
    let opened = File::open(&args.file).map_err(unreadable)?;
    let mut text = String::new();
    for (place, line) in BufReader::new(opened).lines().enumerate() {
        let line = line.map_err(unreadable)?;
        let letter = open_letter(&line, &keys).map_err(|locked| {
            let message = format!("line {} of {file} can't be read: {locked}", place + 1);
            Failure::new(StopReason::State, message)
                .hint("name a file that holds the key: --key-file FILE")
        })?;
        text.push_str(&letter);
        text.push('\n');
    }
    Ok(text)
}
