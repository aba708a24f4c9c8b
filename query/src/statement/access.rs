//! Which statements and namespaces the options of a query engine allow.
//!
//! Decided on the parsed statement, never on its text: a comment, a bracket or a word at the front of a statement cannot
//! change what it is. The match names every statement, so that a new one has to be placed before it compiles.

use lynxstore_storage::types::Setting;

use crate::error::{Error, Result};
use crate::options::{NamespaceAccess, QueryOptions, StatementAccess};
use crate::sql::Statement;

/// Fails when the access does not allow the statement.
pub(super) fn check_statement_access(statement: &Statement, access: StatementAccess) -> Result<()> {
    let (needs, what) = match statement {
        // What only DataFusion knows is a query too, or it refuses it.
        Statement::Query(_)
        | Statement::Explain(_)
        | Statement::Analyze(_)
        | Statement::ShowTables
        | Statement::Describe(_)
        | Statement::Other { .. } => return Ok(()),
        Statement::Insert(_) => (StatementAccess::Write, "INSERT"),
        Statement::CopyFrom { .. } | Statement::CopyTo { .. } => (StatementAccess::Write, "COPY"),
        Statement::CreateTable { .. } => (StatementAccess::Admin, "CREATE TABLE"),
        Statement::DropTable { .. } => (StatementAccess::Admin, "DROP TABLE"),
        Statement::AlterTable(_) => (StatementAccess::Admin, "ALTER TABLE"),
        Statement::AlterTiers(_) => (StatementAccess::Admin, "ALTER NAMESPACE or DATABASE"),
        Statement::Delete(_) => (StatementAccess::Admin, "DELETE"),
        Statement::Checkpoint => (StatementAccess::Admin, "CHECKPOINT"),
        Statement::Optimize => (StatementAccess::Admin, "OPTIMIZE"),
    };
    if access >= needs { Ok(()) } else { Err(Error::AccessDenied { what: what.to_owned(), needs: needs.name() }) }
}

/// Whether statements may create tables in a namespace. Reading needs no such question: the snapshot shows no others.
pub(super) fn may_name(options: &QueryOptions, namespace: &str) -> bool {
    options.namespace_access == NamespaceAccess::All || namespace == options.namespace
}

/// Whether statements may say where cold rows go: the database writes there with rights of its own, which are not those of
/// one tenant. Nobody may yet: a location that is taken and never written to would be a promise.
pub(super) fn check_cold_access(options: &QueryOptions, cold: &Setting<String>) -> Result<()> {
    if options.namespace_access == NamespaceAccess::Own && matches!(cold, Setting::Set(_)) {
        let what = "the option 'cold', which is for those who may name every namespace,".to_owned();
        return Err(Error::AccessDenied { what, needs: StatementAccess::Admin.name() });
    }
    if matches!(cold, Setting::Set(_)) {
        return Err(Error::plan("this version cannot write cold partitions: leave out the option 'cold'"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::SqlLimits;
    use crate::sql::parse_statement;

    fn is_allowed(sql: &str, access: StatementAccess) -> bool {
        let statement = parse_statement(sql, &SqlLimits::default()).unwrap();
        check_statement_access(&statement, access).is_ok()
    }

    #[test]
    fn each_level_allows_its_statements_and_no_more() {
        use StatementAccess::{Admin, ReadOnly, Write};
        for (least, statements) in [
            (
                ReadOnly,
                &[
                    "SELECT 1",
                    "/* DROP */ (SELECT 1)",
                    "WITH a AS (SELECT 1) SELECT * FROM a",
                    "EXPLAIN SELECT 1",
                    "EXPLAIN ANALYZE SELECT 1",
                    "SHOW TABLES",
                    "DESCRIBE t",
                ][..],
            ),
            (
                Write,
                &[
                    "INSERT INTO t (time) VALUES (1)",
                    "/* SELECT */ INSERT INTO t SELECT * FROM u",
                    "COPY t FROM 'a.csv'",
                    "COPY (SELECT 1) TO 'a.csv'",
                ],
            ),
            (
                Admin,
                &[
                    "CREATE TABLE t (time TIMESTAMP, v DOUBLE)",
                    "DROP TABLE t",
                    "-- SELECT\nDROP TABLE t",
                    "ALTER TABLE t ADD COLUMN w DOUBLE",
                    "ALTER TABLE t MOVE PARTITION '2026-01-01' TO 'warm'",
                    "ALTER NAMESPACE n SET (hot_for = '7d')",
                    "ALTER DATABASE RESET (hot_for)",
                    "DELETE FROM t",
                    "TRUNCATE TABLE t",
                    "CHECKPOINT",
                    "OPTIMIZE",
                ],
            ),
        ] {
            for sql in statements {
                for access in [ReadOnly, Write, Admin] {
                    assert_eq!(is_allowed(sql, access), access >= least, "{sql} with {access:?}");
                }
            }
        }
    }
}
