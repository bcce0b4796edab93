//! What a token says, in the order and form the original writes it.

use serde::{Deserialize, Serialize};

/// All claims of a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Claims {
    /// For whom; read as one text too.
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// End, in seconds since 1970.
    pub exp: Option<i64>,
    /// Time of issue.
    pub iat: Option<i64>,
    /// Who issued it.
    pub iss: String,
    /// Its id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// What Kubernetes says about it.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: KubernetesClaims,
    /// Begin.
    pub nbf: Option<i64>,
    /// User name of the account.
    pub sub: String,
}

/// Claim `kubernetes.io`: the account and what the token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubernetesClaims {
    /// Namespace of the account and of what it is bound to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Node it is bound to, or the node of its pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// Pod it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// Secret it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The account.
    pub serviceaccount: Reference,
    /// When the client should have fetched a new one, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// An object by name and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reference {
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Uid; empty if the object was not there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// Header of a token.
#[derive(Serialize, Deserialize)]
pub(super) struct Header {
    /// Algorithm of the signature.
    pub alg: String,
    /// Id of the key.
    #[serde(default)]
    pub kid: String,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}
