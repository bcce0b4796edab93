//! Who may call, beside the generated admin.

use std::path::PathBuf;

use clap::{Arg, ArgMatches};

use super::{flag, text};

/// Further credentials.
#[derive(Clone, Debug)]
pub struct AuthenticationFlags {
    /// CSV of static bearer tokens.
    pub token_auth_file: Option<PathBuf>,
    /// Authorities whose client certificates are accepted beside the generated one.
    pub client_ca_file: Option<PathBuf>,
}

pub(super) fn flags() -> Vec<Arg> {
    vec![
        flag("token-auth-file", "FILE", "", "CSV of bearer tokens: token,user,uid,\"group1,group2\""),
        flag("client-ca-file", "FILE", "", "Authorities (PEM) whose client certificates name users"),
    ]
}

impl AuthenticationFlags {
    pub(super) fn read(matches: &ArgMatches) -> AuthenticationFlags {
        AuthenticationFlags {
            token_auth_file: text(matches, "token-auth-file").map(PathBuf::from),
            client_ca_file: text(matches, "client-ca-file").map(PathBuf::from),
        }
    }
}
