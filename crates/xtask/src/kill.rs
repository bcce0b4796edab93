//! `cargo xtask kill`: the test that kills a writing store, with as many rounds
//! as the ordinary test command has no time for.

use std::process::Command;

use anyhow::{Result, ensure};

/// Runs so many rounds.
pub fn run(rounds: &str) -> Result<()> {
    ensure!(rounds.parse::<u64>().is_ok_and(|rounds| rounds > 0), "{rounds:?} is no number of rounds");
    let status = Command::new(env!("CARGO"))
        .args(["test", "--quiet", "-p", "storage-embedded", "--test", "kill", "--", "--nocapture"])
        .env("PINTLE_KILL_ROUNDS", rounds)
        .status()?;
    ensure!(status.success(), "the store lost something, or left something torn");
    Ok(())
}
