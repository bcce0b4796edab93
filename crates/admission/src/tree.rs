//! Small changes of trees that several plugins make.

use meta::{ObjectMeta, ObjectMetaMut};
use schema::{Key, Value};

/// Appends to the list at a path, which is made if there is none.
pub(crate) fn push(object: &mut Value, path: &[&'static str], item: impl Into<Value>) {
    let (last, parents) = path.split_last().expect("a path has a last step");
    let list = object.ensure_map(parents).entry(Key::borrowed(last), Value::default);
    match list {
        Value::List(items) => items.push(item.into()),
        nothing => *nothing = Value::List(vec![item.into()]),
    }
}

/// Adds a finalizer, unless it is there.
pub(crate) fn add_finalizer(object: &mut Value, finalizer: &str) {
    let mut finalizers: Vec<String> = ObjectMeta::of(object).finalizers().map(str::to_owned).collect();
    if !finalizers.iter().any(|present| present == finalizer) {
        finalizers.push(finalizer.to_owned());
        ObjectMetaMut::of(object).set_finalizers(finalizers);
    }
}
