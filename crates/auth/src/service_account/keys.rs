//! Keys that sign tokens and keys that verify them, as PEM files hold them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, ParsedPublicKey, RsaKeyPair, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file holds no key at all.
    #[error("there is no {0} in it; it must be PEM")]
    Missing(&'static str),
    /// The file is not PEM.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// The key is damaged or of a kind tokens cannot be signed with.
    #[error("a key is damaged or of another kind than RSA (2048 bits and more) and EC P-256, P-384, P-521")]
    Unusable,
}

/// The signature algorithms of tokens, which the kind of the key decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Algorithm {
    /// As JWS names it.
    name: &'static str,
    /// As JWK names the curve; empty for RSA.
    curve: &'static str,
    /// Bytes of one coordinate; 0 for RSA.
    coordinate_bytes: usize,
}

const RS256: Algorithm = Algorithm { name: "RS256", curve: "", coordinate_bytes: 0 };
const ES256: Algorithm = Algorithm { name: "ES256", curve: "P-256", coordinate_bytes: 32 };
const ES384: Algorithm = Algorithm { name: "ES384", curve: "P-384", coordinate_bytes: 48 };
const ES512: Algorithm = Algorithm { name: "ES512", curve: "P-521", coordinate_bytes: 66 };

impl Algorithm {
    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self.curve {
            "P-256" => &signature::ECDSA_P256_SHA256_FIXED,
            "P-384" => &signature::ECDSA_P384_SHA384_FIXED,
            "P-521" => &signature::ECDSA_P521_SHA512_FIXED,
            _ => &signature::RSA_PKCS1_2048_8192_SHA256,
        }
    }
}

/// A key that signs tokens.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

impl SigningKey {
    /// Reads the first private key of a PEM text: PKCS#8, or the traditional forms of RSA and EC.
    pub fn from_pem(text: &str) -> Result<SigningKey, KeyError> {
        for block in blocks(text)? {
            match block.label.as_str() {
                "PRIVATE KEY" => return SigningKey::from_pkcs8(&block.contents),
                "RSA PRIVATE KEY" => {
                    return SigningKey::rsa(RsaKeyPair::from_der(&block.contents));
                }
                "EC PRIVATE KEY" => return SigningKey::from_sec1(&block.contents),
                _ => {}
            }
        }
        Err(KeyError::Missing("private key"))
    }

    /// Reads a PKCS#8 key.
    pub fn from_pkcs8(der: &[u8]) -> Result<SigningKey, KeyError> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            return SigningKey::rsa(Ok::<_, KeyError>(pair));
        }
        curves()
            .into_iter()
            .find_map(|curve| EcdsaKeyPair::from_pkcs8(curve, der).ok())
            .ok_or(KeyError::Unusable)
            .and_then(SigningKey::ec)
    }

    /// The half everybody may know.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut out)
                    .map_err(|_| KeyError::Unusable)?;
                Ok(out)
            }
            Pair::Ec(pair) => {
                let signed = pair.sign(&random, message).map_err(|_| KeyError::Unusable)?;
                Ok(signed.as_ref().to_vec())
            }
        }
    }

    fn from_sec1(der: &[u8]) -> Result<SigningKey, KeyError> {
        curves()
            .into_iter()
            .find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok())
            .ok_or(KeyError::Unusable)
            .and_then(SigningKey::ec)
    }

    fn rsa<E>(pair: Result<RsaKeyPair, E>) -> Result<SigningKey, KeyError> {
        let pair = pair.map_err(|_| KeyError::Unusable)?;
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Unusable)?;
        let public = PublicKey::from_spki(der.as_ref())?;
        Ok(SigningKey { pair: Pair::Rsa(pair), public })
    }

    fn ec(pair: EcdsaKeyPair) -> Result<SigningKey, KeyError> {
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Unusable)?;
        let public = PublicKey::from_spki(der.as_ref())?;
        Ok(SigningKey { pair: Pair::Ec(pair), public })
    }
}

/// A key that verifies tokens.
pub struct PublicKey {
    id: String,
    algorithm: Algorithm,
    key: ParsedPublicKey,
    jwk: Json,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    fn from_spki(der: &[u8]) -> Result<PublicKey, KeyError> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Unusable)?;
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, der));
        let (algorithm, jwk) = match info.parsed().map_err(|_| KeyError::Unusable)? {
            Parsed::RSA(key) => (RS256, rsa_jwk(&id, key.modulus, key.exponent)),
            Parsed::EC(point) => {
                let (algorithm, x, y) = coordinates(point.data())?;
                (algorithm, ec_jwk(&id, algorithm, x, y))
            }
            _ => return Err(KeyError::Unusable),
        };
        let key = ParsedPublicKey::new(algorithm.verification(), der).map_err(|_| KeyError::Unusable)?;
        Ok(PublicKey { id, algorithm, key, jwk })
    }

    /// Its id: the digest of the key, as the original computes it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Algorithm of its signatures, e.g. `RS256`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name
    }

    /// The key as a JSON Web Key.
    pub fn jwk(&self) -> &Json {
        &self.jwk
    }

    /// True if `signature` is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// The public keys of a PEM text: public keys, certificates, and the public halves of private keys.
pub fn public_keys(text: &str) -> Result<Vec<PublicKey>, KeyError> {
    let mut keys = Vec::new();
    for block in blocks(text)? {
        let contents = block.contents.as_slice();
        match block.label.as_str() {
            "PUBLIC KEY" => keys.push(PublicKey::from_spki(contents)?),
            "CERTIFICATE" => {
                let (_, certificate) = X509Certificate::from_der(contents).map_err(|_| KeyError::Unusable)?;
                keys.push(PublicKey::from_spki(certificate.public_key().raw)?);
            }
            "PRIVATE KEY" => keys.push(SigningKey::from_pkcs8(contents)?.public),
            "RSA PRIVATE KEY" => keys.push(SigningKey::rsa(RsaKeyPair::from_der(contents))?.public),
            "EC PRIVATE KEY" => keys.push(SigningKey::from_sec1(contents)?.public),
            // Such as the parameters that openssl writes before an EC key.
            _ => {}
        }
    }
    if keys.is_empty() { Err(KeyError::Missing("key")) } else { Ok(keys) }
}

fn blocks(text: &str) -> Result<Vec<Pem>, KeyError> {
    Pem::iter_from_buffer(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| KeyError::Pem(error.to_string()))
}

fn curves() -> [&'static EcdsaSigningAlgorithm; 3] {
    [
        &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
    ]
}

/// The halves of an uncompressed point, whose length tells its curve.
fn coordinates(point: &[u8]) -> Result<(Algorithm, &[u8], &[u8]), KeyError> {
    let [4, halves @ ..] = point else { return Err(KeyError::Unusable) };
    let found = [ES256, ES384, ES512].into_iter().find(|it| it.coordinate_bytes * 2 == halves.len());
    let algorithm = found.ok_or(KeyError::Unusable)?;
    let (x, y) = halves.split_at(algorithm.coordinate_bytes);
    Ok((algorithm, x, y))
}

fn rsa_jwk(id: &str, modulus: &[u8], exponent: &[u8]) -> Json {
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        URL_SAFE_NO_PAD.encode(&bytes[zeros..])
    };
    json!({"use": "sig", "kty": "RSA", "kid": id, "alg": RS256.name, "n": number(modulus), "e": number(exponent)})
}

fn ec_jwk(id: &str, algorithm: Algorithm, x: &[u8], y: &[u8]) -> Json {
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    json!({"use": "sig", "kty": "EC", "kid": id, "crv": algorithm.curve, "alg": algorithm.name, "x": x, "y": y})
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::KeyPair as Generated;

    #[test]
    fn every_kind_of_key_signs_what_its_public_half_verifies() {
        let kinds = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, "ES256"),
            (&rcgen::PKCS_ECDSA_P384_SHA384, "ES384"),
            (&rcgen::PKCS_ECDSA_P521_SHA512, "ES512"),
            (&rcgen::PKCS_RSA_SHA256, "RS256"),
        ];
        for (kind, algorithm) in kinds {
            let pem = Generated::generate_for(kind).expect("a key").serialize_pem();
            let key = SigningKey::from_pem(&pem).expect("usable");
            assert_eq!(key.public().algorithm(), algorithm);
            let signature = key.sign(b"message").expect("signed");
            let public = public_keys(&pem).expect("its public half").remove(0);
            assert_eq!(public.id(), key.public().id());
            assert!(public.verifies(b"message", &signature), "{algorithm}");
            assert!(!public.verifies(b"massage", &signature), "{algorithm}");
        }
    }

    #[test]
    fn a_public_key_is_read_from_a_certificate_and_from_its_own_pem() {
        let pair = Generated::generate().expect("a key");
        let certificate = rcgen::CertificateParams::default().self_signed(&pair).expect("a certificate");
        let text = format!("{}{}", certificate.pem(), pair.public_key_pem());
        let keys = public_keys(&text).expect("two keys");
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].id(), keys[1].id());
        assert_eq!(keys[0].jwk()["crv"], "P-256");
    }

    #[test]
    fn what_holds_no_key_says_so() {
        let refused = |text| SigningKey::from_pem(text).err().expect("refused").to_string();
        assert_eq!(refused(""), "there is no private key in it; it must be PEM");
        let damaged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(refused(damaged).starts_with("a key is damaged"));
    }
}
