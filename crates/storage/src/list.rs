//! List (A.7, A.8): which revision is meant, pages that are refilled until
//! they are full, and what is left.

use std::sync::Arc;

use bytes::Bytes;
use meta::options::ResourceVersionMatch;
use meta::{ApiError, Revision};

use crate::Error;
use crate::backend::{BackendError, KeyValue, RangeRequest, RangeResponse};
use crate::continue_token::ContinueToken;
use crate::interface::{List, ListRequest, Object};
use crate::keys::range_of;
use crate::metrics::Operation;
use crate::store::{Inner, backend_error, check_lower_bound, parse_revision, too_large};
use crate::turn;

/// Pages that yield too few matches grow up to this many keys (A-PAG-2). A larger limit of a client stays.
const PAGE_KEYS_MAX: usize = 10_000;

/// A-CMP-1.
const EXPIRED: &str = "The resourceVersion for the provided list is too old.";
/// A-CMP-2, without a token to go on with.
const CONTINUE_EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. \
     You can start a new list without the continue parameter.";
/// A-CMP-2.
const CONTINUE_INCONSISTENT: &str = "The provided continue parameter is too old to display a consistent list \
     result. You can start a new list without the continue parameter, or use the continue token in this response \
     to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list \
     - objects that were created, modified, or deleted between the time the first chunk was returned and now may \
     show up in the list.";

/// Where a list reads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Resolved {
    /// Revision to read at; 0 is newest.
    revision: Revision,
    /// First key of the page, if a token said so.
    start: Option<String>,
}

/// Lists below `key` (which then ends in a slash) or the one object at it.
pub(crate) async fn list(store: &Inner, key: &str, options: ListRequest) -> Result<List, Error> {
    let resolved = resolve(key, &options)?;
    store.metrics.lists.add(1);
    if options.recursive {
        Pages::new(store, key, &options, resolved).run().await
    } else {
        single(store, key, &options, resolved).await
    }
}

fn resolve(key: &str, options: &ListRequest) -> Result<Resolved, Error> {
    let version = &options.resource_version;
    if options.recursive && !options.continue_token.is_empty() {
        let token = ContinueToken::decode(&options.continue_token, key)
            .map_err(|error| ApiError::BadRequest(format!("invalid continue token: {error}")))?;
        if !version.is_unset() && !version.is_zero() {
            let text = "specifying resource version is not allowed when using continue";
            return Err(ApiError::BadRequest(text.into()).into());
        }
        let revision = Revision(u64::try_from(token.revision).unwrap_or(0));
        return Ok(Resolved { revision, start: Some(token.start) });
    }
    let newest = Resolved { revision: Revision(0), start: None };
    if version.is_unset() {
        return Ok(newest);
    }
    let asked = parse_revision(version)?;
    let exact = Resolved { revision: asked, start: None };
    let kind = &options.resource_version_match;
    if *kind == ResourceVersionMatch::NotOlderThan {
        Ok(newest)
    } else if *kind == ResourceVersionMatch::Exact {
        Ok(exact)
    } else if *kind == ResourceVersionMatch::Unset {
        Ok(if options.recursive && options.limit > 0 { exact } else { newest })
    } else {
        Err(ApiError::Unknown(format!("unknown ResourceVersionMatch value: {kind:?}")).into())
    }
}

async fn single(store: &Inner, key: &str, options: &ListRequest, resolved: Resolved) -> Result<List, Error> {
    let request = RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        revision: resolved.revision,
        ..RangeRequest::default()
    };
    let response = match store.range(Operation::Get, request).await {
        Ok(response) => response,
        Err(error) => return Err(read_error(key, error, resolved.revision, None)),
    };
    check_lower_bound(&options.resource_version, response.revision)?;
    let revision = if resolved.revision.0 == 0 { response.revision } else { resolved.revision };
    let mut items = Vec::new();
    store.metrics.list_fetched_objects.add(response.kvs.len() as u64);
    for kv in response.kvs {
        match matching(store, kv, options).await {
            Ok(object) => items.extend(object),
            Err(error @ Error::Corrupt { .. }) => return Err(unreadable(store, &[error])),
            Err(error) => return Err(error),
        }
    }
    store.metrics.list_returned_objects.add(items.len() as u64);
    Ok(List {
        revision,
        continue_token: String::new(),
        remaining_item_count: None,
        items: Box::new(items.into_iter()),
    })
}

/// The object, if it matches.
async fn matching(store: &Inner, kv: KeyValue, options: &ListRequest) -> Result<Option<Arc<Object>>, Error> {
    store.metrics.list_evaluated_objects.add(1);
    let key = kv.key.clone();
    let object = store.readable_object(kv).await.map_err(|error| match error {
        // Whoever listed cannot know which object it was.
        Error::Internal(text) => {
            let key = String::from_utf8_lossy(&key);
            Error::Internal(format!("unable to transform key {key:?}: {text}"))
        }
        error => error,
    })?;
    if options.predicate.is_empty() {
        return Ok(Some(object));
    }
    let tree = store.decode(&object.key, &object.data, object.revision)?;
    Ok(options.predicate.matches(&tree).then_some(object))
}

/// A recursive list on its way.
struct Pages<'a> {
    store: &'a Inner,
    prefix: &'a str,
    options: &'a ListRequest,
    /// What every page is read at; 0 until the first page has told.
    revision: Revision,
    /// First key of the next page.
    start: Bytes,
    end: Option<Bytes>,
    /// Keys of the next page, 0 is no limit.
    page_keys: usize,
    items: Vec<Arc<Object>>,
    /// What could not be read, [`Error::Corrupt`] all.
    corrupt: Vec<Error>,
}

/// What one page came to.
struct Page {
    /// Keys remain after the last one looked at.
    more: bool,
    /// Keys from the page's start to the end of the range.
    count: u64,
}

impl<'a> Pages<'a> {
    fn new(store: &'a Inner, prefix: &'a str, options: &'a ListRequest, resolved: Resolved) -> Pages<'a> {
        let (first, end) = range_of(prefix);
        Pages {
            store,
            prefix,
            options,
            revision: resolved.revision,
            start: resolved.start.map_or(first, Bytes::from),
            end,
            page_keys: usize::try_from(options.limit).unwrap_or(usize::MAX),
            items: Vec::new(),
            corrupt: Vec::new(),
        }
    }

    async fn run(mut self) -> Result<List, Error> {
        let page = loop {
            let page = self.page().await?;
            if !page.more || self.is_full() {
                break page;
            }
            if self.page_keys < PAGE_KEYS_MAX {
                self.page_keys = (self.page_keys * 2).min(PAGE_KEYS_MAX);
            }
        };
        if !self.corrupt.is_empty() {
            return Err(unreadable(self.store, &self.corrupt));
        }
        let (continue_token, remaining_item_count) = self.rest(&page)?;
        self.store.metrics.list_returned_objects.add(self.items.len() as u64);
        Ok(List {
            revision: self.revision,
            continue_token,
            remaining_item_count,
            items: Box::new(self.items.into_iter()),
        })
    }

    fn limit(&self) -> Option<usize> {
        (self.options.limit > 0).then(|| usize::try_from(self.options.limit).unwrap_or(usize::MAX))
    }

    fn is_full(&self) -> bool {
        self.limit().is_none_or(|limit| self.items.len() >= limit)
    }

    async fn page(&mut self) -> Result<Page, Error> {
        let response = self.read().await?;
        check_lower_bound(&self.options.resource_version, response.revision)?;
        if self.revision.0 == 0 {
            self.revision = response.revision;
        }
        if response.kvs.is_empty() && response.more {
            let text = "no results were found, but the backend indicated there were more values remaining";
            return Err(Error::Internal(text.into()));
        }
        let mut page = Page { more: response.more, count: response.count };
        let keys = response.kvs.len();
        for (looked_at, kv) in (1..).zip(response.kvs) {
            turn::every(looked_at).await;
            let mut next = Vec::with_capacity(kv.key.len() + 1);
            next.extend_from_slice(&kv.key);
            next.push(0);
            self.start = next.into();
            self.take(kv).await?;
            if self.limit().is_some() && self.is_full() {
                page.more |= looked_at < keys;
                break;
            }
        }
        Ok(page)
    }

    async fn read(&self) -> Result<RangeResponse, Error> {
        let request = RangeRequest {
            key: self.start.clone(),
            end: self.end.clone(),
            revision: self.revision,
            limit: self.page_keys,
            ..RangeRequest::default()
        };
        let error = match self.store.range(Operation::List, request).await {
            Ok(response) => {
                self.store.metrics.list_fetched_objects.add(response.kvs.len() as u64);
                return Ok(response);
            }
            Err(error) => error,
        };
        let resume =
            (!self.options.continue_token.is_empty()).then(|| self.token(-1)).map(Option::unwrap_or_default);
        Err(read_error(self.prefix, error, self.revision, resume))
    }

    /// A-TRF-3: with the gate, unreadable objects are collected so that the client learns of all of them.
    async fn take(&mut self, kv: KeyValue) -> Result<(), Error> {
        match matching(self.store, kv, self.options).await {
            Ok(object) => self.items.extend(object),
            Err(error @ Error::Corrupt { .. }) => {
                self.corrupt.push(error);
                if self.corrupt.len() > CORRUPT_MAX {
                    return Err(unreadable(self.store, &self.corrupt));
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Token and number of what is left (A-PAG-3, A-PAG-7).
    fn rest(&self, page: &Page) -> Result<(String, Option<i64>), Error> {
        let Some(limit) = self.limit().filter(|_| page.more) else {
            return Ok((String::new(), None));
        };
        let token = i64::try_from(self.revision.0).ok().and_then(|revision| self.token(revision));
        let token = token.ok_or_else(|| Error::Internal("unable to encode the continue token".into()))?;
        let remaining =
            self.options.predicate.is_empty().then(|| page.count.saturating_sub(limit as u64) as i64);
        Ok((token, remaining))
    }

    fn token(&self, revision: i64) -> Option<String> {
        let start = String::from_utf8(self.start.to_vec()).ok()?;
        ContinueToken { revision, start }.encode(self.prefix)
    }
}

/// A-TRF-3: names the first [`CORRUPT_MAX`] of them.
fn unreadable(store: &Inner, corrupt: &[Error]) -> Error {
    let cause = |error: &Error| {
        let key = if let Error::Corrupt { key, .. } = error { key.clone() } else { String::new() };
        ("UnexpectedServerResponse".to_owned(), error.to_string(), key)
    };
    let mut causes: Vec<_> = corrupt.iter().take(CORRUPT_MAX).map(cause).collect();
    if corrupt.len() > CORRUPT_MAX {
        let text = "too many errors, the list is truncated".to_owned();
        causes.push(("FieldValueTooMany".to_owned(), text, String::new()));
    }
    let resource = store.group_resource.clone();
    let message = format!("failed to read one or more {resource} from the storage");
    ApiError::StorageRead { resource, name: "list".into(), message, causes }.into()
}

/// Unreadable objects reported of one list.
const CORRUPT_MAX: usize = 100;

/// The error of a read at `revision`. `resume` is given for a continued list:
/// the token to go on with, empty if there is none.
fn read_error(key: &str, error: BackendError, revision: Revision, resume: Option<String>) -> Error {
    let expired = |message: &str, continue_token| {
        Error::Api(ApiError::Expired { message: message.to_owned(), continue_token })
    };
    match (error, resume) {
        (BackendError::FutureRevision { current }, _) => too_large(revision, current, 0),
        (BackendError::Compacted { .. }, None) => expired(EXPIRED, String::new()),
        (BackendError::Compacted { .. }, Some(token)) if token.is_empty() => expired(CONTINUE_EXPIRED, token),
        (BackendError::Compacted { .. }, Some(token)) => expired(CONTINUE_INCONSISTENT, token),
        (error, _) => backend_error(key, error),
    }
}

#[cfg(test)]
mod tests {
    use meta::selector::FieldSelector;

    use super::*;
    use crate::testing::{Pods, put};
    use crate::{Predicate, Storage};

    fn named(name: &str, limit: u64) -> ListRequest {
        let fields = FieldSelector::equals("metadata.name", name);
        let predicate = Predicate { fields, ..Predicate::default() };
        ListRequest { predicate, limit, recursive: true, ..ListRequest::default() }
    }

    async fn pods(n: usize) -> Pods {
        let pods = Pods::new();
        for n in 0..n {
            pods.create("ns", &format!("pod-{n:04}")).await;
        }
        pods
    }

    #[tokio::test]
    async fn a_list_names_the_key_it_cannot_read() {
        let pods = pods(1).await;
        put(&pods.model, "/registry/pods/ns/sealed", "k8s:enc:aesgcm:v1:a:x").await;
        let request = ListRequest { recursive: true, ..ListRequest::default() };
        let Err(error) = pods.store.list("/pods", request).await else { panic!("nothing was listed") };
        let expect = "unable to transform key \"/registry/pods/ns/sealed\": identity transformer tried to read encrypted data";
        assert!(error.to_string().ends_with(expect), "{error}");
    }

    #[tokio::test]
    async fn pages_that_find_too_little_double() {
        let pods = pods(1000).await;
        let before = pods.model.ranges_served();
        let list = pods.store.list("/pods", named("pod-0999", 1)).await.unwrap();
        assert_eq!(list.items.count(), 1);
        // 1 + 2 + 4 + ... + 512 = 1023
        assert_eq!(pods.model.ranges_served() - before, 10);
    }

    #[tokio::test]
    async fn without_a_limit_one_read_is_enough() {
        let pods = pods(100).await;
        for request in [named("pod-0099", 0), ListRequest { recursive: true, ..ListRequest::default() }] {
            let before = pods.model.ranges_served();
            pods.store.list("/pods", request).await.unwrap();
            assert_eq!(pods.model.ranges_served() - before, 1);
        }
    }

    #[tokio::test]
    async fn a_continued_list_that_cannot_go_on_says_so() {
        let compacted = || BackendError::Compacted { compacted: Revision(9) };
        let expired = |resume: Option<&str>| match read_error(
            "",
            compacted(),
            Revision(1),
            resume.map(str::to_owned),
        ) {
            Error::Api(ApiError::Expired { message, continue_token }) => (message, continue_token),
            other => panic!("{other:?}"),
        };
        assert_eq!(expired(None), (EXPIRED.to_owned(), String::new()));
        assert_eq!(expired(Some("")), (CONTINUE_EXPIRED.to_owned(), String::new()));
        assert_eq!(expired(Some("next")), (CONTINUE_INCONSISTENT.to_owned(), "next".to_owned()));
    }
}
