//! A.13 but for watches: revisions, transactions, ranges, leases, compaction.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use meta::Revision;

use super::fixture::{BackendSuite, key, put, within};
use crate::backend::{BackendError, Compare, KeyValue, LeaseId, Op, RangeRequest, RangeResponse, Txn};

fn put_op(at: &str, value: &str) -> Op {
    Op::Put { key: key(at), value: Bytes::copy_from_slice(value.as_bytes()), lease: LeaseId(0) }
}

fn get_op(at: &str) -> Op {
    Op::Get { key: key(at) }
}

impl BackendSuite {
    async fn do_all(&self, success: Vec<Op>) -> crate::backend::TxnResponse {
        self.backend.txn(Txn { success, ..Txn::default() }).await.expect("an unconditional transaction")
    }

    async fn read(&self, request: RangeRequest) -> RangeResponse {
        self.backend.range(request).await.expect("a range that can be read")
    }

    async fn get(&self, at: &str) -> Option<KeyValue> {
        self.read(RangeRequest { key: key(at), ..RangeRequest::default() }).await.kvs.pop()
    }

    async fn revision(&self) -> Revision {
        self.read(RangeRequest { key: key("a"), ..RangeRequest::default() }).await.revision
    }
}

/// A-KV-1: plus one per writing transaction, nothing for anything else.
pub async fn a_writing_transaction_moves_the_revision_by_one(suite: &BackendSuite) {
    let start = suite.revision().await;
    assert!(start.0 > 0, "an empty store has a revision (A-STA-4)");
    let first = put(suite, "a", "1").await;
    assert_eq!(first.0, start.0 + 1);
    let both = suite.do_all(vec![put_op("a", "2"), put_op("b", "2")]).await;
    assert_eq!(both.revision.0, start.0 + 2);
    for at in ["a", "b"] {
        assert_eq!(suite.get(at).await.expect("just put").mod_revision, both.revision);
    }
    // None of these writes.
    suite.do_all(vec![Op::Delete { key: key("missing") }]).await;
    suite.do_all(vec![get_op("a")]).await;
    let compare = vec![Compare::ModRevision(key("a"), Revision(9999))];
    let txn = Txn { compare, success: vec![put_op("a", "3")], failure: vec![get_op("a")] };
    let failed = suite.backend.txn(txn).await.expect("a failed compare is no error");
    assert!(!failed.succeeded);
    assert_eq!(failed.revision, both.revision);
    assert_eq!(suite.revision().await, both.revision);
    let status = suite.backend.status().await.expect("a status");
    assert_eq!(status.revision, both.revision);
}

/// A-KV-2: create and mod revision, version, reset by a delete.
pub async fn a_key_knows_its_history(suite: &BackendSuite) {
    let created = put(suite, "a", "1").await;
    let changed = put(suite, "a", "2").await;
    let kv = suite.get("a").await.expect("just put");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (created, changed, 2));
    assert_eq!((kv.value.as_ref(), kv.lease), (b"2".as_slice(), LeaseId(0)));
    let deleted = suite.do_all(vec![Op::Delete { key: key("a") }]).await;
    assert_eq!(deleted.deleted, [Some(kv)]);
    assert_eq!(suite.get("a").await, None);
    let again = put(suite, "a", "3").await;
    let kv = suite.get("a").await.expect("just put");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (again, again, 1));
}

/// A-KV-3: all compares must hold; the other branch reads what stood in the way.
pub async fn a_transaction_runs_one_branch(suite: &BackendSuite) {
    let revision = put(suite, "a", "1").await;
    let cases = [
        (vec![], true),
        (vec![Compare::ModRevision(key("a"), revision)], true),
        (vec![Compare::ModRevision(key("a"), Revision(0))], false),
        (vec![Compare::ModRevision(key("missing"), Revision(0))], true),
        (vec![Compare::ModRevision(key("missing"), revision)], false),
        (vec![Compare::Version(key("a"), 1)], true),
        (vec![Compare::Version(key("a"), 2)], false),
        (vec![Compare::Version(key("missing"), 0)], true),
        (vec![Compare::Version(key("a"), 1), Compare::Version(key("missing"), 1)], false),
    ];
    for (compare, want) in cases {
        let text = format!("{compare:?}");
        let txn = Txn { compare, success: vec![], failure: vec![get_op("a"), get_op("missing")] };
        let response = suite.backend.txn(txn).await.expect("a transaction");
        assert_eq!(response.succeeded, want, "{text}");
        if want {
            assert!(response.gets.is_empty());
        } else {
            let found: Vec<_> =
                response.gets.iter().map(|kv| kv.as_ref().map(|kv| kv.mod_revision)).collect();
            assert_eq!(found, [Some(revision), None]);
        }
    }
}

/// A-KV-3: operations of a transaction take effect in order.
pub async fn a_transaction_sees_its_own_writes(suite: &BackendSuite) {
    put(suite, "a", "1").await;
    put(suite, "b", "1").await;
    let delete_b = Op::Delete { key: key("b") };
    let ops = vec![get_op("a"), put_op("a", "2"), get_op("a"), get_op("b"), delete_b, get_op("b")];
    let response = suite.do_all(ops).await;
    let values: Vec<_> = response.gets.iter().map(|kv| kv.as_ref().map(|kv| kv.value.clone())).collect();
    assert_eq!(values, [Some(key("1")), Some(key("2")), Some(key("1")), None]);
    let removed: Vec<_> = response.deleted.iter().map(|kv| kv.as_ref().map(|kv| kv.value.clone())).collect();
    assert_eq!(removed, [Some(key("1"))]);
    assert_eq!((suite.get("a").await.expect("just put").value, suite.get("b").await), (key("2"), None));
}

/// A-KV-4: byte order, half open, limit, more, count, keys only, count only.
pub async fn a_range_is_ordered_limited_and_counted(suite: &BackendSuite) {
    for at in ["c", "a", "b/x", "b", "d"] {
        put(suite, at, "value").await;
    }
    let range = |limit| RangeRequest { key: key("a"), end: Some(key("d")), limit, ..RangeRequest::default() };
    let names =
        |response: &RangeResponse| -> Vec<Bytes> { response.kvs.iter().map(|kv| kv.key.clone()).collect() };
    for (limit, want, more) in [
        (0, vec!["a", "b", "b/x", "c"], false),
        (2, vec!["a", "b"], true),
        (4, vec!["a", "b", "b/x", "c"], false),
        (9, vec!["a", "b", "b/x", "c"], false),
    ] {
        let response = suite.read(range(limit)).await;
        assert_eq!(names(&response), want, "limit {limit}");
        assert_eq!((response.more, response.count), (more, 4), "limit {limit}");
    }
    let counted = suite.read(RangeRequest { count_only: true, ..range(0) }).await;
    assert_eq!((counted.kvs.len(), counted.count), (0, 4));
    let keys = suite.read(RangeRequest { keys_only: true, ..range(0) }).await;
    assert_eq!(keys.kvs.len(), 4);
    assert!(keys.kvs.iter().all(|kv| kv.value.is_empty() && kv.mod_revision.0 > 0));
    let one = suite.read(RangeRequest { key: key("b"), ..RangeRequest::default() }).await;
    assert_eq!((names(&one), one.count), (vec![key("b")], 1));
    let none =
        suite.read(RangeRequest { key: key("x"), end: Some(key("z")), ..RangeRequest::default() }).await;
    assert_eq!((none.kvs.len(), none.count, none.more), (0, 0, false));
}

/// A-KV-4: a historic read shows what was, under today's header revision.
pub async fn a_range_reads_the_past(suite: &BackendSuite) {
    let first = put(suite, "a", "1").await;
    let second = put(suite, "b", "1").await;
    let third = put(suite, "a", "2").await;
    let fourth = suite.do_all(vec![Op::Delete { key: key("a") }]).await.revision;
    let fifth = put(suite, "a", "3").await;
    for (revision, want) in [
        (first, vec![("a", "1")]),
        (second, vec![("a", "1"), ("b", "1")]),
        (third, vec![("a", "2"), ("b", "1")]),
        (fourth, vec![("b", "1")]),
        (fifth, vec![("a", "3"), ("b", "1")]),
    ] {
        let request =
            RangeRequest { key: key("a"), end: Some(key("z")), revision, ..RangeRequest::default() };
        let response = suite.read(request).await;
        let got: Vec<_> = response.kvs.iter().map(|kv| (kv.key.clone(), kv.value.clone())).collect();
        let want: Vec<_> = want.into_iter().map(|(k, v)| (key(k), key(v))).collect();
        assert_eq!((got, response.count as usize), (want.clone(), want.len()), "at {revision}");
        assert_eq!(response.revision, fifth);
    }
}

/// A-KV-5, A-KV-9: what cannot be read is refused, and so is compacting backwards or ahead.
pub async fn compacted_and_future_revisions_are_refused(suite: &BackendSuite) {
    let first = put(suite, "a", "1").await;
    let second = put(suite, "a", "2").await;
    let third = put(suite, "a", "3").await;
    let future = Revision(third.0 + 1);
    let at = |revision| RangeRequest { key: key("a"), revision, ..RangeRequest::default() };
    let want = BackendError::FutureRevision { current: third };
    assert_eq!(suite.backend.range(at(future)).await.unwrap_err(), want);
    assert_eq!(suite.backend.compact(future).await.unwrap_err(), want);
    suite.backend.compact(second).await.expect("a compaction");
    let want = BackendError::Compacted { compacted: second };
    assert_eq!(suite.backend.range(at(first)).await.unwrap_err(), want);
    assert_eq!(suite.backend.compact(second).await.unwrap_err(), want);
    assert_eq!(suite.backend.compact(first).await.unwrap_err(), want);
    let kept = suite.read(at(second)).await;
    assert_eq!(kept.kvs[0].value, key("2"));
    assert_eq!(suite.backend.status().await.expect("a status").compacted, second);
}

/// A-KV-9: the newest version of each live key stays, deleted keys go.
pub async fn compaction_keeps_what_is_needed(suite: &BackendSuite) {
    put(suite, "a", "1").await;
    put(suite, "a", "2").await;
    put(suite, "gone", "1").await;
    suite.do_all(vec![Op::Delete { key: key("gone") }]).await;
    put(suite, "back", "1").await;
    suite.do_all(vec![Op::Delete { key: key("back") }]).await;
    put(suite, "back", "2").await;
    let at = put(suite, "b", "1").await;
    let after = put(suite, "a", "3").await;
    suite.backend.compact(at).await.expect("a compaction");
    for (revision, a) in [(at, "2"), (after, "3"), (Revision(0), "3")] {
        let request =
            RangeRequest { key: key("a"), end: Some(key("z")), revision, ..RangeRequest::default() };
        let got: Vec<_> = suite.read(request).await.kvs.into_iter().map(|kv| (kv.key, kv.value)).collect();
        assert_eq!(got, [(key("a"), key(a)), (key("b"), key("1")), (key("back"), key("2"))], "at {revision}");
    }
    let kv = suite.get("a").await.expect("it lives");
    assert_eq!(kv.version, 3, "compaction does not touch the version");
    assert_eq!(suite.revision().await, after, "compaction is no write");
}

/// A-KV-3: compare-and-swap from many sides loses no increment.
pub async fn of_concurrent_swaps_one_wins(suite: &BackendSuite) {
    const TASKS: usize = 8;
    const TURNS: usize = 25;
    put(suite, "counter", "0").await;
    let task = || async {
        for _ in 0..TURNS {
            loop {
                let kv = suite.get("counter").await.expect("it was put");
                let n: usize =
                    std::str::from_utf8(&kv.value).ok().and_then(|n| n.parse().ok()).expect("a number");
                let compare = vec![Compare::ModRevision(key("counter"), kv.mod_revision)];
                let success = vec![put_op("counter", &(n + 1).to_string())];
                let txn = Txn { compare, success, failure: vec![] };
                if suite.backend.txn(txn).await.expect("a transaction").succeeded {
                    break;
                }
            }
        }
    };
    join_all((0..TASKS).map(|_| task())).await;
    let kv = suite.get("counter").await.expect("it was put");
    assert_eq!(kv.value, key(&(TASKS * TURNS).to_string()));
    assert_eq!(kv.version as usize, TASKS * TURNS + 1);
}

/// A-KV-11.
pub async fn an_acknowledged_write_is_read_at_once(suite: &BackendSuite) {
    for n in 0..50 {
        let value = n.to_string();
        let revision = put(suite, "a", &value).await;
        let response = suite.read(RangeRequest { key: key("a"), ..RangeRequest::default() }).await;
        assert!(response.revision >= revision);
        assert_eq!(response.kvs[0].value, key(&value));
    }
}

async fn put_leased(suite: &BackendSuite, at: &str, lease: LeaseId) -> Result<Revision, BackendError> {
    let success = vec![Op::Put { key: key(at), value: key("leased"), lease }];
    suite.backend.txn(Txn { success, ..Txn::default() }).await.map(|response| response.revision)
}

async fn until_gone(suite: &BackendSuite, at: &str) {
    within(&suite.environment, "the lease to expire", async {
        while suite.get(at).await.is_some() {
            suite.environment.clock.sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A-KV-8: not before its time, and then with all its keys.
pub async fn an_expired_lease_takes_its_keys(suite: &BackendSuite) {
    let lease = suite.backend.lease_grant(1).await.expect("a lease");
    let granted = suite.environment.clock.monotonic();
    let revision = put_leased(suite, "a", lease).await.expect("a put");
    put_leased(suite, "b", lease).await.expect("a put");
    assert_eq!(suite.get("a").await.expect("it lives").lease, lease);
    until_gone(suite, "a").await;
    let lived = suite.environment.clock.monotonic() - granted;
    assert!(lived >= Duration::from_millis(900), "it lived {lived:?} of a second");
    until_gone(suite, "b").await;
    assert!(suite.revision().await > revision, "expiry is a write");
}

/// A-KV-8.
pub async fn a_revoked_lease_takes_its_keys(suite: &BackendSuite) {
    let lease = suite.backend.lease_grant(3600).await.expect("a lease");
    put_leased(suite, "a", lease).await.expect("a put");
    put(suite, "b", "stays").await;
    suite.backend.lease_revoke(lease).await.expect("a revocation");
    assert_eq!(suite.get("a").await, None);
    assert!(suite.get("b").await.is_some());
    assert_eq!(suite.backend.lease_revoke(lease).await.unwrap_err(), BackendError::LeaseNotFound);
}

/// A-KV-2: the last put decides about the lease; none detaches.
pub async fn a_put_changes_the_lease(suite: &BackendSuite) {
    let old = suite.backend.lease_grant(3600).await.expect("a lease");
    let new = suite.backend.lease_grant(3600).await.expect("a lease");
    assert_ne!(old, new);
    for at in ["detached", "moved", "deleted"] {
        put_leased(suite, at, old).await.expect("a put");
    }
    put(suite, "detached", "free").await;
    put_leased(suite, "moved", new).await.expect("a put");
    suite.do_all(vec![Op::Delete { key: key("deleted") }]).await;
    put(suite, "deleted", "again").await;
    suite.backend.lease_revoke(old).await.expect("a revocation");
    assert_eq!(suite.get("detached").await.expect("it was detached").lease, LeaseId(0));
    assert_eq!(suite.get("moved").await.expect("it was moved").lease, new);
    assert!(suite.get("deleted").await.is_some());
}

/// A-KV-8: the whole transaction is refused.
pub async fn a_put_with_an_unknown_lease_does_nothing(suite: &BackendSuite) {
    let before = suite.revision().await;
    let success =
        vec![put_op("a", "1"), Op::Put { key: key("b"), value: key("1"), lease: LeaseId(987_654_321) }];
    let error = suite.backend.txn(Txn { success, ..Txn::default() }).await.unwrap_err();
    assert_eq!(error, BackendError::LeaseNotFound);
    assert_eq!((suite.revision().await, suite.get("a").await), (before, None));
}
