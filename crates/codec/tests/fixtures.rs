//! One fully populated object per kind, as the original's own tests have them,
//! and objects as the original stored them: whatever goes through the codec
//! must come out byte for byte.
//!
//! Reads the folder that the environment variable PINTLE_SHARED names (with
//! `kubernetes-1.36/` in it); without it the tests are left out.

#![allow(clippy::print_stdout, reason = "the counts are for whoever runs it")]

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use codec::{json, protobuf, yaml};
use schema::{Schema, TypeId, Value};
use std::path::{Path, PathBuf};

fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("PINTLE_SHARED").map(|folder| Path::new(&folder).join("kubernetes-1.36"));
    if folder.is_none() {
        println!("left out: PINTLE_SHARED is not set");
    }
    folder
}

/// The type behind the `kind` and `apiVersion` of an object.
fn type_of(schema: &Schema, object: &Value) -> Option<TypeId> {
    let api_version = object.str_at(&["apiVersion"])?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    schema.kind(group, version, object.str_at(&["kind"])?)
}

#[test]
fn every_fixture_survives_every_encoding() {
    let Some(folder) = shared() else { return };
    let schema = schema::builtin();
    let (mut good, mut unknown, mut failures) = (0, Vec::new(), Vec::new());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join("fixtures"))
        .expect("the fixtures folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    for file in &files {
        let text = std::fs::read(file).expect("a fixture");
        let object = json::decode_any(&text).expect("JSON");
        match type_of(schema, &object) {
            None => unknown.push(file.file_stem().unwrap_or_default().to_string_lossy().into_owned()),
            Some(ty) => match check_fixture(schema, ty, file) {
                Ok(()) => good += 1,
                Err(error) => failures.push(format!("{}: {error:#}", file.display())),
            },
        }
    }
    println!("{good} fixtures good, {} not in the table: {}", unknown.len(), unknown.join(" "));
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(good >= 99, "only {good} fixtures are in the table");
}

fn check_fixture(schema: &Schema, ty: TypeId, file: &Path) -> Result<()> {
    let text = std::fs::read(file)?;
    let mut compact = Vec::new();
    json::compact(&text, &mut compact);
    let mut strict = Vec::new();
    let value = json::decode(schema, ty, &compact, Some(&mut strict))?;
    ensure!(strict.is_empty(), "strict: {strict:?}");
    let (api_version, kind) = (value.str_at(&["apiVersion"]), value.str_at(&["kind"]));
    let (api_version, kind) = (api_version.context("apiVersion")?, kind.context("kind")?);

    let mut written = Vec::new();
    json::encode(schema, ty, &value, &mut written);
    ensure!(written == compact, "JSON\n{}", difference(&written, &compact));
    let mut pretty = Vec::new();
    json::pretty(&written, &mut pretty);
    ensure!(show(&pretty).trim_end() == show(&text).trim_end(), "indented JSON");

    let stored = std::fs::read(file.with_extension("pb"))?;
    let mut raw = Vec::new();
    protobuf::encode(schema, ty, &value, &mut raw);
    let mut enveloped = Vec::new();
    protobuf::envelope::wrap(api_version, kind, &raw, &mut enveloped);
    let unknown = protobuf::envelope::unwrap(&stored)?;
    let mut read = protobuf::decode(schema, ty, unknown.raw)?;
    read.set(&["kind"], kind);
    read.set(&["apiVersion"], api_version);
    let (ours, theirs) = (format!("{read:?}"), format!("{value:?}"));
    ensure!(read == value, "protobuf to value\n{}", difference(ours.as_bytes(), theirs.as_bytes()));
    ensure!(enveloped == stored, "protobuf bytes\n{}", difference(&enveloped, &stored));

    let text = std::fs::read_to_string(file.with_extension("yaml"))?;
    let written = yaml::encode(schema, ty, &value)?;
    ensure!(written == text, "YAML\n{}", difference(written.as_bytes(), text.as_bytes()));
    ensure!(yaml::decode(schema, ty, text.as_bytes(), Some(&mut strict))? == value, "YAML to value");
    ensure!(strict.is_empty(), "strict: {strict:?}");
    Ok(())
}

/// The surroundings of the first byte that differs.
fn difference(ours: &[u8], theirs: &[u8]) -> String {
    let at = ours.iter().zip(theirs).position(|(a, b)| a != b).unwrap_or(ours.len().min(theirs.len()));
    let around = |bytes: &[u8]| show(&bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())]);
    format!("at {at}\n  ours:   {:?}\n  theirs: {:?}", around(ours), around(theirs))
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One object as the original stored it.
struct Stored {
    key: String,
    bytes: Vec<u8>,
    object: Value,
}

fn stored(folder: &Path) -> Vec<Stored> {
    let text = std::fs::read(folder.join("stored.json")).expect("stored.json");
    let list = json::decode_any(&text).expect("JSON");
    let entry = |entry: &Value| Stored {
        key: entry.str_at(&["key"]).expect("a key").to_owned(),
        bytes: STANDARD.decode(entry.str_at(&["value"]).expect("a value")).expect("base64"),
        object: entry.get("object").expect("an object").clone(),
    };
    list.as_list().expect("a list").iter().map(entry).collect()
}

#[test]
fn stored_objects_are_read_and_written_as_they_are() {
    let Some(folder) = shared() else { return };
    let schema = schema::builtin();
    let (mut same, mut other_version) = (0, 0);
    for Stored { key, bytes, object } in stored(&folder) {
        let unknown = protobuf::envelope::unwrap(&bytes).expect(&key);
        let (group, version) = unknown.api_version.split_once('/').unwrap_or(("", &unknown.api_version));
        let Some(ty) = schema.kind(group, version, &unknown.kind) else {
            other_version += 1;
            continue;
        };
        let mut value = protobuf::decode(schema, ty, unknown.raw).expect(&key);
        let mut raw = Vec::new();
        protobuf::encode(schema, ty, &value, &mut raw);
        assert_eq!(raw, unknown.raw, "{key}\n{}", difference(&raw, unknown.raw));
        if object.str_at(&["apiVersion"]) == Some(&unknown.api_version) {
            value.set(&["kind"], unknown.kind.as_str());
            value.set(&["apiVersion"], unknown.api_version.as_str());
            same += usize::from(as_returned(schema, ty, value, &object));
        }
    }
    println!(
        "{same} stored objects read as the API returned them, {other_version} of a version without table"
    );
    assert!(same >= 200, "only {same} stored objects read as the API returned them");
}

/// True if the value is what the API answered, which adds the resourceVersion
/// and fills in some fields when it reads.
fn as_returned(schema: &Schema, ty: TypeId, mut value: Value, object: &Value) -> bool {
    if let Some(version) = object.str_at(&["metadata", "resourceVersion"]) {
        value.set(&["metadata", "resourceVersion"], version);
    }
    let mut ours = Vec::new();
    json::encode(schema, ty, &value, &mut ours);
    json::decode_any(&ours).is_ok_and(|ours| ours == *object)
}
