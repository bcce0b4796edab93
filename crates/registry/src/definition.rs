//! Everything about a resource that is data. One value of [`ResourceDef`] per
//! resource and version served; built-in and custom resources alike.

use std::borrow::Cow;
use std::sync::Arc;

use meta::validation::NameValidation;
use meta::{ApiError, GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
use schema::Value;

use crate::action::Action;
use crate::allocator::Allocator;
use crate::strategy::{Strategy, VirtualResource};

type Text = Cow<'static, str>;

/// All verbs of an ordinary stored resource, in the order discovery lists them.
pub const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A resource as served in one version.
#[derive(Clone)]
pub struct ResourceDef {
    /// API group; empty for core.
    pub group: Text,
    /// Version served.
    pub version: Text,
    /// Plural name.
    pub resource: Text,
    /// Singular name.
    pub singular: Text,
    /// Kind of its objects.
    pub kind: Text,
    /// Objects live in namespaces.
    pub namespaced: bool,
    /// Verbs, sorted.
    pub verbs: Vec<Text>,
    /// Short names for kubectl.
    pub short_names: Vec<Text>,
    /// Categories for kubectl, e.g. `all`.
    pub categories: Vec<Text>,
    /// Subresources, sorted by name.
    pub subresources: Vec<Subresource>,
    /// What its subresources of kind [`SubresourceKind::Action`] do, by their names.
    pub actions: Vec<(&'static str, Arc<dyn Action>)>,
    /// Printed columns, in order.
    pub columns: Vec<Column>,
    /// Field selector labels beside `metadata.name` and `metadata.namespace`.
    pub selectable_fields: Vec<Text>,
    /// Where its objects are, or who answers in their place.
    pub backing: Backing,
    /// Syntax of names.
    pub name_validation: NameValidation,
    /// `metadata.generation` counts changes of everything but metadata and status.
    pub generation: bool,
    /// PUT of a missing object creates it (D-STS-2).
    pub create_on_update: bool,
    /// PUT without resourceVersion is allowed (D-STS-3).
    pub unconditional_update: bool,
    /// Which metadata an update through `status` may change.
    pub status_metadata: StatusMetadata,
    /// Annotations that stand for fields the original keeps outside metadata:
    /// a status update keeps them, and metadata alone (Table rows,
    /// PartialObjectMetadata) is shown without them.
    pub field_annotations: Vec<Text>,
    /// What happens to dependents when a delete does not say (D-STS-4).
    pub garbage_collection: DefaultGarbageCollection,
    /// A status given on create is kept although there is a `status` subresource (nodes).
    pub keeps_status_on_create: bool,
    /// The original's validation of updates repeats the whole validation of metadata, so that
    /// its faults are listed once more (config maps, secrets, services).
    pub repeats_metadata_validation: bool,
    /// DELETE answers with the object instead of a Status (D-DEL-11).
    pub returns_deleted_object: bool,
    /// Lifetime of objects in seconds, 0 for ever.
    pub ttl_seconds: i64,
    /// Warning that every request for it is answered with; empty if it is not deprecated.
    pub deprecation: Text,
    /// Hands out what must be unique over all objects; none where nothing is.
    pub allocator: Option<Arc<dyn Allocator>>,
    /// Served unless `--runtime-config` switches it off; else only if that switches it on.
    pub enabled_by_default: bool,
    /// What is special about it.
    pub strategy: Arc<dyn Strategy>,
}

/// Where the objects of a resource are.
#[derive(Clone)]
pub enum Backing {
    /// In storage.
    Stored(StorageDef),
    /// Nowhere: requests are answered on the spot (reviews).
    Virtual(Arc<dyn VirtualResource>),
    /// Nowhere: a create does something to other objects (bindings).
    Action(Arc<dyn Action>),
}

/// How a resource is stored.
#[derive(Clone)]
pub struct StorageDef {
    /// The kind stored; strategies see objects in this form.
    pub kind: GroupVersionKind,
    /// Key prefix below the path prefix, without slashes around, e.g. `services/specs` (E-FAC-3).
    pub prefix: Text,
    /// Between the kind served and the kind stored; none if they have the same fields.
    pub conversion: Option<Arc<dyn Conversion>>,
}

/// Converts objects between a served version and the stored one. `apiVersion`
/// and `kind` are set by the caller.
pub trait Conversion: Send + Sync {
    /// From the served version.
    fn to_stored(&self, object: Value) -> Result<Value, ApiError>;
    /// To the served version.
    #[expect(clippy::wrong_self_convention, reason = "the pair to_stored, from_stored says it best")]
    fn from_stored(&self, object: Value) -> Result<Value, ApiError>;
}

/// A subresource.
#[derive(Clone, Debug, PartialEq)]
pub struct Subresource {
    /// Its name, e.g. `status`.
    pub name: Text,
    /// What it does.
    pub kind: SubresourceKind,
    /// Verbs, sorted.
    pub verbs: Vec<Text>,
    /// Kind of its bodies where it is not the resource's own.
    pub body: Option<GroupVersionKind>,
}

/// Mechanisms behind subresources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubresourceKind {
    /// The object with only its status (and some metadata) writable.
    Status,
    /// `autoscaling/v1 Scale` over `spec.replicas`, `status.replicas` and `spec.selector`.
    Scale,
    /// The whole object through another strategy hook, named by the subresource
    /// (`finalize`, `approval`, `ephemeralcontainers`, `resize`).
    Part,
    /// A create with a body of its own (`binding`, `eviction`, `token`).
    Action,
    /// A stream to another server (`exec`, `log`, `proxy`).
    Connect,
}

/// A printed column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Header.
    pub name: Text,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: &'static str,
    /// `name` for the name column, else empty.
    pub format: &'static str,
    /// Only with `-o wide` (priority 1).
    pub wide: bool,
}

impl Column {
    /// The first column of nearly every resource.
    pub const fn name() -> Column {
        Column { name: Cow::Borrowed("Name"), kind: "string", format: "name", wide: false }
    }

    /// A text column.
    pub const fn string(name: &'static str) -> Column {
        Column { name: Cow::Borrowed(name), kind: "string", format: "", wide: false }
    }

    /// A number column.
    pub const fn integer(name: &'static str) -> Column {
        Column { name: Cow::Borrowed(name), kind: "integer", format: "", wide: false }
    }

    /// The column shown with `-o wide` only.
    pub const fn wide(mut self) -> Column {
        self.wide = true;
        self
    }
}

/// Which metadata an update through `status` may change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusMetadata {
    /// All of it, as through the object itself.
    #[default]
    Writable,
    /// All but labels.
    LabelsKept,
    /// All but owner references.
    OwnersKept,
    /// None of labels, annotations, finalizers, owner references and deletion.
    Kept,
}

/// What happens to dependents by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultGarbageCollection {
    /// Removed in the background; no finalizer.
    #[default]
    Background,
    /// They stay (replication controllers, jobs).
    OrphanDependents,
    /// There are none (events).
    Unsupported,
}

impl ResourceDef {
    /// An ordinary stored resource: all verbs, names are DNS subdomains,
    /// unconditional updates allowed, stored as served under its plural name.
    /// Everything that differs is said with struct update syntax.
    pub fn stored(
        group: &'static str,
        version: &'static str,
        resource: &'static str,
        kind: &'static str,
        strategy: impl Strategy + 'static,
    ) -> ResourceDef {
        let stored = StorageDef {
            kind: GroupVersionKind::new(group, version, kind),
            prefix: Text::Borrowed(resource),
            conversion: None,
        };
        ResourceDef {
            group: group.into(),
            version: version.into(),
            resource: resource.into(),
            singular: kind.to_ascii_lowercase().into(),
            kind: kind.into(),
            namespaced: true,
            verbs: VERBS.iter().copied().map(Text::Borrowed).collect(),
            short_names: Vec::new(),
            categories: Vec::new(),
            subresources: Vec::new(),
            actions: Vec::new(),
            columns: vec![Column::name(), Column::string("Age")],
            selectable_fields: Vec::new(),
            backing: Backing::Stored(stored),
            name_validation: NameValidation::Dns1123Subdomain,
            generation: false,
            create_on_update: false,
            unconditional_update: true,
            status_metadata: StatusMetadata::Writable,
            field_annotations: Vec::new(),
            garbage_collection: DefaultGarbageCollection::Background,
            keeps_status_on_create: false,
            repeats_metadata_validation: false,
            returns_deleted_object: false,
            ttl_seconds: 0,
            deprecation: Text::Borrowed(""),
            enabled_by_default: true,
            allocator: None,
            strategy: Arc::new(strategy),
        }
    }

    /// A resource that is only created and answered on the spot.
    pub fn virtual_create(
        group: &'static str,
        version: &'static str,
        resource: &'static str,
        kind: &'static str,
        answer: impl VirtualResource + 'static,
    ) -> ResourceDef {
        ResourceDef {
            verbs: vec!["create".into()],
            backing: Backing::Virtual(Arc::new(answer)),
            ..ResourceDef::stored(group, version, resource, kind, crate::strategy::Plain)
        }
    }

    /// Group and resource, as errors name it.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.resource.clone() }
    }

    /// Group and version.
    pub fn group_version(&self) -> GroupVersion {
        GroupVersion { group: self.group.clone(), version: self.version.clone() }
    }

    /// Group, version and resource.
    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::new(self.group.clone(), self.version.clone(), self.resource.clone())
    }

    /// Group and kind, as validation errors name it.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }

    /// The kind served.
    pub fn gvk(&self) -> GroupVersionKind {
        self.group_version().kind(self.kind.clone())
    }

    /// How it is stored; none for virtual resources.
    pub fn storage(&self) -> Option<&StorageDef> {
        match &self.backing {
            Backing::Stored(stored) => Some(stored),
            Backing::Virtual(_) | Backing::Action(_) => None,
        }
    }

    /// The subresource with a name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// What a create through a subresource does; the name is empty for the resource itself.
    pub fn action(&self, subresource: &str) -> Option<&Arc<dyn Action>> {
        match (&self.backing, subresource) {
            (Backing::Action(action), "") => Some(action),
            (_, name) => self.actions.iter().find(|(own, _)| *own == name).map(|(_, action)| action),
        }
    }

    /// True if status is split from spec.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// True if `verb` is served.
    pub fn serves(&self, verb: &str) -> bool {
        self.verbs.iter().any(|served| served == verb)
    }
}

impl Subresource {
    fn new(name: &'static str, kind: SubresourceKind, verbs: &[&'static str]) -> Subresource {
        let verbs = verbs.iter().copied().map(Text::Borrowed).collect();
        Subresource { name: name.into(), kind, verbs, body: None }
    }

    /// `status`: get, patch, update.
    pub fn status() -> Subresource {
        Subresource::new("status", SubresourceKind::Status, &["get", "patch", "update"])
    }

    /// `scale`: get, patch, update of `autoscaling/v1 Scale`.
    pub fn scale() -> Subresource {
        let body = Some(GroupVersionKind::new("autoscaling", "v1", "Scale"));
        Subresource { body, ..Subresource::new("scale", SubresourceKind::Scale, &["get", "patch", "update"]) }
    }

    /// The whole object through a hook of the strategy.
    pub fn part(name: &'static str, verbs: &[&'static str]) -> Subresource {
        Subresource::new(name, SubresourceKind::Part, verbs)
    }

    /// A create with a body of its own kind.
    pub fn action(name: &'static str, body: GroupVersionKind) -> Subresource {
        Subresource { body: Some(body), ..Subresource::new(name, SubresourceKind::Action, &["create"]) }
    }

    /// A stream to another server.
    pub fn connect(name: &'static str, body: GroupVersionKind, verbs: &[&'static str]) -> Subresource {
        Subresource { body: Some(body), ..Subresource::new(name, SubresourceKind::Connect, verbs) }
    }
}
