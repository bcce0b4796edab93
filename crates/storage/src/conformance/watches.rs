//! Watch (B).

use std::collections::BTreeMap;

use bytes::Bytes;
use meta::{ApiError, ResourceVersion, Revision};
use schema::Value;

use super::fixture::{Suite, Watching, key, labelled, on_node, pod, predicate, put_bytes, recursive, rv};
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
    // A caching storage may show an older state first.
    if !suite.cached {
        suite.watch("/pods", zero()).await.expect(Added, "ns/foo", second).await;
    }
    let third = suite.set(KEY, &["spec", "value"], "3").await.revision;
    watch.expect(Modified, "ns/foo", third).await;
    suite.backend.compact(third).await.expect("a compaction");
    if !suite.cached {
        suite.watch("/pods", zero()).await.expect(Added, "ns/foo", third).await;
        let mut expired = suite.watch("/pods", from(old)).await;
        match expired.expect_error().await {
            ApiError::Expired { message, .. } => {
                assert_eq!(message, "The resourceVersion for the provided watch is too old.");
            }
            other => panic!("{other:?}"),
        }
        expired.expect_end().await;
    }
    let fourth = suite.set(KEY, &["spec", "value"], "4").await.revision;
    suite.watch("/pods", from(third)).await.expect(Modified, "ns/foo", fourth).await;
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
    if suite.cached {
        return;
    }
    suite.put_stored("/pods/ns/bad", Bytes::from_static(b"not ours")).await;
    suite.set(KEY, &["spec", "value"], "after").await;
    let error = watch.expect_error().await;
    assert!(matches!(error, ApiError::Internal(_)), "{error:?}");
    watch.expect_end().await;
}

/// A-DEL-10, B-42.
pub async fn watch_with_unsafe_delete(suite: &Suite) {
    if suite.cached {
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

/// A change and what a watcher with a field selector sees of it.
struct Step {
    object: Option<Value>,
    name: &'static str,
    seen: Option<EventType>,
}

async fn run_steps(suite: &Suite, at: &str, fields: &str, steps: Vec<Step>) {
    let start = suite.revision().await;
    let mut watch = suite.watch(at, ListRequest { predicate: selecting("", fields), ..from(start) }).await;
    let mut names = Vec::new();
    for step in steps {
        let key = format!("/pods/{}", step.name);
        let revision = match step.object {
            None => suite.delete(&key).await.expect("a delete").revision,
            Some(object) if names.contains(&step.name) => {
                let mut replace = |_: Value, _: Revision| Ok((object.clone(), None));
                suite.update(&key, None, &mut replace).await.expect("an update").object.revision
            }
            Some(object) => suite.storage.create(&key, &object, 0).await.expect("a creation").revision,
        };
        names.push(step.name);
        if let Some(kind) = step.seen {
            watch.expect(kind, step.name, revision).await;
        }
    }
}

fn put(object: Value, name: &'static str, seen: Option<EventType>) -> Step {
    Step { object: Some(object), name, seen }
}

fn remove(name: &'static str, seen: Option<EventType>) -> Step {
    Step { object: None, name, seen }
}

/// B-13 of resources without a namespace.
pub async fn cluster_scoped_watch(suite: &Suite) {
    for (fields, a, a_moved, b) in [
        ("", Some(Added), Some(Modified), Some(Added)),
        ("metadata.name=a", Some(Added), Some(Modified), None),
        ("metadata.name!=a", None, None, Some(Added)),
        ("spec.nodeName=n1", Some(Added), Some(Deleted), None),
        ("spec.nodeName=n2", None, Some(Added), Some(Added)),
        ("metadata.name=a,spec.nodeName=n1", Some(Added), Some(Deleted), None),
    ] {
        let gone = |seen: Option<EventType>, last: Option<EventType>| match last.or(seen) {
            Some(Deleted) | None => None,
            Some(_) => Some(Deleted),
        };
        let steps = vec![
            put(on_node("", "a", "n1"), "a", a),
            put(on_node("", "a", "n2"), "a", a_moved),
            put(on_node("", "b", "n2"), "b", b),
            remove("a", gone(a, a_moved)),
            remove("b", gone(b, None)),
        ];
        run_steps(suite, "/pods", fields, steps).await;
    }
}

/// B-13 of resources with a namespace.
pub async fn namespace_scoped_watch(suite: &Suite) {
    // Key watched, fields, whether t1/foo on n1, t1/bar on n2 and t2/foo on n2 are seen.
    for (at, fields, seen) in [
        ("/pods", "", [true, true, true]),
        ("/pods", "metadata.name=foo", [true, false, true]),
        ("/pods", "metadata.name!=foo", [false, true, false]),
        ("/pods", "metadata.namespace=t1", [true, true, false]),
        ("/pods", "metadata.namespace!=t1", [false, false, true]),
        ("/pods", "spec.nodeName=n1", [true, false, false]),
        ("/pods", "spec.nodeName!=n1", [false, true, true]),
        ("/pods", "metadata.name=foo,metadata.namespace=t1", [true, false, false]),
        ("/pods", "metadata.name=foo,metadata.namespace!=t1", [false, false, true]),
        ("/pods", "spec.nodeName=n2,metadata.namespace=t1", [false, true, false]),
        ("/pods/t1", "", [true, true, false]),
        ("/pods/t1", "metadata.name=foo", [true, false, false]),
        ("/pods/t1", "metadata.namespace=t2", [false, false, false]),
        ("/pods/t1", "spec.nodeName=n2", [false, true, false]),
        ("/pods/t2", "metadata.name!=foo", [false, false, false]),
        ("/pods/t2", "metadata.name=foo,spec.nodeName=n2", [false, false, true]),
        ("/pods/t2", "spec.nodeName!=n2", [false, false, false]),
    ] {
        let objects =
            [("t1", "foo", "n1", "t1/foo"), ("t1", "bar", "n2", "t1/bar"), ("t2", "foo", "n2", "t2/foo")];
        let mut steps = Vec::new();
        for ((namespace, short, node, name), seen) in objects.into_iter().zip(seen) {
            steps.push(put(on_node(namespace, short, node), name, seen.then_some(Added)));
        }
        for ((_, _, _, name), seen) in objects.into_iter().zip(seen) {
            steps.push(remove(name, seen.then_some(Deleted)));
        }
        run_steps(suite, at, fields, steps).await;
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

/// B-20, B-21: the whole start matrix, with and without bookmarks.
pub async fn watch_semantics(suite: &Suite) {
    let old = suite.create(&pod("ns", "a")).await.revision;
    let b = suite.create(&pod("ns", "b")).await.revision;
    let a = suite.set("/pods/ns/a", &["spec", "value"], "2").await.revision;
    // What sendInitialEvents and resourceVersion ask for, and whether the state or the history comes first.
    #[derive(Clone, Copy, Debug)]
    enum First {
        State,
        History,
        Nothing,
    }
    let cases = [
        (None, String::new(), First::State),
        (None, "0".into(), First::State),
        (None, old.to_string(), First::History),
        (Some(true), String::new(), First::State),
        (Some(true), "0".into(), First::State),
        (Some(true), old.to_string(), First::State),
        (Some(true), a.to_string(), First::State),
        (Some(false), String::new(), First::Nothing),
        (Some(false), "0".into(), First::Nothing),
        (Some(false), old.to_string(), First::History),
    ];
    let mut history = vec![a];
    for allow_watch_bookmarks in [false, true] {
        for (send_initial_events, version, first) in &cases {
            let last_a = history[history.len() - 1];
            let options = ListRequest {
                resource_version: at(version),
                send_initial_events: *send_initial_events,
                allow_watch_bookmarks,
                ..recursive()
            };
            if suite.cached {
                // C-RTE-7: what a consistent read has seen, a read at version 0 sees, too.
                suite.list("/pods", recursive()).await.expect("a list");
            }
            let mut watch = suite.watch("/pods/ns", options).await;
            match first {
                First::State => {
                    watch.expect(Added, "ns/a", last_a).await;
                    watch.expect(Added, "ns/b", b).await;
                }
                First::History => {
                    watch.expect(Added, "ns/b", b).await;
                    for revision in &history {
                        watch.expect(Modified, "ns/a", *revision).await;
                    }
                }
                First::Nothing => {}
            }
            if *send_initial_events == Some(true) && allow_watch_bookmarks {
                watch.expect_bookmark(last_a, true).await;
            }
            let value = format!("{send_initial_events:?} {version:?} {first:?} {allow_watch_bookmarks}");
            let changed = suite.set("/pods/ns/a", &["spec", "value"], &value).await.revision;
            watch.expect(Modified, "ns/a", changed).await;
            history.push(changed);
        }
    }
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
