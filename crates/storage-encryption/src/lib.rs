//! Encryption at rest: what `--encryption-provider-config` names.
mod aes;
mod cipher;
pub mod config;
mod kms;
mod prefix;
mod resource;
mod secretbox;
