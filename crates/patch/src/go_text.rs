//! Values as Go's `%v` prints them: `map[a:1 b:[x y]]`. Errors of strategic
//! merge patches show them so.

use std::fmt::Write;

use schema::Value;

/// The text of `%v`.
pub fn go_text(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => write!(out, "{n}").expect("a string takes all"),
        Value::Float(n) => write_float(*n, out),
        Value::String(s) => out.push_str(s),
        Value::Raw(json) => out.push_str(json),
        Value::List(items) => write_list(items, out),
        Value::Map(map) => {
            out.push_str("map[");
            for (i, (key, value)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                write(value, out);
            }
            out.push(']');
        }
    }
}

/// A list in brackets, items separated by blanks.
pub(crate) fn write_list(items: &[Value], out: &mut String) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        write(item, out);
    }
    out.push(']');
}

/// Go writes exponents from 1e+21 up and below 1e-04, with two digits at least.
fn write_float(number: f64, out: &mut String) {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let written = if (-4..21).contains(&exponent) {
        write!(out, "{number}")
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{mantissa}e{sign}{:02}", exponent.abs())
    };
    written.expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn trees_print_as_go_prints_them() {
        let mut map = Map::from([("b", Value::from(["x", "y"])), ("a", Value::Null), ("c", Value::map())]);
        map.insert("d", 1.5);
        assert_eq!(go_text(&map.into()), "map[a:<nil> b:[x y] c:map[] d:1.5]");
    }

    #[test]
    fn numbers_have_an_exponent_where_go_writes_one() {
        for (number, text) in
            [(1e20, "100000000000000000000"), (1e21, "1e+21"), (1.5e-7, "1.5e-07"), (0.0001, "0.0001")]
        {
            assert_eq!(go_text(&Value::Float(number)), text);
        }
    }
}
