//! Data saved, restored and copied by the binary, between data folders and a
//! real etcd, also when the binary is killed on the way.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use environment::real;
use meta::Revision;
use storage::Backend;
use storage::backend::{KeyValue, LeaseId, Op, RangeRequest, Txn, prefix_end};
use storage_embedded::{EmbeddedBackend, EmbeddedOptions};
use test_server::TestServer;
use tokio::process::Command;

use crate::over_etcd::etcd::{Etcd, World};
use crate::over_etcd::servers::Age;
use crate::process::{Pintle, assert_same, contents};

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pintle"));
    command.args(arguments).env("PINTLE_LOG", "error").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(arguments: &[&str]) -> Output {
    command(arguments).output().await.unwrap()
}

/// Runs a command that succeeds; returns what it printed.
async fn done(arguments: &[&str]) -> String {
    let output = run(arguments).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that fails; returns why.
async fn refused(arguments: &[&str]) -> String {
    let output = run(arguments).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    error
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn open(data_folder: &Path) -> EmbeddedBackend {
    let store = data_folder.join("store");
    EmbeddedBackend::open(real::environment(), &store, EmbeddedOptions::default()).await.unwrap()
}

async fn all(backend: &dyn Backend) -> (Revision, Vec<KeyValue>) {
    let key = Bytes::from_static(b"/registry/");
    let end = prefix_end(&key);
    let found = backend.range(RangeRequest { key, end, ..RangeRequest::default() }).await.unwrap();
    (found.revision, found.kvs)
}

/// What both kinds of stores can hold alike.
fn pairs(kvs: &[KeyValue]) -> Vec<(Bytes, Bytes, bool)> {
    kvs.iter().map(|kv| (kv.key.clone(), kv.value.clone(), kv.lease != LeaseId(0))).collect()
}

/// A data folder with `count` keys, one of which ends by itself in an hour.
async fn fill(data_folder: &Path, count: usize) -> (Revision, Vec<KeyValue>) {
    let backend = open(data_folder).await;
    let lease = backend.lease_grant(3600).await.unwrap();
    let put = |n: usize, lease| Op::Put {
        key: format!("/registry/things/ns/{n:06}").into(),
        value: format!("value {n} {}", "x".repeat(n % 500)).into(),
        lease,
    };
    let txns = (0..count).map(|n| {
        let success = vec![put(n, if n == 7 { lease } else { LeaseId(0) })];
        backend.txn(Txn { success, ..Txn::default() })
    });
    for written in futures::future::join_all(txns).await {
        written.unwrap();
    }
    // Some keys have a past, and some are gone.
    for n in (0..count).step_by(10) {
        let delete = Op::Delete { key: format!("/registry/things/ns/{n:06}").into() };
        let success = vec![if n % 20 == 0 { delete } else { put(n, LeaseId(0)) }];
        backend.txn(Txn { success, ..Txn::default() }).await.unwrap();
    }
    let found = all(&backend).await;
    backend.close().await;
    found
}

#[tokio::test]
async fn a_snapshot_of_a_serving_server_is_restored_with_its_revisions() {
    let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (file, target) = (place.path().join("saved"), place.path().join("target"));
    let server = TestServer::start_in(folder.path()).await.unwrap();
    let client = server.client().unwrap();
    for n in 0..20 {
        let body = format!(r#"{{"metadata":{{"name":"a{n}"}},"data":{{"n":"{n}"}}}}"#);
        assert_eq!(client.post(CONFIG_MAPS, body).await.unwrap().status, 201);
    }
    // Writes go on while the snapshot is taken.
    let writer = tokio::spawn(async move {
        for n in 0.. {
            let body = format!(r#"{{"metadata":{{"name":"later{n}"}}}}"#);
            if client.post(CONFIG_MAPS, body).await.is_err() {
                break;
            }
        }
    });
    let said = done(&["snapshot", "save", text(&file), "--data-dir", text(folder.path())]).await;
    assert!(said.starts_with("saved "), "{said}");
    let restored = ["snapshot", "restore", text(&file), "--data-dir", text(&target)];
    let said = done(&restored).await;
    assert!(said.contains("/registry/configmaps") && said.contains("compared with the source"), "{said}");
    let listed = server.client().unwrap().get(CONFIG_MAPS).await.unwrap().json();
    let copy = TestServer::start_in(&target).await.unwrap();
    let copied = copy.client().unwrap().get(CONFIG_MAPS).await.unwrap().json();
    let copied = copied["items"].as_array().unwrap();
    assert!(copied.len() >= 20);
    for item in copied {
        assert!(listed["items"].as_array().unwrap().contains(item), "{item}");
    }
    writer.abort();
    // Nobody restores over a server's feet, not even on request.
    for more in [&[][..], &["--replace"]] {
        let arguments = [&["snapshot", "restore", text(&file), "--data-dir", text(&target)], more].concat();
        let error = refused(&arguments).await;
        assert!(error.contains("is in use: a server serves from it"), "{error}");
    }
    copy.stop().await;
    let error = refused(&restored).await;
    assert!(error.contains("has a store already"), "{error}");
    assert!(done(&[&restored[..], &["--replace"]].concat()).await.contains("store-replaced-1"));
    assert!(target.join("store-replaced-1/FORMAT").exists());
}

#[tokio::test]
async fn only_admins_get_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "secret,someone,1,\"operators\"\n").unwrap();
    let server =
        TestServer::start_with(|flags| flags.authentication.token_auth_file = Some(tokens)).await.unwrap();
    let path = pintle::SNAPSHOT_PATH;
    assert_eq!(server.anonymous().unwrap().get(path).await.unwrap().status, 403);
    let other = server.anonymous().unwrap().with_token("secret");
    assert_eq!(other.get(path).await.unwrap().status, 403);
    let admin = server.client().unwrap();
    assert_eq!(admin.post(path, "").await.unwrap().status, 405);
    let answer = admin.get(path).await.unwrap();
    assert_eq!((answer.status, &answer.body[..8]), (200, &b"PintlSnp"[..]));
}

#[tokio::test]
async fn a_damaged_or_cut_snapshot_is_refused_and_leaves_the_target_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    let (file, bad) = (folder.path().join("saved"), folder.path().join("bad"));
    fill(&source, 100).await;
    let before = fill(&target, 10).await;
    done(&["snapshot", "save", text(&file), "--data-dir", text(&source)]).await;
    let bytes = std::fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        (flipped(3), "no snapshot"),
        (flipped(100), "damaged at byte 64"),
        (bytes[..bytes.len() - 9].to_vec(), "incomplete"),
        ([&bytes[..], b"more"].concat(), "damaged at byte"),
        (Vec::new(), "no snapshot"),
    ];
    let files = contents(&target);
    for (content, expected) in cases {
        std::fs::write(&bad, content).unwrap();
        let error = refused(&["snapshot", "status", text(&bad)]).await;
        assert!(error.contains(expected), "{error}");
        let restore = ["snapshot", "restore", text(&bad), "--data-dir", text(&target), "--replace"];
        let error = refused(&restore).await;
        assert!(error.contains(expected), "{error}");
        let _ = std::fs::remove_dir_all(target.join("store.new"));
        assert_same(&files, &contents(&target));
    }
    assert_eq!(all(&open(&target).await).await, before);
}

#[tokio::test]
async fn a_folder_is_copied_to_a_folder_and_saving_needs_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target, none) =
        (folder.path().join("source"), folder.path().join("target"), folder.path().join("none"));
    let before = fill(&source, 100).await;
    done(&["copy", "--from", text(&source), "--to", text(&target)]).await;
    assert_eq!(all(&open(&target).await).await, before);
    let file = folder.path().join("saved");
    let error = refused(&["snapshot", "save", text(&file), "--data-dir", text(&none)]).await;
    assert!(error.contains("there is no store in the data folder"), "{error}");
    assert!(!none.exists() && !file.exists());
    let error = refused(&["copy", "--from", text(&source), "--to", text(&source), "--replace"]).await;
    assert!(error.contains("is in use"), "{error}");
}

#[test]
fn a_folder_copied_to_etcd_and_back_is_the_same() {
    World(Age::New).run(async {
        let folder = tempfile::tempdir().unwrap();
        let (source, back) = (folder.path().join("source"), folder.path().join("back"));
        let (revision, before) = fill(&source, 1000).await;
        let etcd = Etcd::start(Age::New).await;
        let urls = etcd.urls().join(",");
        let there = ["copy", "--from", text(&source), "--to", &urls];
        let said = done(&there).await;
        assert!(said.contains("every object has a new resourceVersion"), "{said}");
        let backend = etcd.backend().await;
        let (now, copied) = all(backend.as_ref()).await;
        assert_eq!(pairs(&copied), pairs(&before));
        // No revision that a client of the source remembers means something else now.
        assert!(copied.iter().all(|kv| kv.mod_revision > revision) && now > revision);
        let leased = copied.iter().find(|kv| kv.lease != LeaseId(0)).unwrap();
        let left = backend.lease_seconds_left(leased.lease).await.unwrap().unwrap();
        assert!((3000..=3600).contains(&left), "{left}");
        // What is there is not written over unasked, and when asked only what differs.
        let error = refused(&there).await;
        assert!(error.contains("etcd has 950 keys below /registry/ already"), "{error}");
        let said = done(&[&there[..], &["--replace"]].concat()).await;
        assert!(said.contains("; 0 were written or deleted"), "{said}");
        let and_back = ["copy", "--from", &urls, "--to", text(&back)];
        done(&and_back).await;
        let (_, etcds) = all(backend.as_ref()).await;
        let store = open(&back).await;
        let (_, again) = all(&store).await;
        store.close().await;
        assert_eq!(pairs(&again), pairs(&before));
        let unleased = |kvs: &[KeyValue]| -> Vec<KeyValue> {
            kvs.iter().filter(|kv| kv.lease == LeaseId(0)).cloned().collect()
        };
        assert_eq!(unleased(&again), unleased(&etcds), "with etcd's revisions");
        let error = refused(&and_back).await;
        assert!(error.contains("has a store already"), "{error}");
    });
}

#[test]
fn a_copy_that_is_killed_goes_on_when_run_again() {
    World(Age::New).run(async {
        let folder = tempfile::tempdir().unwrap();
        let (source, back) = (folder.path().join("source"), folder.path().join("back"));
        fill(&source, 6000).await;
        let etcd = Etcd::start(Age::New).await;
        let urls = etcd.urls().join(",");
        let backend = etcd.backend().await;
        let count = async || all(backend.as_ref()).await.1.len();
        let there = ["copy", "--from", text(&source), "--to", &urls];
        killed_when(&there, async || count().await > 300).await;
        assert!((300..5700).contains(&count().await), "killed in the middle");
        // The source goes on before the copy does: in what is copied already, and in what is not.
        let (_, before) = fill(&source, 100).await;
        let said = done(&there).await;
        assert!(said.contains("compared with the source"), "{said}");
        assert_eq!(pairs(&all(backend.as_ref()).await.1), pairs(&before));

        let and_back = ["copy", "--from", &urls, "--to", text(&back)];
        let unfinished = back.join("copy.unfinished");
        let length = || std::fs::metadata(&unfinished).map_or(0, |file| file.len());
        killed_when(&and_back, async || length() > 100_000).await;
        // Even if the last bytes of it were never written.
        let cut = length() - 1000;
        std::fs::File::options().write(true).open(&unfinished).unwrap().set_len(cut).unwrap();
        let said = done(&and_back).await;
        assert!(said.contains("going on with "), "{said}");
        let store = open(&back).await;
        assert_eq!(pairs(&all(&store).await.1), pairs(&before));
        assert!(!unfinished.exists());
        store.close().await;

        // etcd forgets the revision that was being copied.
        let replace = [&and_back[..], &["--replace"]].concat();
        killed_when(&replace, async || length() > 100_000).await;
        let delete = Op::Delete { key: before[0].key.clone() };
        let now = backend.txn(Txn { success: vec![delete], ..Txn::default() }).await.unwrap().revision;
        backend.compact(now).await.unwrap();
        let said = done(&replace).await;
        assert!(said.contains("beginning anew"), "{said}");
        let store = open(&back).await;
        assert_eq!(pairs(&all(&store).await.1), pairs(&before[1..]));
        store.close().await;
    });
}

/// Runs a command until something is so, then kills it. Fails if it ends before.
async fn killed_when(arguments: &[&str], is_so: impl AsyncFn() -> bool) {
    let mut child = command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !is_so().await {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child.kill().await.unwrap();
}

#[test]
fn a_server_over_etcd_moves_into_a_folder_and_its_objects_keep_their_versions() {
    World(Age::New).run(async {
        let etcd = Etcd::start(Age::New).await;
        let folder = tempfile::tempdir().unwrap();
        let urls = etcd.urls().join(",");
        let over_etcd = folder.path().join("over-etcd");
        let flag = format!("--etcd-servers={urls}");
        let server = Pintle::start_with(&over_etcd, &[&flag]).await;
        let created = server.admin().post(CONFIG_MAPS, r#"{"metadata":{"name":"a"}}"#).await.unwrap();
        assert_eq!(created.status, 201, "{}", created.text());
        // A server over etcd has no snapshot to give.
        let missing = server.admin().get(pintle::SNAPSHOT_PATH).await.unwrap();
        assert_eq!(missing.status, 404);
        server.stop().await;
        let own = folder.path().join("own");
        done(&["copy", "--from", &urls, "--to", text(&own)]).await;
        let server = Pintle::start(&own).await;
        let found = server.admin().get(&format!("{CONFIG_MAPS}/a")).await.unwrap();
        assert_eq!(found.json(), created.json());
        let updated = created.text().replace(r#""metadata":{"#, r#""data":{"k":"v"},"metadata":{"#);
        let (admin, path) = (server.admin(), format!("{CONFIG_MAPS}/a"));
        let put = admin.send(http::Method::PUT, &path, "application/json", updated).await.unwrap();
        assert_eq!(put.status, 200, "{}", put.text());
        server.stop().await;
    });
}
