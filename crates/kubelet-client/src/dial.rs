//! From a host and a port to a connected socket, with the texts Go has for
//! what goes wrong: clients see them in the answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use environment::Environment;
use futures::future::{Either, select};
use tokio::net::{TcpStream, lookup_host};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name stands for no address.
    #[error("dial tcp: {0}")]
    Lookup(LookupError),
    /// Nobody answers there. Holds the address and what happened.
    #[error("dial tcp {0}: {1}")]
    Connect(String, String),
}

/// A name that stands for no address.
#[derive(Debug, thiserror::Error)]
#[error("lookup {host}{server}: no such host")]
pub struct LookupError {
    host: String,
    /// The name server asked, as ` on address:port`, if it is known.
    server: String,
}

/// The addresses of a host, which may be an address itself.
pub async fn resolve(host: &str) -> Result<Vec<IpAddr>, LookupError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let found: Vec<IpAddr> = match lookup_host((host, 0)).await {
        Ok(found) => found.map(|address| address.ip()).collect(),
        Err(error) => {
            tracing::debug!(%error, host, "a name was not resolved");
            Vec::new()
        }
    };
    if found.is_empty() {
        return Err(LookupError { host: host.to_owned(), server: name_server() });
    }
    Ok(found)
}

/// Connects to the first address that answers. Gives up after `timeout`.
pub async fn dial(
    environment: &Environment,
    host: &str,
    port: u16,
    timeout: Duration,
) -> Result<TcpStream, DialError> {
    let addresses = resolve(host).await.map_err(DialError::Lookup)?;
    let late = environment.clock.sleep(timeout);
    let first = addresses.first().map(|ip| SocketAddr::new(*ip, port).to_string()).unwrap_or_default();
    match select(std::pin::pin!(connect(&addresses, port)), late).await {
        Either::Left((connected, _)) => connected,
        Either::Right(_) => Err(DialError::Connect(first, "i/o timeout".to_owned())),
    }
}

/// The error is that of the first address, as Go reports it.
async fn connect(addresses: &[IpAddr], port: u16) -> Result<TcpStream, DialError> {
    let mut failed = None;
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        match TcpStream::connect(address).await {
            Ok(stream) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, %address, "no TCP_NODELAY");
                }
                return Ok(stream);
            }
            Err(error) => {
                failed.get_or_insert(DialError::Connect(address.to_string(), go_text(&error)));
            }
        }
    }
    Err(failed.unwrap_or_else(|| DialError::Connect(String::new(), "missing address".to_owned())))
}

fn go_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        _ => format!("connect: {error}"),
    }
}

/// Go names the server it asked; the C library, which is asked here, asks the first of the file.
fn name_server() -> String {
    let Ok(configuration) = std::fs::read_to_string("/etc/resolv.conf") else { return String::new() };
    let server = configuration.lines().find_map(|line| line.trim().strip_prefix("nameserver"));
    let server = server.and_then(|server| server.trim().parse::<IpAddr>().ok());
    server.map(|server| format!(" on {}", SocketAddr::new(server, 53))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_port_is_told_as_go_tells_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let environment = environment::real::environment();
        let error = dial(&environment, "127.0.0.1", port, Duration::from_secs(5)).await.expect_err("closed");
        assert_eq!(error.to_string(), format!("dial tcp 127.0.0.1:{port}: connect: connection refused"));
    }

    #[tokio::test]
    async fn an_address_is_its_own_resolution() {
        let found = resolve("fd00::1").await.expect("an address");
        assert_eq!(found, ["fd00::1".parse::<IpAddr>().expect("an address")]);
    }
}
