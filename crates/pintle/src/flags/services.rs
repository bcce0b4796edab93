//! Where services get their addresses and node ports from.

use clap::{Arg, ArgMatches};
use ipnet::IpNet;
use resources::core::service_allocation::PortRange;

use super::{FlagError, flag, text};

/// Ranges of addresses and ports.
#[derive(Clone, Debug)]
pub struct ServiceFlags {
    /// One range, or one of each IP family; the first family is the default.
    pub cluster_ip_ranges: Vec<IpNet>,
    /// Node ports.
    pub node_port_range: PortRange,
}

const CLUSTER_IP_RANGE: &str = "service-cluster-ip-range";
const NODE_PORT_RANGE: &str = "service-node-port-range";

pub(super) fn flags() -> Vec<Arg> {
    vec![
        flag(
            CLUSTER_IP_RANGE,
            "CIDR[,CIDR]",
            "10.0.0.0/24",
            "Range of the addresses of services; two, one of each IP family, for dual stack",
        ),
        flag(NODE_PORT_RANGE, "FIRST-LAST", "30000-32767", "Range of the node ports of services"),
    ]
}

impl ServiceFlags {
    pub(super) fn read(matches: &ArgMatches) -> Result<ServiceFlags, FlagError> {
        let ranges = text(matches, CLUSTER_IP_RANGE).unwrap_or_default();
        let ports = text(matches, NODE_PORT_RANGE).unwrap_or_default();
        let node_port_range = PortRange::parse(ports).ok_or_else(|| FlagError {
            flag: NODE_PORT_RANGE,
            message: format!("{ports:?} is no range of ports; write it like 30000-32767"),
        })?;
        Ok(ServiceFlags { cluster_ip_ranges: cluster_ip_ranges(ranges)?, node_port_range })
    }
}

fn cluster_ip_ranges(text: &str) -> Result<Vec<IpNet>, FlagError> {
    let error = |message: String| FlagError { flag: CLUSTER_IP_RANGE, message };
    let range = |text: &str| {
        let range = text.trim().parse::<IpNet>();
        let range = range.map_err(|_| error(format!("{text:?} is no range; write it like 10.0.0.0/24")))?;
        match (range, range.max_prefix_len() - range.prefix_len()) {
            (IpNet::V6(_), 65..) => {
                Err(error(format!("{range} is too large: use a prefix of at least 64 bits")))
            }
            (_, 0..=1) => Err(error(format!("{range} is too small: it has no addresses for services"))),
            _ => Ok(range.trunc()),
        }
    };
    let ranges = text.split(',').map(range).collect::<Result<Vec<_>, _>>()?;
    match ranges[..] {
        [_] => Ok(ranges),
        [a, b] if a.addr().is_ipv4() != b.addr().is_ipv4() => Ok(ranges),
        [_, _] => Err(error("two ranges must be of different IP families".to_owned())),
        _ => Err(error("at most two ranges, one of each IP family".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_or_one_of_each_family() {
        for (text, expected) in [
            ("10.0.0.0/24", Ok("10.0.0.0/24")),
            ("10.0.0.7/24", Ok("10.0.0.0/24")),
            ("fd00::/108, 10.0.0.0/16", Ok("fd00::/108 10.0.0.0/16")),
            ("10.0.0.0/24,10.1.0.0/24", Err("two ranges must be of different IP families")),
            ("fd00::/48", Err("fd00::/48 is too large: use a prefix of at least 64 bits")),
            ("10.0.0.0/31", Err("10.0.0.0/31 is too small: it has no addresses for services")),
            ("10.0.0.0", Err("\"10.0.0.0\" is no range; write it like 10.0.0.0/24")),
        ] {
            let read = cluster_ip_ranges(text);
            let read = read.map(|ranges| ranges.iter().map(IpNet::to_string).collect::<Vec<_>>().join(" "));
            let read = read.map_err(|error| error.message);
            assert_eq!(read.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }
}
