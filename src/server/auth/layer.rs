//! What stands before every handler: who asks, for whom, and may they?

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::RwLock;

use super::credentials::{Credentials, User};
use super::password::PasswordChecker;
use super::presented::Presented;
use super::role::{Role, Roles, RouteAccess, route_access};
use super::tenant_name::TenantName;
use crate::server::gate::{Gate, Overloaded};
use crate::server::response;
use crate::server::state::ServerState;
use crate::server::tenant::Tenant;

/// Selects one of the tenants that the user may act for.
const TENANT_HEADER: &str = "x-scope-orgid";

/// Schemes that are taken, for those who presented nothing that was.
const CHALLENGES: [&str; 2] = ["Basic realm=\"LynxStore\", charset=\"UTF-8\"", "Bearer realm=\"LynxStore\""];

/// Paths on which the parameters `u` and `p` are credentials.
const LINE_PROTOCOL: [&str; 3] = ["/write", "/api/v2/write", "/api/v3/write_lp"];

/// Knows the users of a server, as the file says now.
#[derive(Debug)]
pub(in crate::server) struct Authenticator {
    /// `None`: everyone who reaches the server may do everything, for the one tenant that there is.
    credentials: RwLock<Option<Arc<Credentials>>>,
    passwords: PasswordChecker,
    anonymous: TenantName,
}

/// What a request was found to be.
#[derive(Debug, Clone)]
pub(in crate::server) struct Identity {
    /// The user; `None` without credentials.
    pub(in crate::server) user: Option<Arc<str>>,
    pub(in crate::server) roles: Roles,
    /// Whom the request acts for.
    pub(in crate::server) tenant: Arc<Tenant>,
    /// Every tenant of the user.
    pub(in crate::server) tenants: Arc<[TenantName]>,
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Refusal {
    /// Nothing was presented.
    NoCredentials,
    /// What was presented is not right.
    WrongCredentials,
    /// The role of the user does not reach.
    Role(Role),
    /// The header names no tenant.
    TenantName(&'static str),
    /// The user may not act for the tenant.
    Tenant,
    /// Too many passwords are being checked.
    Overloaded,
    /// There is no room for what would be written.
    DiskLow,
}

impl Refusal {
    /// For the metrics.
    fn reason(self) -> &'static str {
        match self {
            Self::NoCredentials => "no_credentials",
            Self::WrongCredentials => "wrong_credentials",
            Self::Role(_) => "role",
            Self::TenantName(_) => "tenant_name",
            Self::Tenant => "tenant",
            Self::Overloaded => "overloaded",
            Self::DiskLow => "disk_low",
        }
    }

    fn answer(self, is_sql: bool) -> Response {
        let (status, kind, message): (_, _, &str) = match self {
            Self::NoCredentials => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "this server asks for a password or a token")
            }
            Self::WrongCredentials => (StatusCode::UNAUTHORIZED, "unauthorized", "the password or token is wrong"),
            Self::Role(Role::Write) => (StatusCode::FORBIDDEN, "forbidden", "this needs the role write"),
            Self::Role(Role::Read) => (StatusCode::FORBIDDEN, "forbidden", "this needs the role read"),
            Self::Role(Role::Admin) => (StatusCode::FORBIDDEN, "forbidden", "this needs the role admin"),
            Self::TenantName(message) => (StatusCode::BAD_REQUEST, "invalid_input", message),
            Self::Tenant => {
                (StatusCode::FORBIDDEN, "forbidden", "the tenant that X-Scope-OrgID names is not one of the user's")
            }
            Self::DiskLow => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy", "the disk of the server is nearly full: try again later")
            }
            Self::Overloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy", "too many passwords are being checked: try again later")
            }
        };
        let mut answer =
            if is_sql { response::json_error(status, kind, message) } else { response::text(status, message) };
        if status == StatusCode::UNAUTHORIZED {
            for challenge in CHALLENGES {
                answer.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        answer
    }
}

impl From<Overloaded> for Refusal {
    fn from(_: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl Authenticator {
    /// Without credentials every request acts for `anonymous`.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(in crate::server) fn new(
        credentials: Option<Arc<Credentials>>,
        anonymous: TenantName,
        gate: Gate,
    ) -> Result<Self, &'static str> {
        Ok(Self { credentials: RwLock::new(credentials), passwords: PasswordChecker::new(gate)?, anonymous })
    }

    /// From now on these are the users. A server that began with users never goes on without.
    pub(in crate::server) fn replace(&self, credentials: Arc<Credentials>) {
        *self.credentials.write() = Some(credentials);
    }

    /// The user that a request presents, if it is right; `None` where no credentials are asked for.
    async fn user(&self, presented: Presented) -> Result<Option<Arc<User>>, Refusal> {
        let Some(credentials) = self.credentials.read().clone() else { return Ok(None) };
        let user = match presented {
            Presented::Nothing => return Err(Refusal::NoCredentials),
            Presented::Unreadable => None,
            Presented::Token(token) => credentials.by_token(&token).cloned(),
            Presented::Password { user: name, password } => {
                let user = credentials.by_name(&name);
                let hash = user.and_then(|user| user.password.as_ref());
                let is_right = self.passwords.check(&name, hash.unwrap_or(&credentials.nobody), password).await?;
                user.filter(|_| is_right && hash.is_some()).cloned()
            }
        };
        user.map(Some).ok_or(Refusal::WrongCredentials)
    }
}

/// The tenant that the headers ask for; `None` when they do not.
fn wanted_tenant(parts: &Parts) -> Result<Option<TenantName>, Refusal> {
    let mut headers = parts.headers.get_all(TENANT_HEADER).iter();
    let Some(header) = headers.next() else { return Ok(None) };
    if headers.next().is_some() {
        return Err(Refusal::TenantName("X-Scope-OrgID stands twice"));
    }
    let name = header.to_str().map_err(|_| Refusal::TenantName("X-Scope-OrgID is not plain text"))?;
    TenantName::parse(name).map(Some).map_err(Refusal::TenantName)
}

async fn identify(state: &ServerState, parts: &Parts, path: Option<&str>) -> Result<Identity, Refusal> {
    let needs = match route_access(path) {
        RouteAccess::Needs(role) => role,
        RouteAccess::Open => return Err(Refusal::NoCredentials),
    };
    let takes_parameters = path.is_some_and(|path| LINE_PROTOCOL.contains(&path));
    let user = state.auth.user(Presented::of(parts, takes_parameters)).await?;
    let (name, roles, tenants) = match user {
        Some(user) => (Some(Arc::clone(&user.name)), user.roles, user.tenants.as_slice().into()),
        None => (None, Roles::ALL, Arc::from([state.auth.anonymous.clone()])),
    };
    let tenants: Arc<[TenantName]> = tenants;
    let tenant = match wanted_tenant(parts)? {
        None => &tenants[0],
        Some(wanted) => tenants.iter().find(|tenant| **tenant == wanted).ok_or(Refusal::Tenant)?,
    };
    if !roles.include(needs) {
        return Err(Refusal::Role(needs));
    }
    if needs == Role::Write && state.disk.is_low() {
        return Err(Refusal::DiskLow);
    }
    Ok(Identity { user: name, roles, tenant: state.tenants.get(tenant), tenants: Arc::clone(&tenants) })
}

/// Lets a request through to its handler, with its [`Identity`], or answers it.
pub(in crate::server) async fn authenticate(
    State(state): State<Arc<ServerState>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map(MatchedPath::as_str);
    if route_access(path) == RouteAccess::Open {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match identify(&state, &parts, path).await {
        Ok(identity) => {
            tracing::Span::current().record("tenant", identity.tenant.name());
            if let Some(user) = &identity.user {
                tracing::Span::current().record("user", &**user);
            }
            let tenant = Arc::clone(&identity.tenant);
            parts.extensions.insert(identity);
            let answer = next.run(Request::from_parts(parts, body)).await;
            state.load.tenant_requests.with_label_values(&[tenant.name(), answer.status().as_str()]).inc();
            answer
        }
        Err(refusal) => {
            state.metrics.refused_requests.with_label_values(&[refusal.reason()]).inc();
            if refusal != Refusal::NoCredentials && state.log.allows() {
                // Not what was presented: even a name may be a password in the wrong field.
                tracing::warn!(reason = refusal.reason(), path, "a request was refused");
            }
            refusal.answer(path == Some("/api/v1/sql"))
        }
    }
}
