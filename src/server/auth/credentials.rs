//! The file that declares users.
//!
//! ```toml
//! [[users]]
//! name = "prometheus"
//! password_bcrypt = "$2b$10$..."   # tsq hash-password
//! roles = ["write"]
//! tenants = ["production"]         # the first one unless X-Scope-OrgID names another
//!
//! [[users]]
//! name = "grafana"
//! token_sha256 = "ba78..."         # tsq hash-password --token
//! roles = ["read"]
//! tenants = ["production", "staging"]
//! ```
//!
//! It is read whole and checked whole: a file with one mistake gives no credentials at all.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::digest::TokenHash;
use super::password::PasswordHash;
use super::role::{Role, Roles};
use super::tenant_name::TenantName;
use crate::server::secret_file::read_secret_file;

/// Bytes of the name of a user.
const USER_BYTES_MAX: usize = 256;

/// Cost of the hash for unknown users when no user has a password.
const COST_WITHOUT_PASSWORDS: u32 = 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    users: Vec<UserEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    name: String,
    password_bcrypt: Option<String>,
    token_sha256: Option<String>,
    roles: Vec<Role>,
    tenants: Option<Vec<String>>,
}

/// A user.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: Arc<str>,
    pub(super) password: Option<PasswordHash>,
    token: Option<TokenHash>,
    pub(super) roles: Roles,
    /// At least one; the first is the default.
    pub(super) tenants: Vec<TenantName>,
}

/// All users of a server.
#[derive(Debug)]
pub struct Credentials {
    by_name: HashMap<Arc<str>, Arc<User>>,
    /// The hash that is checked for users that do not exist.
    pub(super) nobody: PasswordHash,
}

impl Credentials {
    /// Reads the users of a file.
    ///
    /// # Errors
    /// What is wrong with the file, and where. No secret is part of it.
    pub fn load(path: &Path) -> Result<Self, String> {
        Self::parse(&read_secret_file(path)?).map_err(|message| format!("{}: {message}", path.display()))
    }

    /// Reads users from the text of a file.
    ///
    /// # Errors
    /// As [`Credentials::load`].
    pub fn parse(text: &str) -> Result<Self, String> {
        // The message of a parser quotes the line, and the line may hold a hash: only its place is told on.
        let file: CredentialsFile = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            format!("line {line}: {}", error.message())
        })?;
        if file.users.is_empty() {
            return Err("there is no [[users]]: nobody could do anything".into());
        }
        let mut by_name = HashMap::new();
        for (position, entry) in file.users.into_iter().enumerate() {
            let user = user(entry).map_err(|message| format!("user {}: {message}", position + 1))?;
            let name = Arc::clone(&user.name);
            let has_token_of = |other: &&Arc<User>| match (&user.token, &other.token) {
                (Some(token), Some(other)) => other.matches(token),
                _ => false,
            };
            if let Some(other) = by_name.values().find(has_token_of) {
                let other = &other.name;
                return Err(format!("the users '{other}' and '{name}' have one token: make another for one of them"));
            }
            if by_name.insert(Arc::clone(&name), Arc::new(user)).is_some() {
                return Err(format!("the user '{name}' stands twice"));
            }
        }
        let costs = by_name.values().filter_map(|user| Some(user.password.as_ref()?.cost()));
        let nobody = PasswordHash::of_nobody(costs.max().unwrap_or(COST_WITHOUT_PASSWORDS));
        Ok(Self { by_name, nobody })
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none; a file without users is refused, so this is never so.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// How many tenants the users have in all.
    pub(in crate::server) fn tenant_count(&self) -> usize {
        self.by_name.values().flat_map(|user| &user.tenants).collect::<BTreeSet<_>>().len()
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user of a token. Every token is looked at, whichever it is.
    pub(super) fn by_token(&self, token: &str) -> Option<&Arc<User>> {
        let hash = TokenHash::of(token.as_bytes());
        let mut found = None;
        for user in self.by_name.values() {
            if user.token.is_some_and(|stored| stored.matches(&hash)) {
                found = Some(user);
            }
        }
        found
    }
}

fn user(entry: UserEntry) -> Result<User, String> {
    let UserEntry { name, password_bcrypt, token_sha256, roles, tenants } = entry;
    if name.is_empty() || name.len() > USER_BYTES_MAX || name.contains(':') || name.chars().any(char::is_control) {
        return Err("a name has 1 to 256 bytes, without ':' and control characters".into());
    }
    let password = password_bcrypt.map(|text| PasswordHash::parse(&text));
    let password = password.transpose().map_err(|message| format!("password_bcrypt: {message}"))?;
    let token = match token_sha256 {
        None => None,
        Some(text) => Some(TokenHash::parse(&text).ok_or(
            "token_sha256: it is not the 64 hexadecimal digits of a SHA-256: make one with `tsq hash-password --token`",
        )?),
    };
    if password.is_none() && token.is_none() {
        return Err("it has neither password_bcrypt nor token_sha256".into());
    }
    if roles.is_empty() {
        return Err("roles is empty: use \"write\", \"read\" or \"admin\"".into());
    }
    let tenants = tenants.unwrap_or_else(|| vec!["public".into()]);
    let tenants = tenants.iter().map(|name| TenantName::parse(name)).collect::<Result<Vec<_>, _>>();
    let tenants = tenants.map_err(|message| format!("tenants: {message}"))?;
    if tenants.is_empty() {
        return Err("tenants is empty: leave it out for the tenant 'public'".into());
    }
    Ok(User { name: name.into(), password, token, roles: Roles::new(&roles), tenants })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::auth::digest::hash_token;

    const HASH: &str = "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01232";

    #[test]
    fn users_are_found_by_name_and_by_token() {
        let text = format!(
            "[[users]]\nname = \"ann\"\npassword_bcrypt = '{HASH}'\nroles = [\"write\", \"read\"]\n\
             [[users]]\nname = \"bob\"\ntoken_sha256 = \"{}\"\nroles = [\"admin\"]\ntenants = [\"a\", \"b\"]\n",
            hash_token("secret")
        );
        let credentials = Credentials::parse(&text).unwrap();
        let ann = credentials.by_name("ann").unwrap();
        assert_eq!((ann.tenants[0].as_str(), ann.tenants.len()), ("public", 1));
        assert!(ann.roles.include(Role::Write) && ann.roles.include(Role::Read) && !ann.roles.include(Role::Admin));
        assert_eq!(&*credentials.by_token("secret").unwrap().name, "bob");
        assert!(credentials.by_token("other").is_none() && credentials.by_name("Ann").is_none());
        assert_eq!(credentials.tenant_count(), 3);
        // An unknown user is as slow as the slowest known one.
        assert_eq!(credentials.nobody.cost(), 12);
        let shown = format!("{credentials:?}");
        assert!(!shown.contains("$2b$") && !shown.contains(&hash_token("secret")), "{shown}");
    }

    #[test]
    fn one_mistake_refuses_the_file_and_is_named_without_secrets() {
        let ok = format!("[[users]]\nname = \"ann\"\nroles = [\"read\"]\npassword_bcrypt = '{HASH}'\n");
        assert!(Credentials::parse(&ok).is_ok());
        for (text, expected) in [
            (String::new(), "users"),
            ("users = []".into(), "nobody could do anything"),
            (ok.replace("name =", "nmae ="), "nmae"),
            (ok.replace("\"read\"", "\"reader\""), "reader"),
            (ok.replace("[\"read\"]", "[]"), "roles is empty"),
            (ok.replace("\"ann\"", "\"a:b\""), "without ':'"),
            (ok.replace("$12$", "$99$"), "bcrypt"),
            (ok.replace("password_bcrypt", "token_sha256"), "SHA-256"),
            (format!("{ok}{ok}"), "stands twice"),
            (format!("{ok}tenants = [\"..\"]"), "tenants"),
            (format!("{ok}tenants = []"), "tenants is empty"),
            ("[[users]]\nname = \"ann\"\nroles = [\"read\"]".into(), "neither"),
            (format!("{ok}password_bcrypt = '{HASH}'"), "duplicate key"),
        ] {
            let error = Credentials::parse(&text).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
            assert!(!error.contains("ABCDEFGHIJ"), "{error}");
        }
    }
}
