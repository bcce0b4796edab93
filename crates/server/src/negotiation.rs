//! Which form an answer gets (F-NEG-*): media type, transformation to a Table
//! or to metadata only, pretty printing; and which form a body has.
//!
//! Two layers of the original are kept apart, because their errors differ: the
//! route only compares media types by name, negotiation then looks at parameters.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

use crate::query::Query;
use crate::status::Failure;

/// A serialization of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
    /// `application/vnd.kubernetes.protobuf`
    Protobuf,
}

/// All serializations of built-in objects, the default first.
pub const MEDIA_TYPES: &[MediaType] = &[MediaType::Json, MediaType::Yaml, MediaType::Protobuf];
/// Serializations of custom objects.
pub const CUSTOM_MEDIA_TYPES: &[MediaType] = &[MediaType::Json, MediaType::Yaml];

impl MediaType {
    /// The name, as in `Content-Type`.
    pub const fn name(self) -> &'static str {
        match self {
            MediaType::Json => "application/json",
            MediaType::Yaml => "application/yaml",
            MediaType::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    fn parts(self) -> (&'static str, &'static str) {
        self.name().split_once('/').expect("every name has a slash")
    }
}

/// What the client asked to be made of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transform {
    /// Objects as they are.
    #[default]
    None,
    /// A Table for people.
    Table(MetaVersion),
    /// Metadata of one object.
    PartialObject(MetaVersion),
    /// Metadata of a list.
    PartialObjectList(MetaVersion),
}

/// Version of `meta.k8s.io` asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1beta1,
}

impl MetaVersion {
    /// The value of `apiVersion`.
    pub const fn api_version(self) -> &'static str {
        match self {
            MetaVersion::V1 => "meta.k8s.io/v1",
            MetaVersion::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Serialization.
    pub media_type: MediaType,
    /// What is made of objects.
    pub transform: Transform,
    /// Indented for people.
    pub pretty: bool,
}

impl Output {
    /// JSON, for answers whose form cannot be negotiated.
    pub const JSON: Output =
        Output { media_type: MediaType::Json, transform: Transform::None, pretty: false };
}

/// The form of an answer, for a request whose route takes `offered`. With
/// `watch`, the route also names streams in its error text.
pub fn output(
    headers: &HeaderMap,
    query: &Query,
    offered: &[MediaType],
    watch: bool,
) -> Result<Output, Failure> {
    let accept = header(headers, ACCEPT);
    if !route_accepts(accept, offered) {
        return Err(Failure::RouteNotAcceptable(representations(offered, watch)));
    }
    let output = negotiate(accept, offered).ok_or_else(|| Failure::not_acceptable(offered))?;
    Ok(Output { pretty: output.pretty || wants_pretty(headers, query), ..output })
}

/// The form of `/api` and `/apis`, which stand outside the routes.
pub fn root_output(headers: &HeaderMap, query: &Query, offered: &[MediaType]) -> Result<Output, Failure> {
    let output =
        negotiate(header(headers, ACCEPT), offered).ok_or_else(|| Failure::not_acceptable(offered))?;
    Ok(Output { pretty: output.pretty || wants_pretty(headers, query), ..output })
}

/// The form of an error: what is accepted if that can be made out, else JSON.
pub fn error_output(headers: &HeaderMap, query: &Query) -> Output {
    let output =
        negotiate(header(headers, ACCEPT), MEDIA_TYPES).unwrap_or(Output { pretty: true, ..Output::JSON });
    Output { pretty: output.pretty || wants_pretty(headers, query), transform: Transform::None, ..output }
}

/// The form of the events of a watch: JSON or protobuf.
pub fn stream(output: Output, offered: &[MediaType]) -> Result<Output, Failure> {
    if output.media_type != MediaType::Yaml {
        return Ok(output);
    }
    let streams = offered.iter().filter(|media_type| **media_type != MediaType::Yaml);
    Err(meta::ApiError::NotAcceptable(
        streams.map(|media_type| format!("{};stream=watch", media_type.name())).collect(),
    )
    .into())
}

/// The serialization of a body by its `Content-Type`; JSON if there is none.
pub fn input(headers: &HeaderMap, offered: &[MediaType]) -> Result<MediaType, Failure> {
    let value = header(headers, CONTENT_TYPE);
    if value.is_empty() {
        return Ok(MediaType::Json);
    }
    let name = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = offered.iter().find(|media_type| media_type.name() == name);
    known
        .copied()
        .ok_or_else(|| Failure::unsupported_media_type(offered.iter().map(|media_type| media_type.name())))
}

/// A header as text; empty if it is missing or no text.
pub fn header(headers: &HeaderMap, name: http::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The route compares names only: `application/*` is not understood, `*/*` is.
fn route_accepts(accept: &str, offered: &[MediaType]) -> bool {
    accept.is_empty()
        || accept.split(',').any(|clause| {
            let name = clause.split(';').next().unwrap_or_default().trim();
            name == "*/*" || offered.iter().any(|media_type| media_type.name() == name)
        })
}

fn representations(offered: &[MediaType], watch: bool) -> String {
    let mut names: Vec<String> = offered.iter().map(|media_type| media_type.name().to_owned()).collect();
    if watch {
        let streams = offered.iter().filter(|media_type| **media_type != MediaType::Yaml);
        names.extend(streams.map(|media_type| format!("{};stream=watch", media_type.name())));
    }
    names.join(", ")
}

fn negotiate(accept: &str, offered: &[MediaType]) -> Option<Output> {
    if accept.is_empty() {
        return Some(Output { media_type: *offered.first()?, ..Output::JSON });
    }
    let mut clauses: Vec<Clause<'_>> = accept.split(',').filter_map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses.iter().find_map(|clause| {
        let matching = offered.iter().filter(|media_type| clause.matches(**media_type));
        matching.filter_map(|media_type| clause.output(*media_type)).next()
    })
}

/// One clause of an `Accept` header.
struct Clause<'a> {
    kind: &'a str,
    subkind: &'a str,
    quality: f64,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Clause<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subkind) = match parts.next()? {
            "*" => ("*", "*"),
            name => name.split_once('/')?,
        };
        let mut clause = Clause { kind, subkind, quality: 1.0, parameters: Vec::new() };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            match key.trim() {
                "q" => {
                    clause.quality = value.trim().parse().ok().filter(|q: &f64| q.is_finite()).unwrap_or(1.0)
                }
                key => clause.parameters.push((key, value.trim())),
            }
        }
        Some(clause)
    }

    fn matches(&self, media_type: MediaType) -> bool {
        let (kind, subkind) = media_type.parts();
        match (self.kind, self.subkind) {
            ("*", "*") => true,
            (ours, "*") => ours == kind,
            (ours, sub) => ours == kind && sub == subkind,
        }
    }

    fn output(&self, media_type: MediaType) -> Option<Output> {
        let parameter = |name| self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        if parameter("stream").is_some_and(|stream| stream != "watch") {
            return None;
        }
        let transform = match (parameter("as"), parameter("g"), parameter("v")) {
            (None, ..) => Transform::None,
            (Some(kind), Some("meta.k8s.io"), Some(version)) => transform(kind, version, media_type)?,
            _ => return None,
        };
        Some(Output { media_type, transform, pretty: parameter("pretty") == Some("1") })
    }
}

fn transform(kind: &str, version: &str, media_type: MediaType) -> Option<Transform> {
    let version = match version {
        "v1" => MetaVersion::V1,
        "v1beta1" => MetaVersion::V1beta1,
        _ => return None,
    };
    match kind {
        "Table" if media_type != MediaType::Protobuf => Some(Transform::Table(version)),
        "PartialObjectMetadata" => Some(Transform::PartialObject(version)),
        "PartialObjectMetadataList" => Some(Transform::PartialObjectList(version)),
        _ => None,
    }
}

fn wants_pretty(headers: &HeaderMap, query: &Query) -> bool {
    let agents = ["curl", "Wget", "Mozilla/5.0"];
    match query.text("pretty") {
        "" => agents.iter().any(|agent| header(headers, USER_AGENT).starts_with(agent)),
        value => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Result<Output, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value.parse().expect("a header"));
        output(&headers, &Query::default(), MEDIA_TYPES, false)
    }

    #[test]
    fn the_best_clause_that_can_be_served_wins() {
        let media = |value| accept(value).map(|output| output.media_type).expect("acceptable");
        assert_eq!(media(""), MediaType::Json);
        assert_eq!(media("*/*"), MediaType::Json);
        assert_eq!(media("application/vnd.kubernetes.protobuf,application/json"), MediaType::Protobuf);
        assert_eq!(media("application/json;q=0.5, application/yaml"), MediaType::Yaml);
        assert_eq!(media("application/cbor, application/json"), MediaType::Json);
    }

    #[test]
    fn what_cannot_be_served_is_not_acceptable() {
        for value in ["application/cbor", "application/*", "text/plain"] {
            assert!(matches!(accept(value), Err(Failure::RouteNotAcceptable(_))), "{value}");
        }
        let bogus = "application/json;as=Bogus;g=meta.k8s.io;v=v1";
        assert!(matches!(accept(bogus), Err(Failure::Api(_))));
    }

    #[test]
    fn tables_fall_back_to_the_next_clause_where_they_cannot_be_made() {
        let table = accept("application/json;as=Table;g=meta.k8s.io;v=v1").expect("acceptable");
        assert_eq!(table.transform, Transform::Table(MetaVersion::V1));
        let plain =
            accept("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json");
        assert_eq!(plain.expect("acceptable"), Output::JSON);
    }

    #[test]
    fn pretty_is_asked_for_by_query_parameter_or_agent() {
        let mut headers = HeaderMap::new();
        assert!(!wants_pretty(&headers, &Query::parse("pretty=false")));
        assert!(wants_pretty(&headers, &Query::parse("pretty=1")));
        headers.insert(USER_AGENT, "curl/8".parse().expect("a header"));
        assert!(wants_pretty(&headers, &Query::parse("pretty")));
        assert!(!wants_pretty(&headers, &Query::parse("pretty=false")));
    }
}
