//! The project's own verbs, for people and CI alike.
//!
//! Owns the list of verbs and nothing of what they do: each verb is a module.

mod facts;

use anyhow::{Result, bail};
use std::path::Path;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["facts", types_json] => facts::run(Path::new(types_json), Path::new("crates/schema/facts")),
        _ => bail!("usage: cargo xtask facts <types.json>"),
    }
}
