//! Lists of indexes such as `1,3-5`, as indexed jobs tell them.

/// How many indexes a list names; they ascend and are below `completions`.
/// An error is in the words of the original.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let (mut total, mut last) = (0, None::<i64>);
    for text in text.split(',') {
        let (first, end) = interval(text, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The lowest index of each overlap's first pair of intervals that both lists name.
/// Intervals that cannot be read are passed over; [`count`] tells of them.
pub(super) fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|text| interval(text, completions).ok()).collect()
    };
    let other = read(other);
    read(one).into_iter().find_map(|(first, end)| {
        let meets = other.iter().find(|(start, stop)| first <= *stop && *start <= end);
        meets.map(|(start, _)| first.max(*start))
    })
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let limits: Vec<&str> = text.split('-').collect();
    if limits.len() > 2 {
        return Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        ));
    }
    let first = index(limits[0], completions)?;
    let Some(end) = limits.get(1) else { return Ok((first, first)) };
    let end = index(end, completions)?;
    if first >= end {
        return Err(format!("non-increasing order, previous: {first}, current: {end}"));
    }
    Ok((first, end))
}

fn index(text: &str, completions: i64) -> Result<i64, String> {
    let index: i64 =
        text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
    if index >= completions { Err(format!("too large index: {text:?}")) } else { Ok(index) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_ascend_below_the_number_of_completions() {
        for (text, total) in [("", 0), ("0", 1), ("0,2-4", 4), ("0-4", 5)] {
            assert_eq!(count(text, 5), Ok(total), "{text}");
        }
        for (text, fault) in [
            ("5", "too large index: \"5\""),
            ("3,1", "non-increasing order, previous: 3, current: 1"),
            ("3-3", "non-increasing order, previous: 3, current: 3"),
            ("a", "cannot convert string to integer for index: \"a\""),
            (
                "1-2-3",
                "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts \
                 separated by '-'",
            ),
        ] {
            assert_eq!(count(text, 5), Err(fault.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_first_index_in_both_lists_is_found() {
        assert_eq!(overlap("0-2,5", "3,4", 9), None);
        assert_eq!(overlap("0-2,5", "1-6", 9), Some(1));
        assert_eq!(overlap("x,5", "4-6", 9), Some(5));
    }
}
