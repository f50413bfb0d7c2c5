//! The tables that a server tells of, for people and for the completions of shells.

use serde::Deserialize;
use walgate_core::{Failure, StopReason};

use super::address::Address;
use super::http;
use super::refusal::Refusal;
use super::token::{self, TokenSource};
use crate::args::FollowArgs;
use crate::ending::Ending;

#[derive(Deserialize)]
struct Tables {
    tables: Vec<Table>,
}

#[derive(Deserialize)]
struct Table {
    schema: String,
    table: String,
}

/// The tables that can be followed, `schema.table`, one a line.
///
/// # Errors
///
/// When the server does not tell.
pub(super) async fn tables(args: &FollowArgs) -> Result<String, Ending> {
    let address = Address::parse(&args.url)?;
    let client = http::client(args.ca.as_deref())?;
    let source = TokenSource::new(args, std::env::var(token::VARIABLE).ok());
    let token = source.fetch().await?;
    let request = http::get(&client, address.resource("tables"), token.as_ref()).map_err(ending)?;
    let answer = http::send(request, 200).await;
    let answer = answer.map_err(|refused| ending(refused.refusal))?;
    let senseless = |error: String| {
        let what = format!("the server tells no tables: {error}");
        Failure::new(StopReason::Data, what)
    };
    let text = answer
        .bytes()
        .await
        .map_err(|error| Ending::other(format!("the connection broke: {}", error.without_url())))?;
    let told: Tables =
        serde_json::from_slice(&text).map_err(|error| senseless(error.to_string()))?;
    let lines = told.tables.iter().map(|table| {
        let name = format!("{}.{}", table.schema, table.table);
        // What a shell or a terminal would take for more than a name is left out.
        match name.contains(char::is_control) {
            true => String::new(),
            false => name + "\n",
        }
    });
    Ok(lines.collect())
}

fn ending(refusal: Refusal) -> Ending {
    match refusal {
        Refusal::Final(failure) => failure.into(),
        Refusal::Token(what) => Failure::new(StopReason::Permission, what)
            .hint("give a token: in WALGATE_TOKEN, with --token-file or with --token-command")
            .into(),
        Refusal::Later(what, _) | Refusal::Resync(what, _) => Ending::other(what),
    }
}
