//! ServiceAccount: every pod runs as an account that exists, finds a token of
//! it in its file system, and pulls images with the account's secrets.
//!
//! Here is what happens when; the token's volume is in [`token_volume`], which
//! secrets a pod may use in [`secrets`].

mod secrets;
mod token_volume;

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, ObjectMeta};
use registry::{Admission, AdmissionAttributes, Operation, RequestContext, generate_name};
use schema::{Map, Value};

use crate::attributes::{concerns, concerns_part, forbidden};
use crate::lister::{Lister, View};

/// Account of pods that name none.
const DEFAULT_ACCOUNT: &str = "default";
/// Marks what the kubelet reports of pods it runs from files; it fights changes of their spec.
const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// Limits pods to the secrets their account lists.
const ENFORCE_ANNOTATION: &str = "kubernetes.io/enforce-mountable-secrets";

/// What the plugin sees of a ServiceAccount.
pub struct Account {
    name: String,
    automount: Option<bool>,
    image_pull_secrets: Vec<String>,
    secrets: Vec<String>,
    enforces_secrets: bool,
}

impl View for Account {
    fn of(object: &Value) -> Account {
        let meta = ObjectMeta::of(object);
        let enforces = meta.annotations().str(ENFORCE_ANNOTATION).unwrap_or_default();
        Account {
            name: meta.name().to_owned(),
            automount: object.bool_at(&["automountServiceAccountToken"]),
            image_pull_secrets: names(object.list_at(&["imagePullSecrets"])),
            secrets: names(object.list_at(&["secrets"])),
            enforces_secrets: matches!(enforces, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        }
    }
}

impl Account {
    fn without_tokens() -> Account {
        Account {
            name: DEFAULT_ACCOUNT.to_owned(),
            automount: Some(false),
            image_pull_secrets: Vec::new(),
            secrets: Vec::new(),
            enforces_secrets: false,
        }
    }
}

fn names(references: &[Value]) -> Vec<String> {
    let name = |reference: &Value| reference.str_at(&["name"]).unwrap_or_default().to_owned();
    references.iter().map(name).collect()
}

/// The plugin.
pub struct ServiceAccount {
    accounts: Arc<dyn Lister<Account>>,
}

impl ServiceAccount {
    /// Looks accounts up in `accounts`.
    pub fn new(accounts: Arc<dyn Lister<Account>>) -> ServiceAccount {
        ServiceAccount { accounts }
    }

    /// The account of a pod.
    ///
    /// The original waits for the default account, which a controller makes
    /// soon after its namespace, and refuses the pod if it does not come. That
    /// controller is not part of this server yet, so the default account counts
    /// as present; nothing is mounted of it, because it has no tokens.
    async fn account_of(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        pod: &Value,
    ) -> Result<Arc<Account>, ApiError> {
        let (namespace, name) = (attributes.namespace, account_name(pod));
        if let Some(account) = self.accounts.find(namespace, name).await? {
            return Ok(account);
        }
        if name == DEFAULT_ACCOUNT {
            return Ok(Arc::new(Account::without_tokens()));
        }
        let text = format!(
            "error looking up service account {namespace}/{name}: serviceaccount {} not found",
            meta::field::quoted(name)
        );
        Err(forbidden(context, attributes, pod, text))
    }

    /// Judges the spec of a new pod, or the ephemeral containers of a running one.
    async fn judge(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        pod: &Value,
    ) -> Result<(), ApiError> {
        let refused = |text: String| forbidden(context, attributes, pod, text);
        let creates = attributes.operation == Operation::Create;
        if creates && is_mirror(pod) {
            return judge_mirror(pod).map_err(|text| refused(text.to_owned()));
        }
        if account_name(pod).is_empty() {
            let name = ObjectMeta::of(pod).name();
            return Err(refused(format!(
                "no service account specified for pod {}/{name}",
                attributes.namespace
            )));
        }
        let account = self.account_of(context, attributes, pod).await?;
        if !account.enforces_secrets {
            return Ok(());
        }
        let judged = if creates {
            secrets::limit(pod, &account)
        } else {
            secrets::limit_containers(pod, &account, "ephemeralContainers", "ephemeral container")
        };
        judged.map_err(refused)
    }
}

#[async_trait]
impl Admission for ServiceAccount {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if attributes.operation != Operation::Create || !concerns(context, "", "pods") {
            return Ok(());
        }
        if !is_mirror(object) {
            if account_name(object).is_empty() {
                // Both names of the field are always shown.
                object.set(&["spec", "serviceAccountName"], DEFAULT_ACCOUNT);
                object.set(&["spec", "serviceAccount"], DEFAULT_ACCOUNT);
            }
            let account = self.account_of(context, attributes, object).await?;
            if automounts(object, &account) {
                token_volume::mount(object, |prefix| generate_name(&*context.environment.random, prefix));
            }
            inherit_pull_secrets(object, &account);
        }
        self.judge(context, attributes, object).await
    }

    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        let concerned = match attributes.operation {
            Operation::Create => concerns(context, "", "pods"),
            Operation::Update => concerns_part(context, "", "pods", "ephemeralcontainers"),
            Operation::Delete | Operation::Connect => false,
        };
        match object {
            Some(pod) if concerned => self.judge(context, attributes, pod).await,
            _ => Ok(()),
        }
    }
}

fn account_name(pod: &Value) -> &str {
    pod.str_at(&["spec", "serviceAccountName"]).unwrap_or_default()
}

fn is_mirror(pod: &Value) -> bool {
    ObjectMeta::of(pod).annotations().contains_key(MIRROR_ANNOTATION)
}

/// A mirror pod runs already: what it is given here it would never see.
fn judge_mirror(pod: &Value) -> Result<(), &'static str> {
    if !account_name(pod).is_empty() {
        return Err("a mirror pod may not reference service accounts");
    }
    if secrets::refers_to_any(pod) {
        return Err("a mirror pod may not reference secrets");
    }
    let volumes = pod.list_at(&["spec", "volumes"]);
    let mut sources = volumes.iter().flat_map(|volume| volume.list_at(&["projected", "sources"]));
    if sources.any(|source| source.get("serviceAccountToken").is_some()) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// The pod's word counts before the account's.
fn automounts(pod: &Value, account: &Account) -> bool {
    pod.bool_at(&["spec", "automountServiceAccountToken"]).or(account.automount).unwrap_or(true)
}

fn inherit_pull_secrets(pod: &mut Value, account: &Account) {
    if !pod.list_at(&["spec", "imagePullSecrets"]).is_empty() || account.image_pull_secrets.is_empty() {
        return;
    }
    let reference = |name: &String| Map::from([("name", name.as_str())]);
    let references: Vec<Map> = account.image_pull_secrets.iter().map(reference).collect();
    pod.set(&["spec", "imagePullSecrets"], references);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, fixed, object};

    const DEFAULT: &str = r#"{"metadata":{"name":"default","namespace":"ns"}}"#;
    const QUIET: &str = r#"{"metadata":{"name":"quiet","namespace":"ns"},"automountServiceAccountToken":false,
        "imagePullSecrets":[{"name":"reg"}]}"#;
    const STRICT: &str = r#"{"metadata":{"name":"strict","namespace":"ns","annotations":{"kubernetes.io/enforce-mountable-secrets":"true"}},
        "secrets":[{"name":"ours"}],"imagePullSecrets":[{"name":"reg"}]}"#;
    const CONTAINERS: &str = r#""containers":[{"name":"c","image":"i"}]"#;

    fn plugin() -> ServiceAccount {
        ServiceAccount::new(fixed(&[DEFAULT, QUIET, STRICT]))
    }

    fn pod(spec: &str) -> String {
        format!(r#"{{"metadata":{{"name":"p"}},"spec":{{{spec}{CONTAINERS}}}}}"#)
    }

    async fn admit(spec: &str) -> Result<Value, String> {
        Request::create("pods", &pod(spec)).admit(&plugin()).await
    }

    #[tokio::test]
    async fn a_pod_without_an_account_gets_the_default_and_its_token() {
        let admitted = admit("").await.expect("admitted");
        assert_eq!(account_name(&admitted), "default");
        assert_eq!(admitted.str_at(&["spec", "serviceAccount"]), Some("default"));
        let volume = admitted.list_at(&["spec", "volumes"])[0].str_at(&["name"]).expect("a name");
        assert!(volume.starts_with("kube-api-access-"), "{volume}");
    }

    #[tokio::test]
    async fn pull_secrets_and_automount_come_from_the_account_unless_the_pod_says() {
        let quiet = r#""serviceAccountName":"quiet","#;
        let admitted = admit(quiet).await.expect("admitted");
        assert_eq!(admitted.at(&["spec", "imagePullSecrets"]), Some(&object(r#"[{"name":"reg"}]"#)));
        assert_eq!(admitted.at(&["spec", "volumes"]), None);
        let own =
            format!(r#"{quiet}"automountServiceAccountToken":true,"imagePullSecrets":[{{"name":"mine"}}],"#);
        let own = admit(&own).await.expect("admitted");
        assert_eq!(own.at(&["spec", "imagePullSecrets"]), Some(&object(r#"[{"name":"mine"}]"#)));
        assert_eq!(own.list_at(&["spec", "volumes"]).len(), 1);
        let off = admit(r#""automountServiceAccountToken":false,"#).await.expect("admitted");
        assert_eq!(off.at(&["spec", "volumes"]), None);
    }

    #[tokio::test]
    async fn a_default_account_that_nobody_made_yet_is_no_reason_to_refuse_a_pod() {
        let bare = ServiceAccount::new(fixed(&[]));
        let admitted = Request::create("pods", &pod("")).admit(&bare).await.expect("admitted");
        assert_eq!(account_name(&admitted), "default");
        assert_eq!(admitted.at(&["spec", "volumes"]), None);
    }

    #[tokio::test]
    async fn an_account_must_exist_in_the_namespace() {
        let refusal = "pods \"p\" is forbidden: error looking up service account ns/nope: serviceaccount \"nope\" not \
                       found";
        assert_eq!(admit(r#""serviceAccountName":"nope","#).await, Err(refusal.to_owned()));
    }

    #[tokio::test]
    async fn a_mirror_pod_is_left_as_it_is_or_refused() {
        for (spec, why) in [
            ("", None),
            (r#""serviceAccountName":"default","#, Some("a mirror pod may not reference service accounts")),
            (
                r#""volumes":[{"name":"v","secret":{"secretName":"s"}}],"#,
                Some("a mirror pod may not reference secrets"),
            ),
            (
                r#""volumes":[{"name":"v","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}}],"#,
                Some("a mirror pod may not use ServiceAccountToken volume projections"),
            ),
        ] {
            let json = format!(
                r#"{{"metadata":{{"name":"p","annotations":{{"{MIRROR_ANNOTATION}":"x"}}}},"spec":{{{spec}{CONTAINERS}}}}}"#
            );
            let expected =
                why.map_or(Ok(object(&json)), |why| Err(format!("pods \"p\" is forbidden: {why}")));
            assert_eq!(Request::create("pods", &json).admit(&plugin()).await, expected, "{spec}");
        }
    }

    #[tokio::test]
    async fn the_last_word_is_on_what_other_plugins_left() {
        let refusal = "pods \"p\" is forbidden: no service account specified for pod ns/p";
        let verdict = Request::create("pods", &pod("")).validate(&plugin()).await;
        assert_eq!(verdict, Err(refusal.to_owned()));
        let updated = Request::update("pods", &pod(""), &pod("")).validate(&plugin()).await;
        assert_eq!(updated, Ok(()));
    }

    #[tokio::test]
    async fn ephemeral_containers_use_only_the_secrets_of_a_strict_account() {
        let pod = |secret| {
            pod(&format!(
                r#""serviceAccountName":"strict","ephemeralContainers":[{{"name":"e","envFrom":[{{"secretRef":{{"name":"{secret}"}}}}]}}],"#
            ))
        };
        for (secret, admitted) in [("ours", true), ("theirs", false)] {
            let request = Request::update("pods/ephemeralcontainers", &pod(secret), &pod("ours"));
            assert_eq!(request.validate(&plugin()).await.is_ok(), admitted, "{secret}");
        }
    }
}
