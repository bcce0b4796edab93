//! Lists of tolerations put together without what is redundant in them.

use schema::Value;

/// Both lists, without a toleration that another one of them covers. Of equal
/// ones the first stays.
pub(crate) fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::with_capacity(all.len());
    for (i, toleration) in all.iter().enumerate() {
        let covered = merged.iter().any(|kept| covers(kept, toleration))
            || all[i + 1..].iter().any(|later| later != toleration && covers(later, toleration));
        if !covered {
            merged.push((*toleration).clone());
        }
    }
    merged
}

/// True if `wide` tolerates all that `narrow` does.
fn covers(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let same = |field| text(wide, field) == text(narrow, field);
    let exists = text(wide, "operator") == "Exists";
    // An empty key that exists is every key, an empty effect every effect.
    let key = same("key") || exists && text(wide, "key").is_empty();
    let effect = same("effect") || text(wide, "effect").is_empty();
    let duration = text(wide, "effect") != "NoExecute" || lasts_as_long(wide, narrow);
    let value = match text(wide, "operator") {
        "" | "Equal" => text(narrow, "operator") == "Equal" && same("value"),
        _ => exists,
    };
    key && effect && duration && value
}

fn text<'a>(toleration: &'a Value, field: &str) -> &'a str {
    toleration.str_at(&[field]).unwrap_or_default()
}

/// Without a number of seconds a toleration lasts for ever.
fn lasts_as_long(wide: &Value, narrow: &Value) -> bool {
    let seconds = |toleration: &Value| toleration.int_at(&["tolerationSeconds"]);
    match (seconds(wide), seconds(narrow)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow <= wide,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    const ALL: &str = r#"{"operator":"Exists"}"#;
    const A_EXISTS: &str = r#"{"key":"a","operator":"Exists"}"#;
    const A_EQUAL: &str = r#"{"key":"a","operator":"Equal","value":"1"}"#;
    const A_SCHEDULE: &str = r#"{"key":"a","operator":"Exists","effect":"NoSchedule"}"#;
    const B_LONG: &str = r#"{"key":"b","operator":"Exists","effect":"NoExecute","tolerationSeconds":9}"#;
    const B_SHORT: &str = r#"{"key":"b","operator":"Exists","effect":"NoExecute","tolerationSeconds":5}"#;
    const B_EVER: &str = r#"{"key":"b","operator":"Exists","effect":"NoExecute"}"#;

    fn list(items: &[&str]) -> Vec<Value> {
        items.iter().map(|item| object(item)).collect()
    }

    #[test]
    fn what_another_toleration_covers_is_dropped() {
        for (first, second, expected) in [
            (&[A_EXISTS][..], &[A_EXISTS][..], &[A_EXISTS][..]),
            (&[A_EQUAL], &[A_EXISTS], &[A_EXISTS]),
            (&[A_EXISTS], &[A_SCHEDULE], &[A_EXISTS]),
            (&[A_SCHEDULE], &[A_EQUAL], &[A_SCHEDULE, A_EQUAL]),
            (&[B_SHORT, A_EQUAL], &[B_LONG], &[A_EQUAL, B_LONG]),
            (&[B_EVER], &[B_LONG], &[B_EVER]),
            (&[B_LONG], &[B_EVER], &[B_EVER]),
            (&[B_SHORT, A_EXISTS], &[ALL], &[ALL]),
            (&[], &[], &[]),
        ] {
            assert_eq!(merge(&list(first), &list(second)), list(expected), "{first:?} {second:?}");
        }
    }
}
