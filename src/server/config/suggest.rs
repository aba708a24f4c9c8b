//! What may have been meant by a name that does not exist.

/// The known name that is nearest to `name`, when it is near.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let candidates = known.into_iter().map(|other| {
        // The right key in the wrong section is nearer than its letters say.
        let whole = distance(name, other);
        (whole.min(distance(&last(name), &last(other)) + 1), whole, other)
    });
    let (near, _, found) = candidates.min()?;
    (near <= 1 + name.len() / 5).then_some(found)
}

/// How many letters have to be put in, left out or exchanged (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let exchanged = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["server.listen", "limits.body_bytes", "sql.rows"];
        assert_eq!(nearest("server.lisen", known), Some("server.listen"));
        assert_eq!(nearest("limit.body_bytes", known), Some("limits.body_bytes"));
        assert_eq!(nearest("server.body_bytes", known), Some("limits.body_bytes"));
        assert_eq!(nearest("something.else", known), None);
        assert_eq!((distance("kitten", "sitting"), distance("", "abc"), distance("a", "a")), (3, 3, 0));
    }
}
