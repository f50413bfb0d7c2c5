//! `walgate config`.

use crate::args::{ConfigCommand, ConfigFile};
use crate::config::{
    Loaded, Overrides, Problems, Surroundings, example, explain, json_schema, load,
};
use crate::ending::Ending;

/// What a command of `walgate config` prints.
///
/// # Errors
///
/// Everything that is wrong with the file.
pub fn config_command(command: &ConfigCommand) -> Result<String, Ending> {
    match command {
        ConfigCommand::Example => Ok(example()),
        ConfigCommand::Schema => Ok(format!("{:#}\n", json_schema())),
        ConfigCommand::Check(file) => {
            read(file)?;
            Ok(format!("{} is valid\n", file.path().display()))
        }
        ConfigCommand::Explain(file) => Ok(explain(&read(file)?)),
    }
}

fn read(file: &ConfigFile) -> Result<Loaded, Problems> {
    load(
        Some(file.path()),
        &Overrides::default(),
        &Surroundings::of_process(),
    )
}
