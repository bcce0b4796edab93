//! Which keys a store accepts and where they lie in the backend (A.2).

use bytes::Bytes;
use meta::ApiError;

use crate::Error;
use crate::backend::prefix_end;

/// Prefixes of one store, normalised.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Begins and ends with a slash.
    path_prefix: String,
    /// Begins and ends with a slash.
    resource_prefix: String,
}

/// A prefix no store can be built with (A-KEY-2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Neither empty nor the root.
    #[error("resourcePrefix cannot be empty or /: {0:?}")]
    Empty(String),
    /// Must begin with a slash.
    #[error("resourcePrefix needs to start from /: {0:?}")]
    Relative(String),
}

impl Keys {
    /// Normalises the path prefix (A-KEY-1) and checks the resource prefix.
    pub fn new(path_prefix: &str, resource_prefix: &str) -> Result<Keys, PrefixError> {
        if resource_prefix.is_empty() || resource_prefix == "/" {
            return Err(PrefixError::Empty(resource_prefix.to_owned()));
        }
        if !resource_prefix.starts_with('/') {
            return Err(PrefixError::Relative(resource_prefix.to_owned()));
        }
        let mut path = String::from("/");
        for segment in path_prefix.split('/').filter(|segment| !segment.is_empty()) {
            path.push_str(segment);
            path.push('/');
        }
        Ok(Keys { path_prefix: path, resource_prefix: with_slash(resource_prefix) })
    }

    /// The backend key of `key`; of a recursive key a prefix that ends in a slash (A-KEY-3..5).
    pub fn prepare(&self, key: &str, recursive: bool) -> Result<String, Error> {
        if ["..", "."].iter().any(|dots| key.split('/').any(|segment| segment == *dots)) {
            return Err(invalid(format!("invalid key: {key:?}")));
        }
        if key.is_empty() || key == "/" {
            return Err(invalid(format!("empty key: {key:?}")));
        }
        let key = if recursive { with_slash(key) } else { key.to_owned() };
        if !key.starts_with(&self.resource_prefix) {
            return Err(invalid(format!(
                "invalid key: {key:?} lacks resource prefix: {:?}",
                self.resource_prefix
            )));
        }
        Ok(format!("{}{}", self.path_prefix, &key[1..]))
    }

    /// What every backend key of the resource begins with; ends in a slash.
    pub fn root(&self) -> String {
        format!("{}{}", self.path_prefix, &self.resource_prefix[1..])
    }

    /// First and last (exclusive) backend key of the whole resource.
    pub(crate) fn resource_range(&self) -> (Bytes, Option<Bytes>) {
        range_of(&self.root())
    }
}

/// The range of keys that start with `prefix`. The end is none only for
/// prefixes of 0xff bytes, which no text key has.
pub(crate) fn range_of(prefix: &str) -> (Bytes, Option<Bytes>) {
    (Bytes::copy_from_slice(prefix.as_bytes()), prefix_end(prefix.as_bytes()))
}

fn with_slash(key: &str) -> String {
    if key.ends_with('/') { key.to_owned() } else { format!("{key}/") }
}

fn invalid(message: String) -> Error {
    Error::Api(ApiError::Unknown(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new("/registry", "/pods/").expect("a good prefix")
    }

    #[test]
    fn the_path_prefix_is_normalised() {
        for (given, want) in [
            ("custom/prefix", "/custom/prefix/pods/x"),
            ("/custom//prefix//", "/custom/prefix/pods/x"),
            ("/registry", "/registry/pods/x"),
        ] {
            assert_eq!(Keys::new(given, "/pods").unwrap().prepare("/pods/x", false).unwrap(), want);
        }
    }

    #[test]
    fn an_empty_or_relative_resource_prefix_is_refused() {
        assert_eq!(Keys::new("/registry", "").unwrap_err(), PrefixError::Empty(String::new()));
        assert_eq!(Keys::new("/registry", "/").unwrap_err(), PrefixError::Empty("/".into()));
        assert_eq!(Keys::new("/registry", "pods").unwrap_err(), PrefixError::Relative("pods".into()));
    }

    #[test]
    fn dots_are_refused_as_segments_only() {
        for bad in ["..", ".", "/pods/../x", "/pods/..", "../pods", "/pods/./x", "/pods/."] {
            let error = keys().prepare(bad, false).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid key: {bad:?}"));
        }
        for good in ["/pods/bar..baz", "/pods/a.b.c", "/pods/.hidden", "/pods/x.."] {
            assert!(keys().prepare(good, false).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_key_must_lie_below_the_resource() {
        for (key, recursive, want) in [
            ("", false, Err("empty key: \"\"")),
            ("/", true, Err("empty key: \"/\"")),
            ("/pods", false, Err("invalid key: \"/pods\" lacks resource prefix: \"/pods/\"")),
            ("/pods", true, Ok("/registry/pods/")),
            ("/pods.apps", true, Err("invalid key: \"/pods.apps/\" lacks resource prefix: \"/pods/\"")),
            ("/pods.apps", false, Err("invalid key: \"/pods.apps\" lacks resource prefix: \"/pods/\"")),
            ("/pods/", false, Ok("/registry/pods/")),
            ("/pods/x/y", false, Ok("/registry/pods/x/y")),
            ("/pods/x", true, Ok("/registry/pods/x/")),
        ] {
            let got = keys().prepare(key, recursive).map_err(|error| error.to_string());
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned));
        }
    }
}
