//! `endpoints`: addresses behind a service, the form before endpoint slices.

use meta::FieldErrors;
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use super::endpoints_validation;
use crate::{defaults, print};

/// `endpoints`.
pub fn definition() -> ResourceDef {
    let resource = ResourceDef {
        short_names: vec!["ep".into()],
        columns: vec![Column::name(), Column::string("Endpoints"), Column::string("Age")],
        create_on_update: true,
        deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into(),
        ..ResourceDef::stored("", "v1", "endpoints", "Endpoints", Endpoints)
    };
    crate::with_prefix(resource, "services/endpoints")
}

/// Addresses shown before the rest is counted.
const SHOWN_MAX: usize = 3;

struct Endpoints;

impl Strategy for Endpoints {
    fn default(&self, object: &mut Value) {
        for subset in defaults::items(object, "subsets") {
            for port in defaults::items(subset, "ports") {
                defaults::text(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        endpoints_validation::subsets(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        endpoints_validation::subsets(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        print::with_name_and_age(object, print, [addresses(object.list_at(&["subsets"])).into()])
    }
}

/// The ready addresses with their ports, the first few.
fn addresses(subsets: &[Value]) -> String {
    if subsets.is_empty() {
        return print::NONE.to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let ips = subset.list_at(&["addresses"]).iter().map(|address| print::text(address, &["ip"]));
        let ports = subset.list_at(&["ports"]);
        if ports.is_empty() {
            all.extend(ips);
            continue;
        }
        let ips: Vec<String> = ips.collect();
        for port in ports {
            let port = print::int(port, &["port"]);
            all.extend(
                ips.iter().map(|ip| {
                    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
                }),
            );
        }
    }
    let text = all[..all.len().min(SHOWN_MAX)].join(",");
    if all.len() > SHOWN_MAX { format!("{text} + {} more...", all.len() - SHOWN_MAX) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn the_first_addresses_are_shown_and_the_rest_counted() {
        let ips = ["192.168.1.2", "192.168.1.3", "fd00::5"].map(|ip| Map::from([("ip", ip)]));
        let subset = |ports: [i32; 2]| {
            Value::from(Map::from([
                ("addresses", Value::from(ips.clone())),
                ("ports", ports.map(|port| Map::from([("port", port)])).into()),
            ]))
        };
        assert_eq!(addresses(&[subset([80, 81])]), "192.168.1.2:80,192.168.1.3:80,[fd00::5]:80 + 3 more...");
        assert_eq!(addresses(&[]), "<none>");
    }
}
