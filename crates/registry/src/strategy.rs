//! Where resources differ: the hooks of a [`Strategy`], all with defaults.
//!
//! The generic Store does what is common: system fields, names, generation,
//! keeping or clearing status, metadata validation. A hook adds what is
//! special. Prepare does not reject, validate does not mutate.

use async_trait::async_trait;
use jiff::Timestamp;
use memchr::memmem;
use meta::options::DeleteOptions;
use meta::{ApiError, FieldErrors, ObjectMeta};
use schema::Value;

use crate::context::RequestContext;
use crate::store::UpdateKind;

/// What is special about a resource. Objects are in the stored version.
pub trait Strategy: Send + Sync {
    /// Fills in defaults beyond those of the schema. Runs on every decode, from
    /// a client and from storage, so it must be cheap and idempotent.
    fn default(&self, object: &mut Value) {
        let _ = object;
    }

    /// Before create: system fields are set, status is cleared if it has a subresource.
    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        let _ = (context, object);
    }

    /// Everything wrong with a new object, metadata apart.
    fn validate(&self, context: &RequestContext, object: &Value) -> FieldErrors {
        let _ = (context, object);
        Vec::new()
    }

    /// Warnings about a new object.
    fn warnings_on_create(&self, context: &RequestContext, object: &Value) -> Vec<String> {
        let _ = (context, object);
        Vec::new()
    }

    /// Before update: status has been kept from `old` if it has a subresource. Generation
    /// is that of `old` and counted afterwards, unless it is changed here (deployments count annotations).
    fn prepare_for_update(&self, context: &RequestContext, object: &mut Value, old: &Value) {
        let _ = (context, object, old);
    }

    /// Everything wrong with an update, metadata apart.
    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let _ = (context, object, old);
        Vec::new()
    }

    /// Warnings about an update.
    fn warnings_on_update(&self, context: &RequestContext, object: &Value, old: &Value) -> Vec<String> {
        let _ = (context, object, old);
        Vec::new()
    }

    /// Before an update through `status`: everything but status and metadata has been kept from `old`.
    fn prepare_for_status_update(&self, context: &RequestContext, object: &mut Value, old: &Value) {
        let _ = (context, object, old);
    }

    /// Everything wrong with an update through `status`.
    fn validate_status_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let _ = (context, object, old);
        Vec::new()
    }

    /// Before an update through a `Part` subresource. The hook takes from
    /// `object` what the subresource may change and everything else from `old`.
    fn prepare_for_part_update(&self, part: &str, context: &RequestContext, object: &mut Value, old: &Value) {
        let _ = (part, context, object, old);
    }

    /// Everything wrong with an update through a `Part` subresource.
    fn validate_part_update(
        &self,
        part: &str,
        context: &RequestContext,
        object: &Value,
        old: &Value,
    ) -> FieldErrors {
        let _ = (part, context, object, old);
        Vec::new()
    }

    /// Fields that an update through `kind` cannot change, beside those that no
    /// resource changes there (`status` through the object, `spec` and kept
    /// metadata through `status`). Nobody owns them by such an update.
    fn reset_fields(&self, kind: &UpdateKind) -> &'static [&'static [&'static str]] {
        let _ = kind;
        &[]
    }

    /// Paths below which alone an update through `kind` changes something, `*`
    /// for any item of a list; none where [`Strategy::reset_fields`] says it all.
    fn only_fields(&self, kind: &UpdateKind) -> &'static [&'static [&'static str]] {
        let _ = kind;
        &[]
    }

    /// Last normalisation before an object is stored.
    fn canonicalize(&self, object: &mut Value) {
        let _ = object;
    }

    /// Why an object of this name is never deleted, neither alone nor with its
    /// collection; none if it may be. Asked before anything else of a delete.
    fn refuse_delete(&self, name: &str) -> Option<&'static str> {
        let _ = name;
        None
    }

    /// True if the object is to be deleted gracefully; fills
    /// `options.grace_period_seconds` (D-DEL-5, D-STS-5).
    fn check_graceful_delete(&self, object: &Value, options: &mut DeleteOptions) -> bool {
        let _ = (object, options);
        false
    }

    /// Warnings about a delete with these options, of one object or of a collection.
    fn warnings_on_delete(&self, options: &DeleteOptions) -> Vec<String> {
        let _ = options;
        Vec::new()
    }

    /// False while an object without grace and finalizers must stay nevertheless (namespaces with spec.finalizers).
    fn may_be_removed(&self, object: &Value) -> bool {
        let _ = object;
        true
    }

    /// Changes the object as its deletion begins (namespaces turn Terminating).
    /// A strategy that changes anything here has its objects deleted in two
    /// steps: the first delete sets deletionTimestamp and calls this; later
    /// ones remove the object once it [may be](Strategy::may_be_removed).
    /// Runs on a copy first to find out, so it must not depend on more than the object.
    fn begin_deletion(&self, object: &mut Value) {
        let _ = object;
    }

    /// Value of a selectable field beside `metadata.*`; empty if unset.
    fn field(&self, object: &Value, label: &str) -> String {
        let _ = (object, label);
        String::new()
    }

    /// Cells of the printed columns, in their order.
    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        vec![Value::from(print.name(object)), Value::from(print.age(object))]
    }

    /// What the printed row says of the object beside its cells, e.g. that a pod has completed.
    fn row_condition(&self, object: &Value) -> Option<RowCondition> {
        let _ = object;
        None
    }
}

/// A strategy without anything special.
pub struct Plain;
impl Strategy for Plain {}

/// What printing needs beside the object.
#[derive(Clone, Debug)]
pub struct PrintContext {
    /// Ages are counted from here.
    pub now: Timestamp,
}

/// A condition of a printed row that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowCondition {
    /// What holds, e.g. `Completed`.
    pub kind: &'static str,
    /// Why, for programs.
    pub reason: &'static str,
    /// Why, for people.
    pub message: &'static str,
}

/// Answers requests of a resource without storage.
#[async_trait]
pub trait VirtualResource: Send + Sync {
    /// Answers a create with the object to return. `object` is decoded and defaulted, in the served version.
    async fn create(&self, context: &RequestContext, object: Value) -> Result<Value, ApiError>;

    /// Answers a get; the default says no such object.
    async fn get(&self, context: &RequestContext, name: &str) -> Result<Value, ApiError> {
        let _ = name;
        Err(context.method_not_allowed("get"))
    }

    /// Answers a list with its items.
    async fn list(&self, context: &RequestContext) -> Result<Vec<Value>, ApiError> {
        Err(context.method_not_allowed("list"))
    }
}

impl PrintContext {
    /// Leaves ages open, so that cells made with it are good at any time: where an age belongs
    /// stands a mark, which [`fill_ages`](PrintContext::fill_ages) replaces.
    pub const OPEN: PrintContext = PrintContext { now: Timestamp::MAX };
    /// Stands around an open age. No character, so that no text has reason to hold it.
    const AGE_MARK: char = '\u{10fffe}';

    /// True if UTF-8 text has the mark of open ages in it.
    pub fn holds_mark(text: &[u8]) -> bool {
        let mut mark = [0; 4];
        memmem::find(text, PrintContext::AGE_MARK.encode_utf8(&mut mark).as_bytes()).is_some()
    }

    /// Appends `text`, made of [open](PrintContext::OPEN) cells, with the ages of now.
    pub fn fill_ages(&self, text: &[u8], out: &mut Vec<u8>) {
        let mut mark = [0; 4];
        let mark = PrintContext::AGE_MARK.encode_utf8(&mut mark).as_bytes();
        let mut rest = text;
        while let Some(at) = memmem::find(rest, mark) {
            let (before, behind) = (&rest[..at], &rest[at + mark.len()..]);
            out.extend_from_slice(before);
            let end = memmem::find(behind, mark).unwrap_or(behind.len());
            let then = std::str::from_utf8(&behind[..end]).ok().and_then(|then| then.parse::<i64>().ok());
            let age = then.map_or_else(|| UNKNOWN_AGE.to_owned(), |then| self.age_of(then));
            out.extend_from_slice(age.as_bytes());
            rest = behind.get(end + mark.len()..).unwrap_or_default();
        }
        out.extend_from_slice(rest);
    }

    fn age_of(&self, then_seconds: i64) -> String {
        if self.now == PrintContext::OPEN.now {
            return format!("{mark}{then_seconds}{mark}", mark = PrintContext::AGE_MARK);
        }
        meta::time::human_duration(jiff::SignedDuration::from_secs(self.now.as_second() - then_seconds))
    }

    /// Cell of the name column.
    pub fn name(&self, object: &Value) -> String {
        ObjectMeta::of(object).name().to_owned()
    }

    /// Cell of the age column: time since creation.
    pub fn age(&self, object: &Value) -> String {
        self.since(ObjectMeta::of(object).creation_timestamp())
    }

    /// Time since an RFC 3339 timestamp, e.g. `3h5m`; `<unknown>` if there is none.
    pub fn since(&self, timestamp: &str) -> String {
        match timestamp.parse::<Timestamp>() {
            Ok(then) => self.age_of(then.as_second()),
            Err(_) => UNKNOWN_AGE.to_owned(),
        }
    }
}

/// Age of what has no time.
const UNKNOWN_AGE: &str = "<unknown>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ages_are_filled_in_later() {
        let (then, now) = ("2024-01-02T03:04:05Z", "2024-01-02T06:09:05Z");
        let now = PrintContext { now: now.parse().expect("a time") };
        let cells = |print: &PrintContext| {
            format!("a {} b {} c {}", print.since(then), print.since(""), print.since(then))
        };
        let mut filled = Vec::new();
        now.fill_ages(cells(&PrintContext::OPEN).as_bytes(), &mut filled);
        assert_eq!(String::from_utf8(filled).expect("text"), cells(&now));
        assert_eq!(cells(&now), "a 3h5m b <unknown> c 3h5m");
    }

    #[test]
    fn ages_are_told_in_at_most_two_units() {
        let cases = [
            (-5, "<invalid>"),
            (-1, "0s"),
            (119, "119s"),
            (150, "2m30s"),
            (180, "3m"),
            (3599, "59m"),
            (11_100, "3h5m"),
            (100_000, "27h"),
            (2 * 86_400 + 3 * 3600, "2d3h"),
            (45 * 86_400, "45d"),
            (800 * 86_400, "2y70d"),
            (9 * 365 * 86_400, "9y"),
        ];
        for (seconds, text) in cases {
            let duration = jiff::SignedDuration::from_secs(seconds);
            assert_eq!(meta::time::human_duration(duration), text, "{seconds}");
        }
    }
}
