//! Asks a running server for a snapshot of its store, found and let in by the
//! kubeconfig of its data folder.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::SNAPSHOT_PATH;
use crate::data_folder::kubeconfig_below;

/// A snapshot that is coming in.
pub struct Download(Incoming);

impl Download {
    /// Begins a download from the server that uses a data folder.
    pub async fn begin(data_folder: &Path) -> anyhow::Result<Download> {
        let path = kubeconfig_below(data_folder);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("a server uses {}, but {} cannot be read", data_folder.display(), path.display())
        })?;
        let field = |name| {
            field(&text, name).with_context(|| format!("{} is no kubeconfig of a server", path.display()))
        };
        let address = field("server")?.trim_start_matches("https://").to_owned();
        let pem = |name| -> anyhow::Result<Vec<u8>> { Ok(STANDARD.decode(field(name)?)?) };
        let config = client_config(
            &pem("certificate-authority-data")?,
            &pem("client-certificate-data")?,
            &pem("client-key-data")?,
        )?;
        let response = get(&address, config, SNAPSHOT_PATH).await.with_context(|| {
            format!("a server uses {}, but does not answer at {address}", data_folder.display())
        })?;
        match response.status() {
            StatusCode::OK => Ok(Download(response.into_body())),
            StatusCode::NOT_FOUND => bail!(
                "the server at {address} keeps its objects in etcd: save them with etcdctl, or copy them with pintle copy --from URLS"
            ),
            status => bail!("the server at {address} gives no snapshot: {status}"),
        }
    }

    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let Some(frame) = self.0.frame().await else { return Ok(None) };
            if let Ok(bytes) = frame.context("the server broke off")?.into_data() {
                return Ok(Some(bytes));
            }
        }
    }
}

async fn get(address: &str, config: ClientConfig, path: &str) -> anyhow::Result<http::Response<Incoming>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned())?;
    let tcp = TcpStream::connect(address).await?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header(http::header::HOST, address).body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?)
}

fn client_config(authority: &[u8], certificate: &[u8], key: &[u8]) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>()?;
    Ok(config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?)
}

/// A value of a kubeconfig as the server writes it: one cluster, one user, all inline.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "clusters:\n- cluster:\n    server: https://a:1\n    server-x: b\n";
        assert_eq!(field(text, "server"), Some("https://a:1"));
        assert_eq!(field(text, "serv"), None);
    }
}
