//! Bodies of requests: read with a limit and a patience, decoded into the type
//! expected, with the original's words where that fails.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use codec::{DecodeError, FieldValidation};
use http_body_util::BodyExt;
use meta::{ApiError, GroupVersion, GroupVersionKind};
use registry::RequestContext;
use schema::{Schema, TypeId, Value};

use crate::filters::RequestBody;
use crate::negotiation::MediaType;
use crate::services::ApiServices;
use crate::status::Failure;

/// What is thrown away of a body nobody wants, in bytes. Beyond it the connection is closed.
const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long such a body is waited for. Beyond it the connection is closed.
const DRAIN_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of a body shown in an error text.
const SUMMARY_BYTES_MAX: usize = 30;
/// Where the original keeps its types; part of a text clients see.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";

/// Reads a body whole. Longer than allowed: 413. Broken off: 400. Silent for
/// too long: 504.
pub async fn read(body: Option<RequestBody>, services: &ApiServices) -> Result<Bytes, Failure> {
    let Some(mut body) = body else { return Ok(Bytes::new()) };
    let limits = &services.limits;
    let mut read = BytesMut::new();
    loop {
        let silence = services.environment.clock.sleep(limits.body_read_timeout);
        let frame = match futures::future::select(body.frame(), silence).await {
            futures::future::Either::Left((frame, _)) => frame,
            futures::future::Either::Right(_) => return Err(silent()),
        };
        match frame {
            None => return Ok(read.freeze()),
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                if read.len() + data.len() > limits.body_bytes_max {
                    discard(body, services).await;
                    return Err(ApiError::TooLarge(format!("limit is {}", limits.body_bytes_max)).into());
                }
                if read.is_empty() && http_body::Body::is_end_stream(&body) {
                    return Ok(data);
                }
                read.extend_from_slice(&data);
            }
            Some(Err(error)) => return Err(Failure::bad_request(format!("error reading the body: {error}"))),
        }
    }
}

/// Reads the rest of a body nobody wants, so that the client finishes sending
/// and sees the answer instead of a broken connection. Whoever sends more than
/// the bound, or too slowly, is cut off.
pub async fn discard(mut body: RequestBody, services: &ApiServices) {
    const DISCARD_BYTES_MAX: usize = 32 * 1024 * 1024;
    const DISCARD_TIMEOUT: Duration = Duration::from_secs(5);
    let rest = async {
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            let Some(rest) = left.checked_sub(size) else { return };
            left = rest;
        }
    };
    futures::future::select(std::pin::pin!(rest), services.environment.clock.sleep(DISCARD_TIMEOUT)).await;
}

/// Reads what a client still sends and throws it away, within bounds: a client
/// that writes its whole body before it reads would otherwise meet a closed
/// connection instead of the answer.
pub async fn drain(mut body: RequestBody, services: &ApiServices) {
    let mut left = DRAIN_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            left = left.saturating_sub(length);
            if left == 0 {
                return;
            }
        }
    };
    futures::future::select(std::pin::pin!(reading), services.environment.clock.sleep(DRAIN_PATIENCE)).await;
}

fn silent() -> Failure {
    let message = "the body of the request did not arrive in time".to_owned();
    ApiError::Timeout { message, retry_after_seconds: 0 }.into()
}

/// What a body should be.
pub struct Expected<'a> {
    /// The table of its type.
    pub schema: &'a Schema,
    /// Its type.
    pub ty: TypeId,
    /// Its kind.
    pub gvk: &'a GroupVersionKind,
    /// The type is one made at run time: such objects are free-form, and any
    /// other kind is refused by name.
    pub custom: bool,
}

/// Decodes a body. Fields nobody knows and fields given twice are dropped,
/// warned about or refused, as `validation` says.
pub fn decode(
    body: &[u8],
    media_type: MediaType,
    expected: &Expected<'_>,
    validation: FieldValidation,
    context: &RequestContext,
) -> Result<Value, Failure> {
    let mut strict = Vec::new();
    let collect = (validation != FieldValidation::Ignore).then_some(&mut strict);
    let decoded = match media_type {
        MediaType::Json if expected.custom => codec::custom::decode_json(body, collect),
        MediaType::Yaml if expected.custom => codec::custom::decode_yaml(body, collect),
        MediaType::Json => codec::json::decode(expected.schema, expected.ty, body, collect),
        MediaType::Yaml => codec::yaml::decode(expected.schema, expected.ty, body, collect),
        MediaType::Protobuf => decode_protobuf(body, expected),
    };
    let decoded = match decoded {
        Ok(tree) => tree,
        Err(error) => return Err(explain(body, media_type, expected, &error)),
    };
    let named = NamedKind::of(&decoded, expected);
    expected.accept(&named, body)?;
    let strict: Vec<String> = strict.iter().map(ToString::to_string).collect();
    report_strict(&strict, validation, context)
        .map_err(|text| Failure::bad_request(named.unhandled(expected, &text)))?;
    let mut tree = decoded;
    crate::encode::set_kind(&mut tree, expected.gvk);
    Ok(tree)
}

/// Decodes a `DeleteOptions`, whatever group it claims to be of.
pub fn decode_delete_options(body: &[u8], media_type: MediaType) -> Result<Value, Failure> {
    let schema = schema::builtin();
    let ty = crate::encode::Known::DeleteOptions.ty();
    let decoded = match media_type {
        MediaType::Json => codec::json::decode(schema, ty, body, None),
        MediaType::Yaml => codec::yaml::decode(schema, ty, body, None),
        MediaType::Protobuf => codec::protobuf::envelope::unwrap(body)
            .and_then(|unknown| codec::protobuf::decode(schema, ty, unknown.raw)),
    };
    decoded.map_err(|error| match error {
        DecodeError::UnexpectedEnd | DecodeError::Syntax(_) => {
            Failure::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
        }
        error => Failure::bad_request(error.to_string()),
    })
}

/// Warns about or refuses what strict decoding found; the error is the text of the refusal.
pub fn report_strict(
    errors: &[String],
    validation: FieldValidation,
    context: &RequestContext,
) -> Result<(), String> {
    match validation {
        _ if errors.is_empty() => Ok(()),
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            errors.iter().for_each(|error| warn_strict(error, context));
            Ok(())
        }
        FieldValidation::Strict => Err(format!("strict decoding error: {}", errors.join(", "))),
    }
}

/// The YAML parser reports all repeated keys in one text, a line each, and
/// each line is a warning of its own.
fn warn_strict(error: &str, context: &RequestContext) {
    match error.strip_prefix("yaml: unmarshal errors:\n") {
        Some(lines) => lines.lines().for_each(|line| context.warn(line.trim())),
        None => context.warn(error),
    }
}

/// Kind and apiVersion a body claims, what is missing filled in from what is expected.
struct NamedKind<'a> {
    api_version: Cow<'a, str>,
    kind: Cow<'a, str>,
}

impl<'a> NamedKind<'a> {
    fn of(tree: &'a Value, expected: &Expected<'_>) -> NamedKind<'a> {
        let text = |key| tree.get(key).and_then(Value::as_str).unwrap_or_default();
        NamedKind {
            api_version: match text("apiVersion") {
                "" => Cow::Owned(expected.gvk.api_version()),
                claimed => Cow::Borrowed(claimed),
            },
            kind: match text("kind") {
                "" => Cow::Owned(expected.gvk.kind.to_string()),
                claimed => Cow::Borrowed(claimed),
            },
        }
    }

    fn unhandled(&self, expected: &Expected<'_>, why: &str) -> String {
        let version = self.api_version.rsplit('/').next().unwrap_or_default();
        let version = meta::field::quoted(version);
        format!("{} in version {version} cannot be handled as a {}: {why}", self.kind, expected.gvk.kind)
    }
}

impl Expected<'_> {
    /// Refuses a body of another kind or version.
    fn accept(&self, named: &NamedKind<'_>, body: &[u8]) -> Result<(), Failure> {
        let Some(version) = GroupVersion::parse(&named.api_version) else {
            let why = format!("unexpected GroupVersion string: {}", named.api_version);
            return Err(Failure::bad_request(self.unrecognized(&why, body)));
        };
        let expected = self.gvk.group_version();
        if version == expected && named.kind == self.gvk.kind {
            return Ok(());
        }
        let same_kind = named.kind == self.gvk.kind;
        if self.custom {
            return Err(Failure::bad_request(self.foreign_to_custom(&version, named, same_kind)));
        }
        // Kinds that moved from one group to another are still the same kind.
        let moved = version.group == "extensions";
        let ours = version.group == expected.group;
        let known = is_registered(&version, &named.kind) || was_registered(&version, &expected);
        if same_kind && (moved || ours && known) {
            let text = "does not match the expected API version";
            return Err(Failure::bad_request(format!(
                "the API version in the data ({version}) {text} ({expected})"
            )));
        }
        let why = if is_registered(&version, &named.kind) {
            let from = format!("{}.{}", version.version, named.kind);
            let to = format!("{}.{}", internal_package(&self.gvk.group), self.gvk.kind);
            format!("converting ({from}) to ({to}): unknown conversion")
        } else {
            let kind = meta::field::quoted(&named.kind);
            let version = meta::field::quoted(&named.api_version);
            format!("no kind {kind} is registered for version {version} in scheme {SCHEME:?}")
        };
        Err(Failure::bad_request(named.unhandled(self, &why)))
    }

    fn foreign_to_custom(&self, version: &GroupVersion, named: &NamedKind<'_>, same_kind: bool) -> String {
        let expected = self.gvk.group_version();
        if same_kind {
            let text = "does not match the expected API version";
            return format!("the API version in the data ({version}) {text} ({expected})");
        }
        let claimed = version.kind(named.kind.to_string());
        named.unhandled(self, &format!("unable to decode {claimed} into {}", self.gvk))
    }

    fn unrecognized(&self, why: &str, body: &[u8]) -> String {
        format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            self.gvk.kind,
            summary(body)
        )
    }
}

/// Why a body is not what it should be. Reads it again, without a type, to
/// tell a body that is no object at all from one with a wrong field.
fn explain(body: &[u8], media_type: MediaType, expected: &Expected<'_>, error: &DecodeError) -> Failure {
    let tree = match media_type {
        MediaType::Json => codec::json::decode_any(body)
            .map_err(|error| format!("couldn't get version/kind; json parse error: {error}")),
        MediaType::Yaml => codec::yaml::decode_any(body).map_err(|error| error.to_string()),
        MediaType::Protobuf => match codec::protobuf::envelope::unwrap(body) {
            Ok(unknown) => {
                let mut tree = Value::map();
                tree.set(&["apiVersion"], unknown.api_version);
                tree.set(&["kind"], unknown.kind);
                Ok(tree)
            }
            Err(error) => Err(error.to_string()),
        },
    };
    let tree = tree.and_then(|tree| match not_typed(&tree) {
        Some(why) => Err(format!("couldn't get version/kind; json parse error: {why}")),
        None => Ok(tree),
    });
    match tree {
        Err(why) => Failure::bad_request(expected.unrecognized(&why, body)),
        Ok(tree) => {
            let named = NamedKind::of(&tree, expected);
            match expected.accept(&named, body) {
                Err(failure) => failure,
                Ok(()) => Failure::bad_request(named.unhandled(expected, &error.to_string())),
            }
        }
    }
}

/// Why kind and apiVersion cannot be read from a document; none if they can.
fn not_typed(tree: &Value) -> Option<String> {
    const TYPE_META: &str = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let Value::Map(map) = tree else {
        let found = go_name(tree)?;
        return Some(format!("json: cannot unmarshal {found} into Go value of type {TYPE_META}"));
    };
    ["apiVersion", "kind"].into_iter().find_map(|key| {
        let value = map.get(key).filter(|value| value.as_str().is_none())?;
        Some(format!("json: cannot unmarshal {} into Go struct field .{key} of type string", go_name(value)?))
    })
}

/// What Go calls a JSON value in errors; none for null, which is nothing.
fn go_name(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) | Value::Raw(_) => "object",
    })
}

fn decode_protobuf(body: &[u8], expected: &Expected<'_>) -> Result<Value, DecodeError> {
    let unknown = codec::protobuf::envelope::unwrap(body)?;
    let ours = GroupVersion::parse(&unknown.api_version).as_ref() == Some(&expected.gvk.group_version());
    // Another kind's message means nothing here; it is refused by its name.
    let foreign = !(unknown.kind.is_empty() || unknown.kind == expected.gvk.kind && ours);
    let raw = if foreign { &[] } else { unknown.raw };
    let mut tree = codec::protobuf::decode(expected.schema, expected.ty, raw)?;
    if !unknown.kind.is_empty() {
        tree.set(&["apiVersion"], unknown.api_version);
        tree.set(&["kind"], unknown.kind);
    }
    Ok(tree)
}

/// The beginning of a body, for an error text: as text if it looks like JSON, else as hex.
fn summary(body: &[u8]) -> String {
    let (shown, dots) =
        if body.len() > SUMMARY_BYTES_MAX { (&body[..SUMMARY_BYTES_MAX], " ...") } else { (body, "") };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{dots}", String::from_utf8_lossy(shown)),
        Some(_) => format!("{}{dots}", shown.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

fn is_registered(version: &GroupVersion, kind: &str) -> bool {
    let known = |kind| schema::builtin().kind(&version.group, &version.version, kind).is_some();
    let list_of_known = kind
        .strip_suffix("List")
        .is_some_and(|item| item.is_empty() && version.version == "v1" || known(item));
    known(kind) || list_of_known
}

/// Older versions of the groups that had some, which the table no longer holds.
fn was_registered(version: &GroupVersion, expected: &GroupVersion) -> bool {
    let old = matches!(
        (version.group.as_ref(), version.version.as_ref()),
        ("apps", "v1beta1" | "v1beta2")
            | ("autoscaling", "v2beta1" | "v2beta2")
            | ("batch" | "policy" | "discovery.k8s.io" | "events.k8s.io" | "node.k8s.io", "v1beta1")
            | ("rbac.authorization.k8s.io" | "storage.k8s.io" | "scheduling.k8s.io", "v1alpha1" | "v1beta1")
            | ("networking.k8s.io" | "coordination.k8s.io" | "certificates.k8s.io", "v1beta1")
            | ("admissionregistration.k8s.io" | "authentication.k8s.io" | "authorization.k8s.io", "v1beta1")
            | ("flowcontrol.apiserver.k8s.io", "v1beta1" | "v1beta2" | "v1beta3")
    );
    old && version.group == expected.group
}

/// The Go package that holds a group's types in the original: part of a text clients see.
pub fn internal_package(group: &str) -> &str {
    match group.split('.').next().unwrap_or_default() {
        "" => "core",
        "flowcontrol" => "flowcontrol",
        first => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    fn refusal(body: &str) -> String {
        let schema = schema::builtin();
        let gvk = GroupVersionKind::new("", "v1", "ConfigMap");
        let ty = schema.kind("", "v1", "ConfigMap").expect("built in");
        let expected = Expected { schema, ty, gvk: &gvk, custom: false };
        let failure = match codec::json::decode(schema, ty, body.as_bytes(), None) {
            Ok(tree) => {
                expected.accept(&NamedKind::of(&tree, &expected), body.as_bytes()).expect_err("refused")
            }
            Err(error) => explain(body.as_bytes(), MediaType::Json, &expected, &error),
        };
        Status::of_failure(&failure).expect("a Status").message
    }

    #[test]
    fn a_body_that_is_no_object_is_shown_in_part() {
        let head = "the object provided is unrecognized (must be of type ConfigMap): ";
        assert_eq!(
            refusal(""),
            format!(
                "{head}couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
            )
        );
        assert_eq!(
            refusal("{\"metadata\":{\"name\":\"ok\"}} trailing"),
            format!(
                "{head}couldn't get version/kind; json parse error: invalid character 't' after top-level value \
                 ({{\"metadata\":{{\"name\":\"ok\"}}}} tra ...)"
            )
        );
        assert_eq!(
            refusal("{\"apiVersion\":1,\"kind\":\"ConfigMap\"}"),
            format!(
                "{head}couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field \
                 .apiVersion of type string ({{\"apiVersion\":1,\"kind\":\"Config ...)"
            )
        );
        assert_eq!(
            refusal("{\"apiVersion\": \"a/b/c\", \"kind\": \"ConfigMap\"}"),
            format!(
                "{head}unexpected GroupVersion string: a/b/c ({{\"apiVersion\": \"a/b/c\", \"kind\" ...)"
            )
        );
    }

    #[test]
    fn another_kind_is_refused_by_its_name() {
        assert_eq!(
            refusal(r#"{"apiVersion":"v1","kind":"Secret"}"#),
            "Secret in version \"v1\" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): \
             unknown conversion"
        );
        assert_eq!(
            refusal(r#"{"apiVersion":"apps/v1","kind":"ConfigMap"}"#),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: no kind \"ConfigMap\" is registered for \
             version \"apps/v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        assert_eq!(
            refusal(r#"{"data":{"k":1}}"#),
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct \
             field ConfigMap.data of type string"
        );
    }
}
