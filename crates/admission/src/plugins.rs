//! Which plugins there are, in the order in which they are asked, and which
//! of them run. Adding a plugin is a file of its own and its line in [`PLUGINS`].

use std::sync::Arc;

use registry::{Admission, Served, Store};

use crate::certificate_signers::{CertificateApproval, CertificateSigning};
use crate::certificate_subject_restriction::CertificateSubjectRestriction;
use crate::chain::Chain;
use crate::default_ingress_class::DefaultIngressClass;
use crate::default_storage_class::DefaultStorageClass;
use crate::default_toleration_seconds::DefaultTolerationSeconds;
use crate::limit_pod_hard_anti_affinity_topology::LimitPodHardAntiAffinityTopology;
use crate::lister::{Lister, StoreLister, View};
use crate::namespace_lifecycle::NamespaceLifecycle;
use crate::persistent_volume_claim_resize::PersistentVolumeClaimResize;
use crate::priority::Priority;
use crate::runtime_class::RuntimeClass;
use crate::service_account::ServiceAccount;
use crate::storage_object_in_use_protection::StorageObjectInUseProtection;
use crate::taint_nodes_by_condition::TaintNodesByCondition;

/// Every plugin of kube-apiserver, in its order, which is part of the API:
/// what one fills in the next may judge. Those that Pintle has are made here.
pub static PLUGINS: [Plugin; 41] = [
    Plugin::missing("AlwaysAdmit").off(),
    Plugin::missing("NamespaceAutoProvision").off(),
    Plugin::new("NamespaceLifecycle", |parts| made(NamespaceLifecycle::new(parts.lister("", "namespaces")?))),
    Plugin::missing("NamespaceExists").off(),
    Plugin::new("LimitPodHardAntiAffinityTopology", |_| made(LimitPodHardAntiAffinityTopology)).off(),
    Plugin::missing("LimitRanger"),
    Plugin::new("ServiceAccount", |parts| made(ServiceAccount::new(parts.lister("", "serviceaccounts")?))),
    Plugin::missing("NodeRestriction").off(),
    Plugin::new("TaintNodesByCondition", |_| made(TaintNodesByCondition)),
    Plugin::missing("AlwaysPullImages").off(),
    Plugin::missing("ImagePolicyWebhook").off(),
    Plugin::missing("PodSecurity"),
    Plugin::missing("PodNodeSelector").off(),
    Plugin::new("Priority", |parts| {
        made(Priority::new(parts.lister("scheduling.k8s.io", "priorityclasses")?))
    }),
    Plugin::new("DefaultTolerationSeconds", |parts| {
        made(DefaultTolerationSeconds {
            not_ready_seconds: parts.options.not_ready_toleration_seconds,
            unreachable_seconds: parts.options.unreachable_toleration_seconds,
        })
    }),
    Plugin::missing("PodTolerationRestriction").off(),
    Plugin::missing("EventRateLimit").off(),
    Plugin::missing("ExtendedResourceToleration").off(),
    Plugin::new("DefaultStorageClass", |parts| {
        made(DefaultStorageClass::new(parts.lister("storage.k8s.io", "storageclasses")?))
    }),
    Plugin::new("StorageObjectInUseProtection", |_| made(StorageObjectInUseProtection)),
    Plugin::missing("PodGroupProtection"),
    Plugin::missing("OwnerReferencesPermissionEnforcement").off(),
    Plugin::new("PersistentVolumeClaimResize", |parts| {
        made(PersistentVolumeClaimResize::new(parts.lister("storage.k8s.io", "storageclasses")?))
    }),
    Plugin::new("RuntimeClass", |parts| {
        made(RuntimeClass::new(parts.lister("node.k8s.io", "runtimeclasses")?))
    }),
    Plugin::new("CertificateApproval", |_| made(CertificateApproval)),
    Plugin::new("CertificateSigning", |_| made(CertificateSigning)),
    Plugin::missing("ClusterTrustBundleAttest"),
    Plugin::new("CertificateSubjectRestriction", |_| made(CertificateSubjectRestriction)),
    Plugin::new("DefaultIngressClass", |parts| {
        made(DefaultIngressClass::new(parts.lister("networking.k8s.io", "ingressclasses")?))
    }),
    Plugin::missing("DenyServiceExternalIPs").off(),
    Plugin::missing("PodTopologyLabels"),
    Plugin::missing("PodGroupWorkloadExists"),
    Plugin::missing("NodeDeclaredFeatureValidator"),
    Plugin::missing("JobValidation"),
    Plugin::missing("PodResizeValidator"),
    // What others configure comes behind what is built in; what counts comes last.
    Plugin::missing("MutatingAdmissionPolicy"),
    Plugin::missing("MutatingAdmissionWebhook"),
    Plugin::missing("ValidatingAdmissionPolicy"),
    Plugin::missing("ValidatingAdmissionWebhook"),
    Plugin::missing("ResourceQuota"),
    Plugin::missing("AlwaysDeny").off(),
];

/// A plugin that kube-apiserver has.
pub struct Plugin {
    /// Its name in flags.
    pub name: &'static str,
    /// It runs unless it is disabled.
    pub on_by_default: bool,
    /// None while Pintle does not have it.
    make: Option<Make>,
}

type Make = fn(&Parts<'_>) -> Result<Arc<dyn Admission>, NotServed>;

impl Plugin {
    const fn new(name: &'static str, make: Make) -> Plugin {
        Plugin { name, on_by_default: true, make: Some(make) }
    }

    const fn missing(name: &'static str) -> Plugin {
        Plugin { name, on_by_default: true, make: None }
    }

    const fn off(self) -> Plugin {
        Plugin { on_by_default: false, ..self }
    }

    /// True if Pintle has it.
    pub fn is_available(&self) -> bool {
        self.make.is_some()
    }
}

fn made(plugin: impl Admission + 'static) -> Result<Arc<dyn Admission>, NotServed> {
    Ok(Arc::new(plugin))
}

/// What plugins are made from.
pub struct Parts<'a> {
    /// Resources plugins look up.
    pub served: &'a Served,
    /// What flags say to single plugins.
    pub options: &'a PluginOptions,
}

/// What flags say to single plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginOptions {
    /// Seconds a pod stays on a node that is not ready, unless it says otherwise.
    pub not_ready_toleration_seconds: i64,
    /// Seconds a pod stays on a node out of reach, unless it says otherwise.
    pub unreachable_toleration_seconds: i64,
}

impl Parts<'_> {
    /// A lister of a resource, whichever version of it is served.
    fn lister<V: View>(
        &self,
        group: &'static str,
        resource: &'static str,
    ) -> Result<Arc<dyn Lister<V>>, NotServed> {
        let is_it = |store: &&Arc<Store>| {
            let definition = store.definition();
            definition.group == group && definition.resource == resource
        };
        let mut stores = self.served.resources().filter_map(|resource| resource.store.as_ref());
        let store = stores.find(is_it).ok_or(NotServed { group, resource })?;
        Ok(Arc::new(StoreLister::new(store.clone())))
    }
}

/// A plugin cannot look up what it needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it needs the resource {resource} of group {group:?}, which is not served")]
pub struct NotServed {
    group: &'static str,
    resource: &'static str,
}

/// A plugin that is to run cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("admission plugin {plugin} cannot run: {reason}; it can be disabled")]
pub struct PluginError {
    plugin: &'static str,
    reason: NotServed,
}

/// The plugins that are to run, in order.
#[derive(Clone)]
pub struct Selection(Vec<&'static Plugin>);

/// Names of plugins that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Nothing of this name can be enabled.
    #[error("plugin {0:?} is unknown")]
    UnknownEnabled(String),
    /// Nothing of this name can be disabled.
    #[error("plugin {0:?} is unknown")]
    UnknownDisabled(String),
    /// kube-apiserver has it and Pintle does not yet.
    #[error("plugin {0:?} is not available in this version of Pintle")]
    NotAvailable(String),
    /// Both was asked for.
    #[error("[{0}] in enable-admission-plugins and disable-admission-plugins overlapped")]
    Overlap(String),
}

impl Selection {
    /// The plugins on by default and those enabled, without those disabled.
    /// Of those on by default the ones Pintle does not have are left out.
    pub fn new(enable: &[String], disable: &[String]) -> Result<Selection, SelectionError> {
        let known = |name: &String| PLUGINS.iter().find(|plugin| plugin.name == name);
        for name in enable {
            match known(name) {
                None => return Err(SelectionError::UnknownEnabled(name.clone())),
                Some(plugin) if !plugin.is_available() => {
                    return Err(SelectionError::NotAvailable(name.clone()));
                }
                Some(_) => {}
            }
        }
        if let Some(name) = disable.iter().find(|name| known(name).is_none()) {
            return Err(SelectionError::UnknownDisabled(name.clone()));
        }
        let both: Vec<&str> =
            enable.iter().filter(|name| disable.contains(name)).map(String::as_str).collect();
        if !both.is_empty() {
            return Err(SelectionError::Overlap(both.join(" ")));
        }
        let named = |names: &[String], plugin: &Plugin| names.iter().any(|name| name == plugin.name);
        let runs = |plugin: &&Plugin| {
            plugin.is_available()
                && (named(enable, plugin) || plugin.on_by_default && !named(disable, plugin))
        };
        Ok(Selection(PLUGINS.iter().filter(runs).collect()))
    }

    /// Names of the plugins, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|plugin| plugin.name)
    }

    /// Makes the plugins and the chain of them.
    pub fn chain(&self, parts: &Parts<'_>) -> Result<Chain, PluginError> {
        let make = |plugin: &&'static Plugin| {
            let failed = |reason| PluginError { plugin: plugin.name, reason };
            plugin.make.map(|make| make(parts).map_err(failed))
        };
        Ok(Chain::new(self.0.iter().filter_map(make).collect::<Result<_, _>>()?))
    }
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(enable: &[&str], disable: &[&str]) -> Result<Vec<&'static str>, String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let selection = Selection::new(&owned(enable), &owned(disable));
        selection.map(|it| it.names().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_change_what_runs_and_not_the_order() {
        let default = names(&[], &[]).expect("valid");
        assert_eq!(default[..3], ["NamespaceLifecycle", "ServiceAccount", "TaintNodesByCondition"]);
        let topology = "LimitPodHardAntiAffinityTopology";
        assert!(!default.contains(&topology));
        let changed = names(&[topology, "Priority"], &["ServiceAccount", "LimitRanger"]).expect("valid");
        assert_eq!(changed[..3], ["NamespaceLifecycle", topology, "TaintNodesByCondition"]);
        assert_eq!(changed.len(), default.len());
    }

    #[test]
    fn names_that_make_no_sense_are_refused() {
        for (enable, disable, why) in [
            (&["Nope"][..], &[][..], "plugin \"Nope\" is unknown"),
            (&[], &["priority"], "plugin \"priority\" is unknown"),
            (
                &["NodeRestriction"],
                &[],
                "plugin \"NodeRestriction\" is not available in this version of Pintle",
            ),
            (
                &["Priority", "ServiceAccount"],
                &["ServiceAccount", "Priority"],
                "[Priority ServiceAccount] in enable-admission-plugins and disable-admission-plugins overlapped",
            ),
        ] {
            assert_eq!(names(enable, disable), Err(why.to_owned()));
        }
    }

    #[test]
    fn a_plugin_whose_resource_is_not_served_says_so() {
        let options =
            PluginOptions { not_ready_toleration_seconds: 300, unreachable_toleration_seconds: 300 };
        let parts = Parts { served: &Served::default(), options: &options };
        let selection = Selection::new(&[], &["NamespaceLifecycle".to_owned()]).expect("valid");
        assert_eq!(
            selection.chain(&parts).err().expect("nothing is served").to_string(),
            "admission plugin ServiceAccount cannot run: it needs the resource serviceaccounts of group \"\", which \
             is not served; it can be disabled"
        );
    }
}
