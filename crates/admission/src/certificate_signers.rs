//! CertificateApproval and CertificateSigning: who approves or signs a request
//! must be allowed to for its signer, by name or for all of its domain.

use async_trait::async_trait;
use meta::ApiError;
use registry::{
    Admission, AdmissionAttributes, AuthorizationAttributes, Decision, Operation, RequestContext,
};
use schema::Value;

use crate::attributes::{concerns_part, forbidden};

/// Group of the certificate resources.
pub(crate) const GROUP: &str = "certificates.k8s.io";
/// Requests for certificates.
pub(crate) const REQUESTS: &str = "certificatesigningrequests";

/// The plugin that guards `approval`.
pub struct CertificateApproval;

#[async_trait]
impl Admission for CertificateApproval {
    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        match updated(context, attributes, "approval") {
            Some(old) => demand(context, attributes, object, "approve", old).await,
            None => Ok(()),
        }
    }
}

/// The plugin that guards certificate and conditions in `status`.
pub struct CertificateSigning;

#[async_trait]
impl Admission for CertificateSigning {
    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        match updated(context, attributes, "status") {
            Some(old) if object.is_some_and(|new| is_signed_differently(new, old)) => {
                demand(context, attributes, object, "sign", old).await
            }
            _ => Ok(()),
        }
    }
}

/// The request for a certificate as it was, if this is an update of the subresource.
fn updated<'a>(
    context: &RequestContext,
    attributes: &AdmissionAttributes<'a>,
    subresource: &str,
) -> Option<&'a Value> {
    let concerned =
        attributes.operation == Operation::Update && concerns_part(context, GROUP, REQUESTS, subresource);
    attributes.old.filter(|_| concerned)
}

fn is_signed_differently(new: &Value, old: &Value) -> bool {
    let text = |object: &Value| object.str_at(&["status", "certificate"]).unwrap_or_default().to_owned();
    text(new) != text(old) || new.list_at(&["status", "conditions"]) != old.list_at(&["status", "conditions"])
}

/// The signer is that of the old object: nobody approves by naming another signer.
async fn demand(
    context: &RequestContext,
    attributes: &AdmissionAttributes<'_>,
    object: Option<&Value>,
    verb: &str,
    old: &Value,
) -> Result<(), ApiError> {
    let signer = old.str_at(&["spec", "signerName"]).unwrap_or_default();
    let domain = signer.split('/').next().unwrap_or_default();
    if may(context, verb, signer).await || may(context, verb, &format!("{domain}/*")).await {
        return Ok(());
    }
    let text =
        format!("user not permitted to {verb} requests with signerName {}", meta::field::quoted(signer));
    Err(forbidden(context, attributes, object, text))
}

async fn may(context: &RequestContext, verb: &str, signer: &str) -> bool {
    let asked = AuthorizationAttributes {
        user: &context.user,
        verb,
        resource_request: true,
        namespace: "",
        group: GROUP,
        version: "*",
        resource: "signers",
        subresource: "",
        name: signer,
        path: "",
    };
    matches!(context.authorizer.authorize(&asked).await, Decision::Allow(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Request;

    const OLD: &str = r#"{"metadata":{"name":"c"},"spec":{"signerName":"a.b/c"}}"#;
    const NEW: &str = r#"{"metadata":{"name":"c"},"spec":{"signerName":"mine.x/y"},"status":{"conditions":[{"type":"Approved"}]}}"#;

    fn update(subresource: &str, new: &str) -> Request {
        Request::update(&format!("certificatesigningrequests.certificates.k8s.io/{subresource}"), new, OLD)
    }

    #[tokio::test]
    async fn approval_needs_permission_for_the_old_signer_or_its_domain() {
        let refusal =
            Err("certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: user not permitted to \
                           approve requests with signerName \"a.b/c\""
                .to_owned());
        for (allowed, expected) in [
            (&[][..], refusal.clone()),
            (&[("sign", "a.b/c"), ("approve", "mine.x/y")], refusal),
            (&[("approve", "a.b/c")], Ok(())),
            (&[("approve", "a.b/*")], Ok(())),
        ] {
            let verdict = update("approval", NEW).allowed(allowed).validate(&CertificateApproval).await;
            assert_eq!(verdict, expected, "{allowed:?}");
        }
        assert_eq!(update("status", NEW).validate(&CertificateApproval).await, Ok(()));
    }

    #[tokio::test]
    async fn signing_needs_permission_only_when_certificate_or_conditions_change() {
        let refused = update("status", NEW).validate(&CertificateSigning).await.expect_err("refused");
        assert!(refused.ends_with("user not permitted to sign requests with signerName \"a.b/c\""));
        let signed = update("status", NEW).allowed(&[("sign", "a.b/*")]);
        assert_eq!(signed.validate(&CertificateSigning).await, Ok(()));
        let untouched = update("status", r#"{"metadata":{"name":"c","labels":{"a":"b"}},"status":{}}"#);
        assert_eq!(untouched.validate(&CertificateSigning).await, Ok(()));
        assert_eq!(update("approval", NEW).validate(&CertificateSigning).await, Ok(()));
    }
}
