//! `--etcd-servers-overrides`: resources that lie in a cluster of their own.

use meta::GroupResource;

use super::StorageFactory;

/// One override: a resource and the URLs of its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServersOverride {
    /// The resource; an empty group is the core group.
    pub resource: GroupResource,
    /// At least one URL.
    pub servers: Vec<String>,
}

/// An override is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// It is not `group/resource#servers`.
    #[error("must be of format: group/resource#servers, where servers are URLs, semicolon separated")]
    Format,
    /// There is no URL between two separators.
    #[error(
        "must be of format: group/resource#servers, where servers are URLs, semicolon separated: a server is empty"
    )]
    EmptyServer,
}

/// Reads a list of `group/resource#url;url`, comma separated. Empty is none.
pub fn parse_servers_overrides(text: &str) -> Result<Vec<ServersOverride>, OverrideError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(parse_one).collect()
}

fn parse_one(text: &str) -> Result<ServersOverride, OverrideError> {
    let parts: Vec<&str> = text.split('#').collect();
    let [resource, servers] = parts[..] else { return Err(OverrideError::Format) };
    let names: Vec<&str> = resource.split('/').collect();
    let [group, resource] = names[..] else { return Err(OverrideError::Format) };
    let servers: Vec<String> = servers.split(';').map(|server| server.trim().to_owned()).collect();
    if servers.iter().any(String::is_empty) {
        return Err(OverrideError::EmptyServer);
    }
    Ok(ServersOverride { resource: GroupResource::new(group.to_owned(), resource.to_owned()), servers })
}

impl StorageFactory {
    /// Puts resources into the clusters of overrides; the last one of a resource counts.
    pub fn apply_servers_overrides(&mut self, overrides: &[ServersOverride]) {
        for said in overrides {
            self.set_servers(said.resource.clone(), said.servers.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_separated_by_commas_and_their_servers_by_semicolons() {
        let parsed =
            parse_servers_overrides("/events#http://a:1;http://b:1,apps/deployments#https://c").unwrap();
        assert_eq!(parsed[0].resource, GroupResource::new("", "events"));
        assert_eq!(parsed[0].servers, ["http://a:1", "http://b:1"]);
        assert_eq!(parsed[1].resource, GroupResource::new("apps", "deployments"));
        assert_eq!(parse_servers_overrides(""), Ok(Vec::new()));
    }

    /// TestEtcdOptionsValidate.
    #[test]
    fn what_has_another_form_is_refused() {
        for bad in ["/events/http://127.0.0.1:4002", "events#http://a", "a/b/c#http://a", "/events#a#b"] {
            assert_eq!(parse_servers_overrides(bad), Err(OverrideError::Format), "{bad}");
        }
        for bad in ["/events#", "/events#http://a;"] {
            assert_eq!(parse_servers_overrides(bad), Err(OverrideError::EmptyServer), "{bad}");
        }
    }
}
