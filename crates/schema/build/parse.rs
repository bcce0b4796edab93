//! Reads the facts files. A file holds the types of one API package; `#`
//! starts a comment line. A type is:
//!
//! ```text
//! type Deployment                               last part of the OpenAPI name
//! message k8s.io.api.apps.v1.Deployment         protobuf message
//! gvk apps v1 Deployment                        `-` is the core group
//! maptype atomic                                x-kubernetes-map-type
//! union type localhostProfile                   discriminator (or `-`) and members
//! scalar time                                   instead of fields: a leaf, or `struct` for an empty one
//! field replicas 1 int32 pointer default=1      in the order of JSON output
//! ```
//!
//! A field has a name, its place on the wire and its type, then flags and
//! `key=value` pairs. The place is `-` for none, a number, or numbers joined by
//! dots when the struct it stands in is inlined in JSON but a message on the
//! wire. Types are `string`, `int32`, `int64`, `double`, `bool`, `bytes`,
//! `[item]` for lists, `{item}` for maps, `.Name` in the same package or a full
//! OpenAPI name; `@message` behind a list says that it is a message of its own
//! on the wire.

/// One type of a facts file.
pub struct TypeFacts {
    /// OpenAPI name.
    pub name: String,
    /// Protobuf message, or empty.
    pub message: String,
    /// Group, version and kind of each kind served as this type.
    pub kinds: Vec<[String; 3]>,
    /// `atomic`, `granular` or empty.
    pub map_type: String,
    /// A leaf instead of fields.
    pub scalar: Option<String>,
    /// Fields in order of JSON output.
    pub fields: Vec<FieldFacts>,
}

/// One field.
#[derive(Default)]
pub struct FieldFacts {
    pub name: String,
    /// Protobuf numbers, outermost first; empty if not on the wire.
    pub path: Vec<u32>,
    pub ty: TypeRef,
    pub always: bool,
    pub pointer: bool,
    pub omitzero: bool,
    pub required: bool,
    pub list_type: String,
    pub map_type: String,
    pub merge_key: String,
    pub patch_strategy: String,
    pub list_map_keys: Vec<String>,
    pub default: String,
}

/// What a field's type is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TypeRef {
    #[default]
    Unset,
    /// A plain scalar, by its facts name.
    Scalar(String),
    /// A type with a name.
    Named(String),
    /// A list and, if it is one on the wire, its message.
    List(Box<TypeRef>, String),
    /// A map.
    Map(Box<TypeRef>),
}

/// Reads the facts of one package.
pub fn parse(package: &str, text: &str) -> Result<Vec<TypeFacts>, String> {
    let mut types: Vec<TypeFacts> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        let at = |problem: &str| format!("line {}: {problem}: {line}", i + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let ["type", name] = words.as_slice() {
            types.push(TypeFacts {
                name: format!("{package}.{name}"),
                message: String::new(),
                kinds: Vec::new(),
                map_type: String::new(),
                scalar: None,
                fields: Vec::new(),
            });
            continue;
        }
        let ty = types.last_mut().ok_or_else(|| at("stands before a type"))?;
        match words.as_slice() {
            ["message", message] => ty.message = (*message).to_owned(),
            ["gvk", group, version, kind] => {
                let group = if *group == "-" { "" } else { group };
                ty.kinds.push([group, version, kind].map(str::to_owned));
            }
            ["maptype", map_type] => ty.map_type = (*map_type).to_owned(),
            ["scalar", scalar] => ty.scalar = Some((*scalar).to_owned()),
            // Nobody reads unions yet; they are kept as facts.
            ["union", _, _] => {}
            ["field", name, path, token, rest @ ..] => {
                let field = parse_field(package, name, path, token, rest);
                ty.fields.push(field.ok_or_else(|| at("not a field"))?);
            }
            _ => return Err(at("unknown line")),
        }
    }
    Ok(types)
}

fn parse_field(package: &str, name: &str, path: &str, token: &str, rest: &[&str]) -> Option<FieldFacts> {
    let mut field =
        FieldFacts { name: name.to_owned(), ty: parse_type(package, token)?, ..FieldFacts::default() };
    if path != "-" {
        field.path = path.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    }
    for word in rest {
        match word.split_once('=') {
            None => match *word {
                "always" => field.always = true,
                "pointer" => field.pointer = true,
                "omitzero" => field.omitzero = true,
                "required" => field.required = true,
                _ => return None,
            },
            Some(("list", value)) => field.list_type = value.to_owned(),
            Some(("map", value)) => field.map_type = value.to_owned(),
            Some(("merge", value)) => field.merge_key = value.to_owned(),
            Some(("patch", value)) => field.patch_strategy = value.to_owned(),
            Some(("keys", value)) => field.list_map_keys = value.split(',').map(str::to_owned).collect(),
            Some(("default", value)) => field.default = value.to_owned(),
            Some(_) => return None,
        }
    }
    Some(field)
}

fn parse_type(package: &str, token: &str) -> Option<TypeRef> {
    if let Some(rest) = token.strip_prefix('[') {
        let (item, message) = rest.rsplit_once(']')?;
        let message = message.strip_prefix('@').unwrap_or(message);
        return Some(TypeRef::List(Box::new(parse_type(package, item)?), message.to_owned()));
    }
    if let Some(item) = token.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        return Some(TypeRef::Map(Box::new(parse_type(package, item)?)));
    }
    Some(match token {
        "string" | "int32" | "int64" | "double" | "bool" | "bytes" => TypeRef::Scalar(token.to_owned()),
        _ => match token.strip_prefix('.') {
            Some(short) => TypeRef::Named(format!("{package}.{short}")),
            None => TypeRef::Named(token.to_owned()),
        },
    })
}
