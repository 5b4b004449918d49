//! A call of the engine from an async handler: its key, its notes, and how it becomes durable.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use stockade::{
    Durability, Error, IdempotencyKey, MutationError, OperationKind, Request, ReservationId,
    Uncertain,
};

use crate::auth::tokens::Caller;
use crate::problem::Problem;
use crate::shop::Shop;

/// Notes for the audit log, by name.
pub(crate) type Notes = BTreeMap<String, String>;

const KEY: &str = "idempotency-key";
const LONGEST_KEY: usize = 255;
const DURABILITY: &str = "stockade-durability";

/// What a request says of the call beside its body.
#[derive(Clone, Debug)]
pub(crate) struct CallOptions {
    pub(crate) caller: Caller,
    key: Option<IdempotencyKey>,
    durability: Option<Durability>,
}

impl<S: Send + Sync> FromRequestParts<S> for CallOptions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // The gate has put it there.
        let caller = parts.extensions.get::<Caller>().cloned().ok_or_else(Problem::internal)?;
        let key = match one(&parts.headers, KEY)? {
            Some(key) => Some(scoped_key(&caller, key)?),
            None => None,
        };
        let durability = match one(&parts.headers, DURABILITY)? {
            None => None,
            Some("buffered") => Some(Durability::Buffered),
            Some("synced") => Some(Durability::Synced),
            Some(_) => {
                let detail = "Stockade-Durability is buffered or synced";
                return Err(Problem::invalid("invalid_durability", detail));
            }
        };
        Ok(Self { caller, key, durability })
    }
}

/// A call that is to be made.
pub(crate) struct About<'a> {
    options: &'a CallOptions,
    kind: OperationKind,
    /// The reservation that it names.
    reservation: Option<ReservationId>,
    notes: &'a Notes,
}

impl CallOptions {
    pub(crate) fn about<'a>(
        &'a self,
        kind: OperationKind,
        reservation: Option<ReservationId>,
        notes: &'a Notes,
    ) -> About<'a> {
        About { options: self, kind, reservation, notes }
    }
}

fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let wrong =
        || Problem::invalid("invalid_header", format!("{name}: one value of visible ASCII"));
    text.map(Some).ok_or_else(wrong)
}

/// The engine's key: callers can't meet each other's keys, and a key may be longer than the engine
/// takes.
fn scoped_key(caller: &Caller, key: &str) -> Result<IdempotencyKey, Problem> {
    if key.is_empty() || key.len() > LONGEST_KEY {
        let detail = format!("an idempotency key has 1 to {LONGEST_KEY} bytes");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_key", detail));
    }
    let mut hasher = blake3::Hasher::new();
    // The length keeps a name's end apart from a key's beginning.
    hasher.update(&(caller.name.len() as u64).to_le_bytes());
    hasher.update(caller.name.as_bytes()).update(key.as_bytes());
    IdempotencyKey::try_from(&hasher.finalize().as_bytes()[..])
        .map_err(|error| Error::from(error).into())
}

impl Shop {
    /// Makes a call. What its key was answered before, and how its reservation ended, is read
    /// before it, without holding up this thread; so is the disk awaited, if the answer is to be
    /// durable.
    pub(crate) async fn call<T, E>(
        &self,
        about: About<'_>,
        operation: impl FnOnce(Request<'_>) -> Result<T, E>,
    ) -> Result<T, Problem>
    where
        E: MutationError + From<Uncertain> + Into<Error>,
    {
        let About { options, kind, reservation, notes } = about;
        // The engine itself must not wait, whatever its own settings say.
        let mut request = self.manager.request().durability(Durability::Buffered);
        for (name, value) in notes {
            request = request.note(name, value);
        }
        if let Some(key) = options.key {
            request = request.key(key);
        }
        match reservation {
            Some(id) => request.prefetch_of(id).await.map_err(Error::from)?,
            None if options.key.is_some() => request.prefetch().await.map_err(Error::from)?,
            None => {}
        }
        let waits = match options.durability {
            Some(asked) => asked == Durability::Synced,
            None => self.waits_for(kind),
        };
        let answer = if waits {
            self.manager.durably(move |_| operation(request)).await
        } else {
            operation(request)
        };
        answer.map_err(|error| error.into().into())
    }
}
