//! What the tests of resources share: objects from JSON, and a strategy's
//! answers about them.

use std::sync::Arc;

use async_trait::async_trait;
use meta::ObjectMeta;
use registry::{
    AuthorizationAttributes, Authorizer, Decision, NoAdmission, PrintContext, RequestContext, ResourceDef,
    UserInfo,
};
use schema::Value;

/// An object from JSON.
pub fn object(json: &str) -> Value {
    codec::json::decode_any(json.as_bytes()).expect("tests hold valid JSON")
}

/// An object from JSON with the defaults of its resource. Defaulting again changes nothing.
pub fn defaulted(definition: &ResourceDef, json: &str) -> Value {
    let mut value = object(json);
    definition.strategy.default(&mut value);
    let mut again = value.clone();
    definition.strategy.default(&mut again);
    assert_eq!(again, value, "defaults are idempotent");
    value
}

/// Cells of a row, at the time the object was made or, if that is unknown, at the epoch.
pub fn cells(definition: &ResourceDef, object: &Value) -> Vec<Value> {
    let created = ObjectMeta::of(object).creation_timestamp();
    definition.strategy.cells(object, &PrintContext { now: created.parse().unwrap_or_default() })
}

/// What is wrong with a new object.
pub fn problems(definition: &ResourceDef, object: &Value) -> Vec<String> {
    texts(definition.strategy.validate(&context(), object))
}

/// What is wrong with an update.
pub fn update_problems(definition: &ResourceDef, object: &Value, old: &Value) -> Vec<String> {
    texts(definition.strategy.validate_update(&context(), object, old))
}

fn texts(errors: meta::FieldErrors) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// A request of the user `admin`, who may everything but what `nobody` is asked for.
pub fn context() -> RequestContext {
    let user = UserInfo {
        name: "admin".to_owned(),
        groups: vec!["system:masters".to_owned()],
        ..UserInfo::default()
    };
    RequestContext::new(user, Arc::new(NoAdmission), Arc::new(AllowNamed), environment::real::environment())
}

/// Allows every user with a name but `nobody`.
struct AllowNamed;

#[async_trait]
impl Authorizer for AllowNamed {
    async fn authorize(&self, attributes: &AuthorizationAttributes<'_>) -> Decision {
        match attributes.user.name.as_str() {
            "" | "nobody" => Decision::NoOpinion(String::new()),
            "banned" => Decision::Deny("banned".to_owned()),
            name => Decision::Allow(format!("{name} may")),
        }
    }
}
