//! Which secrets a pod refers to, and which of them its account lets it use.

use schema::Value;

use super::Account;

/// Lists of containers.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];
/// Volume sources with a member that refers to a secret.
const VOLUMES: [(&str, &str); 10] = [
    ("azureFile", "secretName"),
    ("cephfs", "secretRef"),
    ("cinder", "secretRef"),
    ("csi", "nodePublishSecretRef"),
    ("flexVolume", "secretRef"),
    ("iscsi", "secretRef"),
    ("rbd", "secretRef"),
    ("scaleIO", "secretRef"),
    ("storageos", "secretRef"),
    ("secret", "secretName"),
];

/// True if a pod refers to a secret anywhere.
pub(super) fn refers_to_any(pod: &Value) -> bool {
    let containers = || CONTAINERS.iter().flat_map(|list| pod.list_at(&["spec", list]));
    !pod.list_at(&["spec", "imagePullSecrets"]).is_empty()
        || containers().any(|container| references(container).next().is_some())
        || pod.list_at(&["spec", "volumes"]).iter().any(is_of_secret)
}

fn is_of_secret(volume: &Value) -> bool {
    let refers = |(source, member): &(&str, &str)| match volume.at(&[source, member]) {
        Some(Value::String(name)) => !name.is_empty(),
        Some(reference) => reference.as_map().is_some(),
        None => false,
    };
    let mut projected = volume.list_at(&["projected", "sources"]).iter();
    VOLUMES.iter().any(refers) || projected.any(|source| source.get("secret").is_some())
}

/// What of a container refers to a secret, and to which.
fn references(container: &Value) -> impl Iterator<Item = (Reference<'_>, &str)> {
    let variables = container.list_at(&["env"]).iter().filter_map(|entry| {
        let secret = entry.map_at(&["valueFrom", "secretKeyRef"])?.str("name").unwrap_or_default();
        Some((Reference::Variable(entry.str_at(&["name"]).unwrap_or_default()), secret))
    });
    let sources = container.list_at(&["envFrom"]).iter().filter_map(|entry| {
        Some((Reference::Source, entry.map_at(&["secretRef"])?.str("name").unwrap_or_default()))
    });
    variables.chain(sources)
}

enum Reference<'a> {
    /// An environment variable, by name.
    Variable(&'a str),
    /// All of a secret as variables.
    Source,
}

/// Refuses a pod that uses other secrets than its account lists, with a text.
pub(super) fn limit(pod: &Value, account: &Account) -> Result<(), String> {
    for volume in pod.list_at(&["spec", "volumes"]) {
        let Some(source) = volume.get("secret").filter(|source| source.as_map().is_some()) else { continue };
        let secret = source.str_at(&["secretName"]).unwrap_or_default();
        demand(account, secret, || "volume with".to_owned())?;
    }
    limit_containers(pod, account, "initContainers", "init container")?;
    limit_containers(pod, account, "containers", "container")?;
    for (i, reference) in pod.list_at(&["spec", "imagePullSecrets"]).iter().enumerate() {
        let name = reference.str_at(&["name"]).unwrap_or_default();
        if !account.image_pull_secrets.iter().any(|listed| listed == name) {
            let of = &account.name;
            return Err(format!(
                "imagePullSecrets[{i}].name=\"{name}\" is not allowed because service account {of} does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

/// The same for one list of containers, called `what` in the text.
pub(super) fn limit_containers(pod: &Value, account: &Account, list: &str, what: &str) -> Result<(), String> {
    for container in pod.list_at(&["spec", list]) {
        let name = container.str_at(&["name"]).unwrap_or_default();
        for (reference, secret) in references(container) {
            demand(account, secret, || match reference {
                Reference::Variable(variable) => {
                    format!("{what} {name} with envVar {variable} referencing")
                }
                Reference::Source => format!("{what} {name} with envFrom referencing"),
            })?;
        }
    }
    Ok(())
}

fn demand(account: &Account, secret: &str, who: impl FnOnce() -> String) -> Result<(), String> {
    if account.secrets.iter().any(|listed| listed == secret) {
        return Ok(());
    }
    let (who, of) = (who(), &account.name);
    Err(format!(
        "{who} secret.secretName=\"{secret}\" is not allowed because service account {of} does not reference that secret"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lister::View;
    use crate::testing::object;

    #[test]
    fn a_strict_account_limits_volumes_variables_and_pull_secrets() {
        let account = Account::of(&object(
            r#"{"metadata":{"name":"sa"},"secrets":[{"name":"ours"}],"imagePullSecrets":[{"name":"reg"}]}"#,
        ));
        let because = "is not allowed because service account sa does not reference that";
        for (spec, expected) in [
            (r#""volumes":[{"secret":{"secretName":"ours"}}],"imagePullSecrets":[{"name":"reg"}]"#, None),
            (
                r#""volumes":[{"secret":{"secretName":"x"}}]"#,
                Some(format!("volume with secret.secretName=\"x\" {because} secret")),
            ),
            (
                r#""initContainers":[{"name":"i","env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"x"}}}]}]"#,
                Some(format!(
                    "init container i with envVar A referencing secret.secretName=\"x\" {because} secret"
                )),
            ),
            (
                r#""containers":[{"name":"c","envFrom":[{"configMapRef":{"name":"x"}},{"secretRef":{"name":"y"}}]}]"#,
                Some(format!(
                    "container c with envFrom referencing secret.secretName=\"y\" {because} secret"
                )),
            ),
            (
                r#""imagePullSecrets":[{"name":"reg"},{"name":"x"}]"#,
                Some(format!("imagePullSecrets[1].name=\"x\" {because} imagePullSecret")),
            ),
        ] {
            let pod = object(&format!(r#"{{"spec":{{{spec}}}}}"#));
            assert_eq!(limit(&pod, &account).err(), expected, "{spec}");
        }
    }

    #[test]
    fn secrets_are_found_wherever_a_pod_can_name_them() {
        for (spec, expected) in [
            (r#""containers":[{"env":[{"name":"A","value":"b"}]}],"volumes":[{"emptyDir":{}}]"#, false),
            (r#""imagePullSecrets":[{"name":"x"}]"#, true),
            (r#""ephemeralContainers":[{"envFrom":[{"secretRef":{"name":"x"}}]}]"#, true),
            (r#""containers":[{"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"x"}}}]}]"#, true),
            (r#""volumes":[{"projected":{"sources":[{"secret":{"name":"x"}}]}}]"#, true),
            (r#""volumes":[{"csi":{"nodePublishSecretRef":{"name":"x"}}}]"#, true),
            (r#""volumes":[{"azureFile":{"secretName":""}}]"#, false),
            (r#""volumes":[{"azureFile":{"secretName":"x"}}]"#, true),
        ] {
            let pod = object(&format!(r#"{{"spec":{{{spec}}}}}"#));
            assert_eq!(refers_to_any(&pod), expected, "{spec}");
        }
    }
}
