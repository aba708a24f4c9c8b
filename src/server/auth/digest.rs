//! SHA-256 of tokens, in hexadecimal digits as a file holds them.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;

/// Bytes of a new token.
const TOKEN_BYTES: usize = 32;

/// The SHA-256 of a token. Equality takes the same time wherever two differ.
#[derive(Clone, Copy)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token.
    pub(super) fn of(token: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        Self(hash)
    }

    /// Reads 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? * 16 + low?).ok()?;
        }
        Some(Self(hash))
    }

    /// Whether both are the hash of one token.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a token as a credentials file holds it: 64 hexadecimal digits.
pub fn hash_token(token: &str) -> String {
    hex(&TokenHash::of(token.as_bytes()).0)
}

/// A new token: 32 random bytes in hexadecimal digits.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_token() -> Result<String, &'static str> {
    let mut bytes = [0; TOKEN_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_matches_the_digits_of_its_own_hash_only() {
        // The test vector of FIPS 180-2.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash_token("abc"), hash);
        let stored = TokenHash::parse(hash).unwrap();
        assert!(stored.matches(&TokenHash::of(b"abc")));
        assert!(!stored.matches(&TokenHash::of(b"abd")));
        assert!(TokenHash::parse(&hash[1..]).is_none());
        assert!(TokenHash::parse(&hash.replace('b', "g")).is_none());
        assert_eq!(format!("{stored:?}"), "TokenHash(..)");
    }

    #[test]
    fn new_tokens_differ() {
        let (one, other) = (new_token().unwrap(), new_token().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
