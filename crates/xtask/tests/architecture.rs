//! The arrows between crates: who may depend on whom. A new arrow is added
//! here by hand, with a reason, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Rooms from the bottom floor up, each with what it may use. Arrows only point
/// to rooms listed before.
const ARROWS: &[(&str, &[&str])] = &[
    ("environment", &[]),
    ("schema", &[]),
    ("meta", &["schema"]),
    ("codec", &["schema", "meta"]),
    ("patch", &["schema", "meta", "codec"]),
    ("storage", &["environment", "schema", "meta", "codec"]),
    ("storage-embedded", &["environment", "meta", "storage"]),
    ("storage-etcd", &["environment", "meta", "storage"]),
    ("storage-encryption", &["environment", "schema", "meta", "codec", "storage"]),
    ("watch-cache", &["environment", "schema", "meta", "storage"]),
    ("registry", &["environment", "schema", "meta", "codec", "patch", "storage"]),
    ("resources", &["environment", "schema", "meta", "codec", "registry", "storage"]),
    ("admission", &["environment", "schema", "meta", "registry"]),
    ("auth", &["environment", "meta", "registry"]),
    ("kubelet-client", &["environment"]),
    (
        "server",
        &["environment", "schema", "meta", "codec", "patch", "storage", "registry", "auth", "kubelet-client"],
    ),
    (
        "pintle",
        &[
            "environment",
            "schema",
            "meta",
            "codec",
            "storage",
            "storage-embedded",
            "storage-etcd",
            "storage-encryption",
            "watch-cache",
            "registry",
            "resources",
            "admission",
            "auth",
            "kubelet-client",
            "server",
        ],
    ),
    ("simulation", &["environment", "schema", "meta", "codec", "storage", "storage-embedded", "watch-cache"]),
    ("test-server", &["environment", "kubelet-client", "pintle"]),
    ("client-tests", &["test-server"]),
    ("bench", &[]),
    ("xtask", &["schema"]),
];

/// Crates no room below `server` may use: the outside world comes in as
/// `environment::Environment`.
const RIM_ONLY: &[&str] = &["hyper", "hyper-util", "tokio-rustls", "clap", "tracing-subscriber"];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Normal dependencies of each crate; those of tests may point anywhere.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let names = package["dependencies"].as_array().expect("dependencies").iter();
            let normal = names.filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().expect("a name").to_owned());
            (package["name"].as_str().expect("a name").to_owned(), names.collect())
        })
        .collect()
}

#[test]
fn arrows_between_crates_only_point_down() {
    let dependencies = dependencies();
    let rooms: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    for (i, (room, allowed)) in ARROWS.iter().enumerate() {
        for target in *allowed {
            let below = rooms[..i].contains(target);
            assert!(below, "the table lets {room} use {target}, which does not stand below it");
        }
        let Some(used) = dependencies.get(*room) else { continue };
        for target in used.iter().filter(|target| rooms.contains(&target.as_str())) {
            let message = "if the arrow is right, add it to ARROWS and to ARCHITECTURE.md";
            assert!(
                allowed.contains(&target.as_str()),
                "crate {room} must not use crate {target}: {message}"
            );
        }
    }
    for room in dependencies.keys() {
        assert!(rooms.contains(&room.as_str()), "crate {room} has no place in ARROWS yet: add it");
    }
}

#[test]
fn only_the_rim_knows_sockets_and_flags() {
    // `kubelet-client` opens sockets for `server`, which asks nobody else to.
    let rim = ["kubelet-client", "server", "pintle", "test-server", "client-tests", "bench", "xtask"];
    for (room, used) in dependencies() {
        if rim.contains(&room.as_str()) {
            continue;
        }
        for banned in RIM_ONLY {
            assert!(!used.contains(*banned), "crate {room} must not use {banned}: it belongs to the rim");
        }
    }
}

#[test]
fn folder_name_is_crate_name() {
    for package in metadata()["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let manifest = package["manifest_path"].as_str().expect("a path");
        assert!(manifest.ends_with(&format!("/crates/{name}/Cargo.toml")), "{name} lives at {manifest}");
    }
}
