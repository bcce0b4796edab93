//! What tracking and applying cost: a Deployment of 30 containers with 20
//! managers, and an update of it beside decoding and encoding the object.

use std::borrow::Cow;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use meta::ApiError;
use patch::apply::{FieldManager, FieldSet, Typed, Versions, Writer};
use schema::{TypeId, Value};

struct Deployments(TypeId);

impl Versions for Deployments {
    fn typed(&self, api_version: &str) -> Option<Typed<'_>> {
        (api_version == "apps/v1").then(|| Typed { schema: schema::builtin(), ty: self.0, zeros: true })
    }

    fn from_stored<'v>(&self, _: &str, object: &'v Value) -> Result<Cow<'v, Value>, ApiError> {
        Ok(Cow::Borrowed(object))
    }

    fn to_stored(&self, _: &str, object: Value) -> Result<Value, ApiError> {
        Ok(object)
    }
}

fn writer<'a>(manager: &'a str, reset: &'a FieldSet) -> Writer<'a> {
    Writer {
        manager,
        api_version: "apps/v1",
        kind: "Deployment",
        subresource: "",
        now: "2026-01-01T00:00:00Z",
        reset,
        only: &[],
    }
}

/// The part of the configuration that the manager `i` of `n` applies.
fn configuration(managers: usize, i: usize, image: &str) -> Value {
    let containers: Vec<String> = (0..30)
        .filter(|container| container % managers == i)
        .map(|container| {
            format!(
                r#"{{"name":"c{container}","image":"{image}","env":[{{"name":"A","value":"1"}},{{"name":"B","value":"2"}}],
                    "ports":[{{"containerPort":{}}}],"resources":{{"limits":{{"cpu":"1","memory":"1Gi"}}}}}}"#,
                8000 + container
            )
        })
        .collect();
    let text = format!(
        r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"d","labels":{{"m{i}":"x"}}}},
            "spec":{{"template":{{"spec":{{"containers":[{}]}}}}}}}}"#,
        containers.join(",")
    );
    codec::json::decode_any(text.as_bytes()).expect("JSON")
}

fn live(versions: &Deployments) -> Value {
    let reset = FieldSet::of_path(&["status"]);
    let mut live = Value::map();
    for i in 0..20 {
        let name = format!("manager-{i}");
        let manager = FieldManager::new(versions, writer(&name, &reset));
        let applied = manager.apply(&live, &configuration(20, i, "i:1"), false).expect("disjoint");
        let document = applied.object.expect("a change");
        live = codec::json::typed(schema::builtin(), versions.0, &document, None).expect("of the type");
        live.set(&["metadata", "managedFields"], applied.managed_fields.expect("owners"));
        live.set(&["metadata", "uid"], "u");
    }
    live
}

fn benches(criterion: &mut Criterion) {
    let schema = schema::builtin();
    let ty = schema.kind("apps", "v1", "Deployment").expect("a kind of the table");
    let versions = Deployments(ty);
    let reset = FieldSet::of_path(&["status"]);
    let live = live(&versions);
    let changed = configuration(20, 3, "i:2");
    criterion.bench_function("apply_30_containers_20_managers", |bencher| {
        bencher.iter(|| {
            let manager = FieldManager::new(&versions, writer("manager-3", &reset));
            black_box(manager.apply(&live, &changed, false).expect("its own"))
        });
    });
    criterion.bench_function("update_tracking_30_containers_20_managers", |bencher| {
        let mut new = live.clone();
        new.set(&["spec", "replicas"], 5);
        bencher.iter(|| {
            let mut new = new.clone();
            FieldManager::new(&versions, writer("u", &reset)).update(&live, &mut new);
            black_box(new)
        });
    });
    criterion.bench_function("clone_30_containers_20_managers", |bencher| {
        bencher.iter(|| black_box(live.clone()))
    });
    let mut json = Vec::new();
    codec::json::encode(schema, ty, &live, &mut json);
    criterion.bench_function("decode_twice_and_encode_30_containers_20_managers", |bencher| {
        bencher.iter(|| {
            // An update decodes the body and the stored object, and encodes the result.
            for _ in 0..2 {
                black_box(codec::json::decode(schema, ty, &json, None).expect("our own"));
            }
            let mut out = Vec::with_capacity(json.len());
            codec::json::encode(schema, ty, &live, &mut out);
            black_box(out)
        });
    });
}

criterion_group!(apply, benches);
criterion_main!(apply);
