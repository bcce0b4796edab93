//! Static bearer tokens: `--token-auth-file`, and the generated admin's.
//!
//! The file is CSV without a header: `token,user,uid` and optionally
//! `"group1,group2"`. Tokens are compared by digest, so that the time a
//! comparison takes tells nothing about them.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use registry::UserInfo;

use crate::{Authenticated, Authenticator, Credentials, InvalidCredential};

/// Users by the digest of their token.
#[derive(Debug, Default)]
pub struct TokenFile {
    users: HashMap<[u8; 32], UserInfo>,
}

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// Not readable as CSV.
    #[error("line {line} is not CSV: {message}")]
    Csv {
        /// Line, counted from 1; 0 if not known.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// Too few columns.
    #[error("line {line} has {columns} columns; it needs at least 3: token, user name, user uid")]
    Columns {
        /// Line, counted from 1.
        line: u64,
        /// Columns found.
        columns: usize,
    },
    /// Token or user is missing.
    #[error("line {line}: the {what} is empty")]
    Empty {
        /// Line, counted from 1.
        line: u64,
        /// What is missing.
        what: &'static str,
    },
}

impl TokenFile {
    /// Reads the text of a token file. Of a token that stands twice the last line counts.
    pub fn parse(text: &str) -> Result<TokenFile, TokenFileError> {
        let mut file = TokenFile::default();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        for record in reader.records() {
            let record = record.map_err(|error| TokenFileError::Csv {
                line: error.position().map_or(0, csv::Position::line),
                message: error.to_string(),
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() < 3 {
                return Err(TokenFileError::Columns { line, columns: record.len() });
            }
            for (column, what) in [(0, "token"), (1, "user name")] {
                if record[column].is_empty() {
                    return Err(TokenFileError::Empty { line, what });
                }
            }
            let groups =
                record.get(3).unwrap_or_default().split(',').map(str::trim).filter(|g| !g.is_empty());
            let user = UserInfo {
                name: record[1].to_owned(),
                uid: record[2].to_owned(),
                groups: groups.map(str::to_owned).collect(),
                ..UserInfo::default()
            };
            file.insert(&record[0], user);
        }
        Ok(file)
    }

    /// Adds a user with a token.
    pub fn insert(&mut self, token: &str, user: UserInfo) {
        self.users.insert(hash(token), user);
    }
}

#[async_trait]
impl Authenticator for TokenFile {
    async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
    ) -> Result<Option<Authenticated>, InvalidCredential> {
        Ok(credentials
            .bearer_token()
            .and_then(|token| self.users.get(&hash(token)))
            .cloned()
            .map(Authenticated::from))
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn a_token_names_its_user_and_groups() {
        let file = TokenFile::parse("t1,alice,1,\"dev,ops\"\nt2,bob,2\n").expect("a good file");
        let ask = |header| {
            block_on(
                file.authenticate(&Credentials { authorization: Some(header), ..Credentials::default() }),
            )
        };
        let alice = ask("Bearer t1").expect("no error").expect("known").user;
        assert_eq!(
            (alice.name.as_str(), alice.uid.as_str(), alice.groups.join("+").as_str()),
            ("alice", "1", "dev+ops")
        );
        assert_eq!(ask("bearer t2").expect("no error").expect("known").user.groups, Vec::<String>::new());
        assert_eq!(ask("Bearer t3"), Ok(None));
    }

    #[test]
    fn a_broken_line_is_named() {
        let message = |text: &str| TokenFile::parse(text).map(drop).expect_err("refused").to_string();
        assert_eq!(message("a,b\n"), "line 1 has 2 columns; it needs at least 3: token, user name, user uid");
        assert_eq!(message("a,b,c\n,b,c\n"), "line 2: the token is empty");
        assert_eq!(message("a,,c\n"), "line 1: the user name is empty");
    }
}
