//! The generic [`Store`]: the verbs of one resource over object storage, with
//! what all resources have in common. Each verb that writes has a file of its
//! own; here are construction, keys and reads.

use std::sync::Arc;

use async_trait::async_trait;
use meta::field::quoted;
use meta::object::ObjectMeta;
use meta::options::{GetOptions, ListOptions, Preconditions};
use meta::validation::{is_dns1123_label, is_path_segment_name};
use meta::{ApiError, FieldErrors, GroupKind, GroupResource, GroupVersionKind, ResourceVersion};
use schema::{TypeId, Value};
use storage::{Attributes, List, ListRequest, Object, Predicate, Storage, Watch};

use crate::admission::{AdmissionAttributes, Operation};
use crate::context::RequestContext;
use crate::definition::ResourceDef;
use crate::errors::{Verb, interpret};
use crate::field_management::{KindVersion, KindVersions};
use crate::served::SchemaRef;

/// What a [`Store`] is made of.
#[derive(Clone)]
pub struct StoreConfig {
    /// The resource.
    pub definition: Arc<ResourceDef>,
    /// Where its objects are. Shared by all versions of the resource.
    pub storage: Arc<dyn Storage>,
    /// The table the stored kind stands in.
    pub schema: SchemaRef,
    /// Type of the kind stored.
    pub stored_ty: TypeId,
    /// Deletes in flight for one deletecollection, at least 1 (`--delete-collection-workers`).
    pub delete_collection_workers: usize,
    /// A garbage collector watches: finalizers `orphan` and `foregroundDeletion` are set (`--enable-garbage-collector`).
    pub garbage_collection: bool,
}

/// The verbs of one resource. Objects go in and come out in the stored version.
pub struct Store {
    pub(crate) config: StoreConfig,
    /// Key prefix with a leading slash and none behind.
    prefix: String,
    /// Kind served, as admission sees it.
    kind: GroupVersionKind,
    /// Kind that validation errors and preconditions name.
    pub(crate) stored_kind: GroupKind,
    attributes: Option<Arc<dyn Attributes>>,
    /// Versions that own fields of its objects.
    pub(crate) versions: KindVersions,
    /// See [`Store::with_unsafe_deletion`].
    pub(crate) unsafe_deletion: bool,
}

/// An object a verb came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// As it is stored.
    Stored(Arc<Object>),
    /// As it would be stored (dry run), or as it was when its update removed it.
    Tree(Value),
}

/// What a delete came to.
#[derive(Clone, Debug)]
pub struct Deleted {
    /// The object: its last state if it is gone, else its state now.
    pub outcome: Outcome,
    /// True if the object is gone (or would be: dry run); false while grace or finalizers hold it.
    pub removed: bool,
    /// `metadata.uid` of the object.
    pub uid: String,
}

/// Through which door an update comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateKind {
    /// The object itself.
    Main,
    /// Subresource `status`.
    Status,
    /// A subresource of kind `Part`, by its name.
    Part(String),
}

/// The change of an update: the submitted object, or a patch over what is there.
#[async_trait]
pub trait UpdatedObject: Send {
    /// What the object must be.
    fn preconditions(&self) -> Preconditions;

    /// The object wanted, in the stored version, decoded and defaulted. `old`
    /// is the object as it stands (an empty map if there is none). Called once
    /// per attempt.
    async fn updated(&mut self, context: &RequestContext, old: &Value) -> Result<Value, ApiError>;

    /// True if the object comes with `managedFields` already brought up to date
    /// (server-side apply, scale). Otherwise the store does it.
    fn tracks_fields(&self) -> bool {
        false
    }
}

impl Store {
    /// A store of one resource. The resource must be stored, not virtual.
    pub fn new(config: StoreConfig) -> Store {
        let def = &config.definition;
        let stored = def.storage().expect("a Store is made for stored resources only");
        Store {
            prefix: format!("/{}", stored.prefix.trim_matches('/')),
            kind: def.gvk(),
            stored_kind: stored.kind.group_kind(),
            attributes: (!def.selectable_fields.is_empty())
                .then(|| Arc::new(StrategyFields(def.clone())) as Arc<dyn Attributes>),
            versions: KindVersions::single(def, &config.schema, config.stored_ty),
            unsafe_deletion: false,
            config,
        }
    }

    /// The same store, knowing every version in which its objects are served.
    /// Without it, fields owned in other versions are given up.
    #[must_use]
    pub fn with_versions(mut self, versions: Vec<KindVersion>) -> Store {
        self.versions = self.versions.with(versions);
        self
    }

    /// The same store, with gate AllowUnsafeMalformedObjectDeletion as given
    /// (off without this). Its storage must be told the same.
    #[must_use]
    pub fn with_unsafe_deletion(mut self, allowed: bool) -> Store {
        self.unsafe_deletion = allowed;
        self
    }

    /// The resource.
    pub fn definition(&self) -> &ResourceDef {
        &self.config.definition
    }

    /// Where its objects are.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.config.storage
    }

    /// The tree of a stored object: stored version, defaulted, resourceVersion set.
    pub fn decode(&self, object: &Object) -> Result<Value, ApiError> {
        let mut tree = self.storage().decode(object).map_err(|error| match error {
            storage::Error::Api(error) => error,
            other => ApiError::Internal(other.to_string()),
        })?;
        self.fill_defaults(&mut tree);
        Ok(tree)
    }

    /// Fills in the defaults of the schema and of the strategy. Idempotent.
    pub fn fill_defaults(&self, object: &mut Value) {
        schema::defaults::apply(&self.config.schema, self.config.stored_ty, object);
        self.definition().strategy.default(object);
    }

    /// Reads one object. A resourceVersion is a lower bound (D-GET-1).
    pub async fn get(
        &self,
        context: &RequestContext,
        name: &str,
        options: &GetOptions,
    ) -> Result<Arc<Object>, ApiError> {
        let key = self.key(&context.namespace, name)?;
        let resource = self.resource(context);
        match self.storage().get(&key, &options.resource_version).await {
            Ok(Some(object)) => Ok(object),
            Ok(None) => Err(ApiError::not_found(&resource, name)),
            Err(error) => Err(interpret(error, Verb::Get, &resource, name)),
        }
    }

    /// The tree of an object as it stands now, without a request; none if
    /// there is none. For plugins and authorizers that look something up.
    pub async fn find(&self, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        let Ok(key) = self.key(namespace, name) else { return Ok(None) };
        let found = self.storage().get(&key, &ResourceVersion::default()).await;
        let found =
            found.map_err(|error| interpret(error, Verb::Get, &self.definition().group_resource(), name))?;
        found.map(|object| self.decode(&object)).transpose()
    }

    /// Lists the namespace of the request, or all if it has none.
    pub async fn list(&self, context: &RequestContext, options: &ListOptions) -> Result<List, ApiError> {
        let (key, request) = self.list_request(context, options);
        let listed = self.storage().list(&key, request).await;
        listed.map_err(|error| interpret(error, Verb::List, &self.resource(context), ""))
    }

    /// Watches the namespace of the request, or all if it has none.
    pub async fn watch(
        &self,
        context: &RequestContext,
        options: &ListOptions,
    ) -> Result<Box<dyn Watch>, ApiError> {
        let (key, request) = self.list_request(context, options);
        let watch = self.storage().watch(&key, request).await;
        watch.map_err(|error| interpret(error, Verb::Watch, &self.resource(context), ""))
    }

    /// Key and request of a list or watch. A selector of one name makes it a
    /// single key, one of a namespace narrows the range; both are evaluated
    /// nevertheless (D-LST-1).
    fn list_request(&self, context: &RequestContext, options: &ListOptions) -> (String, ListRequest) {
        let namespace = self.selected_namespace(context, options);
        let single = options
            .field_selector
            .requires_exact("metadata.name")
            .filter(|_| options.continue_token.is_empty());
        let single = single.and_then(|name| self.key(namespace, name).ok());
        let request = ListRequest {
            resource_version: options.resource_version.clone(),
            resource_version_match: options.resource_version_match,
            predicate: Predicate {
                labels: options.label_selector.clone(),
                fields: options.field_selector.clone(),
                attributes: self.attributes.clone(),
            },
            recursive: single.is_none(),
            limit: options.limit,
            continue_token: options.continue_token.clone(),
            allow_watch_bookmarks: options.allow_watch_bookmarks,
            send_initial_events: options.send_initial_events,
            lifetime: options.watch_lifetime,
            progress_notify: false,
        };
        (single.unwrap_or_else(|| self.root_key(namespace)), request)
    }

    fn selected_namespace<'a>(&self, context: &'a RequestContext, options: &'a ListOptions) -> &'a str {
        if !context.namespace.is_empty() {
            return &context.namespace;
        }
        let selected = options.field_selector.requires_exact("metadata.namespace").unwrap_or_default();
        if is_dns1123_label(selected).is_empty() { selected } else { "" }
    }

    fn root_key(&self, namespace: &str) -> String {
        match (self.definition().namespaced, namespace) {
            (true, namespace) if !namespace.is_empty() => format!("{}/{namespace}", self.prefix),
            _ => self.prefix.clone(),
        }
    }

    /// Storage key of an object (D-KEY-2).
    pub(crate) fn key(&self, namespace: &str, name: &str) -> Result<String, ApiError> {
        let namespaced = self.definition().namespaced;
        if namespaced && namespace.is_empty() {
            return Err(ApiError::BadRequest("Namespace parameter required.".to_owned()));
        }
        if name.is_empty() {
            return Err(ApiError::BadRequest("Name parameter required.".to_owned()));
        }
        let faults = is_path_segment_name(name);
        if !faults.is_empty() {
            let text = format!("Name parameter invalid: {}: {}", quoted(name), faults.join(";"));
            return Err(ApiError::BadRequest(text));
        }
        let prefix = &self.prefix;
        Ok(if namespaced { format!("{prefix}/{namespace}/{name}") } else { format!("{prefix}/{name}") })
    }

    /// The resource errors name: the request's own, or that of the definition (D-KEY-3).
    pub(crate) fn resource(&self, context: &RequestContext) -> GroupResource {
        if context.resource.resource.is_empty() {
            return self.definition().group_resource();
        }
        context.resource.clone()
    }

    pub(crate) fn attributes<'a>(
        &'a self,
        context: &'a RequestContext,
        operation: Operation,
        name: &'a str,
        dry_run: bool,
    ) -> AdmissionAttributes<'a> {
        AdmissionAttributes {
            operation,
            kind: &self.kind,
            name,
            namespace: &context.namespace,
            old: None,
            dry_run,
        }
    }

    /// 422 that lists `errors`, unless there are none.
    pub(crate) fn refuse_if_any(&self, object: &Value, errors: FieldErrors) -> Result<(), ApiError> {
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(self.stored_kind.clone(), ObjectMeta::of(object).name(), errors))
    }
}

/// A resource's selectable fields as storage asks for them.
struct StrategyFields(Arc<ResourceDef>);

impl Attributes for StrategyFields {
    fn field(&self, object: &Value, label: &str) -> String {
        self.0.strategy.field(object, label)
    }
}
