//! Where and in what form the objects of each resource are stored: the rules
//! of the storage factory, as flags and definitions make them.

use std::sync::Arc;

use anyhow::{anyhow, ensure};
use registry::{
    ApiResourceConfig, KindVersion, ResourceDef, StorageConfig, StorageDef, StorageDefaults, StorageFactory,
    StorageVersions,
};
use resources::apiextensions::v1beta1;
use schema::{Schema, TypeId, Value};
use storage::{BuiltinCodec, Error};

use crate::flags::BackendFlags;

/// The storage factory of a server, with the storage versions of its kinds.
pub struct StoredForms {
    factory: StorageFactory,
    versions: StorageVersions,
}

impl StoredForms {
    /// The rules for `definitions`, which are all there are, whatever of them
    /// is served: what is stored must not depend on that, cohabitation apart.
    pub fn new(
        flags: &BackendFlags,
        definitions: &[ResourceDef],
        enabled: &ApiResourceConfig,
    ) -> StoredForms {
        let mut factory = StorageFactory::builtin(StorageDefaults {
            servers: Vec::new(),
            path_prefix: flags.path_prefix.clone(),
            media: flags.media,
        });
        factory.apply_servers_overrides(&flags.servers_overrides);
        let served = definitions.iter().filter(|def| enabled.resource_enabled(&def.gvr()));
        factory.set_enabled_groups(served.map(|def| def.group.to_string()));
        let mut versions = StorageVersions::builtin();
        for definition in definitions {
            versions.register(definition.group_kind(), &definition.version);
        }
        StoredForms { factory, versions }
    }

    /// How a resource is stored. Fails if its definition says otherwise.
    pub fn config(&self, definition: &ResourceDef, stored: &StorageDef) -> anyhow::Result<StorageConfig> {
        let config = self.factory.config(&definition.group_resource());
        let name = definition.group_resource();
        let prefix = stored.prefix.trim_matches('/');
        ensure!(
            config.resource_prefix == prefix,
            "{name} are to lie under {}, but their definition says {prefix}",
            config.resource_prefix
        );
        let version = self.versions.version(&config.resource, &stored.kind.kind);
        ensure!(
            version.is_none_or(|version| version == stored.kind.version),
            "{name} are to be stored as {version:?}, but their definition says {}",
            stored.kind
        );
        Ok(config)
    }
}

/// The codec of a stored kind. It reads every version the kind is served in
/// (E-FAC-7) and hands out the stored one, defaults filled in: an object may
/// be older than a default.
pub fn codec(
    schema: &'static Schema,
    definition: &ResourceDef,
    stored: &StorageDef,
    config: &StorageConfig,
    versions: &[KindVersion],
) -> anyhow::Result<BuiltinCodec> {
    let kind = stored.kind.clone();
    let codec = BuiltinCodec::new(schema, &kind.group, &kind.version, &kind.kind);
    let mut codec = codec.ok_or_else(|| anyhow!("the schema table has no kind {kind}"))?;
    codec.media = config.media;
    let stored_version = codec.api_version.clone();
    let others: Vec<KindVersion> =
        versions.iter().filter(|version| version.api_version != stored_version).cloned().collect();
    let (stored_ty, strategy) = (codec.ty, definition.strategy.clone());
    codec.decoded = Some(Arc::new(move |mut object: Value| {
        let version = object.str_at(&["apiVersion"]).unwrap_or_default();
        if let Some(other) = others.iter().find(|other| other.api_version == version) {
            object = to_stored(schema, other, object)?;
            object.set(&["apiVersion"], stored_version.as_str());
            object.set(&["kind"], kind.kind.as_ref());
        }
        fill_defaults(schema, stored_ty, &mut object);
        strategy.default(&mut object);
        Ok(object)
    }));
    match definition.group.as_ref() {
        "apiextensions.k8s.io" => in_v1beta1(schema, codec),
        _ => Ok(codec),
    }
}

/// Definitions of custom resources are worked with as `v1` and stored as
/// `v1beta1`, which is not served (E-FAC-8). Both are read.
fn in_v1beta1(schema: &'static Schema, v1: BuiltinCodec) -> anyhow::Result<BuiltinCodec> {
    let codec = BuiltinCodec::new(schema, "apiextensions.k8s.io", "v1beta1", &v1.kind);
    let mut codec = codec.ok_or_else(|| anyhow!("the schema table has no {} in v1beta1", v1.kind))?;
    codec.media = v1.media;
    codec.encoded = Some(Arc::new(|object| Ok(v1beta1::to_v1beta1(object))));
    let (stored, worked) = (codec.api_version.clone(), v1.api_version);
    codec.decoded = Some(Arc::new(move |mut object: Value| {
        if object.str_at(&["apiVersion"]) == Some(&stored) {
            object = v1beta1::from_v1beta1(object);
            object.set(&["apiVersion"], worked.as_str());
        }
        match &v1.decoded {
            Some(finish) => finish(object),
            None => Ok(object),
        }
    }));
    Ok(codec)
}

fn to_stored(schema: &Schema, version: &KindVersion, mut object: Value) -> Result<Value, Error> {
    fill_defaults(schema, version.ty, &mut object);
    match &version.conversion {
        Some(conversion) => Ok(conversion.to_stored(object)?),
        None => Ok(object),
    }
}

fn fill_defaults(schema: &Schema, ty: TypeId, object: &mut Value) {
    schema::defaults::apply(schema, ty, object);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use clap::Command;
    use environment::Environment;
    use storage::backend::{Backend, RangeRequest};
    use storage::{Identity, LeaseOptions, Model, ObjectCodec, ObjectStore, ObjectStoreConfig, Storage};

    use super::*;
    use crate::dependencies::dependencies;
    use crate::flags::ServeFlags;

    fn definitions() -> Vec<ResourceDef> {
        resources::all_definitions(&dependencies(
            Arc::new(auth::Union::new(Vec::new(), Vec::new())),
            Arc::new(resources::authentication::NoTokenIssuer),
        ))
    }

    fn forms(args: &[&str], definitions: &[ResourceDef]) -> StoredForms {
        let command = ServeFlags::add(Command::new("serve").no_binary_name(true));
        let matches = command.try_get_matches_from(args).expect("valid flags");
        let flags = ServeFlags::read(&matches).expect("valid flags");
        StoredForms::new(&flags.storage.backend, definitions, &ApiResourceConfig::new(definitions))
    }

    /// What is stored, and how: everything but virtual resources.
    fn stored(args: &[&str]) -> Vec<(ResourceDef, StorageDef, StorageConfig, BuiltinCodec)> {
        let definitions = definitions();
        let forms = forms(args, &definitions);
        let with_storage = definitions.iter().filter_map(|def| Some((def.clone(), def.storage()?.clone())));
        let all = with_storage.map(|(definition, stored)| {
            let config = forms.config(&definition, &stored).expect("definition and factory agree");
            let versions: Vec<KindVersion> =
                definitions.iter().filter_map(|other| version_below(other, &stored.prefix)).collect();
            let codec = codec(schema::builtin(), &definition, &stored, &config, &versions);
            (definition, stored, config, codec.expect("the kind is known"))
        });
        all.collect()
    }

    fn version_below(definition: &ResourceDef, prefix: &str) -> Option<KindVersion> {
        let stored = definition.storage().filter(|stored| stored.prefix == prefix)?;
        let kind = definition.gvk();
        let ty = schema::builtin().kind(&kind.group, &kind.version, &kind.kind)?;
        Some(KindVersion { api_version: kind.api_version(), ty, conversion: stored.conversion.clone() })
    }

    /// The key layout of E.3: version stored, prefixes.
    const LAYOUT: [(&str, &str); 24] = [
        (
            "v1",
            "configmaps podtemplates pods resourcequotas limitranges events persistentvolumeclaims serviceaccounts \
             secrets services/specs services/endpoints controllers namespaces minions persistentvolumes",
        ),
        (
            "admissionregistration.k8s.io/v1",
            "validatingwebhookconfigurations mutatingwebhookconfigurations \
          validatingadmissionpolicies validatingadmissionpolicybindings",
        ),
        ("admissionregistration.k8s.io/v1beta1", "mutatingadmissionpolicies mutatingadmissionpolicybindings"),
        ("apiextensions.k8s.io/v1beta1", "apiextensions.k8s.io/customresourcedefinitions"),
        ("apiregistration.k8s.io/v1", "apiregistration.k8s.io/apiservices"),
        ("apps/v1", "daemonsets deployments statefulsets replicasets controllerrevisions"),
        ("autoscaling/v2", "horizontalpodautoscalers"),
        ("batch/v1", "jobs cronjobs"),
        ("certificates.k8s.io/v1", "certificatesigningrequests"),
        ("certificates.k8s.io/v1beta1", "clustertrustbundles podcertificaterequests"),
        ("coordination.k8s.io/v1", "leases"),
        ("coordination.k8s.io/v1beta1", "leasecandidates"),
        ("discovery.k8s.io/v1", "endpointslices"),
        ("flowcontrol.apiserver.k8s.io/v1", "flowschemas prioritylevelconfigurations"),
        ("internal.apiserver.k8s.io/v1alpha1", "storageversions"),
        ("networking.k8s.io/v1", "ingress ingressclasses networkpolicies ipaddresses servicecidrs"),
        ("node.k8s.io/v1", "runtimeclasses"),
        ("policy/v1", "poddisruptionbudgets"),
        ("rbac.authorization.k8s.io/v1", "roles rolebindings clusterroles clusterrolebindings"),
        ("resource.k8s.io/v1", "deviceclasses resourceslices resourceclaims resourceclaimtemplates"),
        ("resource.k8s.io/v1alpha3", "devicetaintrules resourcepoolstatusrequests"),
        ("scheduling.k8s.io/v1", "priorityclasses"),
        ("scheduling.k8s.io/v1alpha2", "workloads podgroups"),
        (
            "storage.k8s.io/v1",
            "volumeattachments volumeattributesclasses storageclasses csinodes csidrivers \
          csistoragecapacities",
        ),
    ];
    const LAYOUT_MIGRATIONS: (&str, &str) = ("storagemigration.k8s.io/v1beta1", "storageversionmigrations");

    /// TestEtcdStoragePath, TestDefaultStorageEncoding.
    #[test]
    fn every_resource_lies_where_and_as_what_the_original_stores_it() {
        let layout = LAYOUT.iter().chain([&LAYOUT_MIGRATIONS]);
        let expected: BTreeSet<(String, String)> = layout
            .flat_map(|(version, prefixes)| {
                prefixes.split_whitespace().map(|prefix| ((*version).to_owned(), prefix.to_owned()))
            })
            .collect();
        let own = stored(&[])
            .into_iter()
            .map(|(_, _, config, codec)| (codec.api_version, config.resource_prefix))
            .collect();
        assert_eq!(expected, own);
    }

    #[test]
    fn the_media_type_and_the_prefix_asked_for_are_used() {
        let args = ["--storage-media-type=application/yaml", "--etcd-prefix=/elsewhere"];
        for (definition, _, config, codec) in stored(&args) {
            let always_json =
                definition.group == "apiextensions.k8s.io" || definition.group == "apiregistration.k8s.io";
            let media = if always_json { storage::StorageMedia::Json } else { storage::StorageMedia::Yaml };
            assert_eq!((config.media, codec.media), (media, media), "{}", definition.resource);
            assert_eq!(config.path_prefix, "/elsewhere");
        }
    }

    fn fixture(definition: &ResourceDef, extension: &str) -> Option<Vec<u8>> {
        let folder = PathBuf::from(std::env::var_os("PINTLE_SHARED")?).join("kubernetes-1.36/fixtures");
        let group = if definition.group.is_empty() { "core" } else { &definition.group };
        std::fs::read(folder.join(format!("{group}.{}.{}.{extension}", definition.version, definition.kind)))
            .ok()
    }

    /// JSON without the spaces that raw members would keep.
    fn compact(json: &[u8]) -> Vec<u8> {
        let (mut out, mut in_text, mut escaped) = (Vec::new(), false, false);
        for &byte in json {
            if in_text || !byte.is_ascii_whitespace() {
                out.push(byte);
            }
            if byte == b'"' && !escaped {
                in_text = !in_text;
            }
            escaped = byte == b'\\' && !escaped;
        }
        out
    }

    fn left_out() -> bool {
        let missing = std::env::var_os("PINTLE_SHARED").is_none();
        if missing {
            eprintln!("left out: PINTLE_SHARED does not name the folder of fixtures");
        }
        missing
    }

    /// Byte compatibility: the fixture of every kind is written as the original writes it.
    #[test]
    fn what_is_stored_equals_the_fixtures_byte_for_byte() {
        if left_out() {
            return;
        }
        let mut compared = 0;
        let mut missing = Vec::new();
        for (definition, stored, _, codec) in stored(&[]) {
            let (Some(json), Some(bytes)) = (fixture(&definition, "json"), fixture(&definition, "pb")) else {
                missing.push(definition.resource.to_string());
                continue;
            };
            if definition.gvk() != stored.kind {
                continue;
            }
            let object =
                codec::json::decode(schema::builtin(), codec.ty, &compact(&json), None).expect("a fixture");
            let own = codec.encode(&object).expect("can be encoded");
            assert!(own == bytes, "{} are written in other bytes", definition.group_resource());
            compared += 1;
        }
        assert_eq!(missing, ["apiservices", "customresourcedefinitions"], "of these there is no fixture");
        assert_eq!(compared, 65, "kinds that are stored in a version they are served in");
    }

    /// E-FAC-7: any version and any media type is read.
    #[test]
    fn every_fixture_of_a_served_version_is_read_as_the_version_stored() {
        if left_out() {
            return;
        }
        for (definition, stored, _, codec) in stored(&[]) {
            for extension in ["pb", "json", "yaml"] {
                let Some(bytes) = fixture(&definition, extension) else { continue };
                let name = format!("{} as {extension}", definition.gvk());
                let object = codec.decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(
                    object.str_at(&["apiVersion"]),
                    Some(stored.kind.api_version().as_str()),
                    "{name}"
                );
                assert_eq!(object.str_at(&["kind"]), Some(stored.kind.kind.as_ref()), "{name}");
            }
        }
    }

    /// Versions with the same fields are stored in the same bytes, whichever was submitted.
    #[test]
    fn fixtures_of_other_versions_are_stored_like_those_of_the_version_stored() {
        if left_out() {
            return;
        }
        let all = stored(&[]);
        for (definition, stored, _, codec) in &all {
            let same = |other: &&ResourceDef| other.gvk() == stored.kind;
            let Some(owner) = all.iter().map(|(definition, ..)| definition).find(same) else { continue };
            if definition.gvk() == stored.kind || stored.conversion.is_some() {
                continue;
            }
            let (Some(given), Some(expected)) = (fixture(definition, "pb"), fixture(owner, "pb")) else {
                continue;
            };
            let read = codec.decode(&given).expect("can be read");
            let written = codec.encode(&read).expect("can be encoded");
            let expected = codec.encode(&codec.decode(&expected).expect("can be read")).expect("encoded");
            assert_eq!(written, expected, "{}", definition.gvk());
        }
    }

    /// E-FAC-8.
    #[test]
    fn definitions_of_custom_resources_are_stored_as_v1beta1_and_worked_with_as_v1() {
        let find = |(definition, ..): &(ResourceDef, _, _, _)| definition.kind == "CustomResourceDefinition";
        let (.., codec) = stored(&[]).into_iter().find(find).expect("defined");
        let json = r#"{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","metadata":{"name":"things.a"},
            "spec":{"group":"a","names":{"plural":"things","kind":"Thing"},"scope":"Cluster","versions":[{"name":"v1",
            "served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}}"#;
        let object = codec.decode(json.as_bytes()).expect("v1 is read");
        let bytes = codec.encode(&object).expect("can be stored");
        let text = String::from_utf8(bytes.to_vec()).expect("JSON");
        let start = r#"{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1beta1","metadata":{"name":"things.a""#;
        assert!(text.starts_with(start), "{text}");
        let spec = r#""scope":"Cluster","validation":{"openAPIV3Schema":{"type":"object"}},"versions":[{"name":"v1","served":true,"storage":true}],"conversion":{"strategy":"None"},"preserveUnknownFields":false}"#;
        assert!(text.contains(spec), "{text}");
        assert!(text.ends_with("\n"));
        let mut again = codec.decode(&bytes).expect("v1beta1 is read");
        again.remove(&["spec", "preserveUnknownFields"]);
        assert_eq!(again, object);
    }

    #[tokio::test]
    async fn keys_have_the_prefix_then_the_namespace_then_the_name() {
        let environment: Environment = environment::real::environment();
        for (definition, stored, config, codec) in stored(&[]) {
            let model = Model::new(&environment);
            let resource_prefix = format!("/{}", config.resource_prefix);
            let store = ObjectStore::new(ObjectStoreConfig {
                backend: Arc::new(model.clone()),
                environment: environment.clone(),
                path_prefix: config.path_prefix.clone(),
                resource_prefix: resource_prefix.clone(),
                group_resource: definition.group_resource(),
                codec: Arc::new(codec),
                transformer: Arc::new(Identity),
                leases: LeaseOptions::default(),
                compactor: None,
                allow_unsafe_deletion: false,
            })
            .expect("a good prefix");
            let mut object = Value::map();
            object.set(&["metadata", "name"], "a");
            let place = if definition.namespaced { "ns/a" } else { "a" };
            store.create(&format!("{resource_prefix}/{place}"), &object, 0).await.expect("created");
            let key = format!("/registry/{}/{place}", stored.prefix);
            let request = RangeRequest { key: key.clone().into(), end: None, ..RangeRequest::default() };
            assert_eq!(model.range(request).await.expect("a range").count, 1, "{key}");
        }
    }
}
