//! List (A.7, A.8, A.9).

use futures::future::{join, join_all};
use meta::options::ResourceVersionMatch;
use meta::{ApiError, ResourceVersion, Revision};

use super::fixture::{
    Listed, Suite, key, labelled, on_node, pod, predicate, put_bytes, recursive, rv, selects,
};
use crate::Error;
use crate::continue_token::ContinueToken;
use crate::interface::{ListRequest, Predicate};

const EXPIRED: &str = "The resourceVersion for the provided list is too old";
const CONTINUE_EXPIRED: &str =
    "The provided continue parameter is too old to display a consistent list result";

fn limited(limit: u64) -> ListRequest {
    ListRequest { limit, ..recursive() }
}

fn continued(limit: u64, token: &str) -> ListRequest {
    ListRequest { continue_token: token.to_owned(), ..limited(limit) }
}

fn selected(predicate: Predicate) -> ListRequest {
    ListRequest { predicate, ..recursive() }
}

pub(super) fn exact(revision: Revision) -> ListRequest {
    let resource_version_match = ResourceVersionMatch::Exact;
    ListRequest { resource_version: rv(revision), resource_version_match, ..recursive() }
}

pub(super) fn not_older(revision: Revision) -> ListRequest {
    let resource_version_match = ResourceVersionMatch::NotOlderThan;
    ListRequest { resource_version: rv(revision), resource_version_match, ..recursive() }
}

pub(super) async fn ok(suite: &Suite, key: &str, options: ListRequest) -> Listed {
    suite.list(key, options).await.expect("a list")
}

pub(super) async fn api_error(suite: &Suite, key: &str, options: ListRequest) -> ApiError {
    match suite.list(key, options).await {
        Err(Error::Api(error)) => error,
        Err(other) => panic!("wanted an API error, got {other:?}"),
        Ok(listed) => panic!("wanted an error, got {:?}", listed.names),
    }
}

/// Where a token goes on, relative to its prefix, and at which revision.
pub(super) fn token(text: &str, prefix: &str) -> (i64, String) {
    let token = ContinueToken::decode(text, prefix).expect("a token");
    (token.revision, token.start[prefix.len()..].to_owned())
}

/// A-LST-7, A-PAG-1 to A-PAG-7: what is listed, what is left, where it goes on.
pub async fn list_selects_and_limits(suite: &Suite) {
    let empty = ok(suite, "/pods", recursive()).await;
    assert_eq!((empty.names.len(), empty.continue_token.as_str(), empty.remaining), (0, "", None));
    for (namespace, name, app) in [
        ("first", "bar", "x"),
        ("second", "bar", "x"),
        ("second", "foo", "y"),
        ("third", "barfoo", "x"),
        ("third", "foo", "y"),
    ] {
        suite.create(&labelled(namespace, name, app)).await;
    }
    let now = suite.revision().await;
    let all = ["first/bar", "second/bar", "second/foo", "third/barfoo", "third/foo"];
    let x = || predicate("app=x", "");
    let z = || predicate("app=z", "");
    // Key, options, names, start of the next page, objects left.
    type Case = (&'static str, ListRequest, Vec<&'static str>, Option<&'static str>, Option<i64>);
    let cases: Vec<Case> = vec![
        ("/pods", recursive(), all.to_vec(), None, None),
        ("/pods/second", recursive(), vec!["second/bar", "second/foo"], None, None),
        ("/pods/second/", recursive(), vec!["second/bar", "second/foo"], None, None),
        ("/pods/nothing", recursive(), vec![], None, None),
        ("/pods", limited(1), vec!["first/bar"], Some("first/bar\0"), Some(4)),
        ("/pods", limited(4), all[..4].to_vec(), Some("third/barfoo\0"), Some(1)),
        ("/pods", limited(5), all.to_vec(), None, None),
        ("/pods", limited(9), all.to_vec(), None, None),
        ("/pods/second", limited(1), vec!["second/bar"], Some("bar\0"), Some(1)),
        ("/pods", selected(x()), vec!["first/bar", "second/bar", "third/barfoo"], None, None),
        ("/pods", selected(predicate("app!=x", "")), vec!["second/foo", "third/foo"], None, None),
        ("/pods", selected(predicate("", "metadata.name=foo")), vec!["second/foo", "third/foo"], None, None),
        ("/pods", selected(predicate("app=x", "metadata.namespace=third")), vec!["third/barfoo"], None, None),
        // With a selector nobody counts what is left, and the rest may not match.
        (
            "/pods",
            ListRequest { limit: 2, ..selected(x()) },
            vec!["first/bar", "second/bar"],
            Some("second/bar\0"),
            None,
        ),
        (
            "/pods",
            ListRequest { limit: 3, ..selected(x()) },
            vec!["first/bar", "second/bar", "third/barfoo"],
            Some("third/barfoo\0"),
            None,
        ),
        (
            "/pods",
            ListRequest { limit: 4, ..selected(x()) },
            vec!["first/bar", "second/bar", "third/barfoo"],
            None,
            None,
        ),
        ("/pods", ListRequest { limit: 1, ..selected(z()) }, vec![], None, None),
        // The page is full with the very last key: no token.
        (
            "/pods",
            ListRequest { limit: 2, ..selected(predicate("app=y", "")) },
            vec!["second/foo", "third/foo"],
            None,
            None,
        ),
    ];
    for (at, options, names, next, remaining) in cases {
        let text = format!("{at} limit {}", options.limit);
        let listed = ok(suite, at, options).await;
        assert_eq!(listed.names, names, "{text}");
        assert_eq!(listed.revision, now, "{text}");
        assert_eq!(listed.remaining, remaining, "{text}");
        let prefix = format!("/registry{}/", at.trim_end_matches('/'));
        match next {
            None => assert_eq!(listed.continue_token, "", "{text}"),
            Some(next) => {
                let want = (now.0 as i64, next.to_owned());
                assert_eq!(token(&listed.continue_token, &prefix), want, "{text}");
            }
        }
    }
}

/// A-LST-3 to A-LST-5, A-LST-8, A-LST-9: which revision a list shows and reports.
pub async fn list_resolves_resource_versions(suite: &Suite) {
    let mut states: Vec<(Revision, Vec<(&str, &str)>)> = Vec::new();
    let a = suite.create(&pod("ns", "a")).await.revision;
    states.push((a, vec![("ns/a", "")]));
    let b = suite.create(&pod("ns", "b")).await.revision;
    states.push((b, vec![("ns/a", ""), ("ns/b", "")]));
    let changed = suite.set("/pods/ns/a", &["spec", "value"], "2").await.revision;
    states.push((changed, vec![("ns/a", "2"), ("ns/b", "")]));
    let deleted = suite.delete("/pods/ns/b").await.expect("a delete").revision;
    states.push((deleted, vec![("ns/a", "2")]));
    let last = suite.create(&pod("ns", "c")).await.revision;
    states.push((last, vec![("ns/a", "2"), ("ns/c", "")]));
    let content = |listed: &Listed| -> Vec<(String, String)> {
        let value = |object| suite.tree(object).str_at(&["spec", "value"]).unwrap_or_default().to_owned();
        listed.names.iter().cloned().zip(listed.items.iter().map(|object| value(object))).collect()
    };
    let owned = |state: &[(&str, &str)]| -> Vec<(String, String)> {
        state.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let newest = owned(&states[4].1);
    for (revision, state) in &states {
        let legacy = ListRequest { resource_version: rv(*revision), ..limited(10) };
        for options in [exact(*revision), legacy] {
            let listed = ok(suite, "/pods/ns", options).await;
            assert_eq!((listed.revision, content(&listed)), (*revision, owned(state)));
            assert!(listed.items.iter().all(|object| object.revision <= *revision));
        }
        let legacy = ListRequest { resource_version: rv(*revision), ..recursive() };
        for options in [not_older(*revision), legacy] {
            let listed = ok(suite, "/pods/ns", options).await;
            assert!(listed.revision >= *revision);
            if !suite.cached || *revision == last {
                assert_eq!((listed.revision, content(&listed)), (last, newest.clone()));
            }
        }
    }
    let listed = ok(suite, "/pods/ns", recursive()).await;
    let revisions: Vec<Revision> = listed.items.iter().map(|object| object.revision).collect();
    assert_eq!((listed.revision, revisions), (last, vec![changed, last]));
    if !suite.cached {
        // A-PAG-9: a store honours the limit of a read that takes any version.
        let zero = ListRequest { resource_version: ResourceVersion("0".into()), ..limited(1) };
        assert_eq!(ok(suite, "/pods/ns", zero).await.names, ["ns/a"]);
    }
    // The future: all at once, since a cache waits for it to come.
    let future = Revision(last.0 + 1000);
    let options = [
        exact(future),
        not_older(future),
        ListRequest { resource_version: rv(future), ..recursive() },
        ListRequest { resource_version: rv(future), ..limited(1) },
    ];
    for error in join_all(options.map(|options| api_error(suite, "/pods/ns", options))).await {
        assert!(
            matches!(error, ApiError::TooLargeResourceVersion { requested, .. } if requested == future.0),
            "{error:?}"
        );
    }
}

/// A-LST-2, A-LST-3.
pub async fn list_refuses_bad_options(suite: &Suite) {
    suite.create_all(&["ns/a", "ns/b"]).await;
    let page = ok(suite, "/pods", limited(1)).await;
    let bad = |text: &str| ListRequest { resource_version: ResourceVersion(text.into()), ..recursive() };
    let both = ListRequest { resource_version: rv(page.revision), ..continued(1, &page.continue_token) };
    for (options, want) in [
        (
            bad("abc"),
            "invalid resource version: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
        ),
        (
            bad("-1"),
            "invalid resource version: resourceVersion: Invalid value: \"-1\": strconv.ParseUint: parsing \"-1\": invalid syntax",
        ),
        (
            continued(1, "???"),
            "invalid continue token: continue key is not valid: illegal base64 data at input byte 0",
        ),
        (
            continued(1, "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIuLi9hIn0"),
            "invalid continue token: continue key is not valid: ../a",
        ),
        (both, "specifying resource version is not allowed when using continue"),
    ] {
        assert_eq!(api_error(suite, "/pods", options).await, ApiError::BadRequest(want.into()));
    }
    // Version 0 is as good as none.
    let zero =
        ListRequest { resource_version: ResourceVersion("0".into()), ..continued(1, &page.continue_token) };
    assert_eq!(ok(suite, "/pods", zero).await.names, ["ns/b"]);
}

/// A-CMP-3, A-STA-4, C-RTE-3, C-RTE-7: without a version, and with a token at -1, a list shows the newest
/// state of all. A cache makes sure that it has it, and keeps it.
pub async fn consistent_list(suite: &Suite) {
    suite.create_all(&["ns/a", "ns/b"]).await;
    ok(suite, "/pods/ns", recursive()).await;
    suite.recorder.take_lists();
    for n in 0..3u8 {
        let elsewhere = put_bytes(suite.backend.as_ref(), &format!("/elsewhere/{n}"), key("x")).await;
        assert_eq!(ok(suite, "/pods/ns", recursive()).await.revision, elsewhere);
        let start = "/registry/pods/ns/a\0".to_owned();
        let token = ContinueToken { revision: -1, start }.encode("/registry/pods/ns/").expect("a token");
        let listed = ok(suite, "/pods/ns", continued(0, &token)).await;
        assert_eq!((listed.revision, listed.names), (elsewhere, vec!["ns/b".to_owned()]));
        let name = format!("new-{n}");
        let made = suite.create(&pod("other", &name)).await.revision;
        assert_eq!(ok(suite, "/pods/other", recursive()).await.revision, made);
        if !suite.backend.supports_progress_requests() {
            // A cache cannot know that it has everything, and hands the question on without waiting.
            continue;
        }
        let zero = ListRequest { resource_version: ResourceVersion("0".into()), ..recursive() };
        let listed = ok(suite, "/pods/other", zero).await;
        assert!(listed.revision >= made && listed.names.contains(&format!("other/{name}")));
        if suite.cached {
            assert_eq!(suite.recorder.take_lists(), [], "consistent lists come from memory");
        }
    }
}

/// A-LST-6, A-KEY-6: the one object at a key, in every mode.
pub async fn get_list_non_recursive(suite: &Suite) {
    let at = "/pods/ns/foo";
    let single = |options: ListRequest| ListRequest { recursive: false, ..options };
    let before = suite.create(&pod("ns", "other")).await.revision;
    let first = suite.create(&labelled("ns", "foo", "x")).await.revision;
    let second = suite.set(at, &["spec", "value"], "2").await.revision;
    let now = suite.create(&pod("ns", "foobar")).await.revision;
    let legacy = |revision: Revision, limit: u64| {
        single(ListRequest { resource_version: rv(revision), limit, ..recursive() })
    };
    // Options, what is shown of the object (nothing if it is not there), and the revision reported.
    let mut cases = vec![
        (single(recursive()), Some(second), now),
        (single(exact(before)), None, before),
        (single(exact(first)), Some(first), first),
        (single(exact(second)), Some(second), second),
        (single(exact(now)), Some(second), now),
        (single(not_older(now)), Some(second), now),
        (legacy(now, 0), Some(second), now),
        // A limit makes no exact read of a single key.
        (legacy(now, 1), Some(second), now),
        (single(ListRequest { limit: 1, ..recursive() }), Some(second), now),
    ];
    // Any state from a revision on: the newest, once the newest has been shown.
    for revision in [before, first, second] {
        cases.push((single(not_older(revision)), Some(second), now));
        cases.push((legacy(revision, 0), Some(second), now));
        cases.push((legacy(revision, 1), Some(second), now));
    }
    for resource_version_match in [ResourceVersionMatch::Unset, ResourceVersionMatch::NotOlderThan] {
        let resource_version = ResourceVersion("0".into());
        let options = ListRequest { resource_version, resource_version_match, ..single(recursive()) };
        cases.push((options, Some(second), now));
    }
    for (options, shown, revision) in cases {
        let text = format!("{:?} {:?}", options.resource_version, options.resource_version_match);
        let listed = ok(suite, at, options.clone()).await;
        assert_eq!((listed.revision, listed.remaining, listed.continue_token.as_str()), (revision, None, ""));
        let found: Vec<_> = listed.items.iter().map(|object| object.revision).collect();
        assert_eq!(found, Vec::from_iter(shown), "{text}");
        // Elsewhere, and not selected.
        let listed = ok(suite, "/pods/ns/missing", options.clone()).await;
        assert_eq!((listed.names.len(), listed.revision), (0, revision), "{text}");
        for predicate in [predicate("app=y", ""), predicate("", "metadata.name=other")] {
            let listed = ok(suite, at, ListRequest { predicate, ..options.clone() }).await;
            assert_eq!((listed.names.len(), listed.revision), (0, revision), "{text}");
        }
    }
    for options in [single(not_older(Revision(now.0 + 1000))), single(exact(Revision(now.0 + 1000)))] {
        let error = api_error(suite, at, options).await;
        assert!(matches!(error, ApiError::TooLargeResourceVersion { .. }), "{error:?}");
    }
}

/// A-KEY-6: a directory is no prefix of text.
pub async fn get_list_recursive_prefix(suite: &Suite) {
    for name in ["a", "foo", "foobar", "foo.b"] {
        let object = pod("", name);
        suite.storage.create(&format!("/pods/ns/{name}"), &object, 0).await.expect("a creation");
    }
    let deep = pod("", "deep");
    suite.storage.create("/pods/ns/foo/deep", &deep, 0).await.expect("a creation");
    let elsewhere = pod("", "elsewhere");
    suite.storage.create("/pods/ns2/x", &elsewhere, 0).await.expect("a creation");
    let now = suite.revision().await;
    for options in [recursive(), exact(now), not_older(now)] {
        let listed = ok(suite, "/pods/ns/foo", options.clone()).await;
        assert_eq!(listed.names, ["deep"]);
        let listed = ok(suite, "/pods/ns", options.clone()).await;
        assert_eq!(listed.names, ["a", "foo", "foo.b", "deep", "foobar"]);
        let single = ListRequest { recursive: false, ..options };
        assert_eq!(ok(suite, "/pods/ns/foo", single.clone()).await.names, ["foo"]);
        assert!(ok(suite, "/pods/ns/", single).await.names.is_empty());
    }
}

/// A-PAG-3, A-PAG-8, A-PAG-10: pages chain at one revision, and each is one read.
pub async fn list_continuation(suite: &Suite) {
    suite.create_all(&["first/a", "second/a", "second/b"]).await;
    let pinned = suite.revision().await;
    ok(suite, "/pods", recursive()).await;
    suite.recorder.take_lists();
    let first = ok(suite, "/pods", limited(1)).await;
    assert_eq!((&first.names[..], first.remaining), (&["first/a".to_owned()][..], Some(2)));
    suite.create_all(&["second/aa"]).await;
    // No limit: all the rest, as it was.
    let rest = ok(suite, "/pods", continued(0, &first.continue_token)).await;
    assert_eq!(
        (rest.names, rest.continue_token, rest.revision),
        (vec!["second/a".into(), "second/b".into()], String::new(), pinned)
    );
    let second = ok(suite, "/pods", continued(1, &first.continue_token)).await;
    assert_eq!(
        (&second.names[..], second.remaining, second.revision),
        (&["second/a".to_owned()][..], Some(1), pinned)
    );
    let third = ok(suite, "/pods", continued(1, &second.continue_token)).await;
    assert_eq!(
        (third.names, third.continue_token, third.revision),
        (vec!["second/b".into()], String::new(), pinned)
    );
    let reads: Vec<_> = suite.recorder.take_lists().iter().map(|read| (read.revision, read.limit)).collect();
    match suite.cached {
        true => assert_eq!(reads, []),
        false => assert_eq!(reads, [(Revision(0), 1), (pinned, 0), (pinned, 1), (pinned, 1)]),
    }
}

/// A-PAG-2: one among many is found in growing pages, each object read once.
pub async fn list_pagination_rare_object(suite: &Suite) {
    const OBJECTS: usize = 1000;
    for n in 0..OBJECTS {
        suite.create(&pod("ns", &format!("pod-{n:04}"))).await;
    }
    ok(suite, "/pods", recursive()).await;
    suite.transformer.take_reads();
    suite.recorder.take_lists();
    let rare = predicate("", &format!("metadata.name=pod-{:04}", OBJECTS - 1));
    let listed = ok(suite, "/pods", ListRequest { limit: 1, ..selected(rare) }).await;
    assert_eq!(
        (listed.names, listed.continue_token),
        (vec![format!("ns/pod-{:04}", OBJECTS - 1)], String::new())
    );
    let limits: Vec<usize> = suite.recorder.take_lists().iter().map(|read| read.limit).collect();
    match suite.cached {
        true => assert_eq!((suite.transformer.take_reads(), limits), (0, vec![])),
        false => {
            assert_eq!(suite.transformer.take_reads(), OBJECTS, "each object is read once");
            assert_eq!(limits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        }
    }
}

/// A-PAG-1: a page is refilled until it is full.
pub async fn list_continuation_with_filter(suite: &Suite) {
    for (name, app) in [("1", "x"), ("2", "y"), ("3", "x"), ("4", "x")] {
        suite.create(&labelled("ns", name, app)).await;
    }
    ok(suite, "/pods", recursive()).await;
    suite.transformer.take_reads();
    suite.recorder.take_lists();
    let wanted = || ListRequest { limit: 2, ..selected(predicate("app=x", "")) };
    let first = ok(suite, "/pods", wanted()).await;
    assert_eq!(first.names, ["ns/1", "ns/3"]);
    assert_eq!(token(&first.continue_token, "/registry/pods/").1, "ns/3\0");
    if !suite.cached {
        assert_eq!(suite.transformer.take_reads(), 3, "nothing behind the last match is looked at");
    }
    let second = ok(suite, "/pods", ListRequest { continue_token: first.continue_token, ..wanted() }).await;
    assert_eq!((second.names, second.continue_token), (vec!["ns/4".into()], String::new()));
    let limits: Vec<usize> = suite.recorder.take_lists().iter().map(|read| read.limit).collect();
    match suite.cached {
        true => assert_eq!((suite.transformer.take_reads(), limits), (0, vec![])),
        // Two keys give one match, so that the first page takes a second read, of twice as many.
        false => assert_eq!((suite.transformer.take_reads(), limits), (1, vec![2, 4, 2])),
    }
}

/// A-CMP-1 to A-CMP-3.
pub async fn list_inconsistent_continuation(suite: &Suite) {
    suite.create_all(&["ns/a", "ns/b", "ns/c"]).await;
    let first = ok(suite, "/pods", limited(1)).await;
    suite.set("/pods/ns/a", &["spec", "value"], "2").await;
    let compacted = suite.set("/pods/ns/c", &["spec", "value"], "2").await.revision;
    suite.compact(compacted).await;
    let ApiError::Expired { message, continue_token } =
        api_error(suite, "/pods", continued(1, &first.continue_token)).await
    else {
        panic!("wanted 410 Expired")
    };
    assert!(message.starts_with(CONTINUE_EXPIRED), "{message}");
    assert_eq!(token(&continue_token, "/registry/pods/"), (-1, "ns/a\0".to_owned()));
    let second = ok(suite, "/pods", continued(1, &continue_token)).await;
    assert_eq!((&second.names[..], second.revision), (&["ns/b".to_owned()][..], compacted));
    assert_eq!(token(&second.continue_token, "/registry/pods/").0, compacted.0 as i64, "pinned anew");
    let third = ok(suite, "/pods", continued(1, &second.continue_token)).await;
    assert_eq!((third.names, third.continue_token), (vec!["ns/c".into()], String::new()));
    for options in [exact(first.revision), ListRequest { resource_version: rv(first.revision), ..limited(1) }]
    {
        let ApiError::Expired { message, continue_token } = api_error(suite, "/pods", options).await else {
            panic!("wanted 410 Expired")
        };
        assert!(message.starts_with(EXPIRED) && continue_token.is_empty(), "{message}");
    }
}

/// A-CMP-1, A-CMP-4, C-SNP-3: what was compacted is known, never less than before, and no cache shows it any more.
pub async fn compact_revision(suite: &Suite) {
    assert_eq!(suite.storage.compact_revision(), Revision(0));
    let old = suite.create(&pod("ns", "a")).await.revision;
    assert_eq!(ok(suite, "/pods", recursive()).await.names, ["ns/a"]);
    let new = suite.set("/pods/ns/a", &["spec", "value"], "2").await.revision;
    assert_eq!(ok(suite, "/pods", exact(old)).await.names, ["ns/a"]);
    suite.compact(new).await;
    assert_eq!(suite.storage.compact_revision(), new);
    suite.compactor.tell(old);
    assert_eq!(suite.storage.compact_revision(), new, "it never goes back");
    assert_eq!(ok(suite, "/pods", exact(new)).await.names, ["ns/a"]);
    for options in [exact(old), ListRequest { resource_version: rv(old), ..limited(1) }] {
        let error = api_error(suite, "/pods", options).await;
        assert!(
            matches!(&error, ApiError::Expired { message, .. } if message.starts_with(EXPIRED)),
            "{error:?}"
        );
    }
}

/// A-LST-9: an exact list shows again what a list showed, whatever has happened since and happens meanwhile.
pub async fn list_resource_version_match(suite: &Suite) {
    let mut shown = Vec::new();
    for n in 0..5 {
        suite.create(&pod("ns", &format!("pod-{n}"))).await;
        shown.push(ok(suite, "/pods", recursive()).await);
        suite.delete(&format!("/pods/ns/pod-{n}")).await.expect("a delete");
        shown.push(ok(suite, "/pods", recursive()).await);
    }
    let data = |listed: &[std::sync::Arc<crate::Object>]| -> Vec<_> {
        listed.iter().map(|object| (object.key.clone(), object.revision, object.data.clone())).collect()
    };
    let write = async {
        for n in 0..50 {
            suite.create(&pod("ns", &format!("meanwhile-{n}"))).await;
        }
    };
    let read = async {
        for before in &shown {
            let again = ok(suite, "/pods", exact(before.revision)).await;
            assert_eq!((again.revision, &again.names), (before.revision, &before.names));
            assert_eq!(data(&again.items), data(&before.items));
            // A list that is taken while others write can be taken again as well.
            let fresh = ok(suite, "/pods", recursive()).await;
            let again = ok(suite, "/pods", exact(fresh.revision)).await;
            assert_eq!((again.revision, data(&again.items)), (fresh.revision, data(&fresh.items)));
        }
    };
    join(write, read).await;
}

/// A-PAG-8: four objects, four pages, whatever is made meanwhile.
pub async fn list_paging(suite: &Suite) {
    suite.create_all(&["ns/a", "ns/b", "ns/c", "ns/d"]).await;
    let mut names = Vec::new();
    let mut calls = 0;
    let mut next = String::new();
    loop {
        let page = ok(suite, "/pods/ns", continued(1, &next)).await;
        names.extend(page.names);
        calls += 1;
        if calls == 1 {
            suite.create_all(&["ns/bb"]).await;
        }
        next = page.continue_token;
        if next.is_empty() {
            break;
        }
    }
    assert_eq!((calls, names), (4, vec!["ns/a".into(), "ns/b".into(), "ns/c".into(), "ns/d".into()]));
}

/// B-13 of lists: fields select the same whatever else narrows the list.
pub async fn namespace_scoped_list(suite: &Suite) {
    let objects = [
        ("t1", "foo1", "node1"),
        ("t1", "foo2", "node2"),
        ("t2", "foo1", "node1"),
        ("t2", "foo3", "node3"),
        ("t3", "foo4", "node1"),
    ];
    for (namespace, name, node) in objects {
        suite.create(&on_node(namespace, name, node)).await;
    }
    for (at, fields) in [
        ("/pods", ""),
        ("/pods", "metadata.name=foo1"),
        ("/pods", "metadata.name!=foo1"),
        ("/pods", "metadata.namespace=t1"),
        ("/pods", "metadata.namespace!=t1"),
        ("/pods", "spec.nodeName=node1"),
        ("/pods", "spec.nodeName!=node1"),
        ("/pods", "spec.nodeName=node1,metadata.namespace=t2"),
        ("/pods", "metadata.name=foo1,metadata.namespace=t1"),
        ("/pods", "metadata.name=foo1,metadata.namespace=t3"),
        ("/pods/t1", ""),
        ("/pods/t1", "metadata.name=foo1"),
        ("/pods/t1", "metadata.namespace=t1"),
        ("/pods/t1", "metadata.namespace=t2"),
        ("/pods/t2", "spec.nodeName=node1"),
        ("/pods/t2", "spec.nodeName!=node1"),
        ("/pods/t3", "spec.nodeName=node2"),
    ] {
        let want = |(namespace, name, node): &(&str, &str, &str)| {
            let below = format!("/pods/{namespace}/").starts_with(&format!("{at}/"));
            (below && selects(fields, namespace, name, node)).then(|| format!("{namespace}/{name}"))
        };
        let want: Vec<String> = objects.iter().filter_map(want).collect();
        assert_eq!(ok(suite, at, selected(predicate("", fields))).await.names, want, "{at} {fields:?}");
    }
}
