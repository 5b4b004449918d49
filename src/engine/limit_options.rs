//! The options of a request about limits: whom the call is for, and which limits it may pass.

use std::sync::Arc;

use crate::policy::subject::{KindTag, NamedSubject};
use crate::stock::allowance::key::SubjectHash;

/// Whom a call is for, as limits count it, and which limits it may pass.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitOptions {
    /// Nearly all calls that name subjects name one, which takes no list.
    first: Option<NamedSubject>,
    /// What few calls have. Boxed, because each option that a caller adds moves the request.
    rest: Option<Box<MoreLimitOptions>>,
}

#[derive(Clone, Debug, Default)]
struct MoreLimitOptions {
    /// Sorted by kind: the request is the same in whichever order they were named.
    subjects: Vec<NamedSubject>,
    /// The names of limits, sorted, for the same reason.
    passed: Vec<Arc<str>>,
}

impl LimitOptions {
    pub(super) const NONE: Self = Self { first: None, rest: None };

    /// Whether the call says nothing of limits.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_none()
    }

    /// Adds a subject. The last of its kind counts.
    #[inline]
    pub(crate) fn name(&mut self, mut subject: NamedSubject) {
        match &mut self.first {
            None => self.first = Some(subject),
            Some(first) if first.kind == subject.kind => *first = subject,
            Some(first) => {
                if subject.kind < first.kind {
                    std::mem::swap(first, &mut subject);
                }
                let more = &mut self.rest.get_or_insert_default().subjects;
                match more.binary_search_by_key(&subject.kind, |known| known.kind) {
                    Ok(at) => more[at] = subject,
                    Err(at) => more.insert(at, subject),
                }
            }
        }
    }

    /// The subject of this kind.
    #[inline]
    pub(crate) fn subject_of(&self, kind: KindTag) -> Option<SubjectHash> {
        self.subjects().find(|known| known.kind == kind).map(|known| known.hash)
    }

    /// All subjects, in the order of their kinds.
    #[inline]
    pub(crate) fn subjects(&self) -> impl Iterator<Item = &NamedSubject> {
        self.first.iter().chain(self.rest.iter().flat_map(|rest| &rest.subjects))
    }

    /// Lets the call pass the limit of this name.
    pub(super) fn pass(&mut self, limit: &str) {
        let passed = &mut self.rest.get_or_insert_default().passed;
        if let Err(at) = passed.binary_search_by(|passed| (**passed).cmp(limit)) {
            passed.insert(at, limit.into());
        }
    }

    /// Whether the call may pass the limit of this name.
    pub(super) fn passes(&self, limit: &str) -> bool {
        self.passed().iter().any(|passed| **passed == *limit)
    }

    /// The names of the limits that the call may pass, sorted.
    #[inline]
    pub(super) fn passed(&self) -> &[Arc<str>] {
        self.rest.as_ref().map_or(&[], |rest| &rest.passed)
    }
}
