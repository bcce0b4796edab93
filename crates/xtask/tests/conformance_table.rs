//! `docs/conformance.md` names tests that exist, and every test of the suite.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The two columns of every row that is no heading.
fn rows(table: &str) -> Vec<(&str, &str)> {
    let cells = |line: &'_ str| -> Option<(usize, usize, usize)> {
        let first = line.strip_prefix('|')?;
        let middle = first.find('|')? + 1;
        Some((1, middle, line.len().checked_sub(1)?))
    };
    let row = |line| {
        let (start, middle, end) = cells(line)?;
        Some((line[start..middle].trim(), line[middle + 1..end].trim()))
    };
    table.lines().filter_map(row).filter(|(_, here)| *here != "here" && !here.starts_with("---")).collect()
}

/// Files and the tests named after each: `` `file.rs` `test` `test` ``.
fn tests(cell: &str) -> Vec<(&str, &str)> {
    let mut file = "";
    let mut tests = Vec::new();
    for name in cell.split('`').skip(1).step_by(2) {
        match name.contains('/') {
            true => file = name,
            false => tests.push((file, name)),
        }
    }
    tests
}

/// The tests that the macros of the suite make.
fn suite() -> BTreeSet<String> {
    let source = read("crates/storage/src/conformance/mod.rs");
    let list = |start: &str| -> Vec<String> {
        let (_, rest) = source.split_once(start).expect("the macro is there");
        let (_, rest) = rest.split_once("[$($make),+]").expect("the list begins");
        let (names, _) = rest.split_once('}').expect("the list ends");
        names.split_whitespace().map(str::to_owned).collect()
    };
    let all = [list("macro_rules! __backend_suite"), list("macro_rules! __storage_suite")].concat();
    assert!(all.len() > 80, "the suite is larger than what was found: {all:?}");
    all.into_iter().collect()
}

#[test]
fn every_test_named_in_the_table_exists() {
    let table = read("docs/conformance.md");
    let mut missing = Vec::new();
    let mut named = 0;
    for (upstream, here) in rows(&table) {
        let tests = tests(here);
        let reason = here.strip_prefix("left out: ").is_some_and(|reason| reason.len() > 5);
        let is_file = tests.is_empty() && here.contains(".rs`");
        if tests.is_empty() && !reason && !is_file {
            missing.push(format!("{upstream}: neither a test nor a reason"));
        }
        for (file, name) in tests {
            named += 1;
            let source = std::fs::read_to_string(root().join("crates").join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {name}(")) {
                missing.push(format!("{upstream}: no `{name}` in `{file}`"));
            }
        }
    }
    assert!(named > 200, "{named} tests are too few to be the table");
    assert!(missing.is_empty(), "docs/conformance.md is out of date:\n{}", missing.join("\n"));
}

#[test]
fn every_test_of_the_suite_is_in_the_table() {
    let table = read("docs/conformance.md");
    let named: BTreeSet<&str> =
        rows(&table).into_iter().flat_map(|(_, here)| tests(here)).map(|(_, name)| name).collect();
    let suite = suite();
    let unnamed: Vec<&String> = suite.iter().filter(|name| !named.contains(name.as_str())).collect();
    assert!(unnamed.is_empty(), "add to docs/conformance.md what they prove: {unnamed:?}");
}

#[test]
fn every_function_of_the_suite_is_run() {
    let suite = suite();
    let folder = root().join("crates/storage/src/conformance");
    let mut forgotten = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the suite is there") {
        let source = std::fs::read_to_string(entry.expect("an entry").path()).expect("a source");
        for line in source.lines().filter(|line| line.contains("(suite: &")) {
            let name = line.strip_prefix("pub async fn ").and_then(|rest| rest.split('(').next());
            forgotten.extend(name.filter(|name| !suite.contains(*name)).map(str::to_owned));
        }
    }
    assert!(forgotten.is_empty(), "add to the macro in conformance/mod.rs: {forgotten:?}");
}
