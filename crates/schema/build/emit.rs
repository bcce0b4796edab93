//! Writes the static tables.
//!
//! Named types come first, sorted by name; behind them the scalars, lists and
//! maps they need, each once. Every list of fields is a static of its own, so
//! that the table is data in the binary and costs nothing at start.

use super::parse::{FieldFacts, TypeFacts, TypeRef};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Rust source of the tables `TYPES` and `KINDS`.
pub fn emit(mut facts: Vec<TypeFacts>) -> String {
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    let mut emitter = Emitter {
        ids: BTreeMap::new(),
        anonymous: Vec::new(),
        keys: BTreeMap::new(),
        with_defaults: with_defaults(&facts),
        out: String::new(),
    };
    for (id, ty) in facts.iter().enumerate() {
        let before = emitter.ids.insert(TypeRef::Named(ty.name.clone()), id);
        assert!(before.is_none(), "{} stands twice in the facts", ty.name);
    }
    let mut entries: Vec<String> = facts.iter().enumerate().map(|(id, ty)| emitter.named(id, ty)).collect();
    entries.append(&mut emitter.anonymous);
    let mut out = emitter.out;
    write_array(&mut out, "TYPES", "Type", &entries);
    write_array(&mut out, "KINDS", "(GroupVersionKindRef, TypeId)", &kinds(&facts));
    out
}

struct Emitter {
    ids: BTreeMap<TypeRef, usize>,
    /// Scalars, lists and maps, in order of their ids, which follow the named ones.
    anonymous: Vec<String>,
    /// Static of each set of list map keys.
    keys: BTreeMap<Vec<String>, usize>,
    /// Names of types with a default in them or below.
    with_defaults: BTreeSet<String>,
    out: String,
}

impl Emitter {
    fn named(&mut self, id: usize, ty: &TypeFacts) -> String {
        let kind = match ty.scalar.as_deref() {
            None | Some("struct") => self.structure(id, &ty.fields),
            Some(scalar) => scalar_kind(scalar),
        };
        let has_defaults = self.with_defaults.contains(&ty.name);
        format!("ty({:?}, {:?}, {kind}, {}, {has_defaults})", ty.name, ty.message, map_type(&ty.map_type))
    }

    fn structure(&mut self, id: usize, fields: &[FieldFacts]) -> String {
        let entries: Vec<String> = fields.iter().map(|field| self.field(field)).collect();
        write_array(&mut self.out, &format!("FIELDS_{id}"), "Field", &entries);
        let mut by_name: Vec<usize> = (0..fields.len()).collect();
        by_name.sort_by_key(|&i| &fields[i].name);
        let by_name: Vec<String> = by_name.iter().map(usize::to_string).collect();
        write_array(&mut self.out, &format!("NAMES_{id}"), "u16", &by_name);
        let paths: Vec<(&[u32], usize)> = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| !field.path.is_empty())
            .map(|(i, field)| (field.path.as_slice(), i))
            .collect();
        self.wire(&format!("WIRE_{id}"), &paths);
        format!(
            "Kind::Struct {{ fields: Cow::Borrowed(&FIELDS_{id}), by_name: Cow::Borrowed(&NAMES_{id}), wire: Cow::Borrowed(&WIRE_{id}) }}"
        )
    }

    /// One message of the wire layout; a number shared by longer paths is an inlined struct.
    fn wire(&mut self, name: &str, paths: &[(&[u32], usize)]) {
        let mut by_number: BTreeMap<u32, Vec<(&[u32], usize)>> = BTreeMap::new();
        for (path, index) in paths {
            by_number.entry(path[0]).or_default().push((&path[1..], *index));
        }
        let mut nodes = Vec::new();
        for (number, inner) in by_number {
            if let [([], index)] = inner.as_slice() {
                nodes.push(format!("WireNode::Field {{ number: {number}, index: {index} }}"));
                continue;
            }
            assert!(
                inner.iter().all(|(path, _)| !path.is_empty()),
                "number {number} is a field and a struct"
            );
            let inner_name = format!("{name}_{number}");
            self.wire(&inner_name, &inner);
            nodes.push(format!(
                "WireNode::Inline {{ number: {number}, pointer: false, nodes: Cow::Borrowed(&{inner_name}) }}"
            ));
        }
        write_array(&mut self.out, name, "WireNode", &nodes);
    }

    fn field(&mut self, field: &FieldFacts) -> String {
        let flags = [(field.always, 1), (field.pointer, 2), (field.omitzero, 4), (field.required, 8)];
        let flags: u8 = flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum();
        let list_type = match field.list_type.as_str() {
            "" => "Unset",
            "atomic" => "Atomic",
            "set" => "Set",
            "map" => "Map",
            other => panic!("{}: list type {other}", field.name),
        };
        let patch: Vec<&str> = field.patch_strategy.split(',').filter(|word| !word.is_empty()).collect();
        format!(
            "field({:?}, {}, {flags}, {:?}, ListType::{list_type}, &{}, {}, [{}, {}, {}], {:?})",
            field.name,
            self.id(&field.ty),
            field.default,
            self.list_map_keys(&field.list_map_keys),
            map_type(&field.map_type),
            patch.contains(&"merge"),
            patch.contains(&"retainKeys"),
            patch.contains(&"replace"),
            field.merge_key,
        )
    }

    fn list_map_keys(&mut self, keys: &[String]) -> String {
        let next = self.keys.len();
        let id = *self.keys.entry(keys.to_vec()).or_insert(next);
        if id == next {
            let entries: Vec<String> = keys.iter().map(|key| format!("Cow::Borrowed({key:?})")).collect();
            write_array(&mut self.out, &format!("KEYS_{id}"), "Cow<'static, str>", &entries);
        }
        format!("KEYS_{id}")
    }

    /// The id of a type, which is made if it has no name of its own.
    fn id(&mut self, ty: &TypeRef) -> usize {
        if let Some(id) = self.ids.get(ty) {
            return *id;
        }
        let (message, kind) = match ty {
            TypeRef::Unset => panic!("a field without type"),
            TypeRef::Named(name) => panic!("unknown type {name}"),
            TypeRef::Scalar(scalar) => ("", scalar_kind(scalar)),
            TypeRef::List(item, message) => {
                (message.as_str(), format!("Kind::List(TypeId({}))", self.id(item)))
            }
            TypeRef::Map(item) => ("", format!("Kind::Map(TypeId({}))", self.id(item))),
        };
        let has_defaults = named(ty).is_some_and(|name| self.with_defaults.contains(name));
        self.anonymous.push(format!("ty(\"\", {message:?}, {kind}, MapType::Unset, {has_defaults})"));
        let id = self.ids.len();
        self.ids.insert(ty.clone(), id);
        id
    }
}

/// The named type that a list or map holds in the end, or that it is.
fn named(ty: &TypeRef) -> Option<&str> {
    match ty {
        TypeRef::Named(name) => Some(name),
        TypeRef::List(item, _) | TypeRef::Map(item) => named(item),
        TypeRef::Scalar(_) | TypeRef::Unset => None,
    }
}

/// Types with a default that is not the zero value, in them or below: grown
/// until nothing is added, since types refer to each other in circles.
fn with_defaults(facts: &[TypeFacts]) -> BTreeSet<String> {
    let is_default =
        |field: &FieldFacts| !matches!(field.default.as_str(), "" | "\"\"" | "0" | "false" | "{}");
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for ty in facts {
            let below = |field: &FieldFacts| named(&field.ty).is_some_and(|name| found.contains(name));
            if ty.fields.iter().any(|field| is_default(field) || below(field)) {
                found.insert(ty.name.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn kinds(facts: &[TypeFacts]) -> Vec<String> {
    let of =
        |(id, ty): (usize, &TypeFacts)| ty.kinds.iter().map(|kind| (kind.clone(), id)).collect::<Vec<_>>();
    let mut kinds: Vec<([String; 3], usize)> = facts.iter().enumerate().flat_map(of).collect();
    kinds.sort();
    let entry = |([group, version, kind], id): &([String; 3], usize)| {
        format!(
            "((Cow::Borrowed({group:?}), Cow::Borrowed({version:?}), Cow::Borrowed({kind:?})), TypeId({id}))"
        )
    };
    kinds.iter().map(entry).collect()
}

fn scalar_kind(scalar: &str) -> String {
    let variant = match scalar {
        "string" => "String",
        "int32" => "Int32",
        "int64" => "Int64",
        "double" => "Float64",
        "bool" => "Bool",
        "bytes" => "Bytes",
        "time" => "Time",
        "microtime" => "MicroTime",
        "quantity" => "Quantity",
        "intorstring" => "IntOrString",
        "rawextension" => "RawExtension",
        "fieldsv1" => "FieldsV1",
        "json" => "Json",
        "jsonschemaor" => "JsonSchemaOr",
        other => panic!("unknown scalar {other}"),
    };
    format!("Kind::Scalar(Scalar::{variant})")
}

fn map_type(map_type: &str) -> &'static str {
    match map_type {
        "" => "MapType::Unset",
        "atomic" => "MapType::Atomic",
        "granular" => "MapType::Granular",
        other => panic!("map type {other}"),
    }
}

fn write_array(out: &mut String, name: &str, ty: &str, entries: &[String]) {
    writeln!(out, "static {name}: [{ty}; {}] = [", entries.len()).expect("strings take everything");
    for entry in entries {
        writeln!(out, "{entry},").expect("strings take everything");
    }
    out.push_str("];\n");
}
