//! The data folder: where everything a server keeps has its place.
//!
//! ```text
//! <data-dir>/
//!   kubeconfig        for kubectl, as the admin
//!   admin.token       the admin's bearer token, for curl
//!   pki/              authority, serving certificate, admin certificate, key of tokens
//!   store/            the embedded store (its own format and version)
//! ```
//!
//! Secrets are readable by the owner only. Files are written beside their
//! place and renamed into it, so that a crash leaves none half written.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use environment::Environment;

use crate::certificates::{self, Identity, ServingNames};

/// An opened data folder.
pub struct DataFolder {
    path: PathBuf,
}

/// Who this folder's server and its admin are.
pub struct Credentials {
    /// Authority that signed both certificates.
    pub authority: Identity,
    /// What the server shows.
    pub serving: Identity,
    /// What the admin shows.
    pub admin: Identity,
    /// The admin's bearer token.
    pub admin_token: String,
}

impl DataFolder {
    /// Opens the folder, making it where it is missing.
    pub fn open(path: &Path) -> anyhow::Result<DataFolder> {
        let hint = || {
            format!(
                "cannot make the data folder {}: choose a folder you may write to with --data-dir",
                path.display()
            )
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(hint)?;
        let path = path.canonicalize().with_context(hint)?;
        Ok(DataFolder { path })
    }

    /// The folder itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the embedded store is.
    pub fn store(&self) -> PathBuf {
        store_below(&self.path)
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        kubeconfig_below(&self.path)
    }

    /// Where the key that signs tokens of service accounts is kept.
    pub fn service_account_key(&self) -> PathBuf {
        self.pki("service-account", "key")
    }

    /// The credentials of this folder; what is missing or about to expire is made.
    pub fn credentials(
        &self,
        environment: &Environment,
        names: &ServingNames,
    ) -> anyhow::Result<Credentials> {
        let now = environment.clock.now();
        let authority = match self.identity("ca")? {
            Some(authority) => authority,
            None => self.keep("ca", certificates::new_authority(now)?)?,
        };
        let serving = match self.identity("apiserver")? {
            Some(serving) if certificates::is_good(&serving.certificate_pem, Some(names), now) => serving,
            _ => self.keep("apiserver", certificates::new_serving(&authority, names, now)?)?,
        };
        let admin = match self.identity("admin")? {
            Some(admin) if certificates::is_good(&admin.certificate_pem, None, now) => admin,
            _ => {
                let groups = [auth::SYSTEM_MASTERS];
                self.keep("admin", certificates::new_client(&authority, "admin", &groups, now)?)?
            }
        };
        let token_path = self.path.join("admin.token");
        let admin_token = match read(&token_path)? {
            Some(token) => token.trim().to_owned(),
            None => {
                let mut secret = [0; 32];
                environment.random.fill(&mut secret);
                let token = URL_SAFE_NO_PAD.encode(secret);
                write_secret(&token_path, &format!("{token}\n"))?;
                token
            }
        };
        Ok(Credentials { authority, serving, admin, admin_token })
    }

    /// Writes the kubeconfig for a server at `address`.
    pub fn write_kubeconfig(
        &self,
        credentials: &Credentials,
        address: SocketAddr,
    ) -> anyhow::Result<PathBuf> {
        let path = self.kubeconfig();
        let text = kubeconfig(credentials, address);
        if read(&path)?.as_deref() != Some(text.as_str()) {
            write_secret(&path, &text)?;
        }
        Ok(path)
    }

    fn identity(&self, name: &str) -> anyhow::Result<Option<Identity>> {
        let certificate = read(&self.pki(name, "crt"))?;
        let key = read(&self.pki(name, "key"))?;
        Ok(certificate.zip(key).map(|(certificate_pem, key_pem)| Identity { certificate_pem, key_pem }))
    }

    fn keep(&self, name: &str, identity: Identity) -> anyhow::Result<Identity> {
        let folder = self.path.join("pki");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        // The key goes first: a certificate without its key would be taken for a whole identity.
        write_secret(&self.pki(name, "key"), &identity.key_pem)?;
        write_secret(&self.pki(name, "crt"), &identity.certificate_pem)?;
        Ok(identity)
    }

    fn pki(&self, name: &str, extension: &str) -> PathBuf {
        self.path.join("pki").join(format!("{name}.{extension}"))
    }
}

/// Where the embedded store is in a data folder.
pub fn store_below(data_folder: &Path) -> PathBuf {
    data_folder.join("store")
}

/// Where the kubeconfig is in a data folder.
pub fn kubeconfig_below(data_folder: &Path) -> PathBuf {
    data_folder.join("kubeconfig")
}

/// A kubeconfig with everything inside, so that the file can be copied away.
fn kubeconfig(credentials: &Credentials, address: SocketAddr) -> String {
    let data = |pem: &str| STANDARD.encode(pem);
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: pintle
  cluster:
    server: https://{address}
    certificate-authority-data: {authority}
users:
- name: pintle-admin
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: pintle
  context:
    cluster: pintle
    user: pintle-admin
current-context: pintle
",
        authority = data(&credentials.authority.certificate_pem),
        certificate = data(&credentials.admin.certificate_pem),
        key = data(&credentials.admin.key_pem),
    )
}

/// The text of a file; none if there is no such file.
pub fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_added_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| {
        format!(
            "cannot write {}: check its permissions, or choose another folder with --data-dir",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn a_second_start_finds_the_same_credentials() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = environment::real::environment();
        let names = ServingNames::new(IpAddr::from([127, 0, 0, 1]), None);
        let open = || {
            DataFolder::open(folder.path()).expect("opens").credentials(&environment, &names).expect("made")
        };
        let (first, second) = (open(), open());
        assert_eq!(first.admin_token, second.admin_token);
        assert_eq!(first.serving.certificate_pem, second.serving.certificate_pem);
        assert_eq!(first.admin.key_pem, second.admin.key_pem);
    }

    #[test]
    fn a_new_address_gets_a_new_serving_certificate_of_the_same_authority() {
        let folder = tempfile::tempdir().expect("a folder");
        let environment = environment::real::environment();
        let open = |address: [u8; 4]| {
            let names = ServingNames::new(IpAddr::from(address), None);
            DataFolder::open(folder.path()).expect("opens").credentials(&environment, &names).expect("made")
        };
        let (first, second) = (open([127, 0, 0, 1]), open([192, 0, 2, 1]));
        assert_ne!(first.serving.certificate_pem, second.serving.certificate_pem);
        assert_eq!(first.authority.certificate_pem, second.authority.certificate_pem);
    }
}
