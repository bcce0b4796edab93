//! `secrets`: data for few eyes. `stringData` is only written: it is moved
//! into `data` when an object is read. Each well-known type requires its keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::{Key, Value};

use crate::{check, defaults, print, validation};

/// `secrets`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        selectable_fields: vec!["type".into()],
        columns: vec![Column::name(), Column::string("Type"), Column::string("Data"), Column::string("Age")],
        repeats_metadata_validation: true,
        ..ResourceDef::stored("", "v1", "secrets", "Secret", Secret)
    }
}

/// Bytes of all values in one object, 1 MiB.
const SIZE_MAX: usize = 1024 * 1024;

struct Secret;

impl Strategy for Secret {
    fn default(&self, object: &mut Value) {
        defaults::text(object, "type", "Opaque");
        if let Some(Value::Map(texts)) = object.remove(&["stringData"])
            && !texts.is_empty()
        {
            let data = object.ensure_map(&["data"]);
            for (key, text) in texts {
                let name: Key = key;
                data.insert(name, STANDARD.encode(text.as_str().unwrap_or_default()));
            }
        }
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        // Clients written before types existed send none: it stays what it was.
        if object.str_at(&["type"]).is_none_or(str::is_empty) {
            object.set(&["type"], old.at(&["type"]).cloned().unwrap_or_default());
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let data = FieldPath::root("data");
        let mut size = 0;
        for (key, value) in object.map_at(&["data"]).into_iter().flat_map(|map| map.iter()) {
            errors.extend(validation::config_key(&data.key(key), key));
            size += validation::decoded_len(value.as_str().unwrap_or_default());
        }
        if size > SIZE_MAX {
            errors.push(FieldError::too_long(&data, SIZE_MAX));
        }
        validate_type(object, &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        check::immutable(&mut errors, "type", object, old);
        errors.extend(validation::immutable_data(object, old, &["data"]));
        errors.extend(self.validate(context, object));
        errors
    }

    fn field(&self, object: &Value, label: &str) -> String {
        if label == "type" { print::text(object, &["type"]) } else { String::new() }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let keys = object.map_at(&["data"]).map_or(0, |map| map.len()) as i64;
        print::with_name_and_age(object, print, [print::text(object, &["type"]).into(), keys.into()])
    }
}

fn validate_type(object: &Value, errors: &mut FieldErrors) {
    let data = FieldPath::root("data");
    let has = |key: &str| object.at(&["data", key]).is_some();
    let require = |key: &str, errors: &mut FieldErrors| {
        if !has(key) {
            errors.push(FieldError::required(&data.key(key), ""));
        }
    };
    match object.str_at(&["type"]).unwrap_or_default() {
        "kubernetes.io/service-account-token" => {
            const ACCOUNT: &str = "kubernetes.io/service-account.name";
            let annotation = ObjectMeta::of(object).annotations().str(ACCOUNT);
            if annotation.is_none_or(str::is_empty) {
                let path = FieldPath::root("metadata").child("annotations").key(ACCOUNT);
                errors.push(FieldError::required(&path, ""));
            }
        }
        "kubernetes.io/dockercfg" => docker_config(object, ".dockercfg", errors),
        "kubernetes.io/dockerconfigjson" => docker_config(object, ".dockerconfigjson", errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            errors.push(FieldError::required(&data.key("username"), ""));
            errors.push(FieldError::required(&data.key("password"), ""));
        }
        "kubernetes.io/ssh-auth" => {
            let key = object.str_at(&["data", "ssh-privatekey"]);
            if key.is_none_or(str::is_empty) {
                errors.push(FieldError::required(&data.key("ssh-privatekey"), ""));
            }
        }
        "kubernetes.io/tls" => {
            require("tls.crt", errors);
            require("tls.key", errors);
        }
        _ => {}
    }
}

fn docker_config(object: &Value, key: &str, errors: &mut FieldErrors) {
    let path = FieldPath::root("data").key(key);
    let Some(encoded) = object.str_at(&["data", key]) else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    if let Err(message) = validation::json_object(&bytes) {
        errors.push(FieldError::invalid_str(&path, "<secret contents redacted>", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn string_data_becomes_data_and_wins_over_it() {
        let mut object = Value::from(Map::from([
            ("data", Map::from([("a", "b2xk"), ("b", "eA==")])),
            ("stringData", Map::from([("a", "new")])),
        ]));
        Secret.default(&mut object);
        let data = Map::from([("a", "bmV3"), ("b", "eA==")]);
        assert_eq!(object, Value::from(Map::from([("data", Value::from(data)), ("type", "Opaque".into())])));
    }

    #[test]
    fn a_tls_secret_needs_its_two_keys() {
        let object = Value::from(Map::from([("type", "kubernetes.io/tls")]));
        let mut errors = Vec::new();
        validate_type(&object, &mut errors);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]);
    }
}
