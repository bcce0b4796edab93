//! Turns the facts on the built-in types into static tables.
//!
//! Owns the order of the two steps: `build/parse.rs` reads `facts/*.facts` and
//! describes their format, `build/emit.rs` writes Rust statics to `OUT_DIR`,
//! which `src/generated.rs` includes.

#[path = "build/emit.rs"]
mod emit;
#[path = "build/parse.rs"]
mod parse;

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=facts");
    let mut types = Vec::new();
    for file in facts_files() {
        let package = file.file_stem().and_then(|stem| stem.to_str()).expect("facts files have UTF-8 names");
        let text = std::fs::read_to_string(&file).expect("facts files are readable");
        let parsed = parse::parse(&format!("io.k8s.{package}"), &text);
        types.extend(parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&out).join("builtin.rs"), emit::emit(types)).expect("OUT_DIR is writable");
}

/// The facts files, generated and hand-written, in order of name, so that the
/// output does not depend on the file system.
fn facts_files() -> Vec<PathBuf> {
    let folders = ["facts", "facts/extra"]
        .map(|folder| std::fs::read_dir(folder).expect("the facts are part of the crate"));
    let entries =
        folders.into_iter().flatten().map(|entry| entry.expect("the facts folder is readable").path());
    let mut files: Vec<PathBuf> =
        entries.filter(|file| file.extension().is_some_and(|extension| extension == "facts")).collect();
    files.sort();
    files
}
