//! Several plugins as one: asked in order, the first refusal counts.

use std::sync::Arc;

use async_trait::async_trait;
use meta::ApiError;
use registry::{Admission, AdmissionAttributes, RequestContext};
use schema::Value;

/// Plugins in the order in which they are asked.
#[derive(Clone, Default)]
pub struct Chain(Vec<Arc<dyn Admission>>);

impl Chain {
    /// A chain of plugins; an empty one admits everything.
    pub fn new(plugins: Vec<Arc<dyn Admission>>) -> Chain {
        Chain(plugins)
    }
}

#[async_trait]
impl Admission for Chain {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        for plugin in &self.0 {
            plugin.admit(context, attributes, object).await?;
        }
        Ok(())
    }

    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        for plugin in &self.0 {
            plugin.validate(context, attributes, object).await?;
        }
        Ok(())
    }
}
