//! Watch (B).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{Either, join, select};
use meta::options::ResourceVersionMatch;
use meta::{ApiError, ResourceVersion, Revision};
use schema::Value;

use super::fixture::{
    Suite, Watching, key, labelled, on_node, pod, predicate, put_bytes, recursive, rv, selects, within,
};
use crate::interface::EventType::{self, Added, Deleted, Modified};
use crate::interface::{DeleteRequest, ListRequest, Predicate, WatchEvent};

const KEY: &str = "/pods/ns/foo";

fn from(revision: Revision) -> ListRequest {
    ListRequest { resource_version: rv(revision), ..recursive() }
}

fn at(version: &str) -> ResourceVersion {
    ResourceVersion(version.to_owned())
}

fn selecting(labels: &str, fields: &str) -> Predicate {
    predicate(labels, fields)
}

/// What comes next is an object made now: it stands in for "and then nothing".
async fn expect_nothing_else(suite: &Suite, watches: &mut [&mut Watching<'_>]) {
    let made = suite.create(&labelled("ns", "last", "x")).await;
    for watch in watches {
        watch.expect(Added, "ns/last", made.revision).await;
    }
}

/// B-1, B-4, B-5, B-10: what a change is to whom.
pub async fn watch(suite: &Suite) {
    let start = suite.revision().await;
    let mut everything = suite.watch("/pods", from(start)).await;
    let mut namespace = suite.watch("/pods/ns", from(start)).await;
    let mut single = suite.watch(KEY, ListRequest { recursive: false, ..from(start) }).await;
    let matching = ListRequest { predicate: selecting("app=x", ""), ..from(start) };
    let mut selected = suite.watch("/pods/ns", matching).await;

    let made = suite.create(&labelled("ns", "foo", "y")).await.revision;
    let sibling = suite.create(&labelled("ns-bad", "foo", "x")).await.revision;
    let longer = suite.create(&labelled("ns", "foobar", "y")).await.revision;
    let entered = suite.set(KEY, &["metadata", "labels", "app"], "x").await.revision;
    let changed = suite.set(KEY, &["spec", "value"], "1").await.revision;
    let left = suite.set(KEY, &["metadata", "labels", "app"], "y").await.revision;
    let outside = suite.set(KEY, &["spec", "value"], "2").await.revision;
    let back = suite.set(KEY, &["metadata", "labels", "app"], "x").await.revision;
    let gone = suite.delete(KEY).await.expect("a delete").revision;

    let changes = [
        (Added, made),
        (Modified, entered),
        (Modified, changed),
        (Modified, left),
        (Modified, outside),
        (Modified, back),
        (Deleted, gone),
    ];
    for (kind, revision) in changes {
        single.expect(kind, "ns/foo", revision).await;
    }
    for watch in [&mut everything, &mut namespace] {
        watch.expect(Added, "ns/foo", made).await;
    }
    everything.expect(Added, "ns-bad/foo", sibling).await;
    for watch in [&mut everything, &mut namespace] {
        watch.expect(Added, "ns/foobar", longer).await;
        for (kind, revision) in &changes[1..] {
            watch.expect(*kind, "ns/foo", *revision).await;
        }
    }
    // Seen through the selector: it comes, changes, goes, comes again and goes for good.
    selected.expect(Added, "ns/foo", entered).await;
    selected.expect(Modified, "ns/foo", changed).await;
    let before = selected.expect(Deleted, "ns/foo", left).await;
    assert_eq!(before.str_at(&["metadata", "labels", "app"]), Some("x"), "as it was while it matched");
    assert_eq!(before.str_at(&["spec", "value"]), Some("1"));
    selected.expect(Added, "ns/foo", back).await;
    selected.expect(Deleted, "ns/foo", gone).await;
    expect_nothing_else(suite, &mut [&mut everything, &mut namespace, &mut selected]).await;
}

/// A-CMP-5, B-3: version 0 shows what is, whatever was compacted.
pub async fn watch_from_zero(suite: &Suite) {
    let old = suite.create(&pod("ns", "foo")).await.revision;
    let zero = || ListRequest { resource_version: at("0"), ..recursive() };
    let mut watch = suite.watch("/pods", zero()).await;
    watch.expect(Added, "ns/foo", old).await;
    let second = suite.set(KEY, &["spec", "value"], "2").await.revision;
    watch.expect(Modified, "ns/foo", second).await;
    catch_up(suite, second).await;
    suite.watch("/pods", zero()).await.expect(Added, "ns/foo", second).await;
    let third = suite.set(KEY, &["spec", "value"], "3").await.revision;
    watch.expect(Modified, "ns/foo", third).await;
    suite.compact(third).await;
    catch_up(suite, third).await;
    suite.watch("/pods", zero()).await.expect(Added, "ns/foo", third).await;
    let mut past = suite.watch("/pods", from(old)).await;
    match past.next().await {
        Some(WatchEvent::Error(ApiError::Expired { message, .. })) => {
            assert!(message.contains("too old"), "{message}");
            past.expect_end().await;
        }
        // A cache remembers what the backend forgot, and then all of it (C-HIS-2).
        Some(WatchEvent::Change(Modified, object)) if suite.cached => {
            assert_eq!(object.revision, second);
            past.expect(Modified, "ns/foo", third).await;
        }
        other => panic!("{other:?}"),
    }
    let fourth = suite.set(KEY, &["spec", "value"], "4").await.revision;
    suite.watch("/pods", from(third)).await.expect(Modified, "ns/foo", fourth).await;
}

/// Where any state will do, a cache may answer with an old one, but not with one older than it has shown
/// before (C-RTE-7).
async fn catch_up(suite: &Suite, revision: Revision) {
    let resource_version_match = ResourceVersionMatch::NotOlderThan;
    let options = ListRequest { resource_version: rv(revision), resource_version_match, ..recursive() };
    suite.list("/pods", options).await.expect("a list");
}

/// B-10.
pub async fn delete_trigger_watch(suite: &Suite) {
    let made = suite.create(&pod("ns", "foo")).await.revision;
    let mut watch = suite.watch(KEY, ListRequest { recursive: false, ..from(made) }).await;
    let gone = suite.delete(KEY).await.expect("a delete").revision;
    watch.expect(Deleted, "ns/foo", gone).await;
}

/// B-1: the start itself is not shown again.
pub async fn watch_from_non_zero(suite: &Suite) {
    let made = suite.create(&pod("ns", "foo")).await.revision;
    let mut watch = suite.watch("/pods", from(made)).await;
    let changed = suite.set(KEY, &["spec", "value"], "x").await.revision;
    watch.expect(Modified, "ns/foo", changed).await;
}

/// B-6: what was produced before the reader came is there, without a gap.
pub async fn delayed_watch_delivery(suite: &Suite) {
    let start = suite.revision().await;
    let mut watch = suite.watch("/pods", from(start)).await;
    let mut made = Vec::new();
    for n in 0..21 {
        made.push(suite.create(&pod("ns", &format!("pod-{n:02}"))).await.revision);
    }
    for revision in made {
        let event = match watch.watch.try_next() {
            Some(event) => Some(event),
            None => watch.next().await,
        };
        let Some(WatchEvent::Change(Added, object)) = &event else { panic!("{event:?}") };
        assert_eq!(object.revision, revision);
    }
    assert!(watch.watch.try_next().is_none());
}

/// B-41: a value that cannot be read ends the watch.
pub async fn watch_error(suite: &Suite) {
    let start = suite.revision().await;
    let mut watch = suite.watch("/pods", from(start)).await;
    let made = suite.create(&pod("ns", "foo")).await.revision;
    watch.expect(Added, "ns/foo", made).await;
    suite.put_stored("/pods/ns/bad", Bytes::from_static(b"not ours")).await;
    suite.set(KEY, &["spec", "value"], "after").await;
    if suite.cached {
        return heal(suite, watch).await;
    }
    let error = watch.expect_error().await;
    assert!(matches!(error, ApiError::Internal(_)), "{error:?}");
    watch.expect_end().await;
}

/// C-INI-4, B-46: a cache that cannot follow closes its watches without a word, tells whoever comes
/// meanwhile that it is not ready, and is back when it can be filled.
async fn heal(suite: &Suite, mut watch: Watching<'_>) {
    watch.expect_end().await;
    watch.expect_end().await;
    let refused = suite.storage.watch("/pods", recursive()).await.err();
    assert!(refused.is_some(), "nothing can be watched while nothing can be read");
    assert!(suite.list("/pods", recursive()).await.is_err());
    let accept = |_: &Value| Ok(());
    let preconditions = Default::default();
    let request = DeleteRequest { preconditions, validate: &accept, hint: None, ignore_read_error: true };
    suite.storage.delete("/pods/ns/bad", request).await.expect("an unsafe delete");
    let back = async {
        loop {
            match suite.storage.watch("/pods", recursive()).await {
                Ok(watch) => return watch,
                Err(_) => suite.environment.clock.sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let mut watch = suite.watching(within(&suite.environment, "the cache to be filled again", back).await);
    let event = watch.next().await;
    assert!(matches!(event, Some(WatchEvent::Change(Added, _))), "{event:?}");
    let changed = suite.set(KEY, &["spec", "value"], "healed").await.revision;
    watch.expect(Modified, "ns/foo", changed).await;
}

/// B-7: who stops waiting loses nothing, and a watch that is let go holds up nobody.
pub async fn watch_context_cancel(suite: &Suite) {
    let start = suite.revision().await;
    let mut watch = suite.watch("/pods", from(start)).await;
    let let_go = suite.watch("/pods", from(start)).await;
    drop(suite.storage.watch("/pods/not-existing", recursive()));
    assert!(watch.watch.next().now_or_never().is_none(), "nothing happened yet");
    drop(let_go);
    for n in 0..20 {
        let name = format!("pod-{n}");
        let made = suite.create(&pod("ns", &name)).await.revision;
        let event = match watch.watch.next().now_or_never() {
            Some(event) => event,
            None => watch.next().await,
        };
        let Some(WatchEvent::Change(Added, object)) = &event else { panic!("{event:?}") };
        assert_eq!(object.revision, made);
    }
}

/// B-35, A-STA-7: what a cache asks of the store below. Whoever else asks a cache for it asks in vain.
pub async fn progress_notify(suite: &Suite) {
    if suite.cached || !suite.backend.supports_progress_requests() {
        return;
    }
    let made = suite.create(&pod("ns", "foo")).await.revision;
    let options = ListRequest { progress_notify: true, recursive: false, ..from(made) };
    let mut watch = suite.watch(KEY, options).await;
    for _ in 0..3 {
        let elsewhere = suite.create(&pod("ns", &format!("other-{}", suite.revision().await))).await.revision;
        let told = async {
            loop {
                suite.storage.request_progress().await.expect("a request");
                if watch.expect_bookmark(made, false).await >= elsewhere {
                    return;
                }
            }
        };
        within(&suite.environment, "progress", told).await;
    }
    let changed = suite.set(KEY, &["spec", "value"], "x").await.revision;
    loop {
        match watch.next().await {
            Some(WatchEvent::Bookmark { revision, .. }) => assert!(revision < changed),
            Some(WatchEvent::Change(Modified, object)) => break assert_eq!(object.revision, changed),
            other => panic!("{other:?}"),
        }
    }
}

/// A-DEL-10, B-42.
pub async fn watch_with_unsafe_delete(suite: &Suite) {
    if suite.cached {
        // What cannot be read cannot be cached: see `watch_error`.
        return;
    }
    suite.create(&pod("ns", "foo")).await;
    let corrupt = suite.put_stored(KEY, Bytes::from_static(b"not ours")).await;
    let mut watch = suite.watch("/pods", from(corrupt)).await;
    let accept = |_: &Value| Ok(());
    let request = DeleteRequest {
        preconditions: Default::default(),
        validate: &accept,
        hint: None,
        ignore_read_error: true,
    };
    suite.storage.delete(KEY, request).await.expect("an unsafe delete");
    match watch.expect_error().await {
        ApiError::StorageRead { message, .. } => {
            assert!(message.contains("saw a DELETED event, but object data is corrupt"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    watch.expect_end().await;
}

/// D4: watchers that nobody reads do not hold up one that is read.
pub async fn watcher_timeout(suite: &Suite) {
    let start = suite.revision().await;
    let mut dead = Vec::new();
    for _ in 0..50 {
        dead.push(suite.watch("/pods", from(start)).await);
    }
    let mut live = suite.watch("/pods", from(start)).await;
    for n in 0..300 {
        let name = format!("pod-{n}");
        let made = suite.create(&pod("ns", &name)).await.revision;
        live.expect(Added, &format!("ns/{name}"), made).await;
    }
}

/// B-11.
pub async fn watch_delete_event_object_have_latest_rv(suite: &Suite) {
    let made = suite.create(&labelled("ns", "foo", "x")).await.revision;
    let mut all = suite.watch("/pods", from(made)).await;
    let matching = ListRequest { predicate: selecting("app=x", ""), ..from(made) };
    let mut selected = suite.watch("/pods", matching).await;
    let gone = suite.delete(KEY).await.expect("a delete").revision;
    assert!(gone > made);
    for watch in [&mut all, &mut selected] {
        let tree = watch.expect(Deleted, "ns/foo", gone).await;
        assert_eq!(tree.str_at(&["metadata", "labels", "app"]), Some("x"));
    }
}

/// Where a pod is, or none if it is to be deleted: namespace, name, node, and something that may change.
type Step = (&'static str, &'static str, Option<(&'static str, &'static str)>);

/// What is done in front of every selecting watch.
const STEPS: [Step; 14] = [
    ("t1", "foo", Some(("", "1"))),
    ("t1", "foo", Some(("", "2"))),
    ("t1", "foo", Some(("n1", "2"))),
    ("t1", "bar", Some(("n2", "1"))),
    ("t2", "foo", Some(("n2", "1"))),
    ("t1", "foo", Some(("n1", "3"))),
    ("t1", "foo", Some(("n2", "3"))),
    ("t1", "foo", Some(("n1", "4"))),
    ("t1", "bar", Some(("n1", "1"))),
    ("t2", "foo", Some(("n1", "2"))),
    ("t1", "bar", None),
    ("t1", "foo", Some(("n3", "5"))),
    ("t1", "foo", None),
    ("t2", "foo", None),
];

/// Runs the steps before a watch; what it must see follows from B.2. `name_of` makes the key of a pod.
async fn watch_steps(suite: &Suite, at: &str, recursive: bool, fields: &str, namespaced: bool) {
    let start = suite.revision().await;
    let options = ListRequest { predicate: selecting("", fields), recursive, ..from(start) };
    let mut watch = suite.watch(at, options).await;
    let mut everything = suite.watch("/pods", from(start)).await;
    let mut nodes: BTreeMap<String, &str> = BTreeMap::new();
    for (namespace, name, change) in STEPS {
        // Without namespaces two pods of one name would be one.
        let (namespace, name) = match namespaced {
            true => (namespace, name.to_owned()),
            false => ("", format!("{namespace}-{name}")),
        };
        let full = if namespaced { format!("{namespace}/{name}") } else { name.clone() };
        let key = format!("/pods/{full}");
        let below = if recursive { format!("{key}/").starts_with(&format!("{at}/")) } else { key == at };
        let sees = |node: &&str| below && selects(fields, namespace, &name, node);
        let old = nodes.get(&full).copied();
        let revision = match change {
            None => suite.delete(&key).await.expect("a delete").revision,
            Some((node, value)) => {
                let mut object = on_node(namespace, &name, node);
                object.set(&["spec", "value"], value);
                put_object(suite, &key, old.is_some(), object).await
            }
        };
        let new = change.map(|(node, _)| node);
        match new {
            Some(node) => nodes.insert(full.clone(), node),
            None => nodes.remove(&full),
        };
        let text = |kind: EventType| format!("{kind:?} {full} watching {at} where {fields:?}");
        let seen = match (old.filter(&sees), new.filter(&sees)) {
            (None, None) => None,
            (None, Some(_)) => Some(Added),
            (Some(_), Some(_)) => Some(Modified),
            (Some(_), None) => Some(Deleted),
        };
        if let Some(kind) = seen {
            let tree = watch.expect(kind, &full, revision).await;
            let node = tree.str_at(&["spec", "nodeName"]);
            let shown = if kind == Deleted { old } else { new };
            assert_eq!(node, shown, "{}", text(kind));
        }
        let event = everything.next().await;
        assert!(matches!(event, Some(WatchEvent::Change(_, object)) if object.revision == revision));
    }
    assert!(watch.watch.try_next().is_none(), "watching {at} where {fields:?}");
}

async fn put_object(suite: &Suite, key: &str, exists: bool, object: Value) -> Revision {
    if !exists {
        return suite.storage.create(key, &object, 0).await.expect("a creation").revision;
    }
    let mut replace = |_: Value, _: Revision| Ok((object.clone(), None));
    suite.update(key, None, &mut replace).await.expect("an update").object.revision
}

/// B-13 of resources without a namespace.
pub async fn cluster_scoped_watch(suite: &Suite) {
    for fields in [
        "",
        "metadata.name=t1-foo",
        "metadata.name!=t1-foo",
        "spec.nodeName=n1",
        "spec.nodeName!=n1",
        "spec.nodeName=",
        "metadata.name=t1-foo,spec.nodeName=n1",
        "metadata.name=t1-foo,spec.nodeName!=n1",
    ] {
        watch_steps(suite, "/pods", true, fields, false).await;
        watch_steps(suite, "/pods/t1-foo", false, fields, false).await;
    }
}

/// B-13 of resources with a namespace.
pub async fn namespace_scoped_watch(suite: &Suite) {
    for fields in [
        "",
        "metadata.name=foo",
        "metadata.name!=foo",
        "metadata.namespace=t1",
        "metadata.namespace!=t1",
        "spec.nodeName=n1",
        "spec.nodeName!=n1",
        "metadata.name=foo,metadata.namespace=t1",
        "metadata.name=foo,metadata.namespace!=t1",
        "spec.nodeName=n2,metadata.namespace=t1",
        "spec.nodeName!=n2,metadata.namespace=t1",
        "metadata.name=foo,spec.nodeName=n2",
        "metadata.name=foo,metadata.namespace=t1,spec.nodeName=n1",
        "metadata.name=foo,metadata.namespace=t1,spec.nodeName!=n1",
    ] {
        for at in ["/pods", "/pods/t1", "/pods/t2"] {
            watch_steps(suite, at, true, fields, true).await;
        }
        watch_steps(suite, "/pods/t1/foo", false, fields, true).await;
    }
}

/// How long the watches live that wait for their last bookmark.
const LIFETIME: Duration = Duration::from_secs(3);

/// B-30, B-31: who asked gets a bookmark before the end, of what happened elsewhere; who did not gets none.
pub async fn watch_dispatch_bookmark_events(suite: &Suite) {
    let made = suite.create(&pod("test-ns", "foo")).await.revision;
    let open = |allow_watch_bookmarks: bool| {
        let options = ListRequest { allow_watch_bookmarks, lifetime: Some(LIFETIME), ..from(made) };
        suite.watch("/pods/test-ns", options)
    };
    let (mut asked, mut silent) = (open(true).await, open(false).await);
    let elsewhere = suite.create(&pod("other-ns", "foo")).await.revision;
    let clock = &suite.environment.clock;
    let first = async |watch: &mut Watching<'_>| match select(watch.watch.next(), clock.sleep(LIFETIME)).await
    {
        Either::Left((event, _)) => event,
        Either::Right(_) => None,
    };
    let (told, nothing) = join(first(&mut asked), first(&mut silent)).await;
    assert!(nothing.is_none(), "{nothing:?}");
    match told {
        Some(WatchEvent::Bookmark { revision, initial_events_end: false }) => {
            assert!(revision >= elsewhere && revision <= suite.revision().await);
        }
        // Nobody can tell a watch of this backend how far it is.
        None if !suite.cached && !suite.backend.supports_progress_requests() => {}
        other => panic!("wanted a bookmark, got {other:?}"),
    }
}

/// B-2, B-32: a bookmark is not older than what came before it, and what comes after it is newer.
pub async fn watch_bookmarks_with_correct_resource_version(suite: &Suite) {
    let start = suite.revision().await;
    let options = ListRequest { allow_watch_bookmarks: true, lifetime: Some(LIFETIME), ..from(start) };
    let mut watch = suite.watch("/pods/test-ns", options).await;
    let clock = &suite.environment.clock;
    let pause = Duration::from_millis(10);
    // Busy at first; then there is news elsewhere only, which a bookmark has to tell; then busy again.
    let write = async {
        for n in 0..200 {
            let namespace = if n % 2 == 0 && !(50..180).contains(&n) { "test-ns" } else { "other-ns" };
            suite.create(&pod(namespace, &format!("foo-{n}"))).await;
            clock.sleep(pause).await;
        }
    };
    let mut end = clock.sleep(LIFETIME);
    let read = async {
        let (mut reached, mut events, mut bookmarks) = (start, 0, 0);
        while let Either::Left((event, _)) = select(watch.watch.next(), &mut end).await {
            match event {
                Some(WatchEvent::Change(Added, object)) => {
                    assert!(object.revision > reached, "{} after {reached}", object.revision);
                    reached = object.revision;
                    events += 1;
                }
                Some(WatchEvent::Bookmark { revision, .. }) => {
                    assert!(revision >= reached, "bookmark {revision} after {reached}");
                    reached = revision;
                    bookmarks += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        (events, bookmarks)
    };
    let ((), (events, bookmarks)) = join(write, read).await;
    assert!(events <= 35, "{events} events");
    if suite.cached || suite.backend.supports_progress_requests() {
        assert!(bookmarks > 0, "no bookmark among {events} events");
    }
}

/// B-20: initial events may be asked for without bookmarks.
pub async fn send_initial_events_backward_compatibility(suite: &Suite) {
    let made = suite.create(&pod("ns", "foo")).await.revision;
    let options = ListRequest { send_initial_events: Some(true), ..recursive() };
    let mut watch = suite.watch("/pods", options).await;
    watch.expect(Added, "ns/foo", made).await;
    expect_nothing_else(suite, &mut [&mut watch]).await;
}

/// What a watch asks for at its start.
#[derive(Clone, Copy, Debug)]
struct Start {
    send_initial_events: Option<bool>,
    version: Version,
    allow_watch_bookmarks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    Unset,
    Zero,
    BeforeAll,
    Current,
}

impl Start {
    /// Objects first, whatever their age, rather than changes.
    fn with_state(self) -> bool {
        self.send_initial_events.unwrap_or(matches!(self.version, Version::Unset | Version::Zero))
    }

    /// B.3: which starts a cache may answer with a state that is not the newest.
    fn may_be_stale(self) -> bool {
        match self.version {
            Version::Unset => self.send_initial_events.is_none(),
            Version::Zero => true,
            Version::BeforeAll => self.send_initial_events == Some(true),
            Version::Current => false,
        }
    }
}

/// B-20, B-21, B-3: the whole start matrix, with and without bookmarks.
pub async fn watch_semantics(suite: &Suite) {
    // A cache that was filled before anything was written knows the whole history.
    suite.list("/pods", recursive()).await.expect("a list");
    let before_all = suite.revision().await;
    let mut number = 0;
    for send_initial_events in [None, Some(true), Some(false)] {
        for version in [Version::Unset, Version::Zero, Version::BeforeAll, Version::Current] {
            for allow_watch_bookmarks in [false, true] {
                number += 1;
                let start = Start { send_initial_events, version, allow_watch_bookmarks };
                watch_from_start(suite, &format!("ns-{number}"), start, before_all).await;
            }
        }
    }
}

async fn watch_from_start(suite: &Suite, namespace: &str, start: Start, before_all: Revision) {
    // Not in the order of their keys.
    let mut made = Vec::new();
    for name in ["pod-3", "pod-1", "pod-2"] {
        made.push((format!("{namespace}/{name}"), suite.create(&pod(namespace, name)).await.revision));
    }
    let newest = made[2].1;
    if start.may_be_stale() {
        catch_up(suite, newest).await;
    }
    let resource_version = match start.version {
        Version::Unset => at(""),
        Version::Zero => at("0"),
        Version::BeforeAll => rv(before_all),
        Version::Current => rv(newest),
    };
    let Start { send_initial_events, allow_watch_bookmarks, .. } = start;
    let options = ListRequest { resource_version, send_initial_events, allow_watch_bookmarks, ..recursive() };
    let mut watch = suite.watch(&format!("/pods/{namespace}"), options).await;
    if start.with_state() {
        made.sort();
    }
    if start.with_state() || start.version == Version::BeforeAll {
        for (name, revision) in made {
            watch.expect(Added, &name, revision).await;
        }
    }
    if send_initial_events == Some(true) && allow_watch_bookmarks {
        let told = watch.expect_bookmark(newest, true).await;
        assert!(told <= suite.revision().await, "{start:?}");
    }
    for name in ["pod-4", "pod-0"] {
        let made = suite.create(&pod(namespace, name)).await.revision;
        watch.expect(Added, &format!("{namespace}/{name}"), made).await;
    }
    assert!(watch.watch.try_next().is_none(), "{start:?}");
}

/// B-21: the end bookmark tells the revision of the whole backend.
pub async fn watch_semantic_initial_events_extended(suite: &Suite) {
    let made = suite.create(&pod("ns", "foo")).await.revision;
    let elsewhere = suite.create(&pod("other", "foo")).await.revision;
    let further = put_bytes(suite.backend.as_ref(), "/elsewhere", key("x")).await;
    for version in [String::new(), made.to_string(), elsewhere.to_string()] {
        let options = ListRequest {
            resource_version: at(&version),
            send_initial_events: Some(true),
            allow_watch_bookmarks: true,
            ..recursive()
        };
        let mut watch = suite.watch("/pods/ns", options).await;
        watch.expect(Added, "ns/foo", made).await;
        let wanted = if version.is_empty() { further } else { elsewhere };
        let told = watch.expect_bookmark(wanted, true).await;
        assert!(told <= suite.revision().await);
    }
    // Nothing to show, and yet an end.
    let options = ListRequest { send_initial_events: Some(true), allow_watch_bookmarks: true, ..recursive() };
    let mut watch = suite.watch("/pods/empty", options).await;
    watch.expect_bookmark(further, true).await;
}

/// B-23.
pub async fn watch_list_match_single(suite: &Suite) {
    let made = suite.create_all(&["ns/a", "ns/foo", "ns/z"]).await;
    let options = ListRequest {
        predicate: selecting("", "metadata.name=foo"),
        send_initial_events: Some(true),
        allow_watch_bookmarks: true,
        ..recursive()
    };
    let mut watch = suite.watch("/pods/ns", options).await;
    watch.expect(Added, "ns/foo", made[1].revision).await;
    watch.expect_bookmark(made[2].revision, true).await;
    suite.delete("/pods/ns/a").await.expect("a delete");
    let gone = suite.delete(KEY).await.expect("a delete").revision;
    watch.expect(Deleted, "ns/foo", gone).await;
}

/// B-3: initial events that are newer than anything there is.
pub async fn watch_list_from_the_future(suite: &Suite) {
    suite.create(&pod("ns", "foo")).await;
    let future = Revision(suite.revision().await.0 + 1000);
    let options =
        ListRequest { send_initial_events: Some(true), allow_watch_bookmarks: true, ..from(future) };
    let mut watch = suite.watch("/pods", options).await;
    match watch.expect_error().await {
        ApiError::TooLargeResourceVersion { requested, retry_after_seconds, .. } => {
            assert_eq!(requested, future.0);
            assert!(retry_after_seconds > 0);
        }
        other => panic!("{other:?}"),
    }
    watch.expect_end().await;
    // Without initial events it waits for that revision.
    let soon = Revision(suite.revision().await.0 + 2);
    let mut watch = suite.watch("/pods", from(soon)).await;
    let mut last = Revision(0);
    for n in 0..3 {
        last = suite.create(&pod("ns", &format!("pod-{n}"))).await.revision;
    }
    watch.expect(Added, "ns/pod-2", last).await;
}

/// B-40: an error is the last that is heard.
pub async fn watch_error_is_blocking_further_events(suite: &Suite) {
    if suite.cached {
        // No error comes through a cache: see `watch_error`.
        return;
    }
    let start = suite.revision().await;
    let mut watch = suite.watch("/pods", from(start)).await;
    for n in 0..3 {
        suite.create(&pod("ns", &format!("before-{n}"))).await;
    }
    suite.put_stored("/pods/ns/bad", Bytes::from_static(b"not ours")).await;
    for n in 0..3 {
        suite.create(&pod("ns", &format!("after-{n}"))).await;
    }
    let mut seen = 0;
    loop {
        match watch.next().await {
            Some(WatchEvent::Change(Added, _)) => seen += 1,
            Some(WatchEvent::Error(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, 3);
    watch.expect_end().await;
    watch.expect_end().await;
}

/// B-47.
pub async fn watch_refuses_bad_resource_versions(suite: &Suite) {
    for version in ["abc", "-1", "1.0"] {
        let options = ListRequest { resource_version: at(version), ..recursive() };
        assert!(suite.storage.watch("/pods", options).await.is_err(), "{version}");
    }
}

/// B-2, B-3: where initial events end and live ones begin nothing is lost and nothing comes twice.
pub async fn live_events_follow_initial_events_without_gap(suite: &Suite) {
    const OBJECTS: usize = 40;
    let mut revisions = BTreeMap::new();
    let mut watches = Vec::new();
    for n in 0..OBJECTS {
        let name = format!("pod-{:02}", n % 10);
        let key = format!("/pods/ns/{name}");
        let revision = match suite.get(&key).await {
            None => suite.create(&pod("ns", &name)).await.revision,
            Some(_) => {
                suite.set(&key, &["spec", "value"], if n % 20 < 10 { "even" } else { "odd" }).await.revision
            }
        };
        revisions.insert(name, revision);
        let options = ListRequest { send_initial_events: Some(true), ..recursive() };
        watches.push(suite.watch("/pods", options).await);
    }
    for mut watch in watches {
        let mut seen = BTreeMap::new();
        while seen != revisions {
            match watch.next().await {
                Some(WatchEvent::Change(Added | Modified, object)) => {
                    let name = String::from_utf8_lossy(&object.key).rsplit('/').next().map(str::to_owned);
                    let before = seen.insert(name.expect("a name"), object.revision);
                    assert!(
                        before.is_none_or(|before| before < object.revision),
                        "an object goes back in time"
                    );
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// INV "no gap in watch": a selected list of any time plus what a watch from
/// there tells is the selected list of now.
pub async fn a_list_and_its_watch_add_up_to_a_later_list(suite: &Suite) {
    const CHANGES: u64 = 300;
    let selectors = [
        ("", ""),
        ("app=x", ""),
        ("app!=x", ""),
        ("", "metadata.name!=pod-3"),
        ("app=y", "spec.nodeName=n1"),
    ];
    let selected = |i: usize| selecting(selectors[i].0, selectors[i].1);
    let mut watchers = Vec::new();
    // A fixed sequence without a pattern (multiplier of Knuth's MMIX).
    let mut seed = 1u64;
    for n in 0..CHANGES {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = seed >> 33;
        let name = format!("pod-{}", draw % 8);
        let key = format!("/pods/ns/{name}");
        let mut object = labelled("ns", &name, if draw & 16 == 0 { "x" } else { "y" });
        object.set(&["spec", "nodeName"], if draw & 32 == 0 { "n1" } else { "n2" });
        if suite.get(&key).await.is_none() {
            suite.create(&object).await;
        } else if draw & 0xc0 == 0 {
            suite.delete(&key).await.expect("a delete");
        } else {
            let mut replace = |_: Value, _: Revision| Ok((object.clone(), None));
            suite.update(&key, None, &mut replace).await.expect("an update");
        }
        if n % 20 == 0 {
            let i = (draw >> 8) as usize % selectors.len();
            let options = ListRequest { predicate: selected(i), ..recursive() };
            let listed = suite.list("/pods", options.clone()).await.expect("a list");
            let known: BTreeMap<Bytes, Revision> =
                listed.items.iter().map(|object| (object.key.clone(), object.revision)).collect();
            let options = ListRequest { resource_version: rv(listed.revision), ..options };
            watchers.push((i, known, listed.revision, suite.watch("/pods", options).await));
        }
    }
    // A last object that comes to or leaves every selector tells that nothing more is to come.
    let mut last = labelled("ns", "last", "y");
    last.set(&["spec", "nodeName"], "n1");
    suite.create(&last).await;
    last.set(&["metadata", "labels", "app"], "x");
    let mut replace = |_: Value, _: Revision| Ok((last.clone(), None));
    let end = suite.update("/pods/ns/last", None, &mut replace).await.expect("an update").object.revision;
    for (i, mut known, mut reached, mut watch) in watchers {
        while reached < end {
            let event = watch.next().await;
            let Some(WatchEvent::Change(kind, object)) = event else { panic!("{event:?}") };
            assert!(object.revision > reached, "revisions rise");
            reached = object.revision;
            let before = match kind {
                Deleted => known.remove(&object.key),
                Added | Modified => known.insert(object.key.clone(), object.revision),
            };
            assert_eq!(before.is_some(), kind != Added, "{kind:?} of {:?}", object.key);
        }
        let options = ListRequest { predicate: selected(i), ..recursive() };
        let listed = suite.list("/pods", options).await.expect("a list");
        let want: BTreeMap<Bytes, Revision> =
            listed.items.iter().map(|object| (object.key.clone(), object.revision)).collect();
        assert_eq!(known, want, "selector {:?}", selectors[i]);
    }
}
