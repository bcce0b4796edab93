//! The certificates of a data folder: its authority, the serving certificate
//! and the admin's client certificate.
//!
//! The authority is made once and kept. The two certificates are made from it
//! whenever they are missing, about to expire, or (serving) lack a name that
//! clients may use, so that an old folder starts without anybody's help.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// An authority outlives the folder.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(100 * 365 * DAY.as_secs());
/// Serving and client certificates are renewed at a start within a month of their end.
const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(3 * 365 * DAY.as_secs());
const RENEW_BEFORE_END: Duration = Duration::from_secs(30 * DAY.as_secs());
/// Clients whose clock is a little behind must not find a certificate of the future.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// Certificate.
    pub certificate_pem: String,
    /// PKCS#8 key.
    pub key_pem: String,
}

/// Names and addresses a serving certificate must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingNames {
    /// DNS names.
    pub dns: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

impl ServingNames {
    /// What clients inside and outside a cluster call the server, and the address it is bound to.
    pub fn new(bind: IpAddr, host: Option<String>) -> ServingNames {
        const CLUSTER: [&str; 5] = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let mut dns: Vec<String> = CLUSTER.map(str::to_owned).to_vec();
        dns.extend(host.filter(|host| !host.is_empty() && host != "localhost"));
        let mut addresses = vec![
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
            IpAddr::from([10, 0, 0, 1]),
        ];
        if !bind.is_unspecified() && !addresses.contains(&bind) {
            addresses.push(bind);
        }
        ServingNames { dns, addresses }
    }
}

/// Makes a self-signed authority.
pub fn new_authority(now: Timestamp) -> anyhow::Result<Identity> {
    let key = KeyPair::generate()?;
    let mut params = params("pintle-ca", &[], now, AUTHORITY_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let certificate = params.self_signed(&key)?;
    Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

/// Makes a serving certificate.
pub fn new_serving(authority: &Identity, names: &ServingNames, now: Timestamp) -> anyhow::Result<Identity> {
    let mut params = params("kube-apiserver", &[], now, CERTIFICATE_LIFETIME)?;
    for name in &names.dns {
        params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    params.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    signed(authority, params)
}

/// Makes a client certificate for a user with groups.
pub fn new_client(
    authority: &Identity,
    user: &str,
    groups: &[&str],
    now: Timestamp,
) -> anyhow::Result<Identity> {
    let mut params = params(user, groups, now, CERTIFICATE_LIFETIME)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    signed(authority, params)
}

/// True if the certificate is good for a while yet and, with `names`, holds all of them.
pub fn is_good(certificate_pem: &str, names: Option<&ServingNames>, now: Timestamp) -> bool {
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes()) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&pem.contents) else { return false };
    let renew_at = certificate.validity().not_after.timestamp() - RENEW_BEFORE_END.as_secs() as i64;
    now.as_second() < renew_at && names.is_none_or(|names| holds(&certificate, names))
}

fn holds(certificate: &X509Certificate<'_>, names: &ServingNames) -> bool {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return false };
    let held = &extension.value.general_names;
    names.dns.iter().all(|dns| held.contains(&GeneralName::DNSName(dns)))
        && names.addresses.iter().all(|address| {
            held.iter().any(|name| match (name, address) {
                (GeneralName::IPAddress(bytes), IpAddr::V4(v4)) => *bytes == v4.octets(),
                (GeneralName::IPAddress(bytes), IpAddr::V6(v6)) => *bytes == v6.octets(),
                _ => false,
            })
        })
}

fn params(
    user: &str,
    groups: &[&str],
    now: Timestamp,
    lifetime: Duration,
) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.distinguished_name.push(DnType::CommonName, user);
    let seconds = |time: Timestamp| time::OffsetDateTime::from_unix_timestamp(time.as_second());
    params.not_before = seconds(now.saturating_sub(CLOCK_SKEW)?)?;
    params.not_after = seconds(now.saturating_add(lifetime)?)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn signed(authority: &Identity, params: CertificateParams) -> anyhow::Result<Identity> {
    let key = KeyPair::from_pem(&authority.key_pem).context("the authority's key is not a PKCS#8 key")?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate_pem, key)
        .context("the authority's certificate is not a certificate")?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?;
    Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("in range")
    }

    #[test]
    fn a_serving_certificate_is_good_until_it_nears_its_end_or_lacks_a_name() {
        let authority = new_authority(now()).expect("an authority");
        let names = ServingNames::new(IpAddr::from([192, 0, 2, 7]), Some("host-a".into()));
        let serving = new_serving(&authority, &names, now()).expect("a certificate");
        assert!(is_good(&serving.certificate_pem, Some(&names), now()));
        let other = ServingNames::new(IpAddr::from([192, 0, 2, 8]), None);
        assert!(!is_good(&serving.certificate_pem, Some(&other), now()));
        let late = now() + CERTIFICATE_LIFETIME - RENEW_BEFORE_END;
        assert!(!is_good(&serving.certificate_pem, Some(&names), late));
    }

    #[test]
    fn what_is_no_certificate_is_not_good() {
        assert!(!is_good("garbage", None, now()));
    }
}
