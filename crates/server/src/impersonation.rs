//! Acting as somebody else: the `Impersonate-*` headers. Who asks must be
//! allowed to be each part of whom they name; the request then goes on as
//! that user. Owns the headers and their rules, not the decision.

use std::collections::BTreeMap;

use auth::{SYSTEM_ANONYMOUS, SYSTEM_AUTHENTICATED, SYSTEM_UNAUTHENTICATED};
use http::HeaderMap;
use meta::ApiError;
use meta::field::quoted;
use registry::UserInfo;

use crate::filters::authorize;
use crate::query::decode;
use crate::request_info::RequestInfo;
use crate::services::ApiServices;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// The user the headers name, if they name one and `user` may act as them.
pub async fn impersonated(
    services: &ApiServices,
    user: &UserInfo,
    info: &RequestInfo,
    headers: &HeaderMap,
) -> Result<Option<UserInfo>, ApiError> {
    let Some(wanted) = Wanted::read(headers)? else { return Ok(None) };
    for (at, attributes) in wanted.attributes().into_iter().enumerate() {
        let refused = match authorize(services, user, &attributes).await {
            Ok(()) => continue,
            Err(refused) => refused,
        };
        // Who may not be the user at all is told of the narrower permission
        // the request would need (KEP-5284).
        if at > 0 {
            return Err(refused);
        }
        let verb = format!("impersonate-on:{}:{}", wanted.mode(), info.verb);
        let narrower = RequestInfo { verb, ..info.clone() };
        authorize(services, user, &narrower).await?;
        // That permission alone is not enough: what may be done as the user is asked of RBAC.
        return Err(refused);
    }
    Ok(Some(wanted.user()))
}

/// Whom the headers name.
struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wanted {
    fn read(headers: &HeaderMap) -> Result<Option<Wanted>, ApiError> {
        let all = |name: &str| -> Vec<String> {
            headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect()
        };
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for key in headers.keys().filter_map(|key| key.as_str().strip_prefix(EXTRA)) {
            // Keys may hold what a header name may not; then they come escaped.
            let name = decode(key, false).unwrap_or_else(|| key.to_owned());
            extra.insert(name, all(&format!("{EXTRA}{key}")));
        }
        let first = |name| all(name).into_iter().next().unwrap_or_default();
        let wanted = Wanted { name: first(USER), uid: first(UID), groups: all(GROUP), extra };
        let asks = !wanted.uid.is_empty() || !wanted.groups.is_empty() || !wanted.extra.is_empty();
        match (wanted.name.is_empty(), asks) {
            (false, _) => Ok(Some(wanted)),
            (true, false) => Ok(None),
            (true, true) => {
                let message = format!("requested {} without impersonating a user name", wanted.shown());
                Err(ApiError::BadRequest(message))
            }
        }
    }

    /// What the asker must be allowed to `impersonate`, the user first.
    fn attributes(&self) -> Vec<RequestInfo> {
        let part =
            |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| RequestInfo {
                resource_request: true,
                verb: "impersonate".to_owned(),
                group: group.to_owned(),
                version: "v1".to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                ..RequestInfo::default()
            };
        const GROUP_NAME: &str = "authentication.k8s.io";
        let user = match self.service_account() {
            Some((namespace, name)) => part("", "serviceaccounts", "", namespace, name),
            None => part("", "users", "", "", &self.name),
        };
        let mut parts = vec![user];
        if !self.uid.is_empty() {
            parts.push(part(GROUP_NAME, "uids", "", "", &self.uid));
        }
        parts.extend(self.groups.iter().map(|group| part("", "groups", "", "", group)));
        for (key, values) in &self.extra {
            parts.extend(values.iter().map(|value| part(GROUP_NAME, "userextras", key, "", value)));
        }
        parts
    }

    fn service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix("system:serviceaccount:")?.split_once(':')
    }

    /// The kind of user, as the narrower permissions name it.
    fn mode(&self) -> &'static str {
        match self.name.as_str() {
            _ if self.service_account().is_some() => "serviceaccount",
            name if name.starts_with("system:node:") => "arbitrary-node",
            _ => "user-info",
        }
    }

    /// The user with the groups it would have had, had it come itself.
    fn user(self) -> UserInfo {
        let mut groups = self.groups.clone();
        if let Some((namespace, _)) = self.service_account().filter(|_| self.groups.is_empty()) {
            groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        let own = if self.name == SYSTEM_ANONYMOUS { SYSTEM_UNAUTHENTICATED } else { SYSTEM_AUTHENTICATED };
        if !groups.iter().any(|group| group == SYSTEM_AUTHENTICATED || group == SYSTEM_UNAUTHENTICATED) {
            groups.push(own.to_owned());
        }
        UserInfo { name: self.name, uid: self.uid, groups, extra: self.extra.into_iter().collect() }
    }

    /// As Go prints the user, which the original shows.
    fn shown(&self) -> String {
        let list = |values: &[String]| {
            let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("[]string{{{}}}", quoted.join(", "))
        };
        let groups = if self.groups.is_empty() { "[]string(nil)".to_owned() } else { list(&self.groups) };
        let entries: Vec<String> =
            self.extra.iter().map(|(key, values)| format!("{}:{}", quoted(key), list(values))).collect();
        let extra = match entries.as_slice() {
            [] => "(nil)".to_owned(),
            entries => format!("{{{}}}", entries.join(", ")),
        };
        format!(
            "&user.DefaultInfo{{Name:{}, UID:{}, Groups:{groups}, Extra:map[string][]string{extra}}}",
            quoted(&self.name),
            quoted(&self.uid)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(headers: &[(&'static str, &'static str)]) -> Result<Option<Wanted>, ApiError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Wanted::read(&map)
    }

    fn user(headers: &[(&'static str, &'static str)]) -> UserInfo {
        read(headers).expect("valid").expect("named").user()
    }

    #[test]
    fn the_user_has_the_groups_it_would_have_had_itself() {
        assert_eq!(user(&[(USER, "alice")]).groups, ["system:authenticated"]);
        assert_eq!(
            user(&[(USER, "alice"), (GROUP, "a"), (GROUP, "b")]).groups,
            ["a", "b", "system:authenticated"]
        );
        assert_eq!(user(&[(USER, "system:anonymous")]).groups, ["system:unauthenticated"]);
        assert_eq!(
            user(&[(USER, "alice"), (GROUP, "system:unauthenticated")]).groups,
            ["system:unauthenticated"]
        );
        assert_eq!(
            user(&[(USER, "system:serviceaccount:ns:robot")]).groups,
            ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
        );
    }

    #[test]
    fn every_part_is_asked_for() {
        let wanted = read(&[
            (USER, "system:serviceaccount:ns:robot"),
            (UID, "7"),
            (GROUP, "g"),
            ("impersonate-extra-example.com%2fproject", "p"),
        ]);
        let wanted = wanted.expect("valid").expect("named");
        let asked: Vec<String> = wanted
            .attributes()
            .iter()
            .map(|it| format!("{}/{}/{}/{}/{}", it.group, it.resource, it.subresource, it.namespace, it.name))
            .collect();
        assert_eq!(
            asked,
            [
                "/serviceaccounts//ns/robot",
                "authentication.k8s.io/uids///7",
                "/groups///g",
                "authentication.k8s.io/userextras/example.com/project//p",
            ]
        );
    }

    #[test]
    fn parts_without_a_user_are_refused() {
        let Err(ApiError::BadRequest(message)) = read(&[(UID, "1"), ("impersonate-extra-scopes", "x")])
        else {
            panic!("not refused");
        };
        assert_eq!(
            message,
            "requested &user.DefaultInfo{Name:\"\", UID:\"1\", Groups:[]string(nil), \
             Extra:map[string][]string{\"scopes\":[]string{\"x\"}}} without impersonating a user name"
        );
        assert!(read(&[]).expect("valid").is_none());
    }
}
