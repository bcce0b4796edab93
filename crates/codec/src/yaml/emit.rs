//! Writes YAML byte for byte as the original does.
//!
//! Owns the order of keys, the choice of quotes and the folding of long lines.
//! A line is folded at the first space behind column 80.

use super::resolve::{Resolved, resolve};
use crate::json;
use schema::Value;
use std::cmp::Ordering;

/// Spaces per level.
const INDENT: usize = 2;
/// Column behind which text is folded.
const WIDTH: usize = 80;
/// Longer keys are written with `?` on a line of their own, in bytes.
const SIMPLE_KEY_MAX: usize = 128;

/// A value as YAML, with a line end.
pub fn encode_any(value: &Value) -> String {
    let mut emitter = Emitter { out: String::new(), column: 0 };
    emitter.node(value, 0, Place::Root);
    emitter.out.push('\n');
    emitter.out
}

/// Where a node stands, which decides whether it begins on a new line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    /// Behind `- `, or behind the `? ` or `: ` of a long key.
    Item,
    /// Behind `key:`.
    Member,
}

struct Emitter {
    out: String,
    column: usize,
}

impl Emitter {
    /// `indent` is the column of the collection that holds the node.
    fn node(&mut self, value: &Value, indent: usize, place: Place) {
        match value {
            Value::Map(map) if map.is_empty() => self.word("{}", place),
            Value::List(items) if items.is_empty() => self.word("[]", place),
            Value::Map(map) => {
                let indent = if place == Place::Root { indent } else { indent + INDENT };
                for (i, (key, value)) in in_natural_order(map.iter().collect()).into_iter().enumerate() {
                    self.line(indent, i == 0 && place != Place::Member);
                    self.member(key, value, indent);
                }
            }
            Value::List(items) => {
                // A list behind a key stands below the key, not further in.
                let indent = if place == Place::Item { indent + INDENT } else { indent };
                for (i, item) in items.iter().enumerate() {
                    self.line(indent, i == 0 && place != Place::Member);
                    self.write("- ");
                    self.node(item, indent, Place::Item);
                }
            }
            Value::Raw(text) => {
                let value = json::decode_any(text.as_bytes()).unwrap_or_default();
                self.node(&value, indent, place);
            }
            Value::String(text) => {
                self.space(place);
                self.scalar(text, indent + INDENT, place, false);
            }
            Value::Null => self.word("null", place),
            Value::Bool(b) => self.word(if *b { "true" } else { "false" }, place),
            Value::Int(n) => self.word(itoa::Buffer::new().format(*n), place),
            Value::Float(n) => self.word(&float(*n), place),
        }
    }

    fn member(&mut self, key: &str, value: &Value, indent: usize) {
        if key.len() <= SIMPLE_KEY_MAX && !key.contains('\n') {
            self.scalar(key, indent + INDENT, Place::Member, true);
            self.write(":");
            return self.node(value, indent, Place::Member);
        }
        self.write("? ");
        self.scalar(key, indent + INDENT, Place::Item, false);
        self.line(indent, false);
        self.write(": ");
        self.node(value, indent, Place::Item);
    }

    /// Begins an entry: on a new line, unless it is the first one behind a `- `.
    fn line(&mut self, indent: usize, continues: bool) {
        if !continues {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent));
            self.column = indent;
        }
    }

    fn space(&mut self, place: Place) {
        if place == Place::Member {
            self.write(" ");
        }
    }

    fn word(&mut self, word: &str, place: Place) {
        self.space(place);
        self.write(word);
    }

    fn write(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    fn scalar(&mut self, text: &str, indent: usize, place: Place, key: bool) {
        let shape = Shape::of(text);
        let is_text = matches!(resolve(text), Resolved::String(_) | Resolved::Merge) && !is_base_60(text);
        if text.contains('\n') {
            if shape.block_allowed && !key {
                let indent = if place == Place::Root { 0 } else { indent };
                return self.literal(text, indent);
            }
            return self.double_quoted(text, indent, key);
        }
        if !is_text || !shape.single_quoted_allowed {
            self.double_quoted(text, indent, key);
        } else if shape.plain_allowed {
            self.folded(text, indent, key, false);
        } else {
            self.write("'");
            self.folded(&text.replace('\'', "''"), indent, key, true);
            self.write("'");
        }
    }

    /// Plain or single-quoted text: a long line is folded at a single space.
    fn folded(&mut self, text: &str, indent: usize, key: bool, quoted: bool) {
        let mut spaces = false;
        let mut chars = text.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            let next = chars.peek().map(|(_, c)| *c);
            let inside = !quoted || (i > 0 && next.is_some());
            if c == ' ' && !key && !spaces && self.column > WIDTH && inside && next != Some(' ') {
                self.line(indent, false);
            } else {
                self.out.push(c);
                self.column += 1;
            }
            spaces = c == ' ';
        }
    }

    fn double_quoted(&mut self, text: &str, indent: usize, key: bool) {
        self.write("\"");
        let mut spaces = false;
        let mut chars = text.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            let next = chars.peek().map(|(_, c)| *c);
            if !is_printable(c) || matches!(c, '"' | '\\' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}') {
                self.write(&escape(c));
            } else if c == ' ' && !key && !spaces && self.column > WIDTH && i > 0 && next.is_some() {
                self.line(indent, false);
                if next == Some(' ') {
                    self.write("\\");
                }
            } else {
                self.out.push(c);
                self.column += 1;
            }
            spaces = c == ' ';
        }
        self.write("\"");
    }

    /// `|`, with hints about indentation and the line ends at the end.
    fn literal(&mut self, text: &str, indent: usize) {
        self.write("|");
        if text.starts_with([' ', '\n']) {
            self.write("2");
        }
        if !text.ends_with('\n') {
            self.write("-");
        } else if text == "\n" || text.ends_with("\n\n") {
            self.write("+");
        }
        let body = text.strip_suffix('\n').unwrap_or(text);
        for line in body.split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                self.out.extend(std::iter::repeat_n(' ', indent));
                self.out.push_str(line);
            }
        }
    }
}

/// What the characters of a text allow.
struct Shape {
    plain_allowed: bool,
    single_quoted_allowed: bool,
    block_allowed: bool,
}

impl Shape {
    fn of(text: &str) -> Shape {
        let mut indicators = text.starts_with("---") || text.starts_with("...");
        let mut special = false;
        let mut space_break = false;
        let mut break_space = false;
        let mut before = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let blank_next = chars.peek().is_none_or(|c| is_blank(*c));
            indicators |= match (before, c) {
                (
                    None,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                    | '`',
                ) => true,
                (None, '?' | ':' | '-') | (Some(_), ':') => blank_next,
                (Some(before), '#') => is_blank(before),
                _ => false,
            };
            special |= !is_printable(c);
            space_break |= before == Some(' ') && is_break(c);
            break_space |= before.is_some_and(is_break) && c == ' ';
            before = Some(c);
        }
        let blank_ends = text.starts_with(is_blank) || text.ends_with(is_blank);
        let many_lines = text.contains(is_break);
        let bad = special || space_break;
        Shape {
            plain_allowed: !(bad || break_space || many_lines || blank_ends || indicators),
            single_quoted_allowed: !(bad || break_space),
            block_allowed: !(bad || text.ends_with(' ')),
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t' || is_break(c)
}

/// What is written as it is. Tabs and everything beyond 16 bits are escaped.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            return match c as u32 {
                n @ 0..=0xff => format!("\\x{n:02X}"),
                n @ 0x100..=0xffff => format!("\\u{n:04X}"),
                n => format!("\\U{n:08X}"),
            };
        }
    };
    format!("\\{short}")
}

/// `1:20` is a number to the base of 60 for other readers of YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let is_digit = |b: u8| b.is_ascii_digit() || b == b'_';
    let mut count = 0;
    let sexagesimal = |part: &str| match part.as_bytes() {
        [b'0'..=b'9'] => true,
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(is_digit)
        && parts.inspect(|_| count += 1).all(sexagesimal)
        && count > 0
        && fraction.bytes().all(is_digit)
}

/// A float with the shortest digits; an exponent of at least two digits when
/// it is below -4 or above 20.
fn float(n: f64) -> String {
    let exponential = format!("{n:e}");
    let Some((digits, exponent)) = exponential.split_once('e') else { return exponential };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => n.to_string(),
    }
}

/// Sorts entries by merging. The order is not total for every set of keys, which
/// the standard library's sort may answer with a panic.
fn in_natural_order<'v>(mut entries: Vec<(&'v str, &'v Value)>) -> Vec<(&'v str, &'v Value)> {
    if entries.len() < 2 {
        return entries;
    }
    let right = in_natural_order(entries.split_off(entries.len() / 2));
    let left = in_natural_order(entries);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let mut right = right.into_iter().peekable();
    for entry in left {
        while let Some(other) = right.next_if(|other| natural_order(other.0, entry.0) == Ordering::Less) {
            merged.push(other);
        }
        merged.push(entry);
    }
    merged.extend(right);
    merged
}

/// Numbers inside names in order of value, letters behind everything else.
fn natural_order(a: &str, b: &str) -> Ordering {
    let common = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let mut rest_a = a.chars().skip(common).peekable();
    let mut rest_b = b.chars().skip(common).peekable();
    let (Some(&x), Some(&y)) = (rest_a.peek(), rest_b.peek()) else {
        return a.len().cmp(&b.len());
    };
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let number = |rest: &mut dyn Iterator<Item = char>, start: u64| {
        let digits: Vec<u64> = rest.map_while(|c| c.to_digit(10)).map(u64::from).collect();
        let value = digits.iter().fold(start, |n, digit| n.wrapping_mul(10).wrapping_add(*digit));
        (value, digits.len())
    };
    // A zero inside a number counts by what stands before it.
    let before = a.chars().take(common).collect::<Vec<_>>();
    let in_number = before.iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let start = u64::from((x == '0' || y == '0') && in_number);
    let (number_a, length_a) = number(&mut rest_a, start);
    let (number_b, length_b) = number(&mut rest_b, start);
    number_a.cmp(&number_b).then(length_a.cmp(&length_b)).then(x.cmp(&y))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: &str) {
        let value = json::decode_any(json.as_bytes()).expect(json);
        assert_eq!(encode_any(&value), expect, "{json}");
        let read = super::super::decode_any(expect.as_bytes()).expect(expect);
        assert_eq!(read, value, "{expect}");
    }

    #[test]
    fn lists_stand_below_their_key() {
        check(
            r#"{"a":[{"b":1,"c":[2]},[3,4],[]],"d":{}}"#,
            "a:\n- b: 1\n  c:\n  - 2\n- - 3\n  - 4\n- []\nd: {}\n",
        );
        check("[1]", "- 1\n");
        check("null", "null\n");
    }

    #[test]
    fn what_could_be_read_otherwise_is_quoted() {
        check(
            r#"["true","1","","a b","a: b","a #b","- a","'a","on","2001-01-01","1:20","0x1","x\ty",".","é","😀"]"#,
            "- \"true\"\n- \"1\"\n- \"\"\n- a b\n- 'a: b'\n- 'a #b'\n- '- a'\n- '''a'\n- \"on\"\n- \"2001-01-01\"\n- \"1:20\"\n- \"0x1\"\n- \"x\\ty\"\n- .\n- é\n- \"\\U0001F600\"\n",
        );
        check(r#"{"y":"a","1":"b"," c":"d"}"#, "' c': d\n\"1\": b\n\"y\": a\n");
    }

    #[test]
    fn text_of_several_lines_is_literal() {
        check(
            r#"{"a":"x\ny","b":"x\n","c":"x\n\n","d":" x\ny","e":"x \ny"}"#,
            "a: |-\n  x\n  y\nb: |\n  x\nc: |+\n  x\n\nd: |2-\n   x\n  y\ne: \"x \\ny\"\n",
        );
        check(r#"[["x\ny"]]"#, "- - |-\n    x\n    y\n");
    }

    #[test]
    fn long_lines_are_folded_behind_column_80() {
        let text = "word ".repeat(20);
        let text = text.trim_end();
        let json = format!("{{\"k\":\"{text}\"}}");
        let first = "word ".repeat(16);
        let expect = format!("k: {}\n  word word word word\n", first.trim_end());
        check(&json, &expect);
    }

    #[test]
    fn keys_are_in_natural_order() {
        check(r#"{"a10":1,"a2":2,"b":3,"a":4,".":5,"B":6}"#, ".: 5\nB: 6\na: 4\na2: 2\na10: 1\nb: 3\n");
    }

    #[test]
    fn long_keys_stand_on_a_line_of_their_own() {
        let key = "k".repeat(130);
        check(&format!("{{\"{key}\":{{\"a\":1}}}}"), &format!("? {key}\n: a: 1\n"));
    }
}
