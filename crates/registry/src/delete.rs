//! Deleting an object (D.4): at once, after a grace period, or when its last
//! finalizer goes.
//!
//! ```text
//! live --(grace)--> terminating, grace > 0 --(shorter grace, kubelet)--> removed
//! live --(finalizers)--> terminating, grace 0 --(last finalizer gone: update)--> removed
//! live --(neither)--> removed
//! ```

use async_trait::async_trait;
use meta::object::{ObjectMeta, ObjectMetaMut};
use meta::options::{DeleteOptions, Preconditions, PropagationPolicy};
use meta::time::rfc3339;
use meta::{ApiError, GroupResource, ResourceVersion, Revision};
use parking_lot::Mutex;
use schema::Value;
use std::sync::Arc;
use storage::{DeleteRequest, Error, Object, TryUpdate, UpdateRequest, ValidateDelete};

use crate::admission::Operation;
use crate::context::RequestContext;
use crate::definition::DefaultGarbageCollection;
use crate::errors::{Verb, interpret};
use crate::metadata::{add_seconds, deletion_time};
use crate::store::{Deleted, Outcome, Store};
use crate::update::check_preconditions;

/// Finalizer of the garbage collector: dependents stay.
const ORPHAN: &str = "orphan";
/// Finalizer of the garbage collector: dependents go first.
const FOREGROUND: &str = "foregroundDeletion";

impl Store {
    /// Deletes an object, or begins to: [`Deleted::removed`] says which.
    pub async fn delete(
        &self,
        context: &RequestContext,
        name: &str,
        mut options: DeleteOptions,
    ) -> Result<Deleted, ApiError> {
        let key = self.key(&context.namespace, name)?;
        let resource = self.resource(context);
        if let Some(message) = self.definition().strategy.refuse_delete(name) {
            let (name, message) = (name.to_owned(), message.to_owned());
            return Err(ApiError::Forbidden { resource, name, message, causes: Vec::new() });
        }
        for warning in self.definition().strategy.warnings_on_delete(&options) {
            context.warn(warning);
        }
        let failed = |error| interpret(error, Verb::Delete, &resource, name);
        let live = self.storage().get(&key, &ResourceVersion::default()).await.map_err(failed)?;
        let live = live.ok_or_else(|| ApiError::not_found(&resource, name))?;
        let mut tree = self.decode(&live)?;
        if let Some(deleted) = self.delete_in_steps(context, &key, &live, &tree, &options).await? {
            return Ok(deleted);
        }
        let unchanged = Deleted::kept(Outcome::Stored(live.clone()), &tree);
        let start = self.before_delete(context, &mut tree, &mut options)?;
        if start == Start::Pending {
            return Ok(unchanged);
        }
        let held = ObjectMeta::of(&tree).finalizers().next().is_some();
        let mut removal =
            Removal { hint: Some(live), preconditions: options.preconditions.clone(), may_be_gone: None };
        if start == Start::Graceful || held || self.wanted_finalizers(&tree, &options).is_some() {
            match self.mark(context, &key, name, &mut removal, &mut options).await? {
                Marked::Kept(deleted) => return Ok(deleted),
                Marked::Remove => {}
            }
        }
        self.remove(context, &key, name, removal, options.dry_run).await
    }

    /// Takes the object out of storage; nothing holds it any more.
    async fn remove(
        &self,
        context: &RequestContext,
        key: &str,
        name: &str,
        removal: Removal,
        dry_run: bool,
    ) -> Result<Deleted, ApiError> {
        let resource = self.resource(context);
        let failed = |error| interpret(error, Verb::Delete, &resource, name);
        let admission = DeleteAdmission { store: self, context, dry_run, uid: Mutex::default() };
        if dry_run {
            return match removal.may_be_gone {
                Some(outcome) => self.gone(outcome),
                None => self.try_removal(key, &removal.preconditions, &admission).await.map_err(failed),
            };
        }
        let request = DeleteRequest {
            preconditions: removal.preconditions,
            validate: &admission,
            hint: removal.hint,
            ignore_read_error: false,
        };
        match (self.storage().delete(key, request).await, removal.may_be_gone) {
            (Ok(object), _) => {
                self.after_delete(context, &object).await;
                let uid = admission.uid.into_inner();
                Ok(Deleted { outcome: Outcome::Stored(object), removed: true, uid })
            }
            // Whoever saw the zero grace period first may have removed it: no failure.
            (Err(Error::KeyNotFound { .. }), Some(last)) => self.gone(last),
            (Err(error), _) => Err(failed(error)),
        }
    }

    /// Gives back what a removed object had for itself alone.
    pub(crate) async fn after_delete(&self, context: &RequestContext, removed: &Object) {
        if let Some(allocator) = &self.definition().allocator
            && let Ok(object) = self.decode(removed)
        {
            allocator.after_delete(context, &object).await;
        }
    }

    fn gone(&self, outcome: Outcome) -> Result<Deleted, ApiError> {
        let uid = match &outcome {
            Outcome::Stored(object) => uid_of(&self.decode(object)?),
            Outcome::Tree(tree) => uid_of(tree),
        };
        Ok(Deleted { outcome, removed: true, uid })
    }

    async fn try_removal(
        &self,
        key: &str,
        preconditions: &Preconditions,
        admission: &DeleteAdmission<'_>,
    ) -> Result<Deleted, Error> {
        let object = self.storage().get(key, &ResourceVersion::default()).await?;
        let object =
            object.ok_or_else(|| Error::KeyNotFound { key: key.to_owned(), revision: Revision(0) })?;
        let tree = self.storage().decode(&object)?;
        check_preconditions(preconditions, &object, &tree)?;
        admission.validate(&tree).await?;
        Ok(Deleted { outcome: Outcome::Stored(object), removed: true, uid: uid_of(&tree) })
    }

    /// Marks the object as terminating, with its grace period and finalizers,
    /// and finds out whether it must stay.
    async fn mark(
        &self,
        context: &RequestContext,
        key: &str,
        name: &str,
        removal: &mut Removal,
        options: &mut DeleteOptions,
    ) -> Result<Marked, ApiError> {
        let dry_run = options.dry_run;
        let mut marking = Marking { store: self, context, options, result: Step::RemoveNow };
        let outcome = self.write_mark(key, removal, dry_run, &mut marking).await;
        match (marking.result, outcome) {
            (Step::Pending(tree), Err(_)) => {
                Ok(Marked::Kept(Deleted::kept(Outcome::Tree(tree.clone()), &tree)))
            }
            (Step::Nothing, Err(_)) => Ok(Marked::Remove),
            (_, Err(error)) => Err(interpret(error, Verb::Update, &self.resource(context), name)),
            (Step::Hold(uid), Ok(outcome)) => Ok(Marked::Kept(Deleted { outcome, removed: false, uid })),
            (_, Ok(outcome)) => {
                removal.follow(&outcome);
                Ok(Marked::Remove)
            }
        }
    }

    async fn write_mark(
        &self,
        key: &str,
        removal: &Removal,
        dry_run: bool,
        marking: &mut Marking<'_>,
    ) -> Result<Outcome, Error> {
        if !dry_run {
            let request = UpdateRequest {
                ignore_not_found: false,
                preconditions: removal.preconditions.clone(),
                hint: removal.hint.clone(),
                try_update: marking,
            };
            return Ok(Outcome::Stored(self.storage().guaranteed_update(key, request).await?.object));
        }
        let object = self.storage().get(key, &ResourceVersion::default()).await?;
        let object =
            object.ok_or_else(|| Error::KeyNotFound { key: key.to_owned(), revision: Revision(0) })?;
        let tree = self.storage().decode(&object)?;
        check_preconditions(&removal.preconditions, &object, &tree)?;
        let (marked, _ttl) = marking.try_update(tree, object.revision).await?;
        Ok(Outcome::Stored(self.storage().preview(&marked, object.revision)?))
    }

    /// The common start of a deletion: checks preconditions, settles the grace
    /// period, and marks an object that is deleted gracefully (D-DEL-3..6).
    fn before_delete(
        &self,
        context: &RequestContext,
        object: &mut Value,
        options: &mut DeleteOptions,
    ) -> Result<Start, ApiError> {
        self.check_delete_preconditions(object, &options.preconditions)?;
        if options.grace_period_seconds.is_some_and(|grace| grace < 0) {
            options.grace_period_seconds = Some(1);
        }
        if ObjectMeta::of(object).deletion_grace_period_seconds().is_some_and(|grace| grace < 0) {
            ObjectMetaMut::of(object).set_deletion_grace_period_seconds(Some(1));
        }
        let now = context.environment.clock.now();
        if ObjectMeta::of(object).deletion_timestamp().is_some() {
            return Ok(shorten_grace(object, options, now));
        }
        if !self.definition().strategy.check_graceful_delete(object, options) {
            return Ok(Start::Immediate);
        }
        let grace = options.grace_period_seconds.unwrap_or_default();
        let generation = ObjectMeta::of(object).generation();
        let mut meta = ObjectMetaMut::of(object);
        meta.set_deletion_timestamp(Some(rfc3339(add_seconds(now, grace))));
        meta.set_deletion_grace_period_seconds(Some(grace));
        if generation > 0 {
            meta.set_generation(generation + 1);
        }
        Ok(Start::Graceful)
    }

    fn check_delete_preconditions(&self, object: &Value, asked: &Preconditions) -> Result<(), ApiError> {
        let meta = ObjectMeta::of(object);
        let version = meta.resource_version().0;
        let checks = [
            ("UID", &asked.uid, meta.uid(), "deleted and then recreated"),
            ("ResourceVersion", &asked.resource_version, version.as_str(), "modified"),
        ];
        for (what, wanted, found, cause) in checks {
            if let Some(wanted) = wanted
                && wanted != found
            {
                // The original names the kind where the resource should stand.
                let kind = &self.stored_kind;
                let resource = GroupResource { group: kind.group.clone(), resource: kind.kind.clone() };
                let message = format!(
                    "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The \
                     object might have been {cause}"
                );
                return Err(ApiError::Conflict { resource, name: meta.name().to_owned(), message });
            }
        }
        Ok(())
    }

    /// Finalizers with those of the garbage collector set as the options, the
    /// object and the resource say (D-DEL-7); none if they are so already.
    fn wanted_finalizers(&self, object: &Value, options: &DeleteOptions) -> Option<Vec<String>> {
        if !self.config.garbage_collection {
            return None;
        }
        let policy = match self.definition().garbage_collection {
            DefaultGarbageCollection::Unsupported => PropagationPolicy::Background,
            default => propagation(object, options, default),
        };
        let present: Vec<&str> = ObjectMeta::of(object).finalizers().collect();
        let mut wanted: Vec<&str> =
            present.iter().copied().filter(|name| *name != ORPHAN && *name != FOREGROUND).collect();
        match policy {
            PropagationPolicy::Orphan => wanted.push(ORPHAN),
            PropagationPolicy::Foreground => wanted.push(FOREGROUND),
            PropagationPolicy::Background => {}
        }
        let same = wanted.iter().all(|name| present.contains(name))
            && present.iter().all(|name| wanted.contains(name));
        (!same).then(|| wanted.into_iter().map(str::to_owned).collect())
    }

    /// Kinds whose strategy changes the object as deletion begins (namespaces)
    /// are deleted in two steps: the first delete only begins it, later ones
    /// remove the object if the strategy lets it go. None for other kinds, and
    /// when the ordinary way shall be gone now.
    async fn delete_in_steps(
        &self,
        context: &RequestContext,
        key: &str,
        live: &Arc<Object>,
        tree: &Value,
        options: &DeleteOptions,
    ) -> Result<Option<Deleted>, ApiError> {
        let strategy = &self.definition().strategy;
        if ObjectMeta::of(tree).deletion_timestamp().is_some() {
            if strategy.may_be_removed(tree) {
                return Ok(None);
            }
            self.check_step_preconditions(context, live, tree, &options.preconditions)?;
            return Ok(Some(Deleted::kept(Outcome::Stored(live.clone()), tree)));
        }
        let mut begun = tree.clone();
        strategy.begin_deletion(&mut begun);
        if begun == *tree {
            return Ok(None);
        }
        self.check_step_preconditions(context, live, tree, &options.preconditions)?;
        let mut preconditions = options.preconditions.clone();
        preconditions.uid.get_or_insert_with(|| uid_of(tree));
        let mut begin = Begin { store: self, context, options };
        let name = ObjectMeta::of(tree).name();
        let outcome = self.write_begin(key, preconditions, live, &mut begin).await;
        let outcome =
            outcome.map_err(|error| interpret(error, Verb::Update, &self.resource(context), name))?;
        Ok(Some(Deleted { outcome, removed: false, uid: uid_of(tree) }))
    }

    /// Kinds deleted in steps word a failed precondition as storage does.
    fn check_step_preconditions(
        &self,
        context: &RequestContext,
        live: &Arc<Object>,
        tree: &Value,
        asked: &Preconditions,
    ) -> Result<(), ApiError> {
        let (resource, name) = (self.resource(context), ObjectMeta::of(tree).name());
        check_preconditions(asked, live, tree).map_err(|error| match error {
            Error::InvalidObject { message, .. } => {
                ApiError::Conflict { resource, name: name.to_owned(), message }
            }
            other => interpret(other, Verb::Delete, &resource, name),
        })
    }

    async fn write_begin(
        &self,
        key: &str,
        preconditions: Preconditions,
        live: &Arc<Object>,
        begin: &mut Begin<'_>,
    ) -> Result<Outcome, Error> {
        if begin.options.dry_run {
            let tree = self.storage().decode(live)?;
            let (begun, _ttl) = begin.try_update(tree, live.revision).await?;
            return Ok(Outcome::Stored(self.storage().preview(&begun, live.revision)?));
        }
        let hint = Some(live.clone());
        let request = UpdateRequest { ignore_not_found: false, preconditions, hint, try_update: begin };
        Ok(Outcome::Stored(self.storage().guaranteed_update(key, request).await?.object))
    }
}

impl Deleted {
    fn kept(outcome: Outcome, tree: &Value) -> Deleted {
        Deleted { outcome, removed: false, uid: uid_of(tree) }
    }
}

/// How a deletion starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Nothing to wait for.
    Immediate,
    /// The object has just been given a grace period (perhaps 0), or a shorter one.
    Graceful,
    /// A grace period that is not to be shortened is running.
    Pending,
}

/// What is left to do about an object that may be removed.
struct Removal {
    hint: Option<Arc<Object>>,
    preconditions: Preconditions,
    /// The object as marked for removal: from now on others may remove it too.
    may_be_gone: Option<Outcome>,
}

impl Removal {
    /// Goes on from the state the mark produced: a precondition on the
    /// revision means that one from here (D-DEL-10).
    fn follow(&mut self, outcome: &Outcome) {
        if let Outcome::Stored(object) = outcome {
            if let Some(version) = &mut self.preconditions.resource_version {
                *version = object.revision.to_string();
            }
            self.hint = Some(object.clone());
        }
        self.may_be_gone = Some(outcome.clone());
    }
}

/// What marking came to.
enum Marked {
    Kept(Deleted),
    Remove,
}

/// The write that marks an object as terminating.
struct Marking<'a> {
    store: &'a Store,
    context: &'a RequestContext,
    options: &'a mut DeleteOptions,
    result: Step,
}

/// What the last try of a mark found.
enum Step {
    /// A running grace period stays as it is; nothing was written.
    Pending(Value),
    /// Finalizers or grace hold the object with this uid.
    Hold(String),
    /// Nothing holds the object and nothing was written.
    Nothing,
    /// Nothing holds the object as written.
    RemoveNow,
}

#[async_trait]
impl TryUpdate for Marking<'_> {
    async fn try_update(&mut self, mut object: Value, _: Revision) -> Result<(Value, Option<i64>), Error> {
        let (store, context) = (self.store, self.context);
        self.result = Step::RemoveNow;
        store.fill_defaults(&mut object);
        store
            .validate_admission(context, Operation::Delete, None, Some(&object), self.options.dry_run)
            .await?;
        let start = store.before_delete(context, &mut object, self.options)?;
        if start == Start::Pending {
            self.result = Step::Pending(object);
            return Err(Error::Internal("a grace period is running".to_owned()));
        }
        if let Some(finalizers) = store.wanted_finalizers(&object, self.options) {
            ObjectMetaMut::of(&mut object).set_finalizers(finalizers);
        }
        let held = ObjectMeta::of(&object).finalizers().next().is_some();
        if start == Start::Immediate && !held {
            self.result = Step::Nothing;
            return Err(Error::Internal("nothing to mark before removal".to_owned()));
        }
        if start == Start::Immediate {
            mark_terminating(context, &mut object);
        }
        if held || ObjectMeta::of(&object).deletion_grace_period_seconds().unwrap_or_default() > 0 {
            self.result = Step::Hold(uid_of(&object));
        }
        let ttl = store.definition().ttl_seconds;
        Ok((object, (ttl != 0).then_some(ttl)))
    }
}

/// The write that begins a deletion in two steps.
struct Begin<'a> {
    store: &'a Store,
    context: &'a RequestContext,
    options: &'a DeleteOptions,
}

#[async_trait]
impl TryUpdate for Begin<'_> {
    async fn try_update(&mut self, mut object: Value, _: Revision) -> Result<(Value, Option<i64>), Error> {
        let (store, context) = (self.store, self.context);
        store.fill_defaults(&mut object);
        store
            .validate_admission(context, Operation::Delete, None, Some(&object), self.options.dry_run)
            .await?;
        let finalizers = store.wanted_finalizers(&object, self.options);
        let mut meta = ObjectMetaMut::of(&mut object);
        if meta.view().deletion_timestamp().is_none() {
            meta.set_deletion_timestamp(Some(rfc3339(context.environment.clock.now())));
        }
        if let Some(finalizers) = finalizers {
            meta.set_finalizers(finalizers);
        }
        store.definition().strategy.begin_deletion(&mut object);
        Ok((object, None))
    }
}

/// Admission of a removal, on each state of the object storage meets.
struct DeleteAdmission<'a> {
    store: &'a Store,
    context: &'a RequestContext,
    dry_run: bool,
    /// `metadata.uid` of the last object judged.
    uid: Mutex<String>,
}

#[async_trait]
impl ValidateDelete for DeleteAdmission<'_> {
    async fn validate(&self, object: &Value) -> Result<(), Error> {
        *self.uid.lock() = uid_of(object);
        let validated =
            self.store.validate_admission(self.context, Operation::Delete, None, Some(object), self.dry_run);
        Ok(validated.await?)
    }
}

/// Only a shorter grace period changes a deletion that is under way, and none
/// ends in the past (D-DEL-6).
fn shorten_grace(object: &mut Value, options: &mut DeleteOptions, now: jiff::Timestamp) -> Start {
    let meta = ObjectMeta::of(object);
    let (Some(running), deadline) = (meta.deletion_grace_period_seconds(), deletion_time(meta)) else {
        return Start::Immediate;
    };
    if running == 0 {
        return Start::Immediate;
    }
    let Some(asked) = options.grace_period_seconds else {
        options.grace_period_seconds = Some(running);
        return Start::Pending;
    };
    if asked >= running {
        return Start::Pending;
    }
    let begun = add_seconds(deadline.unwrap_or(now), -running);
    let (mut deadline, mut grace) = (add_seconds(begun, asked), asked);
    if deadline < now {
        deadline = now;
        grace = asked.min(1);
    }
    let mut meta = ObjectMetaMut::of(object);
    meta.set_deletion_timestamp(Some(rfc3339(deadline)));
    meta.set_deletion_grace_period_seconds(Some(grace));
    Start::Graceful
}

/// Marks an object that finalizers hold (D-DEL-8).
fn mark_terminating(context: &RequestContext, object: &mut Value) {
    let now = context.environment.clock.now();
    let meta = ObjectMeta::of(object);
    let (generation, since) = (meta.generation(), meta.deletion_timestamp().map(str::to_owned));
    let in_future = deletion_time(meta).is_none_or(|time| time > now);
    let mut meta = ObjectMetaMut::of(object);
    if since.is_none() && generation > 0 {
        meta.set_generation(generation + 1);
    }
    if in_future {
        meta.set_deletion_timestamp(Some(rfc3339(now)));
    }
    meta.set_deletion_grace_period_seconds(Some(0));
}

/// What happens to dependents: the options decide, else the finalizers the
/// object has, else the resource's default.
fn propagation(
    object: &Value,
    options: &DeleteOptions,
    default: DefaultGarbageCollection,
) -> PropagationPolicy {
    match (options.orphan_dependents, options.propagation_policy) {
        (Some(true), _) => return PropagationPolicy::Orphan,
        (Some(false), _) => return PropagationPolicy::Background,
        (None, Some(policy)) => return policy,
        (None, None) => {}
    }
    for finalizer in ObjectMeta::of(object).finalizers() {
        match finalizer {
            ORPHAN => return PropagationPolicy::Orphan,
            FOREGROUND => return PropagationPolicy::Foreground,
            _ => {}
        }
    }
    match default {
        DefaultGarbageCollection::OrphanDependents => PropagationPolicy::Orphan,
        _ => PropagationPolicy::Background,
    }
}

fn uid_of(object: &Value) -> String {
    ObjectMeta::of(object).uid().to_owned()
}
