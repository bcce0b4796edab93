//! The project's own verbs, for people and CI alike.
//!
//! Owns the list of verbs and nothing of what they do: each verb is a module.

mod facts;
mod golden;
mod kill;

use anyhow::{Result, bail};
use std::path::Path;

const USAGE: &str = "usage: cargo xtask <verb>
  facts <types.json>                 rewrite the schema facts from the original's type description
  kill [ROUNDS]                      kill a writing store 200 times and look for what it acknowledged
  golden [--at-least FLOOR] [ARGS]   replay recorded conversations (PINTLE_SHARED) against a fresh server";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["facts", types_json] => facts::run(Path::new(types_json), Path::new("crates/schema/facts")),
        ["kill"] => kill::run("200"),
        ["kill", rounds] => kill::run(rounds),
        ["golden", "--at-least", floor, rest @ ..] => golden::run(Some(Path::new(floor)), rest),
        ["golden", rest @ ..] => golden::run(None, rest),
        _ => bail!(USAGE),
    }
}
