//! Resources whose types are made at run time, as those of custom resources
//! will be: `widgets`, whose fields are declared, and `gadgets`, whose fields
//! are deduced from each object.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use pintle::RuntimeResource;
use registry::{ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::{
    Field, FieldFlags, Kind, ListType, MapType, PatchStrategy, Scalar, Schema, Type, TypeId, builtin,
};

/// Group of both.
pub const GROUP: &str = "example.com";

/// `widgets`: `spec: {a: string, list: [string], set: [string] (a set), m: {string: string},
/// items: [{name, value}] by name}`, `status`: anything.
pub fn widgets() -> RuntimeResource {
    let mut types = Types::default();
    let text = types.scalar(Scalar::String);
    let anything = types.scalar(Scalar::Object);
    let texts = types.add(Kind::List(text));
    let map = types.add(Kind::Map(text));
    let item = types.structure(vec![field("name", text), field("value", text)]);
    let items = types.add(Kind::List(item));
    let spec = types.structure(vec![
        field("a", text),
        field("list", texts),
        Field { list_type: ListType::Set, ..field("set", texts) },
        field("m", map),
        Field {
            list_type: ListType::Map,
            list_map_keys: vec!["name".into()].into(),
            ..field("items", items)
        },
    ]);
    let metadata = types.import(builtin().named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap());
    let ty = types.structure(vec![
        field("apiVersion", text),
        field("kind", text),
        field("metadata", metadata),
        field("spec", spec),
        field("status", anything),
    ]);
    RuntimeResource { definition: definition("widgets", "Widget"), schema: types.schema(), ty }
}

/// `gadgets`: nothing is declared.
pub fn gadgets() -> RuntimeResource {
    let mut types = Types::default();
    let ty = types.scalar(Scalar::Object);
    RuntimeResource { definition: definition("gadgets", "Gadget"), schema: types.schema(), ty }
}

struct NoStrategy;
impl Strategy for NoStrategy {}

fn definition(resource: &'static str, kind: &'static str) -> ResourceDef {
    ResourceDef {
        generation: true,
        unconditional_update: false,
        status_metadata: StatusMetadata::Kept,
        subresources: vec![Subresource::scale(), Subresource::status()],
        ..ResourceDef::stored(GROUP, "v1", resource, kind, NoStrategy)
    }
}

/// A table in the making.
#[derive(Default)]
struct Types {
    types: Vec<Type>,
    imported: HashMap<TypeId, TypeId>,
}

impl Types {
    fn add(&mut self, kind: Kind) -> TypeId {
        self.types.push(Type {
            name: Cow::Borrowed(""),
            message: Cow::Borrowed(""),
            kind,
            map_type: MapType::Unset,
            has_defaults: false,
        });
        TypeId(u32::try_from(self.types.len() - 1).unwrap())
    }

    fn scalar(&mut self, scalar: Scalar) -> TypeId {
        self.add(Kind::Scalar(scalar))
    }

    fn structure(&mut self, fields: Vec<Field>) -> TypeId {
        let mut by_name: Vec<u16> = (0u16..).take(fields.len()).collect();
        by_name.sort_by(|a, b| fields[usize::from(*a)].name.cmp(&fields[usize::from(*b)].name));
        self.add(Kind::Struct { fields: fields.into(), by_name: by_name.into(), wire: Vec::new().into() })
    }

    /// A type of the built-in table with all it refers to.
    fn import(&mut self, ty: TypeId) -> TypeId {
        if let Some(known) = self.imported.get(&ty) {
            return *known;
        }
        let built_in = builtin().ty(ty);
        let here = self.scalar(Scalar::Object);
        self.imported.insert(ty, here);
        let kind = match &built_in.kind {
            Kind::Scalar(scalar) => Kind::Scalar(*scalar),
            Kind::List(item) => Kind::List(self.import(*item)),
            Kind::Map(item) => Kind::Map(self.import(*item)),
            Kind::Struct { fields, by_name, wire } => {
                let fields = fields.iter().map(|field| Field { ty: self.import(field.ty), ..field.clone() });
                let fields: Vec<Field> = fields.collect();
                Kind::Struct { fields: fields.into(), by_name: by_name.clone(), wire: wire.clone() }
            }
        };
        self.types[here.0 as usize] = Type { kind, ..built_in.clone() };
        here
    }

    fn schema(self) -> Arc<Schema> {
        Arc::new(Schema { types: self.types.into(), kinds: Vec::new().into() })
    }
}

fn field(name: &'static str, ty: TypeId) -> Field {
    Field {
        name: Cow::Borrowed(name),
        ty,
        flags: FieldFlags(0),
        default: Cow::Borrowed(""),
        list_type: ListType::Unset,
        list_map_keys: Vec::new().into(),
        map_type: MapType::Unset,
        patch_strategy: PatchStrategy::default(),
        patch_merge_key: Cow::Borrowed(""),
    }
}
