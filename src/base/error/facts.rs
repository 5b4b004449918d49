//! What an error tells besides its text: a stable code, its kind, whether a retry may help.
//!
//! Each error says it in one table beside its definition, a row a variant; what an error nests
//! answers for itself.

/// Whether a call that returned an error has changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing has moved.
    No,
    /// The stock has moved in memory, but the audit log, or the disk, may not have taken the entry.
    InMemory,
}

/// What a caller can do about an error, whichever operation it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Fewer units are there than the call needs.
    Short,
    /// The warehouse has too little room left.
    NoRoom,
    /// Nothing of this name, number or place is known here.
    NotFound,
    /// It was there, and is over: a hold, a transfer request, the oldest part of a journal.
    Gone,
    /// It contradicts what is there: a key that was used for something else, another journal.
    Conflict,
    /// Somebody else is at it at this moment; a retry may succeed.
    Busy,
    /// A limit that the engine was built with, or has by nature.
    Limit,
    /// The input can't be right, whatever the state of the engine.
    Invalid,
    /// The warehouse is suspended.
    Suspended,
    /// The engine takes no calls, or what lies below it fails.
    Unavailable,
    /// The call was applied in memory, and whether that will survive is open. Exactly these errors
    /// have [`Applied::InMemory`]. A retry without a key would move the units twice.
    Uncertain,
    /// A journal is not what was written, or says what can't have happened.
    Damaged,
}

/// What an error tells besides its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) code: &'static str,
    pub(crate) kind: ErrorKind,
    pub(crate) retryable: bool,
    /// The error tells of something that an earlier call, or this one, has recorded: who relies on
    /// it has to know that it is durable.
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

/// The public answers of an error that has `facts`.
macro_rules! error_answers {
    ($error:ident) => {
        impl $error {
            /// The error's name for programs: snake case, stable, and never another meaning's.
            /// `docs/errors.md` lists them all.
            pub fn code(&self) -> &'static str {
                self.facts().code
            }

            /// What a caller can do about it.
            pub fn kind(&self) -> $crate::base::error::ErrorKind {
                self.facts().kind
            }

            /// Whether the same call may succeed if it is made again.
            pub fn is_retryable(&self) -> bool {
                self.facts().retryable
            }

            /// Whether anything has moved although the call returned an error.
            pub fn applied(&self) -> $crate::base::error::Applied {
                self.facts().applied()
            }
        }
    };
}

/// An error's table: for each variant its kind, code and text; and what it nests.
///
/// What is nested speaks for itself: its text, its facts and its source are those of the whole, and
/// it turns into the whole by `From`, boxed where the variant is. A text that shows an inner error
/// must not have it as its source too, or every report would print it twice.
macro_rules! error_table {
    (
        $error:ident {$(
            $pattern:pat => $kind:ident($code:literal) $(.$how:ident($($when:expr)?))*,
            $text:literal $(, $value:expr)*;
        )*}
        $(nests { $($(#[$gate:meta])* $variant:ident($inner:ty)),+ $(,)? })?
    ) => {
        impl $error {
            /// Each row's code and kind.
            #[cfg(all(test, not(loom)))]
            pub(crate) const ROWS: &'static [(&'static str, $crate::base::error::ErrorKind)] =
                &[$(($code, $crate::base::error::ErrorKind::$kind)),*];

            /// The variants that nest another error.
            #[cfg(all(test, not(loom)))]
            pub(crate) const NESTS: &'static [&'static str] = &[$($($(#[$gate])* stringify!($variant)),+)?];

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
