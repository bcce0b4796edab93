//! The minimal authorizer: `system:masters` may do everything, everybody may
//! ask for health and version, and everybody else nothing. Stands where RBAC
//! will stand beside it.

use async_trait::async_trait;
use registry::{AuthorizationAttributes, Authorizer, Decision};

use crate::SYSTEM_MASTERS;

/// Paths open to everybody, as the original's `system:public-info-viewer` has them.
const PUBLIC_PATHS: &[&str] = &["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// Allows `system:masters` everything and everybody the public paths.
pub struct SuperuserAuthorizer;

#[async_trait]
impl Authorizer for SuperuserAuthorizer {
    async fn authorize(&self, attributes: &AuthorizationAttributes<'_>) -> Decision {
        if attributes.user.groups.iter().any(|group| group == SYSTEM_MASTERS) {
            return Decision::Allow(format!("group {SYSTEM_MASTERS}"));
        }
        if !attributes.resource_request && attributes.verb == "get" && PUBLIC_PATHS.contains(&attributes.path)
        {
            return Decision::Allow("public path".to_owned());
        }
        Decision::NoOpinion(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use registry::UserInfo;

    fn decide(groups: &[&str], resource_request: bool, verb: &str, path: &str) -> bool {
        let user =
            UserInfo { groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..UserInfo::default() };
        let attributes = AuthorizationAttributes {
            user: &user,
            verb,
            resource_request,
            namespace: "",
            group: "",
            version: "v1",
            resource: "pods",
            subresource: "",
            name: "",
            path,
        };
        matches!(block_on(SuperuserAuthorizer.authorize(&attributes)), Decision::Allow(_))
    }

    #[test]
    fn masters_may_everything_and_others_only_look_at_health_and_version() {
        assert!(decide(&["system:masters"], true, "delete", ""));
        assert!(decide(&["system:unauthenticated"], false, "get", "/readyz"));
        assert!(!decide(&["system:unauthenticated"], false, "get", "/metrics"));
        assert!(!decide(&["system:unauthenticated"], false, "post", "/readyz"));
        assert!(!decide(&["system:authenticated"], true, "get", "/version"));
    }
}
