//! What an etcd of some version can do (C-FRE-4).
//!
//! Asked for progress, etcd before 3.4.31 and from 3.5.0 to 3.5.12 answers with
//! a revision whose events may still be on their way. Trusting that would
//! be a gap in a watch, so it is never asked there.

/// True if every version answers progress requests truthfully. A version that
/// cannot be read counts as one that does not.
pub(crate) fn all_answer_progress<'a>(versions: impl IntoIterator<Item = &'a str>) -> bool {
    versions.into_iter().all(answers_progress)
}

fn answers_progress(version: &str) -> bool {
    match parse(version) {
        Some((3, 4, patch)) => patch >= 31,
        Some((3, 5, patch)) => patch >= 13,
        Some((major, minor, _)) => (major, minor) > (3, 5),
        None => false,
    }
}

/// Major, minor and patch; what follows (`-rc.1`, `+build`) does not count.
fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let core = version.split(['-', '+']).next()?;
    let mut parts = core.split('.').map(|part| part.parse().ok());
    let parsed = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_versions_are_known() {
        for (version, want) in [
            ("3.3.27", false),
            ("3.4.23", false),
            ("3.4.30", false),
            ("3.4.31", true),
            ("3.5.0", false),
            ("3.5.12", false),
            ("3.5.13", true),
            ("3.5.16", true),
            ("3.6.0-rc.1", true),
            ("3.6.4", true),
            ("4.0.0", true),
            ("2.3.8", false),
            ("", false),
            ("3.5", false),
            ("3.5.x", false),
            ("3.5.13.1", false),
        ] {
            assert_eq!(answers_progress(version), want, "{version:?}");
        }
    }

    #[test]
    fn one_old_member_is_enough_to_not_ask() {
        assert!(all_answer_progress(["3.5.16", "3.6.0"]));
        assert!(!all_answer_progress(["3.5.16", "3.4.23"]));
    }
}
