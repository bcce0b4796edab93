//! Creating an object (D.2): identity, admission, rules, storage.

use meta::object::{ObjectMeta, ObjectMetaMut};
use meta::options::WriteOptions;
use meta::validation::{NameValidation, validate_generic_object_meta, validate_object_meta};
use meta::{ApiError, FieldPath, ResourceVersion, Revision};
use schema::Value;
use storage::Error;

use crate::admission::{AdmissionAttributes, Operation};
use crate::allocator::{Allocation, settle};
use crate::context::RequestContext;
use crate::errors::{Verb, interpret};
use crate::field_management::{forget_owners, is_too_large};
use crate::metadata::{
    deduplicate_owners, fill_system_fields, generate_name, match_namespace, wipe_system_fields,
};
use crate::store::{Outcome, Store, UpdateKind};

/// Attempts at a generated name that nobody has (D-CRE-2).
const GENERATED_NAME_ATTEMPTS_MAX: usize = 8;

impl Store {
    /// Stores a new object. `object` is in the stored version, decoded and
    /// defaulted. What only the server may set in its metadata is ignored.
    pub async fn create(
        &self,
        context: &RequestContext,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Outcome, ApiError> {
        match_namespace(context, self.definition(), &mut object)?;
        wipe_system_fields(&mut object);
        deduplicate_owners(context, &mut object, false);
        self.track(context, &UpdateKind::Main, options, None, &mut object);
        self.admit(context, Operation::Create, &mut object, None, options).await?;
        let meta = ObjectMeta::of(&object);
        if !meta.name().is_empty() || meta.generate_name().is_empty() {
            return self.create_once(context, object, options).await;
        }
        self.create_with_generated_name(context, object, options).await
    }

    async fn create_with_generated_name(
        &self,
        context: &RequestContext,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Outcome, ApiError> {
        let mut result = self.create_once(context, object.clone(), options).await;
        for _ in 1..GENERATED_NAME_ATTEMPTS_MAX {
            match result {
                Err(ApiError::AlreadyExists { .. } | ApiError::GenerateNameConflict { .. }) => {}
                done => return done,
            }
            result = self.create_once(context, object.clone(), options).await;
        }
        result
    }

    async fn create_once(
        &self,
        context: &RequestContext,
        mut object: Value,
        options: &WriteOptions,
    ) -> Result<Outcome, ApiError> {
        self.identify_new(context, &mut object)?;
        let allocation = self.begin_create(context, &mut object, options.dry_run).await?;
        let written = self.judge_and_write(context, &mut object, options).await;
        settle(allocation, &written).await;
        let error = match written {
            Ok(outcome) => return Ok(outcome),
            Err(Error::Api(error)) => return Err(error),
            Err(error) => self.creation_error(context, error, &object),
        };
        let key = self.key(&context.namespace, ObjectMeta::of(&object).name())?;
        if matches!(error, ApiError::AlreadyExists { .. }) && self.is_being_deleted(&key).await {
            return Err(mark_being_deleted(error));
        }
        Err(error)
    }

    async fn judge_and_write(
        &self,
        context: &RequestContext,
        object: &mut Value,
        options: &WriteOptions,
    ) -> Result<Outcome, Error> {
        self.before_create(context, object)?;
        self.validate_admission(context, Operation::Create, Some(object), None, options.dry_run).await?;
        let key = self.key(&context.namespace, ObjectMeta::of(object).name())?;
        match self.write_new(&key, object, options).await {
            Err(Error::Api(error)) if is_too_large(&error) && forget_owners(object) => {
                self.write_new(&key, object, options).await
            }
            written => written,
        }
    }

    /// Gives a new object its identity, which allocators refer to. Also the
    /// first step of an update that creates.
    pub(crate) fn identify_new(&self, context: &RequestContext, object: &mut Value) -> Result<(), ApiError> {
        fill_system_fields(context, object);
        name_object(context, object);
        match_namespace(context, self.definition(), object)
    }

    /// Takes what a new object needs for itself alone; none if its resource has no such thing.
    pub(crate) async fn begin_create(
        &self,
        context: &RequestContext,
        object: &mut Value,
        dry_run: bool,
    ) -> Result<Option<Box<dyn Allocation>>, ApiError> {
        match &self.definition().allocator {
            Some(allocator) => allocator.begin_create(context, object, dry_run).await.map(Some),
            None => Ok(None),
        }
    }

    /// Completes and judges a new object that has its identity, admission
    /// apart (D-CRE-5). Also the way of an update that creates.
    pub(crate) fn before_create(&self, context: &RequestContext, object: &mut Value) -> Result<(), ApiError> {
        let def = self.definition();
        if def.has_status()
            && !def.keeps_status_on_create
            && let Some(map) = object.as_map_mut()
        {
            map.remove("status");
        }
        if def.generation {
            ObjectMetaMut::of(object).set_generation(1);
        }
        def.strategy.prepare_for_create(context, object);
        self.validate_new(context, object)?;
        for warning in def.strategy.warnings_on_create(context, object) {
            context.warn(warning);
        }
        def.strategy.canonicalize(object);
        Ok(())
    }

    /// The kind's own rules first, which include names; what every object must
    /// obey comes second and is reported only when the first found nothing.
    fn validate_new(&self, context: &RequestContext, object: &Value) -> Result<(), ApiError> {
        let def = self.definition();
        let path = FieldPath::root("metadata");
        let meta = ObjectMeta::of(object);
        let mut errors = Vec::new();
        if def.name_validation != NameValidation::None {
            errors = validate_object_meta(meta, def.namespaced, def.name_validation, &path);
        }
        errors.extend(def.strategy.validate(context, object));
        if errors.is_empty() {
            errors = validate_generic_object_meta(meta, def.namespaced, NameValidation::PathSegment, &path);
        }
        self.refuse_if_any(object, errors)
    }

    async fn write_new(
        &self,
        key: &str,
        object: &mut Value,
        options: &WriteOptions,
    ) -> Result<Outcome, Error> {
        drop_meaningless_resource_version(object);
        if !options.dry_run {
            let ttl = self.definition().ttl_seconds;
            return Ok(Outcome::Stored(self.storage().create(key, object, ttl).await?));
        }
        if let Some(existing) = self.storage().get(key, &ResourceVersion::default()).await? {
            let key = String::from_utf8_lossy(&existing.key).into_owned();
            return Err(Error::KeyExists { key, revision: Revision(0) });
        }
        Ok(Outcome::Stored(self.storage().preview(object, Revision(0))?))
    }

    /// What a failed creation of `object` is reported as (D-CRE-3).
    pub(crate) fn creation_error(&self, context: &RequestContext, error: Error, object: &Value) -> ApiError {
        let meta = ObjectMeta::of(object);
        match interpret(error, Verb::Create, &self.resource(context), meta.name()) {
            ApiError::AlreadyExists { resource, name, .. } if !meta.generate_name().is_empty() => {
                ApiError::GenerateNameConflict { resource, name }
            }
            error => error,
        }
    }

    async fn is_being_deleted(&self, key: &str) -> bool {
        let Ok(Some(object)) = self.storage().get(key, &ResourceVersion::default()).await else {
            return false;
        };
        let Ok(tree) = self.storage().decode(&object) else { return false };
        ObjectMeta::of(&tree).deletion_timestamp().is_some()
    }

    /// What stands between a submitted object and the rules: admission may
    /// change it, and repeated owner references are dropped. Owner references
    /// have been looked at before, and fields have their owners: what admission
    /// adds belongs to nobody.
    pub(crate) async fn admit(
        &self,
        context: &RequestContext,
        operation: Operation,
        object: &mut Value,
        old: Option<&Value>,
        options: &WriteOptions,
    ) -> Result<(), ApiError> {
        let name = ObjectMeta::of(object).name().to_owned();
        let attributes =
            AdmissionAttributes { old, ..self.attributes(context, operation, &name, options.dry_run) };
        context.admission.admit(context, &attributes, object).await?;
        deduplicate_owners(context, object, true);
        Ok(())
    }

    /// The last word of admission.
    pub(crate) async fn validate_admission(
        &self,
        context: &RequestContext,
        operation: Operation,
        object: Option<&Value>,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<(), ApiError> {
        let name = object.or(old).map(|object| ObjectMeta::of(object).name()).unwrap_or_default();
        let attributes = AdmissionAttributes { old, ..self.attributes(context, operation, name, dry_run) };
        context.admission.validate(context, &attributes, object).await
    }
}

fn name_object(context: &RequestContext, object: &mut Value) {
    let mut meta = ObjectMetaMut::of(object);
    if meta.view().name().is_empty() && !meta.view().generate_name().is_empty() {
        let name = generate_name(&*context.environment.random, meta.view().generate_name());
        meta.set_name(name);
    }
}

/// A resourceVersion that is no number, or 0, counts as none; any other is for storage to refuse.
fn drop_meaningless_resource_version(object: &mut Value) {
    let version = ObjectMeta::of(object).resource_version();
    if !version.is_unset() && version.parse().unwrap_or_default() == Revision(0) {
        ObjectMetaMut::of(object).set_resource_version(Revision(0));
    }
}

fn mark_being_deleted(error: ApiError) -> ApiError {
    match error {
        ApiError::AlreadyExists { resource, name, .. } => {
            ApiError::AlreadyExists { resource, name, prefix: "object is being deleted: " }
        }
        other => other,
    }
}
