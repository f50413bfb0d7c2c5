//! `walgate man`.

use std::io;
use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;

/// The manual page of the program.
///
/// # Errors
///
/// Never, in practice: it writes into memory.
pub fn page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Args::command()).render(&mut page)?;
    Ok(page)
}

/// Writes one page for each command: `walgate.1`, `walgate-run.1`, …
///
/// # Errors
///
/// When the folder can't be made or written.
pub fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Args::command().disable_help_subcommand(true), folder)
}
