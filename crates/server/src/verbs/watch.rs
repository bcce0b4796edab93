//! Watches: events as they happen, until the client goes, the time is over or
//! the server stops (F-WATCH-*).
//!
//! Frames follow the events: everything that is ready goes into one, so that
//! it is flushed when nothing more is queued, and never later.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::Environment;
use futures::future::{BoxFuture, Either, select};
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use meta::object::ObjectMetaMut;
use meta::{ApiError, Revision};
use registry::ServedResource;
use schema::Value;
use storage::{EventType, Watch, WatchEvent};
use tokio::sync::watch;

use super::{Target, go_type, table_style};
use crate::dormant::Dormant;
use crate::encode::{self, Item, Known};
use crate::filters::Exchange;
use crate::metrics::WatchEventMetrics;
use crate::negotiation::{self, MediaType, MetaVersion, Output, Transform};
use crate::options::read_options;
use crate::respond::{self, Body, BodyError};
use crate::status::{Failure, Status};
use crate::stream::ListMetadata;
use crate::table::{self, TableStyle};
use crate::wire;

/// Events that are ready are sent together up to about this size, in bytes.
const FRAME_BYTES: usize = 64 * 1024;
/// Marks the bookmark that ends the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Answers with the events of a collection, or of one object.
pub async fn watch(exchange: &Exchange, target: &Target) -> Result<Response<Body>, Failure> {
    let headers = &exchange.parts.headers;
    let offered = encode::media_types(&target.resource);
    let output = negotiation::stream(negotiation::output(headers, &exchange.query, offered, true)?, offered)?;
    let asked = exchange.query.flag("watch") == Some(true);
    let mut options = read_options(&exchange.query, &target.resource.definition, &target.name, asked)?;
    let form = EventForm::of(exchange, target, output)?;
    let life = life_of(exchange, options.timeout_seconds);
    options.list.watch_lifetime = Some(life);
    let events = target.store()?.watch(&exchange.context, &options.list).await?;
    let gvk = target.resource.definition.gvk();
    let mut kind = Vec::new();
    encode::put_kind(&gvk, &gvk.api_version(), &mut kind);
    let encoder = EventEncoder {
        resource: target.resource.clone(),
        kind,
        media_type: output.media_type,
        form,
        columns_sent: false,
    };
    let stream = EventStream {
        events,
        encoder,
        over: ending(exchange.services.environment.clock.sleep(life), exchange.services.stopping.clone()),
        done: false,
        frame_bytes: 0,
        metrics: exchange.services.metrics.watch_events(&target.resource.definition.gvr()),
    };
    let mut response = respond::bytes(StatusCode::OK, content_type(output.media_type), Bytes::new());
    *response.body_mut() =
        StreamBody::new(futures::stream::unfold(stream, EventStream::next_frame)).boxed_unsync();
    Ok(response)
}

fn content_type(media_type: MediaType) -> &'static str {
    match media_type {
        MediaType::Json | MediaType::Yaml => "application/json",
        MediaType::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
    }
}

/// How long a watch lives: as asked, or a random time, so that many watches
/// that began together do not end together (F-WATCH-1).
fn life_of(exchange: &Exchange, timeout_seconds: Option<i64>) -> Duration {
    let asked =
        timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    asked.map(Duration::from_secs).unwrap_or_else(|| {
        random_life(exchange.services.limits.min_request_timeout, &exchange.services.environment)
    })
}

fn random_life(shortest: Duration, environment: &Environment) -> Duration {
    let spread = u64::try_from(shortest.as_millis()).unwrap_or(u64::MAX).max(1);
    shortest + Duration::from_millis(environment.random.below(spread))
}

/// A watch on its way out.
struct EventStream {
    events: Box<dyn Watch>,
    encoder: EventEncoder,
    /// Completes when the time is over or the server stops. Kept from frame to
    /// frame: to enlist with the server's signal for each frame would cost more than the frame.
    over: Dormant<()>,
    done: bool,
    /// Room for the next frame, in bytes: it is likely to be as long as the last.
    frame_bytes: usize,
    metrics: WatchEventMetrics,
}

/// Completes when the time is over or the server stops.
fn ending(life: BoxFuture<'static, ()>, mut stopping: watch::Receiver<bool>) -> Dormant<()> {
    Dormant::new(async move {
        let stopped = std::pin::pin!(async move {
            // A sender that is gone will never say stop.
            if stopping.wait_for(|stop| *stop).await.is_err() {
                futures::future::pending::<()>().await;
            }
        });
        select(stopped, life).await;
    })
}

impl EventStream {
    /// The next frame, none when the watch is over.
    async fn next_frame(mut self) -> Option<(Result<Frame<Bytes>, BodyError>, EventStream)> {
        if self.done {
            return None;
        }
        let first = match self.events.try_next() {
            Some(event) => event,
            None => self.next_event().await?,
        };
        let mut out = Vec::with_capacity(self.frame_bytes);
        self.put(first, &mut out);
        while !self.done && out.len() < FRAME_BYTES {
            let Some(event) = self.events.try_next() else { break };
            self.put(event, &mut out);
        }
        self.frame_bytes = out.len().min(FRAME_BYTES / 4);
        Some((Ok(Frame::data(Bytes::from(out))), self))
    }

    async fn next_event(&mut self) -> Option<WatchEvent> {
        match select(self.events.next(), &mut self.over).await {
            Either::Left((event, _)) => event,
            Either::Right(_) => None,
        }
    }

    /// Appends an event. An error is the last one.
    fn put(&mut self, event: WatchEvent, out: &mut Vec<u8>) {
        let before = out.len();
        let failed = match event {
            WatchEvent::Error(error) => Some(error),
            event => self.encoder.put(&event, out).err(),
        };
        if let Some(error) = failed {
            self.done = true;
            self.encoder.put_error(&error, out);
        }
        self.metrics.sent(out.len() - before);
    }
}

/// What is written of the object of an event.
enum EventForm {
    Object,
    Partial(negotiation::MetaVersion),
    Table(TableStyle),
}

impl EventForm {
    fn of(exchange: &Exchange, target: &Target, output: Output) -> Result<EventForm, Failure> {
        match output.transform {
            Transform::None => Ok(EventForm::Object),
            Transform::PartialObject(version) => Ok(EventForm::Partial(version)),
            Transform::Table(version) => Ok(EventForm::Table(table_style(exchange, version)?)),
            Transform::PartialObjectList(_) => {
                let problem = "but the requested object is not a list";
                let ty = go_type(&target.resource, "");
                let text = format!("you requested PartialObjectMetadataList, {problem} ({ty})");
                Err(Failure::NotAcceptable(text))
            }
        }
    }
}

/// Writes events.
struct EventEncoder {
    resource: Arc<ServedResource>,
    /// JSON of kind and apiVersion, with the brace before them.
    kind: Vec<u8>,
    media_type: MediaType,
    form: EventForm,
    /// Only the first Table tells its columns (F-NEG-3).
    columns_sent: bool,
}

impl EventEncoder {
    fn put(&mut self, event: &WatchEvent, out: &mut Vec<u8>) -> Result<(), ApiError> {
        match event {
            WatchEvent::Change(change, object) => {
                let name = match change {
                    EventType::Added => "ADDED",
                    EventType::Modified => "MODIFIED",
                    EventType::Deleted => "DELETED",
                };
                let item = Item::Stored(object);
                if matches!(self.form, EventForm::Object) && self.media_type != MediaType::Protobuf {
                    return self.put_json(name, item, out);
                }
                let body = self.body(item, object.revision)?;
                self.frame(name, &body, out);
            }
            WatchEvent::Bookmark { revision, initial_events_end } => {
                let tree = bookmark(&self.resource, *revision, *initial_events_end);
                let body = self.body(Item::Tree(&tree), *revision)?;
                self.frame("BOOKMARK", &body, out);
            }
            WatchEvent::Error(error) => self.put_error(error, out),
        }
        Ok(())
    }

    /// Splices an event from the object's own encoding: one copy per watcher, no allocation.
    fn put_json(&self, name: &str, item: Item<'_>, out: &mut Vec<u8>) -> Result<(), ApiError> {
        let body = encode::item_json(&self.resource, item)?;
        out.reserve(body.len() + self.kind.len() + 64);
        open_frame(name, out);
        if encode::is_custom(&self.resource) {
            out.extend_from_slice(&body);
        } else {
            out.extend_from_slice(&self.kind);
            if body.len() > 2 {
                out.push(b',');
            }
            out.extend_from_slice(&body[1..]);
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    fn put_error(&self, error: &ApiError, out: &mut Vec<u8>) {
        let status = Status::of(error);
        let output = Output { media_type: self.media_type, ..Output::JSON };
        let gvk = meta::GroupVersionKind::new("", "v1", "Status");
        let body = encode::known(Known::Status, &gvk, status.to_value(), output);
        self.frame("ERROR", body.trim_ascii_end(), out);
    }

    /// The object of an event, as it stands in the event.
    fn body(&mut self, item: Item<'_>, revision: Revision) -> Result<Bytes, ApiError> {
        let gvk = self.resource.definition.gvk();
        let protobuf = self.media_type == MediaType::Protobuf;
        match &self.form {
            EventForm::Object if protobuf => {
                Ok(encode::envelope(&gvk, &encode::item_protobuf(&self.resource, item)?.into_bytes()))
            }
            EventForm::Object => encode::object_json(&self.resource, item, &gvk),
            EventForm::Partial(version) if protobuf => {
                let gvk = table::meta_kind(*version, "PartialObjectMetadata");
                Ok(encode::envelope(&gvk, &encode::partial_protobuf(&self.resource, item)?))
            }
            EventForm::Partial(MetaVersion::V1) => encode::partial_json(&self.resource, item),
            EventForm::Partial(version) => {
                let tree = encode::stored_tree(&self.resource, item)?;
                let mut out = Vec::with_capacity(512);
                table::put_partial(&self.resource.definition, &tree, *version, &mut out);
                Ok(Bytes::from(out))
            }
            EventForm::Table(style) => {
                let columns = (!self.columns_sent).then_some(self.resource.definition.columns.as_slice());
                let mut out = Vec::with_capacity(1024);
                table::open(style.version, &ListMetadata::at(revision).json(), columns, &mut out);
                out.push(b'[');
                table::put_row(&self.resource, item, style, &mut out)?;
                out.extend_from_slice(b"]}");
                self.columns_sent = true;
                Ok(Bytes::from(out))
            }
        }
    }

    fn frame(&self, name: &str, body: &[u8], out: &mut Vec<u8>) {
        if self.media_type == MediaType::Protobuf {
            return frame_protobuf(name, body, out);
        }
        open_frame(name, out);
        out.extend_from_slice(body);
        out.extend_from_slice(b"}\n");
    }
}

fn open_frame(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
}

/// Length, then a WatchEvent whose object is a RawExtension of the enveloped object.
fn frame_protobuf(name: &str, body: &[u8], out: &mut Vec<u8>) {
    let raw = wire::field_len(body.len());
    let length = wire::field_len(name.len()) + wire::field_len(raw);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    wire::put_bytes(1, name.as_bytes(), out);
    wire::put_header(2, raw, out);
    wire::put_bytes(1, body, out);
}

/// An object that only tells a revision.
fn bookmark(resource: &ServedResource, revision: Revision, initial_events_end: bool) -> Value {
    let mut tree = Value::map();
    // Built-in kinds that scale count their replicas in a plain number inside
    // the original, so an empty object of theirs has none rather than no count.
    if !encode::is_custom(resource) && resource.definition.subresource("scale").is_some() {
        tree.set(&["spec", "replicas"], 0);
    }
    let mut metadata = ObjectMetaMut::of(&mut tree);
    metadata.set_resource_version(revision);
    if initial_events_end {
        tree.set(&["metadata", "annotations", INITIAL_EVENTS_END], "true");
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protobuf_frame_has_the_length_it_tells() {
        let mut out = Vec::new();
        frame_protobuf("ADDED", &[7; 200], &mut out);
        let (length, event) = out.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().expect("four bytes")) as usize, event.len());
        assert_eq!(&event[..7], b"\x0a\x05ADDED");
    }
}
