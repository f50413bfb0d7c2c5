//! `walgate completions`.

use clap::CommandFactory;

use crate::args::Args;

/// The completions for a shell.
pub fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "walgate", &mut page);
    page
}
