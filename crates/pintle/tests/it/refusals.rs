//! What it refuses to start on: the error names the path or the flag, the exit
//! code is 1, and nothing on disk is overwritten.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{Pintle, assert_same, contents, refused, run};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test]
async fn a_folder_in_use_is_left_to_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let first = Pintle::start(folder.path()).await;
    let before = contents(folder.path());
    let error = refused(folder.path(), &[]).await;
    assert_names(&error, folder.path());
    assert!(error.contains("in use by another process"), "{error}");
    assert_same(&before, &contents(folder.path()));
    assert_eq!(first.admin().get("/readyz").await.unwrap().status, 200);
    first.stop().await;
}

#[tokio::test]
async fn a_path_that_cannot_be_a_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    for path in [file.clone(), file.join("data")] {
        let error = refused(&path, &[]).await;
        assert_names(&error, &path);
        assert!(error.contains("--data-dir"), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"not a folder");
}

#[tokio::test]
async fn a_folder_from_a_newer_version_is_not_touched() {
    let folder = stopped_with_objects().await;
    fs::write(folder.path().join("store/FORMAT"), "pintle embedded store, format 9\n").unwrap();
    let before = contents(folder.path());
    let error = refused(folder.path(), &[]).await;
    assert_names(&error, &folder.path().join("store/FORMAT"));
    assert!(error.contains("format 9"), "{error}");
    assert_same(&before, &contents(folder.path()));
}

#[tokio::test]
async fn a_damaged_log_is_not_touched() {
    let folder = stopped_with_objects().await;
    let path = damage(&folder.path().join("store"), b"object-0");
    let before = contents(folder.path());
    let error = refused(folder.path(), &[]).await;
    assert_names(&error, &path);
    assert!(error.contains("damaged"), "{error}");
    assert_same(&before, &contents(folder.path()));
}

#[tokio::test]
async fn a_damaged_log_can_be_repaired_and_what_was_cut_is_kept_aside() {
    let folder = stopped_with_objects().await;
    damage(&folder.path().join("store"), b"object-0");
    let error = refused(folder.path(), &[]).await;
    assert!(error.contains("`pintle repair`"), "{error}");
    let repaired = std::process::Command::new(env!("CARGO_BIN_EXE_pintle"))
        .arg("repair")
        .arg("--data-dir")
        .arg(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(repaired.stdout).unwrap();
    assert!(repaired.status.success() && text.contains("set aside"), "{text}");
    let server = Pintle::start(folder.path()).await;
    assert_eq!(server.admin().get("/readyz").await.unwrap().status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_folder_is_free_again() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = refused(folder.path(), &[&format!("--secure-port={port}")]).await;
    assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("--secure-port"), "{error}");
    Pintle::start(folder.path()).await.stop().await;
}

#[tokio::test]
async fn bad_flags_are_named_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for flags in [
        &["--no-such-flag=1"][..],
        &["--event-ttl=soon"],
        &["--secure-port=70000"],
        &["--bind-address=everywhere"],
        &["--enable-garbage-collector=perhaps"],
        &["--delete-collection-workers=0"],
        &["--tls-cert-file=only-half"],
    ] {
        let output = run(&data, flags).await;
        let error = String::from_utf8(output.stderr).unwrap();
        let name = flags[0].split('=').next().unwrap();
        assert!(!output.status.success() && error.contains(name), "{flags:?}: {error}");
        assert!(!data.exists(), "{flags:?} made the folder");
    }
}

#[tokio::test]
async fn files_named_by_flags_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad");
    fs::write(&bad, "only-a-token\n").unwrap();
    for path in [bad, folder.path().join("missing")] {
        for flag in ["--token-auth-file", "--client-ca-file"] {
            let error = refused(&folder.path().join("data"), &[flag, path.to_str().unwrap()]).await;
            assert!(error.contains(flag), "{error}");
            assert_names(&error, &path);
        }
    }
}

#[track_caller]
fn assert_names(error: &str, path: &Path) {
    assert!(error.contains(path.to_str().unwrap()), "{path:?} is not named by: {error}");
}

/// A folder in which some objects were written one after the other.
async fn stopped_with_objects() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pintle = Pintle::start(folder.path()).await;
    for number in 0..5 {
        let body = format!(r#"{{"metadata":{{"name":"object-{number}"}}}}"#);
        assert_eq!(pintle.admin().post(CONFIG_MAPS, body).await.unwrap().status, 201);
    }
    pintle.stop().await;
    folder
}

/// Changes one bit of the first place that holds `text`, and tells in which file.
fn damage(folder: &Path, text: &[u8]) -> PathBuf {
    for (path, mut bytes) in contents(folder) {
        if let Some(place) = bytes.windows(text.len()).position(|window| window == text) {
            bytes[place] ^= 1;
            fs::write(&path, bytes).unwrap();
            return path;
        }
    }
    panic!("no file holds the text");
}
