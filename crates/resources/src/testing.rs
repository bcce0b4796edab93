//! What the tests of resources share: objects from JSON, and a strategy's
//! answers about them.

use std::sync::Arc;

use async_trait::async_trait;
use meta::ObjectMeta;
use registry::{
    AuthorizationAttributes, Authorizer, Decision, NoAdmission, PrintContext, RequestContext, ResourceDef,
    UserInfo,
};
use schema::{Key, Value};

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

/// Errors by merge patch: what is changed in a good object, and everything that is wrong with it then.
pub type Refusals<'a> = &'a [(&'a str, &'a [&'a str])];

/// `base` is accepted; changed by each merge patch, it is refused with exactly these errors.
pub fn refuses(definition: &ResourceDef, base: &str, cases: Refusals<'_>) {
    for (change, expected) in [("{}", &[][..])].iter().chain(cases) {
        let mut object = changed(definition, base, change);
        definition.strategy.prepare_for_create(&context(), &mut object);
        assert_eq!(problems(definition, &object), *expected, "{change}");
    }
}

/// An update of `base` by each merge patch is refused with exactly these errors.
pub fn refuses_updates(definition: &ResourceDef, base: &str, cases: Refusals<'_>) {
    let old = changed(definition, base, "{}");
    for (change, expected) in [("{}", &[][..])].iter().chain(cases) {
        let mut object = patched(definition, old.clone(), change);
        definition.strategy.prepare_for_update(&context(), &mut object, &old);
        assert_eq!(update_problems(definition, &object, &old), *expected, "{change}");
    }
}

/// An update of the status of `base` by each merge patch is refused with exactly these errors.
pub fn refuses_status(definition: &ResourceDef, base: &str, cases: Refusals<'_>) {
    let old = changed(definition, base, "{}");
    for (change, expected) in cases {
        let mut object = patched(definition, old.clone(), change);
        definition.strategy.prepare_for_status_update(&context(), &mut object, &old);
        let errors = definition.strategy.validate_status_update(&context(), &object, &old);
        assert_eq!(texts(errors), *expected, "{change}");
    }
}

/// `base` with all defaults, after a merge patch.
pub fn changed(definition: &ResourceDef, base: &str, patch: &str) -> Value {
    patched(definition, object(base), patch)
}

fn patched(definition: &ResourceDef, mut value: Value, patch: &str) -> Value {
    merge(&mut value, object(patch));
    let (group, version, kind) = (&definition.group, &definition.version, &definition.kind);
    let ty = schema::builtin().kind(group, version, kind).expect("the kind is in the table");
    schema::defaults::apply(schema::builtin(), ty, &mut value);
    definition.strategy.default(&mut value);
    value
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Map(changes) = &patch else {
        *target = patch;
        return;
    };
    if target.as_map().is_none() {
        *target = Value::map();
    }
    let map = target.as_map_mut().expect("made a map above");
    for (key, change) in changes.iter() {
        if change.is_null() {
            map.remove(key);
        } else {
            merge(map.entry(Key::from(key.to_owned()), Value::map), change.clone());
        }
    }
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
