//! What differs between two structs, as error texts show it: a unified diff of
//! their indented JSON, with the names of the Go fields.
//!
//! Lines are matched as the original's library does: the longest common block
//! first, then what lies before and after it; lines that are common in long
//! texts are no anchors. Another diff would be as right, but read differently.

use std::collections::HashMap;
use std::fmt::Write;

use schema::Value;

use crate::go_form;

/// Lines around a change.
const CONTEXT: usize = 3;
/// From this many lines on, a line that makes up more than a hundredth is no anchor.
const POPULAR_FROM_LINES: usize = 200;

/// What differs between two values of a type with an OpenAPI name, e.g. `io.k8s.api.core.v1.PodSpec`.
/// Empty if nothing does.
pub fn of_type(type_name: &str, old: &Value, new: &Value) -> String {
    let [old, new] = [old, new].map(|value| indented(&go_form::show(type_name, Some(value))));
    unified(&lines(&old), &lines(&new))
}

/// The same for some fields of a struct, as if they were a struct of their own.
pub fn of_fields(type_name: &str, fields: &[&str], old: &Value, new: &Value) -> String {
    let [old, new] = [old, new].map(|value| indented(&go_form::show_fields(type_name, fields, value)));
    unified(&lines(&old), &lines(&new))
}

/// JSON on one line, indented by one space a level as Go's encoder does it.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut chars = json.chars().peekable();
    let newline = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth));
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                while let Some(inner) = chars.next() {
                    out.push(inner);
                    match inner {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    newline(depth, &mut out);
                }
            }
            '}' | ']' => {
                depth -= 1;
                newline(depth, &mut out);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(depth, &mut out);
            }
            ':' => out.push_str(": "),
            _ => out.push(c),
        }
    }
    out
}

fn lines(text: &str) -> Vec<&str> {
    text.split('\n').collect()
}

/// A run of lines that both texts have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    old: usize,
    new: usize,
    length: usize,
}

/// A stretch that is the same in both, or not.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    same: bool,
    old: (usize, usize),
    new: (usize, usize),
}

fn unified(old: &[&str], new: &[&str]) -> String {
    let mut out = String::new();
    for hunk in hunks(&stretches(old, new)) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let (before, after) = (range(first.old.0, last.old.1), range(first.new.0, last.new.1));
        // Writing to a string cannot fail.
        let _ = writeln!(out, "@@ -{before} +{after} @@");
        for stretch in hunk {
            let mut put = |sign: char, lines: &[&str]| {
                for line in lines {
                    let _ = writeln!(out, "{sign}{line}");
                }
            };
            if stretch.same {
                put(' ', &old[stretch.old.0..stretch.old.1]);
            } else {
                put('-', &old[stretch.old.0..stretch.old.1]);
                put('+', &new[stretch.new.0..stretch.new.1]);
            }
        }
    }
    out
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        1 => (start + 1).to_string(),
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

/// Changes with what lies around them; changes near each other share a hunk.
fn hunks(stretches: &[Stretch]) -> Vec<Vec<Stretch>> {
    let mut hunks = Vec::new();
    let mut hunk: Vec<Stretch> = Vec::new();
    let last = stretches.len().saturating_sub(1);
    for (i, stretch) in stretches.iter().enumerate() {
        let length = stretch.old.1 - stretch.old.0;
        let from = |keep: usize| Stretch {
            old: (stretch.old.1 - keep, stretch.old.1),
            new: (stretch.new.1 - keep, stretch.new.1),
            ..*stretch
        };
        let until = |keep: usize| Stretch {
            old: (stretch.old.0, stretch.old.0 + keep),
            new: (stretch.new.0, stretch.new.0 + keep),
            ..*stretch
        };
        if !stretch.same {
            hunk.push(*stretch);
        } else if i == 0 {
            hunk.push(from(CONTEXT.min(length)));
        } else if i == last {
            hunk.push(until(CONTEXT.min(length)));
        } else if length > 2 * CONTEXT {
            hunk.push(until(CONTEXT));
            hunks.push(std::mem::take(&mut hunk));
            hunk.push(from(CONTEXT));
        } else {
            hunk.push(*stretch);
        }
    }
    hunks.push(hunk);
    hunks.retain(|hunk| hunk.iter().any(|stretch| !stretch.same));
    hunks
}

fn stretches(old: &[&str], new: &[&str]) -> Vec<Stretch> {
    let mut blocks = Vec::new();
    Matcher::new(old, new).blocks(0, old.len(), 0, new.len(), &mut blocks);
    blocks.push(Block { old: old.len(), new: new.len(), length: 0 });
    let mut stretches: Vec<Stretch> = Vec::new();
    let (mut i, mut j) = (0, 0);
    for block in blocks {
        if i < block.old || j < block.new {
            stretches.push(Stretch { same: false, old: (i, block.old), new: (j, block.new) });
        }
        (i, j) = (block.old + block.length, block.new + block.length);
        match stretches.last_mut() {
            // Blocks that touch are one.
            Some(last) if last.same && last.old.1 == block.old && last.new.1 == block.new => {
                (last.old.1, last.new.1) = (i, j);
            }
            _ if block.length > 0 => {
                stretches.push(Stretch { same: true, old: (block.old, i), new: (block.new, j) });
            }
            _ => {}
        }
    }
    stretches
}

struct Matcher<'a> {
    old: &'a [&'a str],
    new: &'a [&'a str],
    /// Where each line stands in `new`, popular ones left out.
    places: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Matcher<'a> {
    fn new(old: &'a [&'a str], new: &'a [&'a str]) -> Matcher<'a> {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (j, line) in new.iter().enumerate() {
            places.entry(line).or_default().push(j);
        }
        if new.len() >= POPULAR_FROM_LINES {
            let most = new.len() / 100 + 1;
            places.retain(|_, places| places.len() <= most);
        }
        Matcher { old, new, places }
    }

    /// Common blocks of two ranges, in order.
    fn blocks(&self, old_from: usize, old_to: usize, new_from: usize, new_to: usize, out: &mut Vec<Block>) {
        let block = self.longest(old_from, old_to, new_from, new_to);
        if block.length == 0 {
            return;
        }
        self.blocks(old_from, block.old, new_from, block.new, out);
        out.push(block);
        self.blocks(block.old + block.length, old_to, block.new + block.length, new_to, out);
    }

    /// The longest common block, the first one in `old` and then in `new` if there are several.
    fn longest(&self, old_from: usize, old_to: usize, new_from: usize, new_to: usize) -> Block {
        let mut best = Block { old: old_from, new: new_from, length: 0 };
        // Length of the common block that ends with a place in `new` and the line before.
        let mut lengths: HashMap<usize, usize> = HashMap::new();
        for i in old_from..old_to {
            let mut next = HashMap::new();
            for j in self.places.get(self.old[i]).into_iter().flatten().copied() {
                if j < new_from || j >= new_to {
                    continue;
                }
                let before = j.checked_sub(1).and_then(|j| lengths.get(&j)).copied().unwrap_or_default();
                let length = before + 1;
                next.insert(j, length);
                if length > best.length {
                    best = Block { old: i + 1 - length, new: j + 1 - length, length };
                }
            }
            lengths = next;
        }
        // Popular lines are no anchors, but belong to a block beside them.
        while best.old > old_from && best.new > new_from && self.old[best.old - 1] == self.new[best.new - 1] {
            best = Block { old: best.old - 1, new: best.new - 1, length: best.length + 1 };
        }
        while best.old + best.length < old_to
            && best.new + best.length < new_to
            && self.old[best.old + best.length] == self.new[best.new + best.length]
        {
            best.length += 1;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: &str, new: &str) -> String {
        unified(&lines(old), &lines(new))
    }

    #[test]
    fn a_change_stands_among_three_lines() {
        assert_eq!(
            diff("a\nb\nc\nd\ne\nf\ng\nh\ni", "a\nb\nc\nd\nX\nf\ng\nh\ni"),
            "@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+X\n f\n g\n h\n"
        );
        assert_eq!(diff("a", "a"), "");
        assert_eq!(diff("a\nb", "a"), "@@ -1,2 +1 @@\n a\n-b\n");
    }

    #[test]
    fn changes_far_from_each_other_have_hunks_of_their_own() {
        let old: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let mut new = old.clone();
        new[2] = "x".to_owned();
        new[15] = "y".to_owned();
        let text = diff(&old.join("\n"), &new.join("\n"));
        assert_eq!(text.matches("@@ -").count(), 2, "{text}");
        assert!(text.starts_with("@@ -1,6 +1,6 @@\n 0\n 1\n-2\n+x\n"), "{text}");
    }

    #[test]
    fn json_is_indented_as_go_does_it() {
        let text = indented(r#"{"A":{},"B":[1,{"C":"x, \" {y"}],"D":null}"#);
        let expected =
            "{\n \"A\": {},\n \"B\": [\n  1,\n  {\n   \"C\": \"x, \\\" {y\"\n  }\n ],\n \"D\": null\n}";
        assert_eq!(text, expected);
    }
}
