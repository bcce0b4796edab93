//! The syntax of JSON, and values without a type.
//!
//! Owns the lexer and the words of Go's syntax errors. Works on bytes: strings
//! are checked to be UTF-8 and repaired with U+FFFD as in Go.

use super::typed::{Path, Step};
use crate::error::push_strict;
use crate::{DEPTH_MAX, DecodeError, StrictError};
use schema::{Key, Map, Value};
use std::borrow::Cow;

/// A position in JSON text.
pub struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
    depth: usize,
}

/// The text of a number.
pub struct Number<'a> {
    pub text: &'a str,
    /// Neither fraction nor exponent.
    pub integer: bool,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, pos: 0, depth: 0 }
    }

    /// One value and nothing behind it.
    pub fn document_any(mut self, mut strict: Option<&mut Vec<StrictError>>) -> Result<Value, DecodeError> {
        let value = self.any(&Path::ROOT, &mut strict)?;
        self.end()?;
        Ok(value)
    }

    /// The members `apiVersion` and `kind` of a document, and nothing behind it.
    pub fn type_meta(mut self) -> Result<(String, String), DecodeError> {
        let (mut api_version, mut kind) = (String::new(), String::new());
        let mut mismatch = None;
        match self.peek()? {
            b'{' => self.object(|reader, key| {
                let slot = match key.as_ref() {
                    "apiVersion" => &mut api_version,
                    "kind" => &mut kind,
                    _ => return reader.skip(),
                };
                match reader.peek()? {
                    b'"' => *slot = reader.string()?.into_owned(),
                    b'n' => reader.literal("null")?,
                    first => {
                        reader.skip()?;
                        let place = format!("struct field .{key}");
                        mismatch.get_or_insert(DecodeError::mismatch(shape(first), place, "string"));
                    }
                }
                Ok(())
            })?,
            b'n' => self.literal("null")?,
            first => {
                self.skip()?;
                mismatch = Some(DecodeError::mismatch(shape(first), "value".into(), TYPE_META));
            }
        }
        self.end()?;
        match mismatch {
            Some(mismatch) => Err(mismatch),
            None => Ok((api_version, kind)),
        }
    }

    /// Refuses anything but white space up to the end.
    pub fn end(&mut self) -> Result<(), DecodeError> {
        self.skip_space();
        match self.bytes.get(self.pos) {
            None => Ok(()),
            Some(c) => Err(invalid(*c, "after top-level value")),
        }
    }

    /// The first byte of the value that comes next.
    pub fn peek(&mut self) -> Result<u8, DecodeError> {
        self.skip_space();
        self.bytes.get(self.pos).copied().ok_or(DecodeError::UnexpectedEnd)
    }

    /// A value of any shape.
    pub fn any(
        &mut self,
        path: &Path<'_>,
        strict: &mut Option<&mut Vec<StrictError>>,
    ) -> Result<Value, DecodeError> {
        Ok(match self.peek()? {
            b'{' => Value::Map(self.any_map(path, strict)?),
            b'[' => {
                let mut items = Vec::new();
                self.list(|reader| {
                    let step = Path::below(path, Step::Index(items.len()));
                    items.push(reader.any(&step, strict)?);
                    Ok(())
                })?;
                Value::List(items)
            }
            b'"' => Value::String(self.string()?.into_owned()),
            b't' => self.literal("true").map(|()| Value::Bool(true))?,
            b'f' => self.literal("false").map(|()| Value::Bool(false))?,
            b'n' => self.literal("null").map(|()| Value::Null)?,
            _ => number_value(&self.number()?)?,
        })
    }

    fn any_map(
        &mut self,
        path: &Path<'_>,
        strict: &mut Option<&mut Vec<StrictError>>,
    ) -> Result<Map, DecodeError> {
        let mut entries: Vec<(Key, Value)> = Vec::new();
        self.object(|reader, key| {
            let step = Path::below(path, Step::Key(&key));
            let value = reader.any(&step, strict)?;
            entries.push((Key::from(key.into_owned()), value));
            Ok(())
        })?;
        Ok(Map::from_unsorted(entries, |key| {
            if let Some(errors) = strict {
                push_strict(errors, StrictError::Duplicate(Path::below(path, Step::Key(key)).text()));
            }
        }))
    }

    /// Walks an object; `member` must read the value.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.begin_object()? {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            if self.object_ends()? {
                return Ok(());
            }
        }
    }

    /// Walks a list; `item` must read the value.
    fn list(
        &mut self,
        mut item: impl FnMut(&mut Reader<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.begin_list()? {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.list_ends()? {
                return Ok(());
            }
        }
    }

    /// Goes into the object that comes next; true if it is empty and passed.
    pub fn begin_object(&mut self) -> Result<bool, DecodeError> {
        self.enter()?;
        let empty = self.peek()? == b'}';
        if empty {
            self.leave();
        }
        Ok(empty)
    }

    /// Goes into the list that comes next; true if it is empty and passed.
    pub fn begin_list(&mut self) -> Result<bool, DecodeError> {
        self.enter()?;
        let empty = self.peek()? == b']';
        if empty {
            self.leave();
        }
        Ok(empty)
    }

    /// A key and its colon.
    pub fn key(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        match self.peek()? {
            b'"' => {}
            c => return Err(invalid(c, "looking for beginning of object key string")),
        }
        let key = self.string()?;
        match self.peek()? {
            b':' => self.pos += 1,
            c => return Err(invalid(c, "after object key")),
        }
        Ok(key)
    }

    /// Behind a member: true at the end of the object.
    pub fn object_ends(&mut self) -> Result<bool, DecodeError> {
        match self.peek()? {
            b',' => self.pos += 1,
            b'}' => {
                self.leave();
                return Ok(true);
            }
            c => return Err(invalid(c, "after object key:value pair")),
        }
        Ok(false)
    }

    /// Behind an item: true at the end of the list.
    pub fn list_ends(&mut self) -> Result<bool, DecodeError> {
        match self.peek()? {
            b',' => self.pos += 1,
            b']' => {
                self.leave();
                return Ok(true);
            }
            c => return Err(invalid(c, "after array element")),
        }
        Ok(false)
    }

    fn enter(&mut self) -> Result<(), DecodeError> {
        self.pos += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(DecodeError::TooDeep) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.pos += 1;
        self.depth -= 1;
    }

    /// Passes over a value, returning its text. Bytes that are not UTF-8 are
    /// repaired, which the original leaves to whoever looks into the text.
    pub fn raw(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.peek()?;
        let start = self.pos;
        self.skip()?;
        Ok(String::from_utf8_lossy(&self.bytes[start..self.pos]))
    }

    /// Passes over a value.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        match self.peek()? {
            b'{' => self.object(|reader, _| reader.skip()),
            b'[' => self.list(Reader::skip),
            b'"' => self.string().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number().map(drop),
        }
    }

    /// `true`, `false` or `null`, whose first byte stands next.
    pub fn literal(&mut self, literal: &'static str) -> Result<(), DecodeError> {
        for (i, expected) in literal.bytes().enumerate() {
            match self.bytes.get(self.pos) {
                Some(c) if *c == expected => self.pos += 1,
                Some(c) => {
                    debug_assert!(i > 0, "the caller has seen the first byte");
                    return Err(invalid(
                        *c,
                        &format!("in literal {literal} (expecting '{}')", expected as char),
                    ));
                }
                None => return Err(DecodeError::UnexpectedEnd),
            }
        }
        Ok(())
    }

    /// A number, or the error for a byte that begins no value.
    pub fn number(&mut self) -> Result<Number<'a>, DecodeError> {
        let start = self.pos;
        let negative = self.bytes.get(self.pos) == Some(&b'-');
        self.pos += usize::from(negative);
        let mut integer = true;
        match self.bytes.get(self.pos) {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits("")?,
            Some(c) if negative => return Err(invalid(*c, "in numeric literal")),
            Some(c) => return Err(invalid(*c, "looking for beginning of value")),
            None => return Err(DecodeError::UnexpectedEnd),
        }
        if self.bytes.get(self.pos) == Some(&b'.') {
            integer = false;
            self.pos += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.pos) {
            integer = false;
            self.pos += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.pos) {
                self.pos += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text =
            std::str::from_utf8(&self.bytes[start..self.pos]).expect("digits, signs and points are ASCII");
        Ok(Number { text, integer })
    }

    fn digits(&mut self, context: &str) -> Result<(), DecodeError> {
        match self.bytes.get(self.pos) {
            Some(b'0'..=b'9') => {}
            Some(c) => return Err(invalid(*c, context)),
            None => return Err(DecodeError::UnexpectedEnd),
        }
        while let Some(b'0'..=b'9') = self.bytes.get(self.pos) {
            self.pos += 1;
        }
        Ok(())
    }

    /// A string, whose opening quote stands next.
    pub fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.pos += 1;
        let start = self.pos;
        let rest = &self.bytes[start..];
        let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
        self.pos += plain;
        if rest.get(plain) == Some(&b'"') {
            self.pos += 1;
            return Ok(String::from_utf8_lossy(&rest[..plain]));
        }
        let mut text = String::from_utf8_lossy(&rest[..plain]).into_owned();
        loop {
            match self.bytes.get(self.pos) {
                None => return Err(DecodeError::UnexpectedEnd),
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(c @ 0..0x20) => return Err(invalid(*c, "in string literal")),
                Some(_) => {
                    let rest = &self.bytes[self.pos..];
                    let plain =
                        rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
                    text.push_str(&String::from_utf8_lossy(&rest[..plain]));
                    self.pos += plain;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, DecodeError> {
        let c = *self.bytes.get(self.pos + 1).ok_or(DecodeError::UnexpectedEnd)?;
        self.pos += 2;
        Ok(match c {
            b'"' | b'\\' | b'/' => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(invalid(c, "in string escape code")),
        })
    }

    fn unicode_escape(&mut self) -> Result<char, DecodeError> {
        let first = self.hex4()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        // Half of a surrogate pair; alone it is U+FFFD and what follows is read again.
        if first < 0xDC00 && self.bytes[self.pos..].starts_with(b"\\u") {
            let back = self.pos;
            self.pos += 2;
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                let c = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.pos = back;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0;
        for _ in 0..4 {
            let c = *self.bytes.get(self.pos).ok_or(DecodeError::UnexpectedEnd)?;
            let digit = (c as char).to_digit(16);
            value = value * 16 + digit.ok_or_else(|| invalid(c, "in \\u hexadecimal character escape"))?;
            self.pos += 1;
        }
        Ok(value)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.get(self.pos) {
            self.pos += 1;
        }
    }
}

/// The Go type that `apiVersion` and `kind` are read into.
const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// What the value that begins with a byte is called in error texts.
pub fn shape(first: u8) -> &'static str {
    match first {
        b'{' => "object",
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        _ => "number",
    }
}

/// A number without a type: an integer if it is written as one and fits.
fn number_value(number: &Number<'_>) -> Result<Value, DecodeError> {
    if number.integer
        && let Ok(n) = number.text.parse::<i64>()
    {
        return Ok(Value::Int(n));
    }
    float(number)
        .map(Value::Float)
        .ok_or_else(|| DecodeError::mismatch(&format!("number {}", number.text), "value".into(), "float64"))
}

/// A number as a double, none if it is too large for one.
pub fn float(number: &Number<'_>) -> Option<f64> {
    number.text.parse::<f64>().ok().filter(|n| n.is_finite())
}

fn invalid(c: u8, context: &str) -> DecodeError {
    let shown = match c {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => "'\\\\'".to_owned(),
        0x07 => "'\\a'".to_owned(),
        0x08 => "'\\b'".to_owned(),
        b'\t' => "'\\t'".to_owned(),
        b'\n' => "'\\n'".to_owned(),
        0x0b => "'\\v'".to_owned(),
        0x0c => "'\\f'".to_owned(),
        b'\r' => "'\\r'".to_owned(),
        0..0x20 | 0x7f => format!("'\\x{c:02x}'"),
        // Go shows a byte as the code point of the same number.
        0x80..0xa0 | 0xad => format!("'\\u{c:04x}'"),
        _ => format!("'{}'", c as char),
    };
    DecodeError::Syntax(format!("invalid character {shown} {context}"))
}
