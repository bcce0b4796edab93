//! How objects are encrypted in the store.

use std::path::PathBuf;

use clap::{Arg, ArgMatches};
use storage_encryption::EncryptionOptions;

use super::{FeatureFlags, FlagError, flag, switch, text};

/// Encryption at rest.
#[derive(Clone, Debug, Default)]
pub struct EncryptionFlags {
    /// What `--encryption-provider-config` says; without it objects are stored as they are.
    pub options: Option<EncryptionOptions>,
}

const CONFIG: &str = "encryption-provider-config";
const RELOAD: &str = "encryption-provider-config-automatic-reload";

pub(super) fn flags() -> Vec<Arg> {
    vec![
        flag(CONFIG, "FILE", "", "Configuration of encryption at rest: providers and keys by resource"),
        switch(RELOAD, "false", "Takes a changed --encryption-provider-config into use without a restart"),
    ]
}

impl EncryptionFlags {
    pub(super) fn read(matches: &ArgMatches, features: &FeatureFlags) -> Result<EncryptionFlags, FlagError> {
        let reload = matches.get_one(RELOAD).copied().unwrap_or_default();
        let Some(path) = text(matches, CONFIG).map(PathBuf::from) else {
            if reload {
                let message = format!("--{RELOAD} must be set with --{CONFIG}");
                return Err(FlagError { flag: RELOAD, message });
            }
            return Ok(EncryptionFlags::default());
        };
        Ok(EncryptionFlags { options: Some(EncryptionOptions { path, reload, kms_v1: features.kms_v1 }) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn a_file_turns_encryption_on_and_gates_reach_it() {
        assert!(parse(&[]).expect("valid").encryption.options.is_none());
        let args = [
            "--encryption-provider-config=e.yaml",
            "--encryption-provider-config-automatic-reload",
            "--feature-gates=KMSv1=true",
        ];
        let options = parse(&args).expect("valid").encryption.options.expect("there is a file");
        assert_eq!((options.path.to_str(), options.reload, options.kms_v1), (Some("e.yaml"), true, true));
        let options = parse(&args[..1]).expect("valid").encryption.options.expect("there is a file");
        assert!(!options.reload && !options.kms_v1);
    }

    #[test]
    fn reload_without_a_file_is_refused() {
        let error = parse(&["--encryption-provider-config-automatic-reload=true"]).expect_err("refused");
        let expected =
            "--encryption-provider-config-automatic-reload must be set with --encryption-provider-config";
        assert!(error.ends_with(expected), "{error}");
    }
}
