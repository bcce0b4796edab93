//! RunTestList: one history of eight writes, and every way to ask for a state
//! of it. What is right is computed from the writes, not from another list.

use std::collections::BTreeMap;

use futures::future::join_all;
use meta::options::ResourceVersionMatch;
use meta::{ApiError, ResourceVersion, Revision};
use schema::Value;

use super::fixture::{Listed, Suite, key, key_of, pod, predicate, put_bytes, recursive};
use super::lists::{api_error, exact, not_older, ok, token};
use crate::Error;
use crate::continue_token::ContinueToken;
use crate::interface::ListRequest;

/// The objects, by key below `/pods/`, as they were after one of the writes.
type Objects = BTreeMap<String, Value>;

/// What was written.
struct History {
    /// Before the first write.
    before: Revision,
    /// After each write.
    states: Vec<(Revision, Objects)>,
}

impl History {
    fn newest(&self) -> &(Revision, Objects) {
        self.states.last().expect("eight writes")
    }
}

/// Six creates in several directories, an update and a delete.
async fn write_history(suite: &Suite) -> History {
    let before = suite.revision().await;
    let mut objects = Objects::new();
    let mut states = Vec::new();
    let names = ["first/bar", "second/bar", "second/foo", "third/barfoo", "third/foo", "second/baz"];
    for name in names {
        let (namespace, name) = name.split_once('/').expect("namespace/name");
        let object = suite.create(&pod(namespace, name)).await;
        objects.insert(format!("{namespace}/{name}"), suite.tree(&object));
        states.push((object.revision, objects.clone()));
    }
    let updated = suite.set("/pods/first/bar", &["spec", "nodeName"], "n1").await;
    objects.insert("first/bar".into(), suite.tree(&updated));
    states.push((updated.revision, objects.clone()));
    let deleted = suite.delete("/pods/second/baz").await.expect("a delete").revision;
    objects.remove("second/baz");
    states.push((deleted, objects));
    History { before, states }
}

/// A field selector, and what it means.
type Selector = (&'static str, fn(&Value) -> bool);

fn name(object: &Value) -> &str {
    object.str_at(&["metadata", "name"]).expect("a name")
}

const SELECTORS: [Selector; 5] = [
    ("", |_| true),
    ("metadata.name=barfoo", |object| name(object) == "barfoo"),
    ("metadata.name=foo", |object| name(object) == "foo"),
    ("metadata.name!=bar", |object| name(object) != "bar"),
    ("spec.nodeName=n1", |object| object.str_at(&["spec", "nodeName"]) == Some("n1")),
];
const DIRECTORIES: [&str; 4] = ["", "first/", "second/", "nothing/"];
const LIMITS: [usize; 6] = [0, 1, 2, 4, 5, 8];

/// What a list is about, apart from the revision.
#[derive(Clone, Copy)]
struct Question {
    directory: &'static str,
    selector: Selector,
    limit: usize,
}

impl Question {
    fn all() -> impl Iterator<Item = Question> {
        DIRECTORIES.into_iter().flat_map(|directory| {
            SELECTORS.into_iter().flat_map(move |selector| {
                LIMITS.into_iter().map(move |limit| Question { directory, selector, limit })
            })
        })
    }

    fn key(&self) -> String {
        format!("/pods/{}", self.directory)
    }

    fn prefix(&self) -> String {
        format!("/registry{}", self.key())
    }

    fn with(&self, options: ListRequest) -> ListRequest {
        ListRequest { predicate: predicate("", self.selector.0), limit: self.limit as u64, ..options }
    }

    fn text(&self, more: &str) -> String {
        let Question { directory, selector: (fields, _), limit } = self;
        format!("list of {directory:?} where {fields:?}, limit {limit}, {more}")
    }
}

/// A page as the contract wants it.
struct Want<'a> {
    objects: Vec<&'a Value>,
    /// Where the next page begins, below the directory.
    next: Option<String>,
    remaining: Option<i64>,
}

/// The page of a state from a key on (A-PAG-1, A-PAG-3, A-PAG-7).
fn want<'a>(objects: &'a Objects, question: &Question, start: &str) -> Want<'a> {
    let Question { directory, selector: (fields, matches), limit } = question;
    let from = format!("{directory}{start}");
    let below: Vec<_> = objects.range(from..).filter(|(key, _)| key.starts_with(directory)).collect();
    let mut page = Want { objects: Vec::new(), next: None, remaining: None };
    for (looked_at, (key, object)) in (1..).zip(&below) {
        if matches(object) {
            page.objects.push(object);
        }
        if *limit > 0 && page.objects.len() == *limit {
            if looked_at < below.len() {
                page.next = Some(format!("{}\0", &key[directory.len()..]));
                page.remaining = fields.is_empty().then(|| (below.len() - limit) as i64);
            }
            break;
        }
    }
    page
}

fn check(
    suite: &Suite,
    listed: &Listed,
    revision: Revision,
    want: &Want<'_>,
    question: &Question,
    text: &str,
) {
    let trees: Vec<Value> = listed.items.iter().map(|object| suite.tree(object)).collect();
    assert_eq!(trees.iter().collect::<Vec<_>>(), want.objects, "{text}");
    assert_eq!((listed.revision, listed.remaining), (revision, want.remaining), "{text}");
    let next = (!listed.continue_token.is_empty()).then(|| token(&listed.continue_token, &question.prefix()));
    assert_eq!(next, want.next.clone().map(|start| (revision.0 as i64, start)), "{text}");
}

/// Walks all pages of a list and compares each.
async fn check_pages(suite: &Suite, question: &Question, first: ListRequest, state: &(Revision, Objects)) {
    let (revision, objects) = state;
    let mut options = question.with(first);
    let mut start = String::new();
    loop {
        let text = question.text(&format!(
            "resource version {:?} ({:?}), from {start:?}",
            options.resource_version, options.resource_version_match
        ));
        let listed = ok(suite, &question.key(), options).await;
        let want = want(objects, question, &start);
        check(suite, &listed, *revision, &want, question, &text);
        let Some(next) = want.next else { break };
        start = next;
        // A-LST-2: version 0 beside a token is as good as none, but lifts the limit of a cache (C-LST-6).
        let version = if question.limit == 1 && !suite.cached { "0" } else { "" };
        let resource_version = ResourceVersion(version.into());
        options = question.with(ListRequest {
            continue_token: listed.continue_token,
            resource_version,
            ..recursive()
        });
    }
}

fn legacy(version: &str) -> ListRequest {
    ListRequest { resource_version: ResourceVersion(version.into()), ..recursive() }
}

/// A-LST-2 to A-LST-9, A-PAG-1 to A-PAG-10: every directory, selector and limit in every mode at every
/// revision. A cache answers all of it without the store below (C-RTE-2, C-SNP-1).
pub async fn list(suite: &Suite) {
    ok(suite, "/pods", recursive()).await;
    let history = write_history(suite).await;
    let newest = history.newest();
    let consistent = ok(suite, "/pods", recursive()).await;
    assert_eq!(consistent.revision, newest.0);
    suite.recorder.take_lists();
    for question in Question::all() {
        check_pages(suite, &question, recursive(), newest).await;
        for revision in [history.before, history.states[2].0, history.states[6].0, newest.0] {
            check_pages(suite, &question, not_older(revision), newest).await;
        }
        for state in &history.states {
            check_pages(suite, &question, exact(state.0), state).await;
            let seen = if question.limit > 0 { state } else { newest };
            check_pages(suite, &question, legacy(&state.0.to_string()), seen).await;
        }
        check_anything(suite, &question, newest).await;
    }
    check_tokens(suite, newest).await;
    if suite.cached {
        assert_eq!(suite.recorder.take_lists(), [], "the cache knows all of this");
    }
}

/// A-PAG-9, C-LST-6: version 0 takes any state; limits count for a store and not for a cache.
async fn check_anything(suite: &Suite, question: &Question, newest: &(Revision, Objects)) {
    let limit = if suite.cached { 0 } else { question.limit };
    let want = want(&newest.1, &Question { limit, ..*question }, "");
    for resource_version_match in [ResourceVersionMatch::Unset, ResourceVersionMatch::NotOlderThan] {
        let options = ListRequest { resource_version_match, ..question.with(legacy("0")) };
        let listed = ok(suite, &question.key(), options).await;
        check(suite, &listed, newest.0, &want, question, &question.text("resource version 0"));
    }
}

/// A-PAG-4 to A-PAG-6, A-CMP-3: tokens that no list has given out.
async fn check_tokens(suite: &Suite, newest: &(Revision, Objects)) {
    let at = |revision: i64, start: &str| {
        let token = ContinueToken { revision, start: format!("/registry/pods/{start}") };
        token.encode("/registry/pods/").expect("a token")
    };
    let now = newest.0.0 as i64;
    // The key named is the first; with a NUL behind it, it is the last of the page before.
    for (start, revision) in
        [("third/barfoo", now), ("third/barfoo\0", now), ("first/bar\0", -1), ("second/foo\0", -1)]
    {
        for limit in [0, 1, 2, 3] {
            let question = Question { directory: "", selector: SELECTORS[0], limit };
            let options = ListRequest { continue_token: at(revision, start), ..recursive() };
            let listed = ok(suite, "/pods", question.with(options)).await;
            let want = want(&newest.1, &question, start);
            check(suite, &listed, newest.0, &want, &question, &question.text(&format!("from {start:?}")));
        }
    }
    for (revision, start) in [(now, ""), (0, "first/bar\0")] {
        let text = serde_json::json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string();
        let token = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
        let options = ListRequest { continue_token: token, ..recursive() };
        assert!(matches!(api_error(suite, "/pods", options).await, ApiError::BadRequest(_)), "{start:?}");
    }
}

/// A-CMP-1 to A-CMP-3, A-LST-5: what was compacted is gone for all; what has not come yet, too; a write
/// elsewhere is a revision like any other.
pub async fn list_after_a_compaction(suite: &Suite) {
    let history = write_history(suite).await;
    let (first, newest) = (&history.states[0], history.newest());
    suite.compact(first.0).await;
    let elsewhere = put_bytes(suite.backend.as_ref(), "/elsewhere", key("x")).await;
    let later = (elsewhere, newest.1.clone());
    for question in Question::all().filter(|question| question.limit < 3) {
        check_pages(suite, &question, recursive(), &later).await;
        check_pages(suite, &question, exact(elsewhere), &later).await;
        // At the compacted revision itself everything is still known.
        check_pages(suite, &question, exact(first.0), first).await;
    }
    let token = |start: &str| {
        let token =
            ContinueToken { revision: history.before.0 as i64, start: format!("/registry/pods/{start}") };
        token.encode("/registry/pods/").expect("a token")
    };
    let expired = async |options: ListRequest| match api_error(suite, "/pods", options).await {
        ApiError::Expired { message, continue_token } => (message, continue_token),
        other => panic!("{other:?}"),
    };
    if history.before.0 > 0 {
        let (message, resume) = expired(exact(history.before)).await;
        assert!(message.starts_with("The resourceVersion for the provided list is too old"), "{message}");
        assert!(resume.is_empty());
        let options = ListRequest { continue_token: token("first/bar\0"), limit: 1, ..recursive() };
        let (message, resume) = expired(options).await;
        assert!(message.starts_with("The provided continue parameter is too old"), "{message}");
        let rest = ok(suite, "/pods", ListRequest { continue_token: resume, ..recursive() }).await;
        assert_eq!((rest.revision, rest.names.len()), (elsewhere, 4));
    }
    let future = Revision(elsewhere.0 + 1);
    let options = [exact(future), not_older(future), not_older(Revision(i64::MAX as u64))];
    // All at once, since a cache waits for the future to come.
    for answer in join_all(options.map(|options| suite.list("/pods", options))).await {
        let error = answer.err();
        assert!(matches!(error, Some(Error::Api(ApiError::TooLargeResourceVersion { .. }))), "{error:?}");
    }
}

/// C-RTE-4, A-PAG-6: a token of a cache is a token of the store below, and the other way round. Both are
/// asked here through one storage; what differs is whether the state is still in memory.
pub async fn list_tokens_survive_new_writes(suite: &Suite) {
    let history = write_history(suite).await;
    let newest = history.newest();
    for question in Question::all().filter(|question| question.limit == 1 || question.limit == 2) {
        let options = question.with(recursive());
        let first = ok(suite, &question.key(), options).await;
        if first.continue_token.is_empty() {
            continue;
        }
        // A write in between changes nothing of what is left to be shown.
        let label = format!("extra-{}", first.revision);
        let object = pod("second", &label);
        suite.storage.create(&key_of(&object), &object, 0).await.expect("a creation");
        suite.delete(&key_of(&object)).await.expect("a delete");
        let start = want(&newest.1, &question, "").next.expect("a next page");
        let options = ListRequest { continue_token: first.continue_token, ..recursive() };
        let second = ok(suite, &question.key(), question.with(options)).await;
        let want = want(&newest.1, &question, &start);
        check(suite, &second, first.revision, &want, &question, &question.text("the second page"));
    }
}
