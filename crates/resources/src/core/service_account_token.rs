//! `serviceaccounts/token`: issues a token for an account, bound to a pod, a
//! secret or a node if it is asked to be.

use std::sync::Arc;

use async_trait::async_trait;
use meta::options::GetOptions;
use meta::{ApiError, FieldError, FieldErrors, FieldPath, GroupKind, GroupResource, ObjectMeta};
use registry::{Acted, Action, ActionRequest, RequestContext};
use schema::Value;

use crate::authentication::{IssuedToken, TokenIssuer};
use crate::check;

/// Life of a token that asks for none, in seconds.
const DEFAULT_SECONDS: i64 = 60 * 60;
/// What the admission plugin asks for on behalf of pods; a number nobody else would choose.
const PROJECTED_SECONDS: i64 = 60 * 60 + 7;
/// Life of such a token where lives are extended, in seconds.
const EXTENDED_SECONDS: i64 = 365 * 24 * 60 * 60;

/// Issues tokens.
pub struct IssueToken(pub Arc<dyn TokenIssuer>);

#[async_trait]
impl Action for IssueToken {
    fn default_body(&self, body: &mut Value) {
        if body.int_at(&["spec", "expirationSeconds"]).is_none() {
            body.set(&["spec", "expirationSeconds"], DEFAULT_SECONDS);
        }
    }

    async fn act(&self, mut request: ActionRequest<'_>) -> Result<Acted, ApiError> {
        check_names(&request)?;
        let context = request.context;
        let accounts = request.store("", "v1", "serviceaccounts")?;
        let account = accounts.get(context, request.name, &GetOptions::default()).await?;
        let account = accounts.decode(&account)?;
        let policy = self.0.policy();
        let body = &mut request.body;
        if body.list_at(&["spec", "audiences"]).is_empty() {
            body.set(&["spec", "audiences"], policy.audiences.clone());
        }
        body.set(&["metadata", "name"], ObjectMeta::of(&account).name());
        body.set(&["metadata", "namespace"], ObjectMeta::of(&account).namespace());
        // The time told is not after the end of the token, which is taken from the clock later.
        let now = context.environment.clock.now();
        body.set(&["metadata", "creationTimestamp"], meta::time::rfc3339(now));
        body.set(&["metadata", "uid"], context.environment.random.uuid());
        body.set(&["status"], Value::map());
        let errors = validate(body);
        if !errors.is_empty() {
            return Err(ApiError::invalid(group_kind(), "", errors));
        }
        request.validate_admission().await?;
        let bound = bound(&request).await?;
        let mut seconds = spec_seconds(&request.body);
        if let Some(most) = policy.max_expiration_seconds.filter(|most| seconds > *most) {
            context.warn(format!("requested expiration of {seconds} seconds shortened to {most} seconds"));
            seconds = most;
            request.body.set(&["spec", "expirationSeconds"], seconds);
        }
        let audiences = texts(&request.body, &["spec", "audiences"]);
        let of_this_server = audiences.iter().all(|audience| policy.audiences.contains(audience));
        let extend =
            policy.extend_expiration && bound.pod.is_some() && seconds == PROJECTED_SECONDS && of_this_server;
        let token = IssuedToken {
            audiences,
            expiration_seconds: if extend { EXTENDED_SECONDS } else { seconds },
            warn_after_seconds: extend.then_some(seconds),
            namespace: context.namespace.clone(),
            service_account: name_and_uid(&account),
            ..bound
        };
        let failed = |error| ApiError::Internal(format!("failed to generate token: {error}"));
        let token = self.0.issue(token).await.map_err(failed)?;
        let mut body = request.body;
        let end = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(now);
        body.set(&["status", "token"], token);
        body.set(&["status", "expirationTimestamp"], meta::time::rfc3339(end));
        Ok(Acted::Object(body))
    }
}

/// The body may repeat whom the path names, and nobody else.
fn check_names(request: &ActionRequest<'_>) -> Result<(), ApiError> {
    let metadata = ObjectMeta::of(&request.body);
    let name = metadata.name();
    if !name.is_empty() && name != request.name {
        let detail = "must match the service account name if specified";
        let error = FieldError::invalid_str(&check::at("metadata.name"), name, detail);
        return Err(ApiError::invalid(group_kind(), request.name, error));
    }
    Ok(())
}

fn validate(body: &Value) -> FieldErrors {
    const SHORTEST: i64 = 10 * 60;
    const LONGEST: i64 = 1 << 32;
    let path: FieldPath = check::at("spec.expirationSeconds");
    let seconds = spec_seconds(body);
    let mut errors = FieldErrors::new();
    if seconds < SHORTEST {
        let detail = "may not specify a duration less than 10 minutes";
        errors.push(FieldError::invalid(&path, &seconds.into(), detail));
    }
    if seconds > LONGEST {
        let detail = "may not specify a duration larger than 2^32 seconds";
        errors.push(FieldError::invalid(&path, &seconds.into(), detail));
    }
    errors
}

/// What the token is to be bound to, if it is there and is what the request takes it for.
async fn bound(request: &ActionRequest<'_>) -> Result<IssuedToken, ApiError> {
    let Some(reference) = request.body.at(&["spec", "boundObjectRef"]).filter(|it| it.as_map().is_some())
    else {
        return Ok(IssuedToken::default());
    };
    let (api_version, kind) = (check::text(reference, &["apiVersion"]), check::text(reference, &["kind"]));
    let name = check::text(reference, &["name"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let (found, token) = match (group, kind) {
        ("", "Pod") => bound_to_pod(request, name).await?,
        ("", "Secret") => {
            let secret = get(request, "secrets", name).await?;
            let token = IssuedToken { secret: Some(name_and_uid(&secret)), ..IssuedToken::default() };
            (secret, token)
        }
        ("", "Node") => {
            let node = get(request, "nodes", name).await?;
            let token = IssuedToken { node: Some(name_and_uid(&node)), ..IssuedToken::default() };
            (node, token)
        }
        _ => {
            let message = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(ApiError::BadRequest(message));
        }
    };
    let uid = check::text(reference, &["uid"]);
    if !uid.is_empty() && ObjectMeta::of(&found).uid() != uid {
        return Err(ApiError::Conflict {
            resource: GroupResource::new(group.to_owned(), kind.to_owned()),
            name: name.to_owned(),
            message: format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. \
                 The object might have been deleted and then recreated"
            ),
        });
    }
    Ok(token)
}

async fn bound_to_pod(request: &ActionRequest<'_>, name: &str) -> Result<(Value, IssuedToken), ApiError> {
    let pod = get(request, "pods", name).await?;
    let runs_as = check::text(&pod, &["spec", "serviceAccountName"]);
    if runs_as != request.name {
        return Err(ApiError::BadRequest(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            request.name
        )));
    }
    let node = match check::text(&pod, &["spec", "nodeName"]) {
        "" => None,
        // The name alone still tells where the pod was meant to run.
        node => Some(match get(request, "nodes", node).await {
            Ok(node) => name_and_uid(&node),
            Err(ApiError::NotFound { .. }) => (node.to_owned(), String::new()),
            Err(error) => return Err(error),
        }),
    };
    let token = IssuedToken { pod: Some(name_and_uid(&pod)), node, ..IssuedToken::default() };
    Ok((pod, token))
}

async fn get(request: &ActionRequest<'_>, resource: &str, name: &str) -> Result<Value, ApiError> {
    let store = request.store("", "v1", resource)?;
    let context: &RequestContext = request.context;
    let namespace = if store.definition().namespaced { context.namespace.as_str() } else { "" };
    let found = store.find_object(namespace, name).await?;
    let found = found.ok_or_else(|| ApiError::not_found(&store.definition().group_resource(), name))?;
    store.decode(&found)
}

fn name_and_uid(object: &Value) -> (String, String) {
    let metadata = ObjectMeta::of(object);
    (metadata.name().to_owned(), metadata.uid().to_owned())
}

fn spec_seconds(body: &Value) -> i64 {
    body.int_at(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_SECONDS)
}

fn texts(object: &Value, path: &[&str]) -> Vec<String> {
    object.list_at(path).iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn group_kind() -> GroupKind {
    GroupKind { group: "authentication.k8s.io".into(), kind: "TokenRequest".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn a_token_lives_from_ten_minutes_to_as_long_as_a_number_of_seconds_fits() {
        for (seconds, refused) in [
            (599, Some("may not specify a duration less than 10 minutes")),
            (600, None),
            (1_i64 << 32, None),
            ((1_i64 << 32) + 1, Some("may not specify a duration larger than 2^32 seconds")),
        ] {
            let body = object(&format!(r#"{{"spec":{{"expirationSeconds":{seconds}}}}}"#));
            let details: Vec<String> = validate(&body).into_iter().map(|error| error.detail).collect();
            assert_eq!(details.first().map(String::as_str), refused, "{seconds}");
        }
    }
}
