//! DefaultIngressClass: an ingress that names no class gets the default one.

use std::sync::Arc;

use async_trait::async_trait;
use meta::{ApiError, ObjectMeta};
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::Value;

use crate::attributes::concerns;
use crate::default_class::{DefaultClass, default_class};
use crate::lister::{Lister, View};

const IS_DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
/// Where ingresses named their class formerly.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// What the plugin sees of an IngressClass.
pub struct DefaultableIngressClass(DefaultClass);

impl View for DefaultableIngressClass {
    fn of(object: &Value) -> DefaultableIngressClass {
        DefaultableIngressClass(DefaultClass::read(object, &[IS_DEFAULT]))
    }
}

impl AsRef<DefaultClass> for DefaultableIngressClass {
    fn as_ref(&self) -> &DefaultClass {
        &self.0
    }
}

/// The plugin.
pub struct DefaultIngressClass {
    classes: Arc<dyn Lister<DefaultableIngressClass>>,
}

impl DefaultIngressClass {
    /// Chooses among `classes`.
    pub fn new(classes: Arc<dyn Lister<DefaultableIngressClass>>) -> DefaultIngressClass {
        DefaultIngressClass { classes }
    }
}

#[async_trait]
impl Admission for DefaultIngressClass {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if attributes.operation != Operation::Create
            || !concerns(context, "networking.k8s.io", "ingresses")
            || has_class(object)
        {
            return Ok(());
        }
        if let Some(name) = default_class(&*self.classes).await? {
            object.set(&["spec", "ingressClassName"], name);
        }
        Ok(())
    }
}

fn has_class(ingress: &Value) -> bool {
    ingress.str_at(&["spec", "ingressClassName"]).is_some()
        || ObjectMeta::of(ingress).annotations().contains_key(CLASS_ANNOTATION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, fixed};

    #[tokio::test]
    async fn an_ingress_without_a_class_gets_the_default() {
        let classes = fixed(&[
            r#"{"metadata":{"name":"a"}}"#,
            r#"{"metadata":{"name":"b","annotations":{"ingressclass.kubernetes.io/is-default-class":"true"}}}"#,
        ]);
        let plugin = DefaultIngressClass::new(classes);
        for (ingress, expected) in [
            ("{}", Some("b")),
            (r#"{"spec":{"ingressClassName":"x"}}"#, Some("x")),
            (r#"{"metadata":{"annotations":{"kubernetes.io/ingress.class":"old"}}}"#, None),
        ] {
            let request = Request::create("ingresses.networking.k8s.io", ingress);
            let admitted = request.admit(&plugin).await.expect("never refused");
            assert_eq!(admitted.str_at(&["spec", "ingressClassName"]), expected, "{ingress}");
            // The namesake of another group has no classes.
            let other = Request::create("ingresses.extensions", "{}").admit(&plugin).await;
            assert_eq!(other.expect("never refused"), Value::map());
        }
    }
}
