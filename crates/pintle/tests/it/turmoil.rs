//! Two servers, as processes, over one etcd that is killed and started again
//! under load: no acknowledged write is lost, no watcher misses a change or
//! sees one twice, and the servers say how they are and recover by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use test_server::client::{Answer, Client};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::over_etcd::etcd::{Etcd, World, within};
use crate::over_etcd::servers::Age;
use crate::process::Pintle;

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// A writer gives up on an answer after this long, and counts its write as unknown.
const WRITE_PATIENCE: Duration = Duration::from_secs(3);
/// How often etcd is killed.
const KILLS: usize = 3;
/// Name of the object that tells watchers that nothing more is to come.
const LAST: &str = "last";

struct Servers {
    processes: Vec<Pintle>,
    // After the processes, which write into them.
    _folders: Vec<tempfile::TempDir>,
}

impl Servers {
    async fn start(etcd: &Etcd, number: usize) -> Servers {
        let flag = format!("--etcd-servers={}", etcd.urls().join(","));
        let mut servers = Servers { processes: Vec::new(), _folders: Vec::new() };
        for _ in 0..number {
            let folder = tempfile::tempdir().unwrap();
            servers.processes.push(Pintle::start_with(folder.path(), &[&flag]).await);
            servers._folders.push(folder);
        }
        servers
    }

    fn client(&self, index: usize) -> Client {
        self.processes[index % self.processes.len()].admin()
    }

    /// Waits until `/readyz` of every server answers with this status, and returns what they say.
    async fn until_readyz_is(&self, status: u16) -> Vec<String> {
        let mut said = Vec::new();
        for process in &self.processes {
            let client = process.admin();
            let answer = within(async {
                loop {
                    let answer = client.get("/readyz").await.expect("the server itself stays up");
                    if answer.status == status {
                        return answer.text();
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            });
            said.push(answer.await);
        }
        said
    }
}

fn on(age: Age, test: impl AsyncFnOnce(Etcd, Servers)) {
    World(age).run(async {
        let etcd = Etcd::start(age).await;
        let servers = Servers::start(&etcd, 2).await;
        test(etcd, servers).await;
    });
}

fn config_map(name: &str, value: &str) -> Bytes {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}})
        .to_string()
        .into()
}

fn revision(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).expect("a revision")
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().expect("a name").to_owned()
}

async fn see_each_other(_etcd: Etcd, servers: Servers) {
    let (one, other) = (servers.client(0), servers.client(1));
    let start = revision(&within(other.get(CONFIG_MAPS)).await.unwrap().json());
    let mut watch = other.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={start}")).await.unwrap();
    for n in 0..20 {
        let label = format!("a{n}");
        let made = one.post(CONFIG_MAPS, config_map(&label, "")).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
        // A consistent list of the other server shows what this one acknowledged, at once.
        let listed = within(other.get(CONFIG_MAPS)).await.unwrap().json();
        assert!(revision(&listed) >= revision(&made.json()));
        let items = listed["items"].as_array().unwrap();
        assert!(items.iter().any(|item| name(item) == label), "{label} is missing in {listed}");
        let event = within(watch.next()).await.unwrap().expect("the watch goes on");
        assert_eq!((&event["type"], &event["object"]), (&json!("ADDED"), &made.json()));
    }
}

#[test]
fn a_write_on_one_server_is_watched_and_listed_on_the_other() {
    on(Age::New, see_each_other);
}

#[test]
fn a_write_on_one_server_over_an_old_etcd_is_watched_and_listed_on_the_other() {
    on(Age::Old, see_each_other);
}

/// What writers know to have happened.
#[derive(Default)]
struct Ledger {
    /// Acknowledged changes: revision, and name and value, or no value for a delete.
    acknowledged: Mutex<BTreeMap<u64, (String, Option<String>)>>,
    /// Names whose last write got no clear answer: it may have happened or not.
    unknown: Mutex<BTreeSet<String>>,
    refused: AtomicUsize,
}

impl Ledger {
    async fn note(&self, name: &str, value: Option<&str>, answer: Option<Answer>) -> Option<Value> {
        let answer = match answer {
            Some(answer) if answer.status < 300 => answer.json(),
            _ => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                self.unknown.lock().await.insert(name.to_owned());
                return None;
            }
        };
        // A delete answers with a Status or with the object as it was; its revision is not told.
        if let Some(value) = value {
            let change = (name.to_owned(), Some(value.to_owned()));
            let before = self.acknowledged.lock().await.insert(revision(&answer), change);
            assert_eq!(before, None, "two changes with one revision");
        }
        Some(answer)
    }
}

/// Creates, changes and deletes objects of its own until told to stop.
async fn write(client: Client, id: usize, ledger: Arc<Ledger>, stop: Arc<AtomicBool>) {
    let send = async |method: Method, path: &str, body: Bytes| {
        let sent = client.send(method, path, "application/json", body);
        timeout(WRITE_PATIENCE, sent).await.ok().and_then(Result::ok)
    };
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let label = format!("w{id}-{n}");
        let path = format!("{CONFIG_MAPS}/{label}");
        let answer = send(Method::POST, CONFIG_MAPS, config_map(&label, "made")).await;
        if ledger.note(&label, Some("made"), answer).await.is_none() {
            // Not a hundred failures in the time etcd is away.
            sleep(Duration::from_millis(50)).await;
            continue;
        }
        let answer = send(Method::PUT, &path, config_map(&label, "changed")).await;
        if ledger.note(&label, Some("changed"), answer).await.is_none() {
            continue;
        }
        if n % 3 == 0 {
            let answer = send(Method::DELETE, &path, Bytes::new()).await;
            if ledger.note(&label, None, answer).await.is_some() {
                // Gone for good: its last known state is that it is not there.
                ledger.acknowledged.lock().await.retain(|_, (name, _)| *name != label);
                ledger.unknown.lock().await.insert(label);
            }
        }
    }
}

/// What one watcher saw.
#[derive(Default)]
struct Seen {
    /// Revisions of changes, in the order they came.
    changes: Vec<u64>,
    /// Stretches that a list covered instead of a watch: after the first, up to the second.
    listed: Vec<(u64, u64)>,
    /// The objects as lists and changes add up to.
    state: BTreeMap<String, (u64, String)>,
    breaks: usize,
}

impl Seen {
    fn take(&mut self, object: &Value, deleted: bool) {
        let value = object["data"]["value"].as_str().unwrap_or_default().to_owned();
        match deleted {
            true => self.state.remove(&name(object)),
            false => self.state.insert(name(object), (revision(object), value)),
        };
    }
}

/// Lists and watches as clients do, through whatever breaks, until the last object comes.
async fn watch(client: Client) -> Seen {
    let mut seen = Seen::default();
    let mut reached = 0;
    loop {
        let Some(list) = try_list(&client).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        assert!(revision(&list) >= reached, "a list goes back in time");
        seen.listed.push((reached, revision(&list)));
        reached = revision(&list);
        seen.state.clear();
        for item in list["items"].as_array().expect("items") {
            seen.take(item, false);
        }
        // Until the history is gone, a watch goes on where the last one ended.
        while follow(&client, &mut seen, &mut reached).await {
            if seen.state.contains_key(LAST) {
                return seen;
            }
            seen.breaks += 1;
            sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn try_list(client: &Client) -> Option<Value> {
    let answer = timeout(WRITE_PATIENCE, client.get(CONFIG_MAPS)).await.ok()?.ok()?;
    (answer.status == 200).then(|| answer.json())
}

/// Follows one watch to its end; false if it must be listed anew.
async fn follow(client: &Client, seen: &mut Seen, reached: &mut u64) -> bool {
    let path = format!("{CONFIG_MAPS}?watch=1&resourceVersion={reached}&allowWatchBookmarks=true");
    let mut watch = match timeout(WRITE_PATIENCE, client.watch(&path)).await {
        Ok(Ok(watch)) => watch,
        Ok(Err(error)) => return !error.to_string().contains("410"),
        Err(_) => return true,
    };
    while let Ok(Some(event)) = watch.next().await {
        let object = &event["object"];
        match event["type"].as_str().expect("a type") {
            "ERROR" if object["code"] == 410 => return false,
            "ERROR" => return true,
            "BOOKMARK" => assert!(revision(object) >= *reached, "a bookmark goes back in time"),
            kind => {
                assert!(revision(object) > *reached, "{kind} of {reached} or before: {event}");
                seen.changes.push(revision(object));
                seen.take(object, kind == "DELETED");
                if name(object) == LAST {
                    return true;
                }
            }
        }
        *reached = revision(object);
    }
    true
}

async fn lose_nothing(mut etcd: Etcd, servers: Servers) {
    let ledger = Arc::new(Ledger::default());
    let stop = Arc::new(AtomicBool::new(false));
    let (mut writers, mut watchers) = (JoinSet::new(), JoinSet::new());
    for id in 0..4 {
        writers.spawn(write(servers.client(id), id, ledger.clone(), stop.clone()));
        watchers.spawn(watch(servers.client(id)));
    }
    for _ in 0..KILLS {
        sleep(Duration::from_millis(700)).await;
        etcd.kill(0);
        for said in servers.until_readyz_is(500).await {
            assert!(said.contains("[-]etcd"), "it does not say what is wrong: {said}");
        }
        etcd.resume(0);
        assert_eq!(servers.until_readyz_is(200).await, ["ok", "ok"]);
    }
    sleep(Duration::from_millis(500)).await;
    stop.store(true, Ordering::Relaxed);
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let last = within(servers.client(0).post(CONFIG_MAPS, config_map(LAST, ""))).await.unwrap();
    assert_eq!(last.status, 201, "{}", last.text());
    let end = revision(&last.json());

    let acknowledged = ledger.acknowledged.lock().await;
    let unknown = ledger.unknown.lock().await;
    assert!(ledger.refused.load(Ordering::Relaxed) > 0, "nobody noticed that etcd was away");
    assert!(acknowledged.len() > 50, "hardly anything was written: {}", acknowledged.len());
    let (one, other) =
        (try_list(&servers.client(0)).await.unwrap(), try_list(&servers.client(1)).await.unwrap());
    assert_eq!(one["items"], other["items"]);
    let mut finally = Seen::default();
    for item in one["items"].as_array().unwrap() {
        finally.take(item, false);
    }
    // The last acknowledged change of a name is what is there, unless a later one is in doubt.
    let wanted: BTreeMap<&String, (u64, &String)> = acknowledged
        .iter()
        .filter_map(|(revision, (name, value))| Some((name, (*revision, value.as_ref()?))))
        .collect();
    for (name, (revision, value)) in wanted {
        if !unknown.contains(name) {
            let found = finally.state.get(name).map(|(revision, value)| (*revision, value));
            assert_eq!(found, Some((revision, value)), "an acknowledged write of {name} is lost");
        }
    }
    while let Some(seen) = within(watchers.join_next()).await {
        let seen = seen.unwrap();
        assert_eq!(seen.state, finally.state, "what a watcher knows is not what there is");
        assert!(seen.changes.is_sorted_by(|a, b| a < b), "a change came twice");
        let known: BTreeSet<u64> = seen.changes.iter().copied().collect();
        let listed = |at: u64| seen.listed.iter().any(|(after, up_to)| at > *after && at <= *up_to);
        for revision in acknowledged.keys().filter(|revision| **revision <= end) {
            assert!(known.contains(revision) || listed(*revision), "the change at {revision} was not seen");
        }
        assert!(known.contains(&end));
    }
    for process in servers.processes {
        process.stop().await;
    }
}

#[test]
fn an_etcd_killed_under_load_loses_nothing() {
    on(Age::New, lose_nothing);
}

#[test]
fn an_old_etcd_killed_under_load_loses_nothing() {
    on(Age::Old, lose_nothing);
}
