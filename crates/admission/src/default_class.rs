//! Which class of several is the default: the newest, and of equally new ones
//! the first by name. Shared by the plugins that fill a class in.

use std::sync::Arc;

use meta::{ApiError, ObjectMeta};
use schema::Value;

use crate::lister::Lister;

/// Name and age of a class, with its annotations looked at.
pub struct DefaultClass {
    name: String,
    /// RFC 3339, which sorts as text.
    created: String,
    is_default: bool,
}

impl DefaultClass {
    /// A class, which is a default if one of `annotations` is `true`.
    pub(crate) fn read(object: &Value, annotations: &[&str]) -> DefaultClass {
        let meta = ObjectMeta::of(object);
        DefaultClass {
            name: meta.name().to_owned(),
            created: meta.creation_timestamp().to_owned(),
            is_default: annotations.iter().any(|key| meta.annotations().str(key) == Some("true")),
        }
    }
}

/// Name of the default class; none if there is none.
pub(crate) async fn default_class<V: AsRef<DefaultClass>>(
    classes: &dyn Lister<V>,
) -> Result<Option<String>, ApiError> {
    let classes: Vec<Arc<V>> = classes.all().await?;
    let defaults = classes.iter().map(|class| (**class).as_ref()).filter(|class| class.is_default);
    let chosen = defaults.min_by(|a, b| b.created.cmp(&a.created).then_with(|| a.name.cmp(&b.name)));
    Ok(chosen.map(|class| class.name.clone()))
}
