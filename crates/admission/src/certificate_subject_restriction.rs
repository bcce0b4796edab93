//! CertificateSubjectRestriction: nobody becomes `system:masters` by a
//! certificate of the API server's own client signer.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::ApiError;
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use crate::attributes::{concerns, forbidden};
use crate::certificate_signers::{GROUP, REQUESTS};

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const MASTERS: &str = "system:masters";

/// The plugin.
pub struct CertificateSubjectRestriction;

#[async_trait]
impl Admission for CertificateSubjectRestriction {
    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        if attributes.operation != Operation::Create || !concerns(context, GROUP, REQUESTS) {
            return Ok(());
        }
        let Some(request) = object.filter(|it| it.str_at(&["spec", "signerName"]) == Some(SIGNER)) else {
            return Ok(());
        };
        let refused = |text: String| Err(forbidden(context, attributes, request, text));
        match organizations(request.str_at(&["spec", "request"]).unwrap_or_default()) {
            Err(error) => refused(format!("failed to parse CSR: {error}")),
            Ok(groups) if groups.iter().any(|group| group == MASTERS) => {
                refused(format!("use of {SIGNER} signer with {MASTERS} group is not allowed"))
            }
            Ok(_) => Ok(()),
        }
    }
}

/// Organisations of the subject, which are a user's groups, from a request in PEM in base64.
fn organizations(request: &str) -> Result<Vec<String>, String> {
    const NO_PEM: &str = "PEM block type must be CERTIFICATE REQUEST";
    let pem = STANDARD.decode(request).map_err(|error| error.to_string())?;
    let block = Pem::iter_from_buffer(&pem).next().and_then(Result::ok);
    let block = block.filter(|block| block.label == "CERTIFICATE REQUEST").ok_or(NO_PEM)?;
    let (_, parsed) =
        X509CertificationRequest::from_der(&block.contents).map_err(|error| error.to_string())?;
    let subject = &parsed.certification_request_info.subject;
    subject
        .iter_organization()
        // A name that is no text may hide anything, so it must not pass for no name.
        .map(|name| name.as_str().map(str::to_owned).map_err(|error| error.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Request;

    // openssl req -new -newkey ed25519 -nodes -subj "/O=<group>/CN=dave"
    const OF_MASTERS: &str = "MIGnMFsCAQAwKDEXMBUGA1UECgwOc3lzdGVtOm1hc3RlcnMxDTALBgNVBAMMBGRhdmUwKjAFBgMrZXADIQBXM80lrO5xx6LMqOqJoW0WsI/zAajpHrepy2/vTcEeo6AAMAUGAytlcANBALp38entcznlxa9Rl0FXnFukoEmrjRSgPgRgr5upq80PWp7tpntV9WFHLXgnDo3UPVhZuvBzXywwyTetX7rn1ws=";
    const OF_DEVS: &str = "MIGdMFECAQAwHjENMAsGA1UECgwEZGV2czENMAsGA1UEAwwEZGF2ZTAqMAUGAytlcAMhAJVIAh34cNV04gpKPrW4a6SMcSHcq16ycrIQc17ojaOSoAAwBQYDK2VwA0EApc4767AwfSGayxI6DtN/ix2Eq2tyFxEPzjjfTXH8n/rHr5j8jYpRP/QqwybuUDEv7KInf93Lo82xjTSQh1vGAA==";

    async fn verdict(signer: &str, pem_lines: &str) -> Result<(), String> {
        let pem =
            format!("-----BEGIN CERTIFICATE REQUEST-----\n{pem_lines}\n-----END CERTIFICATE REQUEST-----\n");
        let json = format!(
            r#"{{"metadata":{{"name":"c"}},"spec":{{"signerName":"{signer}","request":"{}"}}}}"#,
            STANDARD.encode(pem)
        );
        let request = Request::create("certificatesigningrequests.certificates.k8s.io", &json);
        request.validate(&CertificateSubjectRestriction).await
    }

    #[tokio::test]
    async fn only_the_client_signer_makes_no_masters() {
        assert_eq!(
            verdict(SIGNER, OF_MASTERS).await,
            Err("certificatesigningrequests.certificates.k8s.io \"c\" is forbidden: use of \
                 kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
                .to_owned())
        );
        assert_eq!(verdict(SIGNER, OF_DEVS).await, Ok(()));
        assert_eq!(verdict("example.com/signer", OF_MASTERS).await, Ok(()));
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_read_is_refused() {
        for lines in ["bm90IGEgcmVxdWVzdA==", "%"] {
            let refusal = verdict(SIGNER, lines).await.expect_err("refused");
            assert!(refusal.contains("is forbidden: failed to parse CSR: "), "{refusal}");
        }
    }
}
