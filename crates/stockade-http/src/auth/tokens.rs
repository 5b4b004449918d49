//! Bearer tokens: 32 random bytes each, of which the file keeps only a hash.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;

/// What begins every token, so that scanners for secrets find one that has leaked.
const PREFIX: &str = "stk_";
const TOKEN_BYTES: usize = 32;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Look at stock, holds and the audit log.
    Read,
    /// All of [`Read`](Self::Read); and holds, sales, shipments and stock that comes in.
    Sell,
    /// All of [`Sell`](Self::Sell) and [`Metrics`](Self::Metrics); and limits, approvals,
    /// redaction, verification, snapshots, and looking at single customers.
    Operate,
    /// Read `/metrics` and `/v1/stats`, and nothing else.
    Metrics,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Read, Self::Sell, Self::Operate, Self::Metrics];

    /// Its name in a file of tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Sell => "sell",
            Self::Operate => "operate",
            Self::Metrics => "metrics",
        }
    }

    /// Whether whoever has this role may do what `needed` may.
    pub fn includes(self, needed: Self) -> bool {
        match self {
            Self::Operate => true,
            Self::Sell => matches!(needed, Self::Read | Self::Sell),
            Self::Read | Self::Metrics => self == needed,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or(UnknownRole)
    }
}

/// A text names no [`Role`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRole;

impl fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a role is read, sell, operate or metrics")
    }
}

impl std::error::Error for UnknownRole {}

/// Who calls, as the token says.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The token's name, which scopes idempotency keys.
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
}

/// The tokens that a service knows: a name, a role and a hash of each.
///
/// Their text has a line for each, `NAME ROLE HASH`. Empty lines and lines that begin with `#` mean
/// nothing. A name may stand on two lines, with the same role, while one token takes over from the
/// other: both are one caller, and share their idempotency keys.
///
/// ```
/// use stockade_http::{NewToken, Role, Tokens};
/// let made = NewToken::random("checkout", Role::Sell)?;
/// let tokens: Tokens = made.line().parse().expect("a line as the file has it");
/// assert_eq!(tokens.len(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tokens(Vec<Known>);

#[derive(Clone, Debug)]
struct Known {
    caller: Caller,
    hash: blake3::Hash,
}

impl Tokens {
    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: then nobody may do anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token this is. Every token is compared, each in constant time.
    pub(crate) fn caller_of(&self, token: &str) -> Option<Caller> {
        let hash = blake3::hash(token.as_bytes());
        let mut found = None;
        for known in &self.0 {
            // `blake3::Hash` is compared in constant time.
            if known.hash == hash {
                found = Some(&known.caller);
            }
        }
        found.cloned()
    }
}

/// A line of a file of tokens is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTokens {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for InvalidTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the tokens: {}", self.line, self.problem)
    }
}

impl std::error::Error for InvalidTokens {}

impl FromStr for Tokens {
    type Err = InvalidTokens;

    fn from_str(text: &str) -> Result<Self, InvalidTokens> {
        let mut tokens = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |problem: String| InvalidTokens { line: index + 1, problem };
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [name, role, hash] = *fields else {
                // Nothing of the line is repeated: it may hold a token.
                return Err(wrong("it is not NAME ROLE HASH".to_owned()));
            };
            let role = role.parse::<Role>().map_err(|error| wrong(error.to_string()))?;
            let hash = blake3::Hash::from_hex(hash)
                .map_err(|_| wrong("the hash is not 64 hexadecimal digits".to_owned()))?;
            let other = tokens.0.iter().find(|known| *known.caller.name == *name);
            if other.is_some_and(|known| known.caller.role != role) {
                return Err(wrong(format!("{name} has another role before")));
            }
            tokens.0.push(Known { caller: Caller { name: name.into(), role }, hash });
        }
        Ok(tokens)
    }
}

/// A token that was just made. It is shown once, and can't be had again.
pub struct NewToken {
    secret: String,
    line: String,
}

impl NewToken {
    /// A token of 32 bytes from the system's generator.
    ///
    /// # Errors
    /// The system's generator failed, or the name is empty or has white space in it.
    pub fn random(name: &str, role: Role) -> std::io::Result<Self> {
        if name.is_empty() || name.contains(char::is_whitespace) || name.starts_with('#') {
            let wrong = "a token's name has at least one character, no white space, and no # first";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, wrong));
        }
        let mut bytes = [0_u8; TOKEN_BYTES];
        SysRng.try_fill_bytes(&mut bytes).map_err(std::io::Error::other)?;
        let digits = blake3::Hash::from_bytes(bytes).to_hex();
        let secret = format!("{PREFIX}{digits}");
        let line = format!("{name} {role} {}", blake3::hash(secret.as_bytes()).to_hex());
        Ok(Self { secret, line })
    }

    /// The token itself, for whoever calls: `Authorization: Bearer TOKEN`.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// Its line in the file of tokens.
    pub fn line(&self) -> &str {
        &self.line
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("line", &self.line).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_alone() {
        let made = NewToken::random("checkout", Role::Sell).expect("a generator");
        assert!(
            !made.line().contains(made.secret()) && !format!("{made:?}").contains(made.secret())
        );
        let tokens: Tokens = format!("# of the shop\n\n{}\n", made.line()).parse().expect("a file");
        let caller = tokens.caller_of(made.secret()).expect("known");
        assert_eq!((&*caller.name, caller.role), ("checkout", Role::Sell));
        assert!(tokens.caller_of(&made.secret()[1..]).is_none());
        let hash = made.line().rsplit(' ').next().expect("a hash");
        assert!(tokens.caller_of(hash).is_none(), "who reads the file can't call");
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        for (text, line) in [("a sell", 1), ("\na sell xyz", 2), ("a sells 00", 1)] {
            let wrong = text.parse::<Tokens>().expect_err("wrong");
            assert_eq!(wrong.line, line);
            assert!(!wrong.to_string().contains("xyz"));
        }
        let two = |role| format!("a sell {0}\na {role} {0}", "0".repeat(64)).parse::<Tokens>();
        assert!(two("sell").is_ok() && two("operate").is_err());
    }

    #[test]
    fn roles_include_what_they_say() {
        let included = |role: Role| Role::ALL.map(|needed| role.includes(needed));
        assert_eq!(included(Role::Read), [true, false, false, false]);
        assert_eq!(included(Role::Sell), [true, true, false, false]);
        assert_eq!(included(Role::Operate), [true; 4]);
        assert_eq!(included(Role::Metrics), [false, false, false, true]);
    }
}
