//! Turns a dump of the API types (`types.json`) into the facts that
//! `crates/schema` is built from.
//!
//! Owns the writing side of the facts format; the reading side is
//! `crates/schema/build/parse.rs`, which describes it. Facts are one file per
//! API package, one line per field, so that a new Kubernetes version is a
//! readable diff.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Reads `types_json` and rewrites the facts files in the folder `out`.
pub fn run(types_json: &Path, out: &Path) -> Result<()> {
    let text = std::fs::read_to_string(types_json).with_context(|| types_json.display().to_string())?;
    let dump: Value = serde_json::from_str(&text)?;
    let source = Source::new(&dump)?;
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for (name, ty) in source.types {
        let (package, _) = split_name(name)?;
        let file = files.entry(package.to_owned()).or_default();
        source.write_type(file, package, name, ty).with_context(|| name.clone())?;
    }
    std::fs::create_dir_all(out)?;
    for (package, lines) in files {
        let file = package.strip_prefix("io.k8s.").unwrap_or(&package);
        std::fs::write(out.join(format!("{file}.facts")), lines)?;
    }
    Ok(())
}

/// The dump, with its messages indexed.
struct Source<'a> {
    types: &'a Map<String, Value>,
    /// Types by protobuf message name.
    by_message: BTreeMap<&'a str, &'a Value>,
    /// Messages that no OpenAPI type stands for: inlined structs and wrapped lists.
    bare_messages: &'a Map<String, Value>,
}

/// Where a field stands on the wire: its number, below the numbers of the
/// inlined structs around it.
type WirePath = Vec<u64>;

impl<'a> Source<'a> {
    fn new(dump: &'a Value) -> Result<Source<'a>> {
        let types = dump["types"].as_object().context("no types")?;
        let bare_messages = dump["messagesWithoutSchema"].as_object().context("no messagesWithoutSchema")?;
        let by_message =
            types.values().filter_map(|ty| ty["message"].as_str().map(|message| (message, ty))).collect();
        Ok(Source { types, by_message, bare_messages })
    }

    fn write_type(&self, out: &mut String, package: &str, name: &str, ty: &Value) -> Result<()> {
        let (_, short) = split_name(name)?;
        writeln!(out, "\ntype {short}")?;
        if let Some(message) = ty["message"].as_str() {
            writeln!(out, "message {message}")?;
        }
        // Options and events belong to every group; two names for them suffice.
        if ty["gvk"] == "many" {
            writeln!(out, "gvk - v1 {short}\ngvk meta.k8s.io v1 {short}")?;
        }
        for gvk in ty["gvk"].as_array().into_iter().flatten() {
            let part = |i: usize| gvk[i].as_str().context("gvk");
            let group = if part(0)?.is_empty() { "-" } else { part(0)? };
            writeln!(out, "gvk {group} {} {}", part(1)?, part(2)?)?;
        }
        if let Some(map_type) = ty["mapType"].as_str() {
            writeln!(out, "maptype {map_type}")?;
        }
        for union in ty["unions"].as_array().into_iter().flatten() {
            let members = union["fields-to-discriminateBy"].as_object().context("union")?;
            let members: Vec<&str> = members.keys().map(String::as_str).collect();
            writeln!(out, "union {} {}", union["discriminator"].as_str().unwrap_or("-"), members.join(","))?;
        }
        if let Some(scalar) = scalar(name, ty) {
            writeln!(out, "scalar {scalar}")?;
            return Ok(());
        }
        let paths = self.wire_paths(message_package(ty), ty)?;
        for field in self.order(ty)? {
            self.write_field(out, package, ty, &field, paths.get(&field))?;
        }
        Ok(())
    }

    fn write_field(
        &self,
        out: &mut String,
        package: &str,
        ty: &Value,
        name: &str,
        path: Option<&WirePath>,
    ) -> Result<()> {
        let field = &ty["fields"][name];
        let number = match path {
            Some(path) => path.iter().map(u64::to_string).collect::<Vec<_>>().join("."),
            None => "-".to_owned(),
        };
        let wire = field["wire"].as_str().unwrap_or_default();
        let token =
            self.type_token(package, message_package(ty), field["type"].as_str().context("type")?, wire)?;
        write!(out, "field {name} {number} {token}")?;
        for flag in ["always", "pointer", "omitzero"] {
            if field[flag] == true {
                write!(out, " {flag}")?;
            }
        }
        // Where the dump has no order it has no flags either; what the schema requires has no `omitempty`.
        if ty["order"].is_null() {
            out.push_str(" always");
        }
        if ty["required"].as_array().into_iter().flatten().any(|required| required == name) {
            out.push_str(" required");
        }
        for (key, label) in
            [("listType", "list"), ("mapType", "map"), ("patchMergeKey", "merge"), ("patchStrategy", "patch")]
        {
            if let Some(value) = field[key].as_str() {
                write!(out, " {label}={value}")?;
            }
        }
        if let Some(keys) = field["listMapKeys"].as_array() {
            let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
            write!(out, " keys={}", keys.join(","))?;
        }
        if !field["default"].is_null() {
            write!(out, " default={}", field["default"])?;
        }
        out.push('\n');
        Ok(())
    }

    /// Where each field of a type stands on the wire.
    fn wire_paths(&self, package: &str, ty: &Value) -> Result<BTreeMap<String, WirePath>> {
        let mut paths = BTreeMap::new();
        for (name, field) in ty["fields"].as_object().into_iter().flatten() {
            if let Some(number) = field["number"].as_u64() {
                paths.insert(name.clone(), vec![number]);
            }
        }
        for (wire_name, only) in ty["wireOnly"].as_object().into_iter().flatten() {
            let number = only["number"].as_u64().context("number")?;
            let wire = only["wire"].as_str().context("wire")?;
            match self.inlined(package, wire)? {
                Some(inner) => {
                    for (name, path) in inner {
                        let path = std::iter::once(number).chain(path).collect();
                        if paths.insert(name.clone(), path).is_some() {
                            bail!("{name} stands twice on the wire");
                        }
                    }
                }
                None => {
                    let name = ty["fields"].as_object().into_iter().flatten().map(|(name, _)| name);
                    let name = name.clone().find(|name| as_wire_name(name) == *wire_name);
                    paths.insert(
                        name.with_context(|| format!("{wire_name} is no field"))?.clone(),
                        vec![number],
                    );
                }
            }
        }
        Ok(paths)
    }

    /// Fields in the order of JSON output. Where the dump has none, the required
    /// ones stand as the schema lists them. The fields of an inlined type keep
    /// the order they have there, which the dump misses across packages.
    fn order(&self, ty: &Value) -> Result<Vec<String>> {
        let order = ty["order"].as_array().or(ty["required"].as_array()).context("no order")?;
        let mut order: Vec<String> = order.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if order.len() != ty["fields"].as_object().context("fields")?.len() {
            bail!("order and fields differ");
        }
        for (_, only) in ty["wireOnly"].as_object().into_iter().flatten() {
            let message = full_message(message_package(ty), only["wire"].as_str().context("wire")?);
            let Some(inlined) = self.by_message.get(message.as_str()) else { continue };
            let inner = self.order(inlined)?;
            let places: Vec<usize> = (0..order.len()).filter(|i| inner.contains(&order[*i])).collect();
            for (place, name) in places.into_iter().zip(inner) {
                order[place] = name;
            }
        }
        Ok(order)
    }

    /// Fields of an inlined message; none if `wire` is no message.
    fn inlined(&self, package: &str, wire: &str) -> Result<Option<BTreeMap<String, WirePath>>> {
        let full = full_message(package, wire);
        if let Some(ty) = self.by_message.get(full.as_str()) {
            return self.wire_paths(message_package(ty), ty).map(Some);
        }
        let Some(message) = self.bare_messages.get(&full) else { return Ok(None) };
        let fields = message.as_object().context("message")?;
        let numbered =
            |(name, field): (&String, &Value)| Some((name.clone(), vec![field["number"].as_u64()?]));
        Ok(Some(fields.iter().filter_map(numbered).collect()))
    }

    /// The facts' name of a field's type, e.g. `[.Container]`.
    fn type_token(&self, package: &str, messages: &str, ty: &str, wire: &str) -> Result<String> {
        if let Some(item) = ty.strip_prefix("array<").and_then(|rest| rest.strip_suffix('>')) {
            let item_wire = wire.strip_prefix("repeated ");
            let token = self.type_token(package, messages, item, item_wire.unwrap_or_default())?;
            // A named slice is a message with one repeated field on the wire.
            return Ok(match item_wire {
                None if !wire.is_empty() => format!("[{token}]@{}", full_message(messages, wire)),
                _ => format!("[{token}]"),
            });
        }
        if let Some(item) = ty.strip_prefix("map<").and_then(|rest| rest.strip_suffix('>')) {
            let item_wire = wire.strip_prefix("map<string, ").and_then(|rest| rest.strip_suffix('>'));
            return Ok(format!(
                "{{{}}}",
                self.type_token(package, messages, item, item_wire.unwrap_or_default())?
            ));
        }
        Ok(match ty {
            "string" => "string".into(),
            "string:byte" => "bytes".into(),
            "integer:int32" => "int32".into(),
            "integer:int64" => "int64".into(),
            "number:double" => "double".into(),
            "boolean" => "bool".into(),
            _ => {
                if !self.types.contains_key(ty) {
                    bail!("unknown type {ty}");
                }
                let (of, short) = split_name(ty)?;
                if of == package { format!(".{short}") } else { ty.to_owned() }
            }
        })
    }
}

/// The special leaf a type is, if it is one. An object without fields is an
/// empty struct.
fn scalar(name: &str, ty: &Value) -> Option<&'static str> {
    Some(match (ty["scalar"].as_str()?, split_name(name).ok()?.1) {
        (_, "Quantity") => "quantity",
        (_, "Time") => "time",
        (_, "MicroTime") => "microtime",
        (_, "IntOrString") => "intorstring",
        (_, "RawExtension") => "rawextension",
        (_, "FieldsV1") => "fieldsv1",
        (_, "JSON") => "json",
        ("any", _) => "jsonschemaor",
        _ => "struct",
    })
}

fn split_name(name: &str) -> Result<(&str, &str)> {
    name.rsplit_once('.').with_context(|| format!("{name} has no package"))
}

fn message_package(ty: &Value) -> &str {
    ty["message"].as_str().and_then(|message| message.rsplit_once('.')).map_or("", |(package, _)| package)
}

fn full_message(package: &str, wire: &str) -> String {
    match wire.trim_start_matches('.') {
        full if full.contains('.') => full.to_owned(),
        short => format!("{package}.{short}"),
    }
}

/// `x-kubernetes-list-type` is `xKubernetesListType` on the wire, `$ref` is `ref`.
fn as_wire_name(name: &str) -> String {
    let mut wire = String::new();
    let mut upper = false;
    for c in name.chars().filter(|c| *c != '$') {
        match c {
            '-' => upper = true,
            c if upper => {
                wire.extend(c.to_uppercase());
                upper = false;
            }
            c => wire.push(c),
        }
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inlined_structs_become_paths_of_numbers() {
        let dump = json!({
            "messagesWithoutSchema": {"k8s.io.v1.Inner": {"a": {"number": 7, "wire": "string"}}},
            "types": {"io.k8s.v1.Outer": {
                "message": "k8s.io.v1.Outer",
                "order": ["a", "b"],
                "fields": {"a": {"type": "string"}, "b": {"type": "array<string>", "wire": "repeated string", "number": 3}},
                "wireOnly": {"inner": {"number": 2, "wire": "Inner"}},
            }},
        });
        let source = Source::new(&dump).expect("a dump");
        let mut out = String::new();
        source
            .write_type(&mut out, "io.k8s.v1", "io.k8s.v1.Outer", &dump["types"]["io.k8s.v1.Outer"])
            .expect("facts");
        assert_eq!(out, "\ntype Outer\nmessage k8s.io.v1.Outer\nfield a 2.7 string\nfield b 3 [string]\n");
    }

    #[test]
    fn wire_names_follow_the_go_generator() {
        assert_eq!(as_wire_name("x-kubernetes-list-type"), "xKubernetesListType");
        assert_eq!(as_wire_name("$ref"), "ref");
    }
}
