//! Passwords: bcrypt hashes, checked a few at a time, and a cache of those that were right.
//!
//! A check of a bcrypt hash of cost 10 takes a core some 70 ms, which is the point of it, and would also let anyone who
//! sends wrong passwords take the cores from everyone else: checks pass a gate. What was right once is cached, so that a
//! sender with a password does not pay for it with every request. The cache holds an HMAC under a key of this process over
//! user, stored hash and password, each with its length in front: joined without lengths, one triple could pass for
//! another (CVE-2022-46146). Wrong passwords are not cached. An unknown user is checked against a hash that nobody has the
//! password of, so that both refusals take equally long.

use std::collections::HashSet;
use std::fmt;

use bcrypt::HashParts;
use parking_lot::Mutex;
use ring::hmac;
use ring::rand::SystemRandom;

use crate::server::gate::{Gate, Overloaded};

/// Bcrypt reads no more; longer passwords are refused instead of cut.
pub const PASSWORD_BYTES_MAX: usize = 72;

/// Cost of new hashes.
const NEW_COST: u32 = 10;

/// Costs that are taken: below, a hash is too easy to guess; above, one check takes seconds.
const COSTS: std::ops::RangeInclusive<u32> = 8..=15;

/// Passwords in the cache; when it is full it starts anew, which costs each sender one check.
const CACHED_MAX: usize = 4096;

/// Salt and hash that belong to no password.
const NOBODY: &str = "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01232";

/// A bcrypt hash that was checked to be one.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PasswordHash {
    text: String,
    cost: u32,
}

impl PasswordHash {
    /// Reads a hash in the form `$2b$COST$...`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts: HashParts =
            text.parse().map_err(|_| "it is no bcrypt hash: make one with `tsq hash-password`".to_owned())?;
        let cost = parts.get_cost();
        if !COSTS.contains(&cost) {
            let (least, most) = (COSTS.start(), COSTS.end());
            return Err(format!("its cost is {cost}, and must be from {least} to {most}"));
        }
        Ok(Self { text: text.to_owned(), cost })
    }

    /// A hash of this cost that no password has.
    pub(super) fn of_nobody(cost: u32) -> Self {
        Self { text: format!("$2b${cost:02}${NOBODY}"), cost }
    }

    pub(super) fn cost(&self) -> u32 {
        self.cost
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The bcrypt hash of a password.
///
/// # Errors
/// What is wrong with the password, or that the system gives no random bytes.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.is_empty() {
        return Err("the password is empty".into());
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("the password has more than {PASSWORD_BYTES_MAX} bytes, of which bcrypt takes no more"));
    }
    bcrypt::hash(password, NEW_COST).map_err(|error| format!("the password cannot be hashed: {error}"))
}

/// Checks passwords; see the module.
#[derive(Debug)]
pub(super) struct PasswordChecker {
    gate: Gate,
    key: hmac::Key,
    right: Mutex<HashSet<[u8; 32]>>,
}

impl PasswordChecker {
    /// A checker with an empty cache, behind a gate.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(super) fn new(gate: Gate) -> Result<Self, &'static str> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| "the system gives no random bytes")?;
        Ok(Self { gate, key, right: Mutex::default() })
    }

    /// Whether the password of `user` has this hash.
    ///
    /// # Errors
    /// When too many passwords wait to be checked.
    pub(super) async fn check(&self, user: &str, hash: &PasswordHash, password: String) -> Result<bool, Overloaded> {
        let proof = self.proof(user, hash, &password);
        if self.right.lock().contains(&proof) {
            return Ok(true);
        }
        let permit = self.gate.enter().await?;
        let text = hash.text.clone();
        let job = move || {
            let _permit = permit;
            // One that is too long takes as long as the others to be wrong.
            bcrypt::verify(&password, &text).unwrap_or(false) && password.len() <= PASSWORD_BYTES_MAX
        };
        let is_right = tokio::task::spawn_blocking(job).await.unwrap_or(false);
        if is_right {
            let mut right = self.right.lock();
            if right.len() >= CACHED_MAX {
                right.clear();
            }
            right.insert(proof);
        }
        Ok(is_right)
    }

    fn proof(&self, user: &str, hash: &PasswordHash, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user, &hash.text, password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        let mut proof = [0; 32];
        proof.copy_from_slice(context.sign().as_ref());
        proof
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn checker() -> PasswordChecker {
        PasswordChecker::new(Gate::new(1, 0, Duration::ZERO)).unwrap()
    }

    fn hash(password: &str) -> PasswordHash {
        PasswordHash::parse(&bcrypt::hash(password, *COSTS.start()).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn right_passwords_are_cached_and_wrong_ones_are_not() {
        let (checker, hash) = (checker(), hash("right"));
        assert_eq!(checker.check("ann", &hash, "wrong".into()).await, Ok(false));
        assert!(checker.right.lock().is_empty());
        assert_eq!(checker.check("ann", &hash, "right".into()).await, Ok(true));
        assert_eq!(checker.right.lock().len(), 1);
        // With the only slot taken and no queue, what is not cached cannot be checked.
        let _slot = checker.gate.enter().await.unwrap();
        assert_eq!(checker.check("ann", &hash, "right".into()).await, Ok(true));
        assert_eq!(checker.check("ann", &hash, "wrong".into()).await, Err(Overloaded));
        assert_eq!(checker.check("bob", &hash, "right".into()).await, Err(Overloaded));
    }

    #[test]
    fn no_two_triples_have_one_proof() {
        // Joined without lengths, the first two would be one text.
        let checker = checker();
        let with = |text: &str| PasswordHash { text: text.into(), cost: 10 };
        let proofs = [
            checker.proof("ann", &with("h"), "ab"),
            checker.proof("ann", &with("ha"), "b"),
            checker.proof("an", &with("nh"), "ab"),
        ];
        assert!(proofs[0] != proofs[1] && proofs[0] != proofs[2] && proofs[1] != proofs[2]);
    }

    #[tokio::test]
    async fn nobody_has_the_hash_of_unknown_users_and_it_is_a_real_one() {
        let nobody = PasswordHash::of_nobody(*COSTS.start());
        assert_eq!(PasswordHash::parse(&nobody.text), Ok(nobody.clone()));
        assert!(!bcrypt::verify("", &nobody.text).unwrap());
        assert_eq!(checker().check("nobody", &nobody, "x".into()).await, Ok(false));
    }

    #[tokio::test]
    async fn a_password_longer_than_bcrypt_reads_is_wrong() {
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert_eq!(checker().check("ann", &hash(&long[1..]), long.clone()).await, Ok(false));
        assert_eq!(checker().check("ann", &hash(&long[1..]), long[1..].to_owned()).await, Ok(true));
        assert!(hash_password(&long).is_err());
        assert!(hash_password("").is_err());
    }

    #[test]
    fn hashes_of_other_forms_and_costs_are_refused() {
        for text in ["", "secret", "$1$abc", "$2b$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01232"] {
            assert!(PasswordHash::parse(text).is_err(), "{text}");
        }
        assert_eq!(format!("{:?}", hash("x")), "PasswordHash(..)");
    }
}
