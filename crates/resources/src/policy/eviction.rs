//! `pods/eviction`: a delete that asks the pod's disruption budget first.
//!
//! ```text
//! finished, pending or terminating pod -> deleted
//! no budget                            -> deleted
//! not ready, budget healthy or waived  -> deleted, if it is still as it was judged
//! else one disruption is taken from the budget, and the pod deleted
//! ```
//!
//! Several budgets for one pod are not supported. What is written here is
//! owned by nobody, the pod's condition, or by the server, the budget's status.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meta::options::{DeleteOptions, GetOptions, Preconditions, PropagationPolicy, WriteOptions};
use meta::selector::LabelSelector;
use meta::{ApiError, GroupResource, ObjectMeta};
use registry::{
    Acted, Action, ActionRequest, Admission, NoAdmission, Outcome, RequestContext, Store, UpdateKind,
    UpdatedObject, UserInfo,
};
use schema::{Key, Map, Value};

use crate::check;
use crate::core::pod_condition;

/// Attempts against others who change the same pod or budget.
const ATTEMPTS_MAX: usize = 20;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Evictions a budget remembers until its controller has seen them.
const DISRUPTED_PODS_MAX: usize = 2000;
/// How long a client waits for a budget nobody has looked at yet.
const UNOBSERVED_RETRY: Duration = Duration::from_secs(10);
/// How the server names itself where it writes on its own account.
const SERVER: &str = "kube-apiserver";

/// Evicts a pod.
pub(crate) struct Evict;

#[async_trait]
impl Action for Evict {
    async fn act(&self, request: ActionRequest<'_>) -> Result<Acted, ApiError> {
        if request.name != ObjectMeta::of(&request.body).name() {
            return Err(ApiError::BadRequest(
                "name in URL does not match name in Eviction object".to_owned(),
            ));
        }
        let options = delete_options(&request)?;
        request.validate_admission().await?;
        let eviction = Eviction {
            pods: request.store("", "v1", "pods")?,
            budgets: request.store("policy", "v1", "poddisruptionbudgets")?,
            context: on_pods(&request),
            name: request.name,
            options,
        };
        eviction.run(&request).await?;
        Ok(Acted::Done)
    }
}

struct Eviction<'a> {
    pods: Arc<Store>,
    budgets: Arc<Store>,
    /// The request without admission: the eviction has passed it.
    context: RequestContext,
    name: &'a str,
    options: DeleteOptions,
}

impl Eviction<'_> {
    async fn run(&self, request: &ActionRequest<'_>) -> Result<(), ApiError> {
        let Some(pod) = self.delete_unless_guarded().await? else { return Ok(()) };
        let Some(budget) = self.budget_of(&pod).await? else {
            return self.delete(self.options.clone()).await;
        };
        let name = ObjectMeta::of(&budget).name().to_owned();
        if !may_go_unready(&pod, &budget) {
            self.take_disruption(request, budget, &name).await?;
            return self.delete(self.options.clone()).await;
        }
        // Nobody may have found it ready meanwhile.
        match self.delete(at_version(&self.options, &pod)).await {
            Err(ApiError::Conflict { .. }) if self.options.preconditions.resource_version.is_none() => {
                Err(not_observed(&name))
            }
            result => result,
        }
    }

    /// Deletes a pod that no budget guards; else returns it.
    async fn delete_unless_guarded(&self) -> Result<Option<Value>, ApiError> {
        let own_version = self.options.preconditions.resource_version.is_some();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let pod = self.pods.get(&self.context, self.name, &GetOptions::default()).await?;
            let pod = self.pods.decode(&pod)?;
            if !unguarded(&pod) {
                return Ok(Some(pod));
            }
            let racing = !finished(&pod) && !own_version;
            let options = if racing { at_version(&self.options, &pod) } else { self.options.clone() };
            match self.delete(options).await {
                Err(ApiError::Conflict { .. }) if !own_version && attempt < ATTEMPTS_MAX => {
                    self.context.environment.clock.sleep(PAUSE).await;
                }
                result => return result.map(|()| None),
            }
        }
    }

    /// Says in the pod's conditions why it goes, and deletes it.
    async fn delete(&self, mut options: DeleteOptions) -> Result<(), ApiError> {
        if !options.dry_run {
            let mut target = Disrupted { preconditions: options.preconditions.clone() };
            let write = WriteOptions::default();
            let (written, _) = self
                .pods
                .update(&self.context, self.name, UpdateKind::Status, &mut target, &write, false)
                .await?;
            if let (Some(version), Outcome::Stored(pod)) =
                (&mut options.preconditions.resource_version, &written)
            {
                *version = pod.revision.to_string();
            }
        }
        self.pods.delete(&self.context, self.name, options).await.map(drop)
    }

    /// The one budget that selects the pod.
    async fn budget_of(&self, pod: &Value) -> Result<Option<Value>, ApiError> {
        let labels = ObjectMeta::of(pod).labels();
        if labels.is_empty() {
            return Ok(None);
        }
        let mut found = Vec::new();
        for budget in self.budgets.find_all().await? {
            let budget = self.budgets.decode(&budget)?;
            if ObjectMeta::of(&budget).namespace() == self.context.namespace && selects(&budget, labels) {
                found.push(budget);
            }
        }
        if found.len() > 1 {
            let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not \
                        support.";
            return Err(ApiError::Unknown(text.to_owned()));
        }
        Ok(found.pop())
    }

    /// Takes one disruption from the budget, if it has one left.
    async fn take_disruption(
        &self,
        request: &ActionRequest<'_>,
        mut budget: Value,
        name: &str,
    ) -> Result<(), ApiError> {
        let context = on_budgets(request);
        for _ in 0..ATTEMPTS_MAX {
            let now = check::now(&context);
            let taken = disrupted(budget, self.name, &now)?;
            if self.options.dry_run {
                return Ok(());
            }
            let write = WriteOptions { field_manager: SERVER.to_owned(), ..WriteOptions::default() };
            let mut replacement = Replacement(taken);
            let written = self
                .budgets
                .update(&context, name, UpdateKind::Status, &mut replacement, &write, false)
                .await;
            match written {
                Err(ApiError::Conflict { .. }) => {}
                result => return result.map(drop),
            }
            context.environment.clock.sleep(PAUSE).await;
            let current = self.budgets.get(&context, name, &GetOptions::default()).await?;
            budget = self.budgets.decode(&current)?;
        }
        let message =
            format!("couldn't update PodDisruptionBudget {} due to conflicts", meta::field::quoted(name));
        Err(ApiError::Timeout { message, retry_after_seconds: 10 })
    }
}

/// The options of the delete: those in the body, dry if the request is.
fn delete_options(request: &ActionRequest<'_>) -> Result<DeleteOptions, ApiError> {
    let Some(given) = request.body.get("deleteOptions").filter(|given| !given.is_null()) else {
        return Ok(DeleteOptions { dry_run: request.options.dry_run, ..DeleteOptions::default() });
    };
    let dry_runs: Vec<&str> = given.list_at(&["dryRun"]).iter().filter_map(schema::Value::as_str).collect();
    if request.options.dry_run && !dry_runs.is_empty() && dry_runs != ["All"] {
        return Err(ApiError::Unknown(format!(
            "Non-matching dry-run options in request and content: [All] and [{}]",
            dry_runs.join(" ")
        )));
    }
    let text = |path: &[&str]| given.str_at(path).map(str::to_owned);
    Ok(DeleteOptions {
        grace_period_seconds: given.int_at(&["gracePeriodSeconds"]),
        preconditions: Preconditions {
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
        },
        orphan_dependents: given.bool_at(&["orphanDependents"]),
        propagation_policy: match given.str_at(&["propagationPolicy"]) {
            Some("Orphan") => Some(PropagationPolicy::Orphan),
            Some("Background") => Some(PropagationPolicy::Background),
            Some("Foreground") => Some(PropagationPolicy::Foreground),
            _ => None,
        },
        dry_run: request.options.dry_run || !dry_runs.is_empty(),
        ..DeleteOptions::default()
    })
}

/// The request as one on the pod itself, which asks nobody any more.
fn on_pods(request: &ActionRequest<'_>) -> RequestContext {
    let asked = request.context;
    let mut context = RequestContext::new(
        asked.user.clone(),
        Arc::new(NoAdmission),
        asked.authorizer.clone(),
        asked.environment.clone(),
    );
    context.resource = GroupResource::new("", "pods");
    context.version = "v1".to_owned();
    context.namespace.clone_from(&asked.namespace);
    context.name.clone_from(&asked.name);
    context
}

/// A request of the server itself for the status of a budget.
fn on_budgets(request: &ActionRequest<'_>) -> RequestContext {
    let asked = request.context;
    let user = UserInfo {
        name: "system:apiserver".to_owned(),
        groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        ..UserInfo::default()
    };
    let admission: Arc<dyn Admission> = asked.admission.clone();
    let mut context =
        RequestContext::new(user, admission, asked.authorizer.clone(), asked.environment.clone());
    context.verb = "update".to_owned();
    context.resource = GroupResource::new("policy", "poddisruptionbudgets");
    context.version = "v1".to_owned();
    context.subresource = "status".to_owned();
    context.namespace.clone_from(&asked.namespace);
    context
}

/// Options under which only the pod as it was read is deleted.
fn at_version(options: &DeleteOptions, pod: &Value) -> DeleteOptions {
    let mut options = options.clone();
    options.preconditions.resource_version = Some(ObjectMeta::of(pod).resource_version().0);
    options
}

fn phase(pod: &Value) -> &str {
    check::text(pod, &["status", "phase"])
}

/// True if the pod disrupts nobody any more.
fn finished(pod: &Value) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed") || ObjectMeta::of(pod).deletion_timestamp().is_some()
}

/// True if no budget counts the pod.
fn unguarded(pod: &Value) -> bool {
    finished(pod) || phase(pod) == "Pending"
}

/// True if the budget lets go a pod that is not ready without counting it.
fn may_go_unready(pod: &Value, budget: &Value) -> bool {
    if pod_condition::is_true(pod, "Ready") {
        return false;
    }
    let (current, desired) = (status(budget, "currentHealthy"), status(budget, "desiredHealthy"));
    check::text(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow"
        || current >= desired && desired > 0
}

fn selects(budget: &Value, labels: &Map) -> bool {
    let selector = budget.at(&["spec", "selector"]).filter(|selector| !selector.is_null());
    selector
        .and_then(|selector| LabelSelector::from_object(selector).ok())
        .is_some_and(|selector| selector.matches(labels))
}

fn status(budget: &Value, field: &str) -> i64 {
    budget.int_at(&["status", field]).unwrap_or_default()
}

/// The budget with one disruption less, or why it has none left.
fn disrupted(mut budget: Value, pod: &str, now: &str) -> Result<Value, ApiError> {
    let name = ObjectMeta::of(&budget).name().to_owned();
    if status(&budget, "observedGeneration") < ObjectMeta::of(&budget).generation() {
        return Err(not_observed(&name));
    }
    let allowed = status(&budget, "disruptionsAllowed");
    let forbidden = |message: &str| ApiError::Forbidden {
        resource: GroupResource::new("policy", "poddisruptionbudget"),
        name: name.clone(),
        message: message.to_owned(),
        causes: Vec::new(),
    };
    if allowed < 0 {
        return Err(forbidden("pdb disruptions allowed is negative"));
    }
    if budget.map_at(&["status", "disruptedPods"]).is_some_and(|pods| pods.len() > DISRUPTED_PODS_MAX) {
        let message = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(forbidden(message));
    }
    if allowed == 0 {
        return Err(too_many(Duration::ZERO, why_none_left(&budget, &name)));
    }
    budget.set(&["status", "disruptionsAllowed"], allowed - 1);
    if allowed == 1 {
        insufficient_pods(&mut budget, now);
    }
    budget.ensure_map(&["status", "disruptedPods"]).insert(Key::from(pod), now);
    Ok(budget)
}

fn why_none_left(budget: &Value, name: &str) -> String {
    let failed = budget.list_at(&["status", "conditions"]).iter().find(|condition| {
        ["type", "status", "reason"].map(|key| check::text(condition, &[key]))
            == ["DisruptionAllowed", "False", "SyncFailed"]
    });
    if let Some(condition) = failed {
        let message = check::text(condition, &["message"]);
        return format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
        );
    }
    let (current, desired) = (status(budget, "currentHealthy"), status(budget, "desiredHealthy"));
    if current <= desired {
        return format!(
            "The disruption budget {name} needs {desired} healthy pods and has {current} currently"
        );
    }
    format!("The disruption budget {name} does not allow evicting pods currently")
}

fn insufficient_pods(budget: &mut Value, now: &str) {
    let observed = status(budget, "observedGeneration");
    let mut condition = Map::from([
        ("type", Value::from("DisruptionAllowed")),
        ("status", "False".into()),
        ("reason", "InsufficientPods".into()),
        ("message", "".into()),
    ]);
    if observed != 0 {
        condition.insert("observedGeneration", observed);
    }
    pod_condition::update(budget, condition, now);
}

fn not_observed(name: &str) -> ApiError {
    let cause = format!("The disruption budget {name} is still being processed by the server.");
    too_many(UNOBSERVED_RETRY, cause)
}

fn too_many(retry_after: Duration, cause: String) -> ApiError {
    ApiError::TooManyRequests {
        message: "Cannot evict pod as it would violate the pod's disruption budget.".to_owned(),
        retry_after,
        causes: vec![("DisruptionBudget".to_owned(), cause)],
    }
}

/// The pod as it stands, with the condition that it is being evicted.
struct Disrupted {
    preconditions: Preconditions,
}

#[async_trait]
impl UpdatedObject for Disrupted {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, context: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        let metadata = ObjectMeta::of(old);
        let version = metadata.resource_version().0;
        let wanted = &self.preconditions;
        mismatch("UID", wanted.uid.as_deref(), metadata.uid(), "deleted and then recreated", metadata)?;
        mismatch("ResourceVersion", wanted.resource_version.as_deref(), &version, "modified", metadata)?;
        let mut pod = old.clone();
        let condition = Map::from([
            ("type", "DisruptionTarget"),
            ("status", "True"),
            ("reason", "EvictionByEvictionAPI"),
            ("message", "Eviction API: evicting"),
        ]);
        pod_condition::update(&mut pod, condition, &check::now(context));
        Ok(pod)
    }

    fn tracks_fields(&self) -> bool {
        true
    }
}

fn mismatch(
    what: &str,
    wanted: Option<&str>,
    found: &str,
    cause: &str,
    metadata: ObjectMeta<'_>,
) -> Result<(), ApiError> {
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty() && *wanted != found) else { return Ok(()) };
    let message = format!(
        "the {what} in the precondition ({wanted}) does not match the {what} in record ({found}). The object might \
         have been {cause}"
    );
    // The original names the kind where the resource should stand.
    Err(ApiError::Conflict {
        resource: GroupResource::new("", "Pod"),
        name: metadata.name().to_owned(),
        message,
    })
}

/// An object in place of another, at its resourceVersion.
struct Replacement(Value);

#[async_trait]
impl UpdatedObject for Replacement {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, _: &RequestContext, _: &Value) -> Result<Value, ApiError> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(allowed: i64) -> Value {
        let mut budget = Value::map();
        budget.set(&["metadata"], Map::from([("name", Value::from("b")), ("generation", 1.into())]));
        budget.set(
            &["status"],
            Map::from([
                ("observedGeneration", 1),
                ("disruptionsAllowed", allowed),
                ("currentHealthy", 3),
                ("desiredHealthy", 2),
            ]),
        );
        budget
    }

    fn cause(error: ApiError) -> (String, Duration) {
        let ApiError::TooManyRequests { causes, retry_after, .. } = error else { panic!("429: {error}") };
        (causes[0].1.clone(), retry_after)
    }

    #[test]
    fn the_last_disruption_taken_is_a_condition() {
        let taken = disrupted(budget(2), "p", "now").expect("one is left");
        assert_eq!(taken.int_at(&["status", "disruptionsAllowed"]), Some(1));
        assert_eq!(taken.str_at(&["status", "disruptedPods", "p"]), Some("now"));
        assert!(taken.list_at(&["status", "conditions"]).is_empty());
        let taken = disrupted(taken, "q", "later").expect("one is left");
        let [condition] = taken.list_at(&["status", "conditions"]) else { panic!("one condition") };
        assert_eq!(condition.str_at(&["reason"]), Some("InsufficientPods"));
        let (text, retry) = cause(disrupted(taken, "r", "now").expect_err("none is left"));
        assert_eq!(text, "The disruption budget b does not allow evicting pods currently");
        assert_eq!(retry, Duration::ZERO);
    }

    #[test]
    fn a_budget_nobody_has_looked_at_is_asked_again() {
        let mut unseen = budget(1);
        unseen.set(&["metadata", "generation"], 2);
        let (text, retry) = cause(disrupted(unseen, "p", "now").expect_err("not observed"));
        assert_eq!(text, "The disruption budget b is still being processed by the server.");
        assert_eq!(retry, UNOBSERVED_RETRY);
    }

    #[test]
    fn a_budget_says_how_many_healthy_pods_it_needs() {
        let mut tight = budget(0);
        tight.set(&["status", "currentHealthy"], 2);
        let (text, _) = cause(disrupted(tight, "p", "now").expect_err("none is left"));
        assert_eq!(text, "The disruption budget b needs 2 healthy pods and has 2 currently");
        assert!(matches!(disrupted(budget(-1), "p", "now"), Err(ApiError::Forbidden { .. })));
    }

    #[test]
    fn unready_pods_go_while_the_rest_is_healthy() {
        let mut pod = Value::map();
        assert!(may_go_unready(&pod, &budget(0)));
        let mut sick = budget(0);
        sick.set(&["status", "currentHealthy"], 1);
        assert!(!may_go_unready(&pod, &sick));
        sick.set(&["spec", "unhealthyPodEvictionPolicy"], "AlwaysAllow");
        assert!(may_go_unready(&pod, &sick));
        pod_condition::update(&mut pod, Map::from([("type", "Ready"), ("status", "True")]), "now");
        assert!(!may_go_unready(&pod, &budget(0)));
    }

    #[test]
    fn a_budget_without_a_selector_selects_nothing_and_an_empty_one_everything() {
        let labels = Map::from([("a", "b")]);
        let mut budget = budget(1);
        assert!(!selects(&budget, &labels));
        budget.set(&["spec", "selector"], Value::map());
        assert!(selects(&budget, &labels));
    }
}
