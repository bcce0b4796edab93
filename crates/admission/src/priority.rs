//! Priority: the name of a priority class becomes the number the scheduler
//! reads, and only one class is the default of pods that name none.

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, ObjectMeta};
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::Value;

use crate::attributes::{concerns, forbidden};
use crate::lister::{Lister, View};

/// Priority of a pod when there is no default class.
const PRIORITY_WITHOUT_CLASS: i64 = 0;
/// Preemption of a pod when there is no default class.
const POLICY_WITHOUT_CLASS: &str = "PreemptLowerPriority";

/// What the plugin sees of a PriorityClass.
#[derive(Clone)]
pub struct Class {
    name: String,
    value: i64,
    preemption_policy: Option<String>,
    global_default: bool,
}

impl View for Class {
    fn of(object: &Value) -> Class {
        Class {
            name: ObjectMeta::of(object).name().to_owned(),
            value: object.int_at(&["value"]).unwrap_or_default(),
            preemption_policy: object.str_at(&["preemptionPolicy"]).map(str::to_owned),
            global_default: is_global_default(object),
        }
    }
}

/// The plugin.
pub struct Priority {
    classes: Arc<dyn Lister<Class>>,
}

impl Priority {
    /// Looks priorities up in `classes`.
    pub fn new(classes: Arc<dyn Lister<Class>>) -> Priority {
        Priority { classes }
    }

    /// The default class; after a race of several the one with the lowest value.
    async fn default_class(&self) -> Result<Option<Arc<Class>>, ApiError> {
        let classes = self.classes.all().await?;
        Ok(classes.into_iter().filter(|class| class.global_default).min_by_key(|class| class.value))
    }

    /// The class of a new pod.
    async fn class_of(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        pod: &Value,
    ) -> Result<Class, ApiError> {
        let name = pod.str_at(&["spec", "priorityClassName"]).unwrap_or_default();
        let found = match name {
            "" => self.default_class().await?,
            name => self.classes.find("", name).await?,
        };
        match found {
            Some(class) => Ok((*class).clone()),
            None if name.is_empty() => Ok(Class {
                name: String::new(),
                value: PRIORITY_WITHOUT_CLASS,
                preemption_policy: Some(POLICY_WITHOUT_CLASS.to_owned()),
                global_default: false,
            }),
            None => {
                let text = format!("no PriorityClass with name {name} was found");
                Err(forbidden(context, attributes, pod, text))
            }
        }
    }
}

#[async_trait]
impl Admission for Priority {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if !concerns(context, "", "pods") {
            return Ok(());
        }
        match (attributes.operation, attributes.old) {
            (Operation::Create, _) => {
                let class = self.class_of(context, attributes, object).await?;
                resolve(object, &class).map_err(|text| forbidden(context, attributes, &*object, text))
            }
            (Operation::Update, Some(old)) => {
                keep(object, old);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        let concerned = writes && concerns(context, "scheduling.k8s.io", "priorityclasses");
        let Some(class) = object.filter(|class| concerned && is_global_default(class)) else {
            return Ok(());
        };
        let Some(default) = self.default_class().await? else { return Ok(()) };
        if attributes.operation == Operation::Update && default.name == ObjectMeta::of(class).name() {
            return Ok(());
        }
        let text = format!(
            "PriorityClass {} is already marked as default. Only one default can exist",
            default.name
        );
        Err(forbidden(context, attributes, class, text))
    }
}

fn is_global_default(class: &Value) -> bool {
    class.bool_at(&["globalDefault"]).unwrap_or_default()
}

/// Writes priority and policy of the class into a new pod; a pod that asks for
/// others is refused with a text.
fn resolve(pod: &mut Value, class: &Class) -> Result<(), String> {
    if !class.name.is_empty() {
        pod.set(&["spec", "priorityClassName"], class.name.clone());
    }
    if let Some(given) = pod.int_at(&["spec", "priority"]).filter(|given| *given != class.value) {
        return Err(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
            class.value
        ));
    }
    pod.set(&["spec", "priority"], class.value);
    let Some(policy) = &class.preemption_policy else { return Ok(()) };
    if let Some(given) = pod.str_at(&["spec", "preemptionPolicy"]).filter(|given| given != policy) {
        return Err(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    pod.set(&["spec", "preemptionPolicy"], policy.clone());
    Ok(())
}

/// An update that leaves out what was filled in means no change of it.
fn keep(pod: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        let path = ["spec", field];
        if let Some(before) = old.at(&path).filter(|before| !before.is_null()) {
            pod.set_default(&path, before.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, fixed, object};

    const HIGH: &str = r#"{"metadata":{"name":"high"},"value":9,"preemptionPolicy":"Never"}"#;
    const LOW: &str = r#"{"metadata":{"name":"low"},"value":-1,"preemptionPolicy":"PreemptLowerPriority","globalDefault":true}"#;
    const MIDDLE: &str =
        r#"{"metadata":{"name":"middle"},"value":5,"preemptionPolicy":"Never","globalDefault":true}"#;

    async fn admit(classes: &[&str], spec: &str) -> Result<Value, String> {
        let pod = format!(r#"{{"metadata":{{"generateName":"p-"}},"spec":{spec}}}"#);
        let admitted = Request::create("pods", &pod).admit(&Priority::new(fixed(classes))).await?;
        Ok(admitted.get("spec").cloned().expect("a pod keeps its spec"))
    }

    #[tokio::test]
    async fn the_class_of_a_pod_becomes_numbers() {
        for (classes, spec, expected) in [
            (&[][..], "{}", r#"{"priority":0,"preemptionPolicy":"PreemptLowerPriority"}"#),
            (&[], r#"{"priority":0}"#, r#"{"priority":0,"preemptionPolicy":"PreemptLowerPriority"}"#),
            (
                &[HIGH],
                r#"{"priorityClassName":"high"}"#,
                r#"{"priorityClassName":"high","priority":9,"preemptionPolicy":"Never"}"#,
            ),
            (
                &[HIGH, MIDDLE, LOW],
                "{}",
                r#"{"priorityClassName":"low","priority":-1,"preemptionPolicy":"PreemptLowerPriority"}"#,
            ),
        ] {
            assert_eq!(admit(classes, spec).await, Ok(object(expected)), "{spec}");
        }
    }

    #[tokio::test]
    async fn a_pod_that_names_no_class_there_is_or_other_numbers_is_refused() {
        for (spec, why) in [
            (r#"{"priorityClassName":"nope"}"#, "no PriorityClass with name nope was found"),
            (
                r#"{"priorityClassName":"high","priority":1}"#,
                "the integer value of priority (1) must not be provided in pod spec; priority admission controller \
                 computed 9 from the given PriorityClass name",
            ),
            (
                r#"{"priorityClassName":"high","preemptionPolicy":"PreemptLowerPriority"}"#,
                "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; \
                 priority admission controller computed Never from the given PriorityClass name",
            ),
        ] {
            assert_eq!(admit(&[HIGH], spec).await, Err(format!("pods \"p-\" is forbidden: {why}")));
        }
    }

    #[tokio::test]
    async fn an_update_that_says_nothing_keeps_the_numbers() {
        let old = r#"{"spec":{"priority":9,"preemptionPolicy":"Never"}}"#;
        let request = Request::update("pods", r#"{"spec":{"preemptionPolicy":"Other"}}"#, old);
        let admitted = request.admit(&Priority::new(fixed(&[]))).await;
        assert_eq!(admitted, Ok(object(r#"{"spec":{"priority":9,"preemptionPolicy":"Other"}}"#)));
    }

    #[tokio::test]
    async fn there_is_one_default_class() {
        let resource = "priorityclasses.scheduling.k8s.io";
        let plugin = Priority::new(fixed(&[HIGH, LOW]));
        assert_eq!(Request::create(resource, HIGH).validate(&plugin).await, Ok(()));
        assert_eq!(Request::update(resource, LOW, LOW).validate(&plugin).await, Ok(()));
        let refusal = "priorityclasses.scheduling.k8s.io \"middle\" is forbidden: PriorityClass low is already marked \
                       as default. Only one default can exist";
        for request in [Request::create(resource, MIDDLE), Request::update(resource, MIDDLE, MIDDLE)] {
            assert_eq!(request.validate(&plugin).await, Err(refusal.to_owned()));
        }
        let first = Priority::new(fixed(&[HIGH]));
        assert_eq!(Request::create(resource, MIDDLE).validate(&first).await, Ok(()));
    }
}
