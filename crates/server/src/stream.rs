//! Lists as bodies: written object by object, in chunks, so that no answer is
//! ever whole in memory (F-NEG-4). The bytes are those of the unstreamed
//! encoding. Compression happens here too, because it must see the chunks.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use meta::{ApiError, GroupVersionKind, Revision};
use registry::ServedResource;
use schema::Value;
use storage::{List, ListItems, Object};

use crate::encode::{self, Item, Message};
use crate::negotiation::{MediaType, MetaVersion, Output, header};
use crate::respond::{Body, BodyError, bytes};
use crate::table::{self, TableStyle};
use crate::wire;

/// Bodies longer than this are compressed, if the client takes it, in bytes.
/// Lists up to this size are sent in one piece.
const COMPRESSION_THRESHOLD_BYTES: usize = 128 * 1024;
/// A streamed body is made in chunks of about this size, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// Speed before size, as in the original.
const COMPRESSION_LEVEL: u32 = 1;

/// What is written of each object of a list.
pub enum ListForm {
    /// The object.
    Objects,
    /// Its metadata.
    Partial(MetaVersion),
    /// A row.
    Table(TableStyle),
}

/// A list on its way out.
pub struct Listed {
    /// Its metadata.
    pub metadata: ListMetadata,
    /// Its objects.
    pub items: Items,
}

/// Objects of a list on its way out.
pub enum Items {
    /// From storage, a snapshot to walk.
    Stored(ListItems),
    /// Made for this answer, in the stored version.
    Trees(Vec<Value>),
}

impl From<List> for Listed {
    fn from(list: List) -> Listed {
        let metadata = ListMetadata {
            revision: list.revision,
            continue_token: list.continue_token,
            remaining_item_count: list.remaining_item_count,
        };
        Listed { metadata, items: Items::Stored(list.items) }
    }
}

/// Answers with a list. Errors met before the first chunk is full are
/// returned; later ones can only cut the connection.
pub fn respond(
    resource: Arc<ServedResource>,
    list: impl Into<Listed>,
    form: ListForm,
    output: Output,
    headers: &HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let mut writer = ListWriter::new(resource, list.into(), form, output)?;
    let in_one_piece = output.pretty || output.media_type == MediaType::Yaml;
    let mut first = Vec::new();
    let more =
        writer.fill(&mut first, if in_one_piece { usize::MAX } else { COMPRESSION_THRESHOLD_BYTES + 1 })?;
    if !more {
        let body = if output.media_type == MediaType::Protobuf {
            Bytes::from(first)
        } else {
            encode::finish_json(Bytes::from(first), output)
        };
        return Ok(compressed(bytes(StatusCode::OK, output.media_type.name(), Bytes::new()), body, headers));
    }
    let mut response = bytes(StatusCode::OK, output.media_type.name(), Bytes::new());
    let encoder = takes_gzip(headers).then(|| {
        mark_compressed(&mut response);
        GzEncoder::new(Vec::new(), Compression::new(COMPRESSION_LEVEL))
    });
    let newline = output.media_type == MediaType::Json;
    *response.body_mut() =
        ListBody { writer: Some(writer), first: Some(first), encoder, newline }.boxed_unsync();
    Ok(response)
}

/// Puts `body` into `response`, compressed if it is long and the client takes it.
pub fn compressed(mut response: Response<Body>, body: Bytes, headers: &HeaderMap) -> Response<Body> {
    let body = if body.len() > COMPRESSION_THRESHOLD_BYTES && takes_gzip(headers) {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(COMPRESSION_LEVEL));
        match encoder.write_all(&body).and_then(|()| encoder.finish()) {
            Ok(compressed) => {
                mark_compressed(&mut response);
                Bytes::from(compressed)
            }
            Err(error) => {
                tracing::error!(%error, "compressing into memory failed");
                body
            }
        }
    } else {
        body
    };
    *response.body_mut() = crate::respond::full(body);
    response
}

fn mark_compressed(response: &mut Response<Body>) {
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings = header(headers, ACCEPT_ENCODING).split(',');
    encodings.map(|encoding| encoding.split(';').next().unwrap_or_default().trim()).any(|name| name == "gzip")
}

/// Writes a list piece by piece.
struct ListWriter {
    resource: Arc<ServedResource>,
    form: ListForm,
    /// Written before the first object; none once that is done.
    head: Option<Vec<u8>>,
    items: Pieces,
    /// Written after the last object.
    tail: Vec<u8>,
    first: bool,
}

/// Objects to write: as JSON, or as messages, which were measured because the
/// envelope in front of them needs their length.
enum Pieces {
    Objects(ListItems),
    Trees(std::vec::IntoIter<Value>),
    Messages(std::vec::IntoIter<Arc<Object>>),
    MessageTrees(std::vec::IntoIter<Value>),
}

/// The protobuf message of one object of a list.
fn message_of<'a>(
    resource: &ServedResource,
    form: &ListForm,
    item: Item<'a>,
) -> Result<Message<'a>, ApiError> {
    match form {
        ListForm::Objects => encode::item_protobuf(resource, item),
        ListForm::Partial(_) | ListForm::Table(_) => {
            encode::partial_protobuf(resource, item).map(Message::Whole)
        }
    }
}

/// Appends an item of a list.
fn put_message(message: &Message<'_>, out: &mut Vec<u8>) {
    wire::put_header(2, message.len(), out);
    message.put(out);
}

impl ListWriter {
    fn new(
        resource: Arc<ServedResource>,
        list: Listed,
        form: ListForm,
        output: Output,
    ) -> Result<ListWriter, ApiError> {
        let Listed { metadata, items } = list;
        if output.media_type == MediaType::Protobuf {
            return ListWriter::protobuf(resource, metadata, items, form);
        }
        let (head, tail) = frame(&resource, &metadata, &form);
        let items = match items {
            Items::Stored(objects) => Pieces::Objects(objects),
            Items::Trees(trees) => Pieces::Trees(trees.into_iter()),
        };
        Ok(ListWriter { resource, form, head: Some(head), items, tail, first: true })
    }

    fn protobuf(
        resource: Arc<ServedResource>,
        metadata: ListMetadata,
        items: Items,
        form: ListForm,
    ) -> Result<ListWriter, ApiError> {
        // Everything is measured before the first byte goes out, because the envelope tells the length.
        // Encodings stay beside the objects, so only the objects are held here.
        let mut length = 0;
        let mut measure = |item: Item<'_>| -> Result<(), ApiError> {
            length += wire::field_len(message_of(&resource, &form, item)?.len());
            Ok(())
        };
        let items = match items {
            Items::Stored(objects) => {
                let objects: Vec<Arc<Object>> = objects.collect();
                objects.iter().try_for_each(|object| measure(Item::Stored(object)))?;
                Pieces::Messages(objects.into_iter())
            }
            Items::Trees(trees) => {
                trees.iter().try_for_each(|tree| measure(Item::Tree(tree)))?;
                Pieces::MessageTrees(trees.into_iter())
            }
        };
        let mut message = Vec::new();
        wire::put_bytes(1, &metadata.protobuf(), &mut message);
        let length = length + message.len();
        let (head, tail) = open_envelope(&list_kind(&resource, &form), length);
        let head = [head, message].concat();
        Ok(ListWriter { resource, form, head: Some(head), items, tail, first: true })
    }

    /// Appends to `out` until it holds `at_least` bytes or the list is
    /// complete; true if there is more to come.
    fn fill(&mut self, out: &mut Vec<u8>, at_least: usize) -> Result<bool, ApiError> {
        if let Some(head) = self.head.take() {
            out.extend_from_slice(&head);
        }
        while out.len() < at_least {
            if !self.put_next(out)? {
                self.close(out);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Closes the list of objects and all around it.
    fn close(&mut self, out: &mut Vec<u8>) {
        let empty_is_null = matches!(self.form, ListForm::Table(_))
            && table::empty_rows_are_null(&self.resource.definition.columns);
        match (&self.items, self.first) {
            (Pieces::Messages(_) | Pieces::MessageTrees(_), _) => {}
            (Pieces::Objects(_) | Pieces::Trees(_), false) => out.push(b']'),
            (Pieces::Objects(_) | Pieces::Trees(_), true) if empty_is_null => out.extend_from_slice(b"null"),
            (Pieces::Objects(_) | Pieces::Trees(_), true) => out.extend_from_slice(b"[]"),
        }
        out.append(&mut self.tail);
    }

    /// Appends the next object; false if there is none.
    fn put_next(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        let object;
        let tree;
        let item = match &mut self.items {
            Pieces::Messages(objects) => {
                let Some(next) = objects.next() else { return Ok(false) };
                put_message(&message_of(&self.resource, &self.form, Item::Stored(&next))?, out);
                return Ok(true);
            }
            Pieces::MessageTrees(trees) => {
                let Some(next) = trees.next() else { return Ok(false) };
                put_message(&message_of(&self.resource, &self.form, Item::Tree(&next))?, out);
                return Ok(true);
            }
            Pieces::Objects(objects) => {
                let Some(next) = objects.next() else { return Ok(false) };
                object = next;
                Item::Stored(&object)
            }
            Pieces::Trees(trees) => {
                let Some(next) = trees.next() else { return Ok(false) };
                tree = next;
                Item::Tree(&tree)
            }
        };
        out.push(if std::mem::take(&mut self.first) { b'[' } else { b',' });
        match &self.form {
            ListForm::Objects => out.extend_from_slice(&encode::item_json(&self.resource, item)?),
            ListForm::Partial(MetaVersion::V1) => {
                out.extend_from_slice(&encode::partial_json(&self.resource, item)?);
            }
            ListForm::Partial(version) => {
                let tree = encode::stored_tree(&self.resource, item)?;
                table::put_partial(&self.resource.definition, &tree, *version, out);
            }
            ListForm::Table(style) => table::put_row(&self.resource, item, style, out)?,
        }
        Ok(true)
    }
}

/// Metadata of a list.
pub struct ListMetadata {
    revision: Revision,
    continue_token: String,
    remaining_item_count: Option<i64>,
}

impl ListMetadata {
    /// Metadata that only tell a revision.
    pub fn at(revision: Revision) -> ListMetadata {
        ListMetadata { revision, continue_token: String::new(), remaining_item_count: None }
    }

    /// As JSON. A list without a revision (resumed from an expired token) tells none.
    pub fn json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(b'{');
        if self.revision.raw() != 0 {
            out.extend_from_slice(format!("\"resourceVersion\":\"{}\"", self.revision).as_bytes());
        }
        if !self.continue_token.is_empty() {
            out.extend_from_slice(if out.len() > 1 { b",\"continue\":" } else { b"\"continue\":" });
            encode::json_string(&self.continue_token, &mut out);
        }
        if let Some(count) = self.remaining_item_count {
            let comma = if out.len() > 1 { "," } else { "" };
            out.extend_from_slice(format!("{comma}\"remainingItemCount\":{count}").as_bytes());
        }
        out.push(b'}');
        out
    }

    /// As lists of custom objects have it: keys sorted, `continue` always there.
    fn custom_json(&self) -> Vec<u8> {
        let mut out = b"{\"continue\":".to_vec();
        encode::json_string(&self.continue_token, &mut out);
        if let Some(count) = self.remaining_item_count {
            out.extend_from_slice(format!(",\"remainingItemCount\":{count}").as_bytes());
        }
        out.extend_from_slice(b",\"resourceVersion\":");
        let revision = if self.revision.raw() == 0 { String::new() } else { self.revision.to_string() };
        encode::json_string(&revision, &mut out);
        out.push(b'}');
        out
    }

    fn protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let revision = if self.revision.raw() == 0 { String::new() } else { self.revision.to_string() };
        wire::put_bytes(1, b"", &mut out);
        wire::put_bytes(2, revision.as_bytes(), &mut out);
        wire::put_bytes(3, self.continue_token.as_bytes(), &mut out);
        if let Some(count) = self.remaining_item_count {
            out.push(4 << 3);
            wire::put_varint(count.unsigned_abs(), &mut out);
        }
        out
    }
}

/// What stands before and after the objects of a JSON list.
fn frame(resource: &ServedResource, metadata: &ListMetadata, form: &ListForm) -> (Vec<u8>, Vec<u8>) {
    let kind = list_kind(resource, form);
    let mut head = Vec::with_capacity(256);
    match form {
        ListForm::Table(style) => {
            let columns = &resource.definition.columns;
            table::open(style.version, &metadata.json(), Some(columns), &mut head);
            (head, b"}".to_vec())
        }
        ListForm::Objects if encode::is_custom(resource) => {
            head.extend_from_slice(b"{\"apiVersion\":");
            encode::json_string(&kind.api_version(), &mut head);
            head.extend_from_slice(b",\"items\":");
            let mut tail = b",\"kind\":".to_vec();
            encode::json_string(&kind.kind, &mut tail);
            tail.extend_from_slice(b",\"metadata\":");
            tail.extend_from_slice(&metadata.custom_json());
            tail.push(b'}');
            (head, tail)
        }
        ListForm::Objects | ListForm::Partial(_) => {
            encode::put_kind(&kind, &kind.api_version(), &mut head);
            head.extend_from_slice(b",\"metadata\":");
            head.extend_from_slice(&metadata.json());
            head.extend_from_slice(b",\"items\":");
            (head, b"}".to_vec())
        }
    }
}

/// The kind of the list written.
fn list_kind(resource: &ServedResource, form: &ListForm) -> GroupVersionKind {
    match form {
        ListForm::Objects => {
            let definition = &resource.definition;
            definition.group_version().kind(format!("{}List", definition.kind))
        }
        ListForm::Partial(version) => table::meta_kind(*version, "PartialObjectMetadataList"),
        ListForm::Table(style) => table::meta_kind(style.version, "Table"),
    }
}

/// What stands before and after a message of `length` bytes in the envelope.
fn open_envelope(gvk: &GroupVersionKind, length: usize) -> (Vec<u8>, Vec<u8>) {
    let empty = encode::envelope(gvk, b"");
    // An envelope of nothing ends with the fields behind `raw`; what stands
    // before is magic and type, then `raw` with length 0.
    let raw = [0x12, 0];
    let at = empty.windows(2).rposition(|pair| pair == raw).unwrap_or(empty.len());
    let mut head = empty[..at].to_vec();
    wire::put_header(2, length, &mut head);
    (head, empty.get(at + 2..).unwrap_or_default().to_vec())
}

/// A list too long for one piece.
struct ListBody {
    writer: Option<ListWriter>,
    first: Option<Vec<u8>>,
    encoder: Option<GzEncoder<Vec<u8>>>,
    newline: bool,
}

impl ListBody {
    /// The next chunk, none at the end. May be empty while the compressor collects.
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, BodyError> {
        if let Some(first) = self.first.take() {
            return self.pack(first, false).map(Some);
        }
        let Some(writer) = &mut self.writer else { return Ok(None) };
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        let more = writer.fill(&mut chunk, CHUNK_BYTES).map_err(|error| BodyError(error.to_string()))?;
        if !more {
            self.writer = None;
            if self.newline {
                chunk.push(b'\n');
            }
        }
        self.pack(chunk, !more).map(Some)
    }

    fn pack(&mut self, chunk: Vec<u8>, last: bool) -> Result<Vec<u8>, BodyError> {
        let Some(encoder) = &mut self.encoder else { return Ok(chunk) };
        encoder.write_all(&chunk).map_err(|error| BodyError(error.to_string()))?;
        if last {
            encoder.try_finish().map_err(|error| BodyError(error.to_string()))?;
        }
        Ok(std::mem::take(encoder.get_mut()))
    }
}

impl http_body::Body for ListBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match self.next_chunk() {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk))))),
                Ok(None) => return Poll::Ready(None),
                Err(error) => {
                    tracing::error!(%error, "a list broke off");
                    self.writer = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_metadata_leave_out_what_is_not_known() {
        let metadata =
            ListMetadata { revision: Revision(7), continue_token: "t".into(), remaining_item_count: Some(3) };
        assert_eq!(metadata.json(), br#"{"resourceVersion":"7","continue":"t","remainingItemCount":3}"#);
        assert_eq!(
            metadata.custom_json(),
            br#"{"continue":"t","remainingItemCount":3,"resourceVersion":"7"}"#
        );
        assert_eq!(ListMetadata::at(Revision(0)).json(), b"{}");
    }

    #[test]
    fn an_opened_envelope_holds_what_a_closed_one_holds() {
        let gvk = GroupVersionKind::new("", "v1", "PodList");
        let message = [1; 300];
        let (head, tail) = open_envelope(&gvk, message.len());
        assert_eq!([&head, message.as_slice(), &tail].concat(), encode::envelope(&gvk, &message));
    }

    #[test]
    fn gzip_is_found_among_other_encodings() {
        let mut headers = HeaderMap::new();
        assert!(!takes_gzip(&headers));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("br, gzip;q=1.0"));
        assert!(takes_gzip(&headers));
    }
}
