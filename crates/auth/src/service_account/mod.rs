//! Tokens of service accounts: keys, issuing, and judging them (KEP-1205).
//!
//! A token is a JWS in compact form. It is written and verified here with the
//! primitives of `aws-lc-rs`: three base64 parts are not worth a library that
//! knows neither ES512 nor the traditional form of EC keys, both of which the
//! original reads.

mod authenticator;
mod claims;
mod issuer;
mod keys;
mod keyset;

pub use authenticator::{BoundObject, BoundObjects, ServiceAccountTokens, TokenObject};
pub use claims::{KubernetesClaims, Reference};
pub use issuer::{TokenIssuer, TokenSubject};
pub use keys::{KeyError, PublicKey, SigningKey, public_keys};
pub use keyset::{KeyMaker, Keyset};

/// User of the account `name` in `namespace`.
pub fn user_name(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}
