//! Address, port, TLS and deadlines.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgMatches};

use super::{FlagError, duration, flag, number, text};

/// Where and how the server listens.
#[derive(Clone, Debug)]
pub struct ServingFlags {
    /// Address to listen on. Unlike the original's default this is loopback:
    /// a server started without a thought must not be open to the network.
    pub bind_address: IpAddr,
    /// Address that others reach the server at, if it is another.
    pub advertise_address: Option<IpAddr>,
    /// Port; 0 is any free one.
    pub secure_port: u16,
    /// Certificate and key to show instead of the generated ones.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Deadline of requests that are not watches.
    pub request_timeout: Duration,
    /// Least lifetime of a watch that names none; the server picks up to twice that.
    pub min_request_timeout: Duration,
}

pub(super) fn flags() -> Vec<Arg> {
    vec![
        flag("bind-address", "IP", "127.0.0.1", "Address to listen on; 0.0.0.0 for all"),
        flag(
            "advertise-address",
            "IP",
            "",
            "Address told to the cluster as the server's; without it the one listened on",
        ),
        flag("secure-port", "PORT", "6443", "HTTPS port; 0 takes any free port and prints it"),
        flag(
            "tls-cert-file",
            "FILE",
            "",
            "Serving certificate (PEM, chain allowed) instead of the generated one",
        ),
        flag("tls-private-key-file", "FILE", "", "Key of --tls-cert-file (PEM)"),
        flag("request-timeout", "DURATION", "1m0s", "Deadline of a request that is not a watch"),
        flag(
            "min-request-timeout",
            "SECONDS",
            "1800",
            "Least lifetime of a watch that does not name its own",
        ),
    ]
}

impl ServingFlags {
    pub(super) fn read(matches: &ArgMatches) -> Result<ServingFlags, FlagError> {
        let tls = match (text(matches, "tls-cert-file"), text(matches, "tls-private-key-file")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            _ => {
                let message =
                    "--tls-cert-file and --tls-private-key-file go together; give both or neither".to_owned();
                return Err(FlagError { flag: "tls-cert-file", message });
            }
        };
        let advertise_address = match text(matches, "advertise-address") {
            None => None,
            Some(_) => Some(number(matches, "advertise-address", "IP address")?),
        };
        let request_timeout = duration(matches, "request-timeout")?;
        if request_timeout.is_zero() {
            return Err(FlagError { flag: "request-timeout", message: "must be more than 0".to_owned() });
        }
        Ok(ServingFlags {
            advertise_address,
            bind_address: number(matches, "bind-address", "IP address")?,
            secure_port: number(matches, "secure-port", "port between 0 and 65535")?,
            tls,
            request_timeout,
            min_request_timeout: Duration::from_secs(number(
                matches,
                "min-request-timeout",
                "number of seconds",
            )?),
        })
    }
}
