//! Updating an object (D.3), through any of its doors, and creating it where
//! an update may; and removing it when the update empties the last finalizer.

use std::sync::Arc;

use async_trait::async_trait;
use meta::object::{ObjectMeta, ObjectMetaMut};
use meta::options::{Preconditions, WriteOptions};
use meta::validation::{
    NameValidation, validate_generic_object_meta, validate_generic_object_meta_update, validate_object_meta,
    validate_object_meta_update,
};
use meta::{ApiError, FieldError, FieldErrors, FieldPath, GroupKind, ResourceVersion, Revision};
use schema::Value;
use storage::{DeleteRequest, Error, Object, TryUpdate, UpdateRequest};

use crate::admission::Operation;
use crate::allocator::{Allocation, settle};
use crate::context::RequestContext;
use crate::errors::{Verb, interpret};
use crate::field_management::{forget_owners, is_too_large, keep_times};
use crate::metadata::{
    deduplicate_owners, desired_state_differs, keep_all_but_status, keep_field, keep_metadata_for_status,
    match_namespace,
};
use crate::store::{Outcome, Store, UpdateKind, UpdatedObject};

impl Store {
    /// Changes an object, retrying for as long as others change it meanwhile.
    /// The flag of the result says that the object was created: where
    /// the resource allows it or `force_allow_create` is set, a missing one is.
    ///
    /// An object that is too large for the store is written without
    /// `managedFields`, unless the change keeps them itself (F-RTE-3).
    pub async fn update(
        &self,
        context: &RequestContext,
        name: &str,
        kind: UpdateKind,
        updated: &mut dyn UpdatedObject,
        options: &WriteOptions,
        force_allow_create: bool,
    ) -> Result<(Outcome, bool), ApiError> {
        let tracked = updated.tracks_fields();
        let owners = if tracked { Owners::Given } else { Owners::Tracked };
        let whole =
            self.try_update(context, name, kind.clone(), updated, options, force_allow_create, owners);
        match whole.await {
            Err(error) if !tracked && is_too_large(&error) => {
                let owners = Owners::Forgotten;
                self.try_update(context, name, kind, updated, options, force_allow_create, owners).await
            }
            done => done,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "those of update, and one more")]
    async fn try_update(
        &self,
        context: &RequestContext,
        name: &str,
        kind: UpdateKind,
        updated: &mut dyn UpdatedObject,
        options: &WriteOptions,
        force_allow_create: bool,
        owners: Owners,
    ) -> Result<(Outcome, bool), ApiError> {
        let key = self.key(&context.namespace, name)?;
        let may_create = force_allow_create || kind == UpdateKind::Main && self.definition().create_on_update;
        let preconditions = updated.preconditions();
        let mut attempt = Attempt {
            store: self,
            context,
            name,
            kind,
            updated,
            options,
            may_create,
            owners,
            allocation: None,
            created: None,
            emptied: None,
        };
        let result = if options.dry_run {
            self.try_out(&key, &preconditions, &mut attempt).await
        } else {
            let request = UpdateRequest {
                ignore_not_found: true,
                preconditions: preconditions.clone(),
                hint: None,
                try_update: &mut attempt,
            };
            self.storage()
                .guaranteed_update(&key, request)
                .await
                .map(|updated| Outcome::Stored(updated.object))
        };
        let Attempt { allocation, created, emptied, .. } = attempt;
        match (allocation, &emptied) {
            (Some(allocation), Some(_)) => allocation.rollback().await,
            (allocation, _) => settle(allocation, &result).await,
        }
        match (result, emptied) {
            (Ok(outcome), _) => Ok((outcome, created.is_some())),
            (Err(_), Some(object)) => {
                self.remove_emptied(context, &key, name, preconditions, options).await?;
                Ok((Outcome::Tree(object), false))
            }
            (Err(error), None) => match created {
                Some(object) => Err(self.creation_error(context, error, &object)),
                None => Err(self.update_error(context, &key, name, error, may_create).await),
            },
        }
    }

    /// One attempt without writing (D-DRY-1).
    async fn try_out(
        &self,
        key: &str,
        preconditions: &Preconditions,
        attempt: &mut Attempt<'_>,
    ) -> Result<Outcome, Error> {
        let current = self.storage().get(key, &ResourceVersion::default()).await?;
        let (tree, revision) = match &current {
            Some(object) => (self.storage().decode(object)?, object.revision),
            None => (Value::map(), Revision(0)),
        };
        if let Some(object) = &current {
            check_preconditions(preconditions, object, &tree)?;
        }
        let (updated, _ttl) = attempt.try_update(tree, revision).await?;
        Ok(Outcome::Stored(self.storage().preview(&updated, revision)?))
    }

    /// Removes an object whose update left it without finalizers (D-UPD-7).
    /// Somebody else may have been faster.
    async fn remove_emptied(
        &self,
        context: &RequestContext,
        key: &str,
        name: &str,
        preconditions: Preconditions,
        options: &WriteOptions,
    ) -> Result<(), ApiError> {
        if options.dry_run {
            return Ok(());
        }
        // The update has passed admission; the delete is its consequence.
        let validate = |_: &Value| Ok(());
        let request =
            DeleteRequest { preconditions, validate: &validate, hint: None, ignore_read_error: false };
        match self.storage().delete(key, request).await {
            Ok(removed) => {
                self.after_delete(context, &removed).await;
                Ok(())
            }
            Err(Error::KeyNotFound { .. }) => Ok(()),
            Err(error) => Err(interpret(error, Verb::Delete, &self.resource(context), name)),
        }
    }

    /// A precondition fails on a missing object too; the answer is 404 all the same.
    async fn update_error(
        &self,
        context: &RequestContext,
        key: &str,
        name: &str,
        error: Error,
        may_create: bool,
    ) -> ApiError {
        let resource = self.resource(context);
        if matches!(error, Error::InvalidObject { .. })
            && !may_create
            && let Ok(None) = self.storage().get(key, &ResourceVersion::default()).await
        {
            return ApiError::not_found(&resource, name);
        }
        interpret(error, Verb::Update, &resource, name)
    }

    /// Completes and judges a changed object, admission apart (D-UPD-4).
    fn before_update(
        &self,
        context: &RequestContext,
        kind: &UpdateKind,
        object: &mut Value,
        old: &Value,
    ) -> Result<(), ApiError> {
        let def = self.definition();
        match_namespace(context, def, object)?;
        ObjectMetaMut::of(object).set_generation(ObjectMeta::of(old).generation());
        self.prepare_for_update(context, kind, object, old);
        self.count_generation(object, old);
        keep_system_fields(object, old);
        let errors = self.update_errors(context, kind, object, old);
        self.refuse_if_any(object, errors)?;
        if *kind == UpdateKind::Main {
            for warning in def.strategy.warnings_on_update(context, object, old) {
                context.warn(warning);
            }
        }
        def.strategy.canonicalize(object);
        Ok(())
    }

    fn prepare_for_update(
        &self,
        context: &RequestContext,
        kind: &UpdateKind,
        object: &mut Value,
        old: &Value,
    ) {
        let def = self.definition();
        match kind {
            UpdateKind::Main => {
                if def.has_status() {
                    keep_field(object, old, "status");
                }
                def.strategy.prepare_for_update(context, object, old);
            }
            UpdateKind::Status => {
                keep_all_but_status(object, old);
                keep_metadata_for_status(def, object, old);
                def.strategy.prepare_for_status_update(context, object, old);
            }
            UpdateKind::Part(part) => def.strategy.prepare_for_part_update(part, context, object, old),
        }
    }

    /// Counts a change of the desired state, unless the strategy has counted itself.
    fn count_generation(&self, object: &mut Value, old: &Value) {
        let before = ObjectMeta::of(old).generation();
        let counted = ObjectMeta::of(object).generation() != before;
        if self.definition().generation && !counted && desired_state_differs(object, old) {
            ObjectMetaMut::of(object).set_generation(before + 1);
        }
    }

    /// Faults of an update. Metadata is judged twice, once for every object and
    /// once by the kind, and clients see both.
    fn update_errors(
        &self,
        context: &RequestContext,
        kind: &UpdateKind,
        object: &Value,
        old: &Value,
    ) -> FieldErrors {
        let def = self.definition();
        let path = FieldPath::root("metadata");
        let (new_meta, old_meta) = (ObjectMeta::of(object), ObjectMeta::of(old));
        let mut errors =
            validate_generic_object_meta(new_meta, def.namespaced, NameValidation::PathSegment, &path);
        errors.extend(validate_generic_object_meta_update(new_meta, old_meta, &path));
        errors.extend(validate_object_meta_update(new_meta, old_meta, &path));
        if def.repeats_metadata_validation {
            errors.extend(validate_object_meta(new_meta, def.namespaced, def.name_validation, &path));
        }
        errors.extend(match kind {
            UpdateKind::Main => def.strategy.validate_update(context, object, old),
            UpdateKind::Status => def.strategy.validate_status_update(context, object, old),
            UpdateKind::Part(part) => def.strategy.validate_part_update(part, context, object, old),
        });
        errors
    }
}

/// What becomes of `managedFields`.
#[derive(Clone, Copy)]
enum Owners {
    /// The change has brought them up to date.
    Given,
    /// They are brought up to date here.
    Tracked,
    /// They are dropped: with them the object is too large.
    Forgotten,
}

/// An update in progress; called once per try.
struct Attempt<'a> {
    store: &'a Store,
    context: &'a RequestContext,
    name: &'a str,
    kind: UpdateKind,
    updated: &'a mut dyn UpdatedObject,
    options: &'a WriteOptions,
    may_create: bool,
    owners: Owners,
    /// What the last try took for the object.
    allocation: Option<Box<dyn Allocation>>,
    /// The object to create, if the last try creates.
    created: Option<Value>,
    /// The object to remove instead of writing it, if the last try came to that.
    emptied: Option<Value>,
}

#[async_trait]
impl TryUpdate for Attempt<'_> {
    async fn try_update(
        &mut self,
        mut current: Value,
        revision: Revision,
    ) -> Result<(Value, Option<i64>), Error> {
        self.created = None;
        self.emptied = None;
        if let Some(lost) = self.allocation.take() {
            lost.rollback().await;
        }
        if revision != Revision(0) {
            self.store.fill_defaults(&mut current);
            return self.change(current, revision).await;
        }
        if !self.may_create {
            return Err(ApiError::not_found(&self.store.resource(self.context), self.name).into());
        }
        Ok(self.create().await?)
    }
}

impl Attempt<'_> {
    async fn change(&mut self, old: Value, revision: Revision) -> Result<(Value, Option<i64>), Error> {
        let (store, context) = (self.store, self.context);
        let mut object = self.updated(&old).await?;
        self.track(&mut object, Some(&old));
        store.admit(context, Operation::Update, &mut object, Some(&old), self.options).await?;
        keep_times(&mut object, &old);
        self.match_resource_version(&mut object, revision)?;
        self.begin_update(&mut object, &old).await?;
        store.before_update(context, &self.kind, &mut object, &old)?;
        store
            .validate_admission(context, Operation::Update, Some(&object), Some(&old), self.options.dry_run)
            .await?;
        if no_longer_held(&object, &old) && store.definition().strategy.may_be_removed(&object) {
            self.emptied = Some(object);
            return Err(Error::Internal("the object is to be removed instead".to_owned()));
        }
        Ok((object, self.ttl()))
    }

    async fn create(&mut self) -> Result<(Value, Option<i64>), ApiError> {
        let (store, context) = (self.store, self.context);
        let mut object = self.updated(&Value::map()).await?;
        self.track(&mut object, None);
        store.admit(context, Operation::Create, &mut object, None, self.options).await?;
        // There is nothing to match, but the text must be a number nevertheless.
        submitted_revision(&object)?;
        ObjectMetaMut::of(&mut object).set_resource_version(Revision(0));
        store.identify_new(context, &mut object)?;
        self.allocation = store.begin_create(context, &mut object, self.options.dry_run).await?;
        store.before_create(context, &mut object)?;
        store
            .validate_admission(context, Operation::Create, Some(&object), None, self.options.dry_run)
            .await?;
        self.created = Some(object.clone());
        Ok((object, self.ttl()))
    }

    async fn begin_update(&mut self, object: &mut Value, old: &Value) -> Result<(), ApiError> {
        if let (Some(allocator), UpdateKind::Main) = (&self.store.definition().allocator, &self.kind) {
            let dry_run = self.options.dry_run;
            self.allocation = Some(allocator.begin_update(self.context, object, old, dry_run).await?);
        }
        Ok(())
    }

    /// Records who owns what, unless the change has done so itself.
    fn track(&self, object: &mut Value, old: Option<&Value>) {
        deduplicate_owners(self.context, object, false);
        match self.owners {
            Owners::Given => {}
            Owners::Tracked => self.store.track(self.context, &self.kind, self.options, old, object),
            Owners::Forgotten => _ = forget_owners(object),
        }
    }

    /// The object wanted, which must be the one asked for: a patch could rename it.
    async fn updated(&mut self, old: &Value) -> Result<Value, ApiError> {
        let object = self.updated.updated(self.context, old).await?;
        let name = ObjectMeta::of(&object).name();
        if name.is_empty() || name == self.name {
            return Ok(object);
        }
        let text =
            format!("the name of the object ({name}) does not match the name on the URL ({})", self.name);
        Err(ApiError::BadRequest(text))
    }

    /// D-UPD-3: adopts, demands or compares the resourceVersion.
    fn match_resource_version(&self, object: &mut Value, current: Revision) -> Result<(), ApiError> {
        let submitted = submitted_revision(object)?;
        let resource = self.store.resource(self.context);
        if submitted == current {
            return Ok(());
        }
        if submitted != Revision(0) {
            return Err(ApiError::object_modified(&resource, self.name));
        }
        if self.store.definition().unconditional_update {
            ObjectMetaMut::of(object).set_resource_version(current);
            return Ok(());
        }
        let path = FieldPath::root("metadata").child("resourceVersion");
        let error = FieldError::invalid(&path, &Value::Int(0), "must be specified for an update");
        // The original names the resource where the kind should stand.
        Err(ApiError::invalid(GroupKind { group: resource.group, kind: resource.resource }, self.name, error))
    }

    fn ttl(&self) -> Option<i64> {
        let ttl = self.store.definition().ttl_seconds;
        (ttl != 0).then_some(ttl)
    }
}

fn submitted_revision(object: &Value) -> Result<Revision, ApiError> {
    let version = ObjectMeta::of(object).resource_version();
    version.parse().map_err(|error| ApiError::Unknown(error.to_string()))
}

/// What no update may change is taken from the old object without a word; what
/// a client tries to change otherwise is left for validation to refuse.
fn keep_system_fields(object: &mut Value, old: &Value) {
    let old = ObjectMeta::of(old);
    let mut meta = ObjectMetaMut::of(object);
    if meta.view().uid().is_empty() {
        meta.set_uid(old.uid());
    }
    if !old.creation_timestamp().is_empty() {
        meta.set_creation_timestamp(old.creation_timestamp());
    }
    if let Some(time) = old.deletion_timestamp() {
        meta.set_deletion_timestamp(Some(time.to_owned()));
    }
    if meta.view().deletion_grace_period_seconds().is_none() {
        meta.set_deletion_grace_period_seconds(old.deletion_grace_period_seconds());
    }
}

/// True if nothing holds a terminating object any more: no finalizer, no grace.
fn no_longer_held(object: &Value, old: &Value) -> bool {
    let old = ObjectMeta::of(old);
    ObjectMeta::of(object).finalizers().next().is_none()
        && old.deletion_timestamp().is_some()
        && old.deletion_grace_period_seconds().unwrap_or_default() == 0
}

/// The check storage makes on a write, for dry runs.
pub(crate) fn check_preconditions(
    asked: &Preconditions,
    object: &Arc<Object>,
    tree: &Value,
) -> Result<(), Error> {
    let meta = ObjectMeta::of(tree);
    let revision = object.revision.to_string();
    let checks =
        [("UID", &asked.uid, meta.uid()), ("ResourceVersion", &asked.resource_version, revision.as_str())];
    for (what, wanted, found) in checks {
        if let Some(wanted) = wanted
            && wanted != found
        {
            let key = String::from_utf8_lossy(&object.key).into_owned();
            let message = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(Error::InvalidObject { key, message });
        }
    }
    Ok(())
}
