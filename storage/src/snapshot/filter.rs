//! Predicates on tags.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

/// Decides on the value of one tag; `None` is NULL.
pub type TagPredicate = Arc<dyn Fn(Option<&str>) -> bool + Send + Sync>;

/// A predicate on one tag. It is evaluated once per distinct value, never per row or series.
#[derive(Clone)]
pub struct TagTerm {
    /// Position of the tag in `TableSchema::tags`.
    pub tag: usize,
    /// The predicate.
    pub accept: TagPredicate,
    /// The only values that `accept` accepts, when they are known: `tag = 'x'` and `tag IN ('x', 'y')`.
    pub equals: Option<Vec<String>>,
}

impl TagTerm {
    /// A term that accepts just the given values.
    pub fn one_of(tag: usize, values: Vec<String>) -> Self {
        let accepted = values.clone();
        let accept: TagPredicate =
            Arc::new(move |value| value.is_some_and(|value| accepted.iter().any(|accepted| accepted == value)));
        Self { tag, accept, equals: Some(values) }
    }

    /// A term from a predicate.
    pub fn predicate(tag: usize, accept: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> Self {
        Self { tag, accept: Arc::new(accept), equals: None }
    }
}

impl Debug for TagTerm {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagTerm").field("tag", &self.tag).field("equals", &self.equals).finish_non_exhaustive()
    }
}

/// A series matches when every term holds; no terms match every series.
#[derive(Debug, Clone, Default)]
pub struct TagFilter {
    /// The terms.
    pub terms: Vec<TagTerm>,
}

impl TagFilter {
    /// Matches every series.
    pub fn all() -> Self {
        Self::default()
    }
}
