//! Client certificates: the common name is the user, organisations are the groups.
//!
//! The TLS handshake only proves that the client holds the key; the chain is
//! verified here, because a certificate of a foreign authority is a wrong
//! credential (401), not a broken connection.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use environment::Clock;
use registry::UserInfo;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Authenticated, Authenticator, Credentials, InvalidCredential};

/// Verifies client certificates against a set of authorities.
pub struct ClientCertificates {
    verifier: Arc<dyn ClientCertVerifier>,
    clock: Arc<dyn Clock>,
}

/// Why the authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the client certificate authorities cannot be used: {0}")]
pub struct ClientCertificatesError(String);

impl ClientCertificates {
    /// Trusts certificates signed by `authorities` (DER), of which there must be at least one.
    pub fn new(
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
        clock: Arc<dyn Clock>,
    ) -> Result<ClientCertificates, ClientCertificatesError> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|error| ClientCertificatesError(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| ClientCertificatesError(error.to_string()))?;
        Ok(ClientCertificates { verifier, clock })
    }
}

#[async_trait]
impl Authenticator for ClientCertificates {
    async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
    ) -> Result<Option<Authenticated>, InvalidCredential> {
        let Some((leaf, intermediates)) = credentials.peer_certificates.split_first() else {
            return Ok(None);
        };
        let seconds = u64::try_from(self.clock.now().as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        self.verifier
            .verify_client_cert(leaf, intermediates, now)
            .map_err(|error| InvalidCredential(format!("client certificate: {error}")))?;
        user_of(leaf).map(|user| Some(user.into()))
    }
}

fn user_of(leaf: &CertificateDer<'_>) -> Result<UserInfo, InvalidCredential> {
    let (_, certificate) = X509Certificate::from_der(leaf)
        .map_err(|error| InvalidCredential(format!("client certificate: {error}")))?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().filter_map(|name| name.as_str().ok()).last().unwrap_or_default();
    if name.is_empty() {
        return Err(InvalidCredential("client certificate: the subject has no common name".into()));
    }
    let groups =
        subject.iter_organization().filter_map(|group| group.as_str().ok()).map(str::to_owned).collect();
    Ok(UserInfo { name: name.to_owned(), groups, ..UserInfo::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use rcgen::{
        BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    };

    fn authority() -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.der().clone(), Issuer::new(params, key))
    }

    fn client(issuer: &Issuer<'static, KeyPair>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "admin");
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        params.signed_by(&key, issuer).expect("a certificate").der().clone()
    }

    #[test]
    fn the_subject_names_user_and_groups_and_a_foreign_authority_is_refused() {
        let (ours, issuer) = authority();
        let (_, foreign) = authority();
        let authenticator =
            ClientCertificates::new([ours], environment::real::environment().clock).expect("usable");
        let ask = |chain: &[CertificateDer<'static>]| {
            block_on(
                authenticator
                    .authenticate(&Credentials { peer_certificates: chain, ..Credentials::default() }),
            )
        };
        let admin = ask(&[client(&issuer)]).expect("trusted").expect("known").user;
        assert_eq!(
            (admin.name.as_str(), admin.groups.as_slice()),
            ("admin", &["system:masters".to_owned()][..])
        );
        assert!(ask(&[client(&foreign)]).is_err());
        assert_eq!(ask(&[]), Ok(None));
    }
}
