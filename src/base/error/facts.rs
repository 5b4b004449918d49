//! What an error says besides its text: a stable code, a kind, and whether a retry may help.
//!
//! Each error type has one table beside its definition, with one row for each variant. A nested
//! error answers for itself.

/// Whether a call that returned an error has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Applied {
    /// Nothing has moved.
    No,
    /// The stock has moved in memory, but the audit log or the disk may not have taken the entry.
    InMemory,
}

/// What a caller can do about an error, whichever operation returned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ErrorKind {
    /// Fewer units are there than the call needs.
    Short,
    /// The warehouse has too little room left.
    NoRoom,
    /// The engine does not know this name, number or place.
    NotFound,
    /// It existed and has ended: a hold, a transfer request, the oldest part of a journal.
    Gone,
    /// It contradicts what exists: a key that was used for a different request, another journal.
    Conflict,
    /// Another call is at work on it at this moment. A retry may succeed.
    Busy,
    /// A limit is reached: a configured one, or one that every engine has.
    Limit,
    /// The input is wrong in any state of the engine.
    Invalid,
    /// The warehouse is suspended.
    Suspended,
    /// The engine takes no calls, or a sink or the storage fails.
    Unavailable,
    /// The call was applied in memory. Whether that survives a crash is open. Exactly these errors
    /// have [`Applied::InMemory`]. A retry without an idempotency key would move the units twice.
    Uncertain,
    /// A journal does not hold what was written, or its entries break a law.
    Damaged,
}

/// What an error says besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) code: &'static str,
    pub(crate) kind: ErrorKind,
    pub(crate) retryable: bool,
    /// The error reports something that this call or an earlier one has recorded. Before a caller
    /// may rely on the answer, that record must be durable.
    pub(crate) on_record: bool,
}

impl Facts {
    pub(crate) fn new(kind: ErrorKind, code: &'static str) -> Self {
        Self { code, kind, retryable: false, on_record: false }
    }

    /// The same call may succeed if it is made again.
    pub(crate) fn retry(self) -> Self {
        self.retry_if(true)
    }

    pub(crate) fn retry_if(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }

    pub(crate) fn on_record(self) -> Self {
        Self { on_record: true, ..self }
    }

    pub(crate) fn applied(self) -> Applied {
        if self.kind == ErrorKind::Uncertain { Applied::InMemory } else { Applied::No }
    }
}

#[cfg(feature = "serde")]
impl Facts {
    /// Writes an error of these facts.
    pub(crate) fn serialize_with<S: serde::Serializer>(
        self,
        error: &dyn std::error::Error,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let mut all = to.serialize_struct("Error", 5)?;
        all.serialize_field("code", self.code)?;
        all.serialize_field("kind", &self.kind)?;
        all.serialize_field("message", &error.to_string())?;
        all.serialize_field("retryable", &self.retryable)?;
        all.serialize_field("applied", &self.applied())?;
        all.end()
    }
}

/// Implements the public methods of an error that has a method `facts`.
macro_rules! error_answers {
    ($error:ident) => {
        impl $error {
            /// The error's name for programs, in snake case. It is stable: a code is never renamed,
            /// removed or given another meaning. `docs/errors.md` lists all codes.
            pub fn code(&self) -> &'static str {
                self.facts().code
            }

            /// What a caller can do about the error.
            pub fn kind(&self) -> $crate::base::error::ErrorKind {
                self.facts().kind
            }

            /// Whether the same call may succeed if it is made again.
            pub fn is_retryable(&self) -> bool {
                self.facts().retryable
            }

            /// Whether stock has moved although the call returned an error.
            pub fn applied(&self) -> $crate::base::error::Applied {
                self.facts().applied()
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $error {
            /// Writes what programs and people need to know: `code`, `kind`, `message`,
            /// `retryable` and `applied`.
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                self.facts().serialize_with(self, to)
            }
        }
    };
}

/// The table of an error: the kind, code and text of each variant, and the errors that it nests.
///
/// A nested error answers for the whole error: text, facts and source are those of the nested one.
/// `From` turns it into the whole error, in a box where the variant has one. An error whose text
/// shows an inner error must not also return it as its source. Otherwise a report that follows
/// sources would print it twice.
macro_rules! error_table {
    (
        $error:ident {$(
            $pattern:pat => $kind:ident($code:literal) $(.$how:ident($($when:expr)?))*,
            $text:literal $(, $value:expr)*;
        )*}
        $(nests { $($(#[$gate:meta])* $variant:ident($inner:ty)),+ $(,)? })?
    ) => {
        impl $error {
            /// The code and kind of each row.
            #[cfg(all(test, not(loom)))]
            pub(crate) const ROWS: &'static [(&'static str, $crate::base::error::ErrorKind)] =
                &[$(($code, $crate::base::error::ErrorKind::$kind)),*];

            /// The variants that nest another error.
            #[cfg(all(test, not(loom)))]
            pub(crate) const NESTS: &'static [&'static str] =
                &[$($($(#[$gate])* stringify!($variant)),+)?];

            #[allow(unused_variables, reason = "a row binds what its text shows")]
            pub(crate) fn facts(&self) -> $crate::base::error::Facts {
                match self {
                    $($pattern => {
                        let kind = $crate::base::error::ErrorKind::$kind;
                        $crate::base::error::Facts::new(kind, $code)$(.$how($($when)?))*
                    })*
                    $($($(#[$gate])* Self::$variant(inner) => inner.facts(),)+)?
                }
            }
        }

        $crate::base::error::error_answers!($error);

        impl std::fmt::Display for $error {
            #[allow(unused_variables, reason = "a row binds what decides on a retry, too")]
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $($pattern => write!(f, $text $(, $value)*),)*
                    $($($(#[$gate])* Self::$variant(inner) => std::fmt::Display::fmt(inner, f),)+)?
                }
            }
        }

        impl std::error::Error for $error {
            $(fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                match self {
                    $($(#[$gate])* Self::$variant(inner) => std::error::Error::source(inner),)+
                    #[allow(unreachable_patterns, reason = "some errors only nest")]
                    _ => None,
                }
            })?
        }

        $($($(#[$gate])* impl From<$inner> for $error {
            fn from(inner: $inner) -> Self {
                Self::$variant(inner.into())
            }
        })+)?
    };
}

pub(crate) use {error_answers, error_table};
