//! Where data comes from and goes to, as the user names it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ArgMatches;
use environment::Environment;
use storage_etcd::{EtcdBackend, EtcdOptions};

use crate::backends::etcd_tls;
use crate::flags::EtcdFlags;

/// A store, or the file of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An etcd cluster, by its URLs.
    Etcd(Vec<String>),
    /// A data folder of a server.
    Folder(PathBuf),
    /// A snapshot.
    File(PathBuf),
}

impl Place {
    /// URLs with a scheme are etcd, separated by commas; a path is a data folder, or a snapshot if a file is there.
    pub fn parse(text: &str) -> anyhow::Result<Place> {
        if !text.contains("://") {
            if text.is_empty() {
                bail!("an empty place: name a data folder, a snapshot, or the URLs of an etcd cluster");
            }
            let path = PathBuf::from(text);
            return Ok(if path.is_file() { Place::File(path) } else { Place::Folder(path) });
        }
        let urls: Vec<String> = text.split(',').map(|url| url.trim().to_owned()).collect();
        let is_url = |url: &String| url.starts_with("http://") || url.starts_with("https://");
        match urls.iter().find(|url| !is_url(url)) {
            None => Ok(Place::Etcd(urls)),
            Some(url) => bail!("{url:?} is no URL of etcd: write it like https://host:2379"),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Etcd(urls) => write!(f, "etcd at {}", urls.join(", ")),
            Place::Folder(path) => write!(f, "the data folder {}", path.display()),
            Place::File(path) => write!(f, "the snapshot {}", path.display()),
        }
    }
}

/// An etcd cluster and the part of it that is meant.
pub struct EtcdPlace {
    /// The cluster.
    pub backend: EtcdBackend,
    /// Its id, which its URLs may change without.
    pub cluster: u64,
    /// All keys of the API server begin with it; ends with a slash.
    pub prefix: String,
}

impl EtcdPlace {
    /// Connects with the certificates and the prefix that the flags name.
    pub async fn open(
        environment: &Environment,
        urls: &[String],
        matches: &ArgMatches,
    ) -> anyhow::Result<EtcdPlace> {
        let path =
            |name: &str| matches.get_one::<String>(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        let identity_files = match (path("etcd-certfile"), path("etcd-keyfile")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => bail!("--etcd-certfile and --etcd-keyfile need each other"),
        };
        let flags =
            EtcdFlags { servers: urls.to_vec(), authorities_file: path("etcd-cafile"), identity_files };
        let options =
            EtcdOptions { endpoints: urls.to_vec(), tls: etcd_tls(&flags)?, ..EtcdOptions::default() };
        let backend = EtcdBackend::open(environment.clone(), options).await?;
        let cluster = backend
            .cluster_id()
            .await
            .with_context(|| format!("etcd at {} does not answer", urls.join(", ")))?;
        Ok(EtcdPlace { backend, cluster, prefix: prefix(matches) })
    }
}

/// `--etcd-prefix` with slashes around it.
pub fn prefix(matches: &ArgMatches) -> String {
    let prefix = matches.get_one::<String>("etcd-prefix").map_or("/registry", String::as_str);
    let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "/".to_owned() } else { format!("/{}/", parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_etcd_and_paths_are_folders_or_files() {
        let urls = vec!["https://a:2379".to_owned(), "http://b".to_owned()];
        assert_eq!(Place::parse("https://a:2379, http://b").unwrap(), Place::Etcd(urls));
        assert_eq!(Place::parse("some/folder").unwrap(), Place::Folder("some/folder".into()));
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(Place::parse(path).unwrap(), Place::File(path.into()));
        assert!(Place::parse("ftp://a").is_err());
        assert!(Place::parse("https://a,b").is_err());
        assert!(Place::parse("").is_err());
    }
}
