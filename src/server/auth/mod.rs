//! Who may ask for what: credentials, roles, and the tenant that a request acts for.
//!
//! Every request passes [`layer::authenticate`](authenticate) before its handler. It finds the user by what the request
//! presents, checks the role that its path needs, and chooses the tenant among those of the user; a handler sees only the
//! outcome, as [`Identity`]. Secrets are kept as hashes, compared in constant time, and appear in no message and no `Debug`.

mod credentials;
mod digest;
mod layer;
mod password;
mod presented;
mod role;
mod tenant_name;

pub use credentials::Credentials;
pub use digest::{hash_token, new_token};
pub use password::{PASSWORD_BYTES_MAX, hash_password};
pub use role::Role;
pub use tenant_name::TenantName;

pub(super) use layer::{Authenticator, Identity, authenticate};
