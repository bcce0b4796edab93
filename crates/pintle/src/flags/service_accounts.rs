//! Tokens of service accounts: who issues them, with which keys, for whom.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches};

use super::{FlagError, duration, flag, switch, text};

/// Tokens of service accounts.
#[derive(Clone, Debug)]
pub struct ServiceAccountFlags {
    /// Issuers whose tokens are accepted; the first is the one that issues.
    pub issuers: Vec<String>,
    /// Audiences of this server.
    pub audiences: Vec<String>,
    /// PEM files of further keys that verify tokens.
    pub key_files: Vec<PathBuf>,
    /// PEM file of the key that signs tokens; none: one is made and kept in the data folder.
    pub signing_key_file: Option<PathBuf>,
    /// Longest life of a token; none: as long as was asked for.
    pub max_token_expiration: Option<Duration>,
    /// Whether tokens of pods outlive the hour they are made for.
    pub extend_token_expiration: bool,
    /// Where the discovery document says the keys are; none: at this server.
    pub jwks_uri: Option<String>,
}

const ISSUER: &str = "service-account-issuer";
const AUDIENCES: &str = "api-audiences";
const KEY_FILE: &str = "service-account-key-file";
const SIGNING_KEY_FILE: &str = "service-account-signing-key-file";
const MAX_EXPIRATION: &str = "service-account-max-token-expiration";
const EXTEND_EXPIRATION: &str = "service-account-extend-token-expiration";
const JWKS_URI: &str = "service-account-jwks-uri";

pub(super) fn flags() -> Vec<Arg> {
    vec![
        list(ISSUER, "URL", "Issuer of tokens; given again, further issuers whose tokens are accepted")
            .default_value("https://kubernetes.default.svc"),
        flag(AUDIENCES, "NAME[,NAME]", "", "Audiences of this server; the issuers if not given"),
        list(KEY_FILE, "FILE", "Keys (PEM) that verify tokens beside the signing key; may be given again"),
        flag(
            SIGNING_KEY_FILE,
            "FILE",
            "",
            "Key (PEM) that signs tokens; made in the data folder if not given",
        ),
        flag(MAX_EXPIRATION, "DURATION", "0s", "Longest life of a token, from 1h on; 0: what is asked for"),
        switch(EXTEND_EXPIRATION, "true", "Let tokens of pods live a year, for programs that read them once"),
        flag(JWKS_URI, "URL", "", "Where the discovery document says the keys are"),
    ]
}

/// A flag that adds up when it is given again.
fn list(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help).num_args(1).action(ArgAction::Append)
}

impl ServiceAccountFlags {
    pub(super) fn read(matches: &ArgMatches) -> Result<ServiceAccountFlags, FlagError> {
        let issuers: Vec<String> = values(matches, ISSUER).collect();
        for issuer in &issuers {
            check_issuer(issuer)?;
        }
        if let Some(twice) = issuers.iter().enumerate().find(|(at, it)| issuers[..*at].contains(it)) {
            let message = format!("{:?} is given twice", twice.1);
            return Err(FlagError { flag: ISSUER, message });
        }
        let audiences: Vec<String> = text(matches, AUDIENCES)
            .map(|names| names.split(',').map(|name| name.trim().to_owned()).collect())
            .unwrap_or_else(|| issuers.clone());
        let jwks_uri = text(matches, JWKS_URI).map(str::to_owned);
        if jwks_uri.as_ref().is_some_and(|uri| !uri.starts_with("https://")) {
            let message =
                format!("{:?} must be a URL that begins with https://", jwks_uri.unwrap_or_default());
            return Err(FlagError { flag: JWKS_URI, message });
        }
        Ok(ServiceAccountFlags {
            issuers,
            audiences,
            key_files: values(matches, KEY_FILE).map(PathBuf::from).collect(),
            signing_key_file: text(matches, SIGNING_KEY_FILE).map(PathBuf::from),
            max_token_expiration: max_token_expiration(duration(matches, MAX_EXPIRATION)?)?,
            extend_token_expiration: matches.get_flag(EXTEND_EXPIRATION),
            jwks_uri,
        })
    }
}

fn values(matches: &ArgMatches, flag: &str) -> impl Iterator<Item = String> {
    let given = matches.get_many::<String>(flag).unwrap_or_default();
    given.filter(|value| !value.is_empty()).cloned().collect::<Vec<_>>().into_iter()
}

/// An issuer that holds a colon must be a URL (RFC 7519, StringOrURI).
fn check_issuer(issuer: &str) -> Result<(), FlagError> {
    let Some((scheme, _)) = issuer.split_once(':') else { return Ok(()) };
    let mut letters = scheme.chars();
    let good = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
        && !issuer.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    if !good {
        let message = format!("{issuer:?} contains a ':' but is no URL");
        return Err(FlagError { flag: ISSUER, message });
    }
    Ok(())
}

fn max_token_expiration(most: Duration) -> Result<Option<Duration>, FlagError> {
    const LEAST: Duration = Duration::from_secs(60 * 60);
    const MOST: Duration = Duration::from_secs(1 << 32);
    match most {
        Duration::ZERO => Ok(None),
        most if (LEAST..=MOST).contains(&most) => Ok(Some(most)),
        _ => {
            let message = "it must be between 1 hour and 2^32 seconds".to_owned();
            Err(FlagError { flag: MAX_EXPIRATION, message })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn issuers_and_keys_add_up_and_audiences_follow_the_issuers() {
        let flags = parse(&[]).expect("valid").service_accounts;
        assert_eq!(flags.issuers, ["https://kubernetes.default.svc"]);
        assert_eq!(flags.audiences, flags.issuers);
        let flags = parse(&[
            "--service-account-issuer=https://a",
            "--service-account-issuer=b",
            "--service-account-key-file=x",
            "--service-account-key-file=y",
        ]);
        let flags = flags.expect("valid").service_accounts;
        assert_eq!((flags.issuers.len(), flags.key_files.len()), (2, 2));
        assert_eq!(flags.audiences, ["https://a", "b"]);
        let flags = parse(&["--api-audiences=api, vault"]).expect("valid").service_accounts;
        assert_eq!(flags.audiences, ["api", "vault"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (flag, text) in [
            ("--service-account-max-token-expiration=59m", "between 1 hour and 2^32 seconds"),
            ("--service-account-jwks-uri=http://x", "https://"),
            ("--service-account-issuer=a b:c", "is no URL"),
        ] {
            let error = parse(&[flag]).expect_err("refused");
            let name = flag.split('=').next().expect("a name");
            assert!(error.starts_with(name) && error.contains(text), "{error}");
        }
    }
}
