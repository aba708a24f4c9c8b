//! Roles, and which of them each path needs.
//!
//! A path that stands in no list needs the role admin, so that a route that is added without a thought is closed.

use lynxstore_query::{StatementAccess, SystemAccess};
use serde::Deserialize;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Push samples and rows.
    Write,
    /// Run SQL that only reads, and see the metrics of the own tenants.
    Read,
    /// Everything.
    Admin,
}

/// The roles of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Roles(u8);

impl Roles {
    /// Every role.
    pub(in crate::server) const ALL: Self = Self(0b111);

    pub(super) fn new(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | 1 << *role as u8))
    }

    /// Whether a user with these roles may do what `role` may.
    pub(in crate::server) fn include(self, role: Role) -> bool {
        let admin = 1 << Role::Admin as u8;
        self.0 & (admin | 1 << role as u8) != 0
    }

    /// Which system tables such a user may read.
    pub(in crate::server) fn system_access(self) -> SystemAccess {
        if self.include(Role::Admin) { SystemAccess::All } else { SystemAccess::OwnTables }
    }

    /// What the SQL of such a user may do.
    pub(in crate::server) fn statement_access(self) -> StatementAccess {
        if self.include(Role::Admin) {
            StatementAccess::Admin
        } else if self.include(Role::Write) {
            StatementAccess::Write
        } else {
            StatementAccess::ReadOnly
        }
    }
}

/// What a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteAccess {
    /// Nothing: for probes that have no credentials.
    Open,
    /// A role.
    Needs(Role),
}

/// What the route of a path needs; `None` is a path without a route.
pub(super) fn route_access(path: Option<&str>) -> RouteAccess {
    match path {
        Some("/-/healthy" | "/-/ready" | "/ping" | "/health") => RouteAccess::Open,
        Some("/metrics" | "/api/v1/sql") => RouteAccess::Needs(Role::Read),
        Some(path) if is_ingest(path) => RouteAccess::Needs(Role::Write),
        _ => RouteAccess::Needs(Role::Admin),
    }
}

/// Whether rows are pushed to a path, by the form in which its route was declared.
fn is_ingest(path: &str) -> bool {
    const PATHS: [&str; 8] = [
        "/api/v1/write",
        "/write",
        "/api/v2/write",
        "/api/v3/write_lp",
        "/api/v1/events/{table}",
        "/api/v1/tables/{table}/rows",
        "/v1/metrics",
        "/api/v1/otlp/v1/metrics",
    ];
    PATHS.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_nobody_listed_is_for_administrators() {
        assert_eq!(route_access(Some("/-/healthy")), RouteAccess::Open);
        assert_eq!(route_access(Some("/api/v1/write")), RouteAccess::Needs(Role::Write));
        assert_eq!(route_access(Some("/api/v1/sql")), RouteAccess::Needs(Role::Read));
        assert_eq!(route_access(Some("/debug/everything")), RouteAccess::Needs(Role::Admin));
        assert_eq!(route_access(None), RouteAccess::Needs(Role::Admin));
    }

    #[test]
    fn admin_includes_the_other_roles_and_they_do_not_include_each_other() {
        let [write, read, admin] = [Role::Write, Role::Read, Role::Admin].map(|role| Roles::new(&[role]));
        assert!(admin.include(Role::Write) && admin.include(Role::Read) && admin.include(Role::Admin));
        assert!(write.include(Role::Write) && !write.include(Role::Read) && !write.include(Role::Admin));
        assert!(read.include(Role::Read) && !read.include(Role::Write) && !read.include(Role::Admin));
        assert_eq!(read.statement_access(), StatementAccess::ReadOnly);
        assert_eq!(Roles::new(&[Role::Read, Role::Write]).statement_access(), StatementAccess::Write);
        assert_eq!(admin.statement_access(), StatementAccess::Admin);
        assert_eq!([read, write].map(Roles::system_access), [SystemAccess::OwnTables; 2]);
        assert_eq!(admin.system_access(), SystemAccess::All);
    }
}
