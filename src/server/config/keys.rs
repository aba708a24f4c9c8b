//! Every key of the configuration.

use std::time::Duration;

use super::serve_config::ServeConfig;
use super::value::{bytes, count, list, number, path, ratio, switch, text, time, word};
use crate::server::Exposure;

/// A key: how it is shown, set, and what it means.
pub struct Key {
    /// Section and name, `limits.body_bytes`.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub help: &'static str,
    pub(super) show: fn(&ServeConfig) -> String,
    pub(super) set: fn(&mut ServeConfig, &str) -> Result<(), String>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

impl Key {
    /// The variable of the environment.
    pub fn variable(&self) -> String {
        format!("LYNX_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The value when nobody sets it; the empty text is none.
    pub fn default_value(&self) -> String {
        (self.show)(&ServeConfig::default())
    }
}

/// A key whose value is a place in the configuration, in a form of `value.rs`.
macro_rules! key {
    ($name:literal, $form:ident, $($place:ident).+, $help:literal) => {
        Key {
            name: $name,
            help: $help,
            show: |config| $form::show(&config.$($place).+),
            set: |config, text| {
                config.$($place).+ = $form::read(text)?;
                Ok(())
            },
        }
    };
}

/// Every key, in the order in which they are shown.
pub fn all_keys() -> &'static [Key] {
    static KEYS: &[Key] = &[
        key!("database.directory", path, directory, "Directory of the database, created when absent."),
        key!(
            "database.memory_budget",
            bytes,
            memory_budget_bytes,
            "Memory for unflushed rows and for flushing them; 0 is a quarter of the machine or of the control group."
        ),
        key!("database.write_deadline", time, write_deadline, "How long a write waits for memory before it gets 503."),
        key!(
            "database.move_rate",
            bytes,
            move_bytes_per_s,
            "Bytes of segments per second that partitions which move to another tier are read with."
        ),
        Key {
            name: "server.listen",
            help: "Address and port.",
            show: |config| config.server.listen.to_string(),
            set: |config, text| {
                config.server.listen =
                    text.parse().map_err(|_| format!("'{text}' is no address with a port, such as 127.0.0.1:9393"))?;
                Ok(())
            },
        },
        Key {
            name: "server.insecure",
            help: "Whether the server may listen where other machines reach it, though it asks for no credentials.",
            show: |config| switch::show(&(config.server.exposure == Exposure::AnyAddress)),
            set: |config, text| {
                config.server.exposure =
                    if switch::read(text)? { Exposure::AnyAddress } else { Exposure::LoopbackOnly };
                Ok(())
            },
        },
        key!("server.credentials_file", path, server.credentials_file, "The file that declares users."),
        key!(
            "server.reload_interval",
            time,
            server.reload_interval,
            "How often the files of credentials and certificates are looked at."
        ),
        key!(
            "server.password_checks",
            count,
            server.password_checks_max,
            "Passwords that are checked at the same time."
        ),
        key!(
            "server.shutdown_grace",
            time,
            server.shutdown_grace,
            "How long requests in flight have to finish at a shutdown."
        ),
        Key {
            name: "tls.cert_file",
            help: "Certificate of the server and those that lead from it to an authority, in PEM.",
            show: |config| config.tls.cert_file.display().to_string(),
            set: |config, text| {
                config.tls.cert_file = text.into();
                Ok(())
            },
        },
        Key {
            name: "tls.key_file",
            help: "Key of the certificate, in PEM; nobody else may be able to read it.",
            show: |config| config.tls.key_file.display().to_string(),
            set: |config, text| {
                config.tls.key_file = text.into();
                Ok(())
            },
        },
        key!(
            "tls.client_auth_type",
            word,
            tls.client_auth_type,
            "NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert."
        ),
        key!("tls.client_ca_file", path, tls.client_ca_file, "Authorities of the certificates of clients, in PEM."),
        key!(
            "tls.client_allowed_sans",
            list,
            tls.client_allowed_sans,
            "Names of which the certificate of a client has to have one; any when empty."
        ),
        key!("tls.min_version", word, tls.min_version, "TLS12 or TLS13."),
        key!(
            "limits.body_bytes",
            bytes,
            server.remote_write.body_bytes_max,
            "Bytes of a remote-write body, compressed."
        ),
        key!(
            "limits.decoded_bytes",
            bytes,
            server.remote_write.decoded_bytes_max,
            "Bytes of a remote-write body after decompression, by its own declaration."
        ),
        key!("limits.symbols", count, server.remote_write.symbols_max, "Symbols of a remote-write 2.0 request."),
        key!("limits.series", count, server.remote_write.series_max, "Series of a request."),
        key!("limits.samples", count, server.remote_write.samples_max, "Samples of a request."),
        key!("limits.histograms", count, server.remote_write.histograms_max, "Native histograms of a request."),
        key!("limits.exemplars", count, server.remote_write.exemplars_max, "Exemplars of a request."),
        key!("limits.metadata", count, server.remote_write.metadata_max, "Metadata entries of a request."),
        key!("limits.labels", count, server.remote_write.labels_max, "Labels of a series."),
        key!("limits.label_name_bytes", bytes, server.remote_write.label_name_bytes_max, "Bytes of a label name."),
        key!("limits.label_value_bytes", bytes, server.remote_write.label_value_bytes_max, "Bytes of a label value."),
        key!(
            "limits.label_bytes",
            bytes,
            server.remote_write.label_bytes_max,
            "Bytes of all label names and values of a series."
        ),
        Key {
            name: "limits.future",
            help: "How far ahead of the clock a sample may be.",
            show: |config| {
                let future_ms = config.server.remote_write.future_ms_max;
                time::show(&Duration::from_millis(future_ms.unsigned_abs()))
            },
            set: |config, text| {
                let future_ms = i64::try_from(time::read(text)?.as_millis());
                config.server.remote_write.future_ms_max = future_ms.map_err(|_| format!("'{text}' is too long"))?;
                Ok(())
            },
        },
        key!(
            "limits.series_cache",
            bytes,
            server.series_cache_bytes_max,
            "Memory for the cache from labels to series, shared by all tenants."
        ),
        key!(
            "limits.writes",
            count,
            server.writes_max,
            "Write requests that are decoded and committed at the same time."
        ),
        key!("limits.waiting", count, server.waiting_max, "Write requests, and statements, that wait for their turn."),
        key!("limits.wait", time, server.wait_max, "How long one waits for its turn before it gets 503."),
        key!(
            "limits.bodies_in_flight",
            bytes,
            server.body_bytes_in_flight_max,
            "Bytes of all bodies, as they came and decoded; 0 is as much as unflushed rows may take, and at least 64 MiB."
        ),
        key!("limits.body_timeout", time, server.body_timeout, "How long a body may take in all."),
        key!(
            "limits.body_speed",
            bytes,
            server.body_bytes_per_second_min,
            "Bytes per second that a body has to come with after its first 10 s."
        ),
        key!("limits.connections", count, server.connections_max, "Connections."),
        key!("limits.head_bytes", bytes, server.head_bytes_max, "Bytes of the head of a request."),
        key!("limits.headers", count, server.headers_max, "Headers of a request."),
        key!("limits.head_timeout", time, server.head_timeout, "How long the head of a request may take."),
        key!("limits.idle_timeout", time, server.idle_timeout, "How long a connection may be without a request."),
        key!(
            "limits.stall_timeout",
            time,
            server.stall_timeout,
            "How long a client may take for 64 KiB of its answer."
        ),
        key!(
            "limits.disk_free",
            bytes,
            server.disk_free_bytes_min,
            "Free bytes on the disk of the database below which writes get 503."
        ),
        key!("rows.body_bytes", bytes, server.rows.body_bytes_max, "Bytes of a body of rows, compressed."),
        key!(
            "rows.decoded_bytes",
            bytes,
            server.rows.decoded_bytes_max,
            "Bytes of a body of rows after decompression, and of OTLP as JSON after it was made a message."
        ),
        key!("rows.rows", count, server.rows.rows_max, "Rows, lines or data points of a request."),
        key!("rows.tables", count, server.rows.tables_max, "Tables that the rows of a request are for."),
        key!("rows.columns", count, server.rows.columns_max, "Columns of a request that are new to the server."),
        key!("rows.cells", count, server.rows.cells_max, "Rows times columns of a request, added up over its tables."),
        key!("rows.tags", count, server.rows.tags_max, "Tags of a row."),
        key!("rows.fields", count, server.rows.fields_max, "Fields of a table that rows may add to."),
        key!("rows.name_bytes", bytes, server.rows.name_bytes_max, "Bytes of the name of a table or column."),
        key!("rows.tag_value_bytes", bytes, server.rows.tag_value_bytes_max, "Bytes of the value of a tag."),
        key!("rows.tag_bytes", bytes, server.rows.tag_bytes_max, "Bytes of all tags of a row."),
        key!("rows.line_bytes", bytes, server.rows.line_bytes_max, "Bytes of a line of events."),
        key!(
            "sampling.rows_per_second",
            number,
            server.event_sampling.rows_per_second_max,
            "Events per second that a table may keep before fewer are, for requests that ask for sampling."
        ),
        key!(
            "sampling.write_p95",
            time,
            server.event_sampling.write_p95_max,
            "The 95th percentile of the time of writes above which fewer events are kept."
        ),
        key!(
            "sampling.error_rate",
            number,
            server.event_sampling.error_rate_max,
            "The part of writes that fail, of 1, above which fewer events are kept."
        ),
        key!("sampling.settle", time, server.event_sampling.settle, "Least time between two falls of the rate."),
        key!("sampling.calm", time, server.event_sampling.calm, "How long all has to be calm before the rate rises."),
        key!("sql.bytes", bytes, server.sql_bytes_max, "Bytes of the text of a statement."),
        key!("sql.depth", count, server.sql_depth_max, "Depth of brackets and subqueries; at most 50."),
        key!("sql.nodes", count, server.sql_nodes_max, "Names, literals and operators of a statement."),
        key!("sql.rows", count, server.sql_rows_max, "Rows of a result."),
        key!(
            "sql.memory",
            bytes,
            server.statement_memory_bytes_max,
            "Memory for the groups, sorted rows and result of one statement."
        ),
        key!(
            "sql.results_in_flight",
            bytes,
            server.result_bytes_in_flight_max,
            "Bytes of all results that their clients have not read yet."
        ),
        key!("sql.timeout", time, server.statement_time_max, "How long a statement may run."),
        key!("sql.statements", count, server.statements_max, "Statements that run at the same time."),
        key!("sql.threads", count, query_threads, "Threads of one statement; 0 is one per core."),
        key!(
            "tenant_limits.samples_per_second",
            count,
            server.tenant_limits.samples_per_second,
            "Samples per second of a tenant, over ten seconds; 0 is no bound."
        ),
        key!(
            "tenant_limits.new_series_per_minute",
            count,
            server.tenant_limits.new_series_per_minute,
            "Series per minute that a tenant may begin; 0 is no bound."
        ),
        key!(
            "tenant_limits.series_per_table",
            count,
            server.tenant_limits.series_per_table,
            "Series of a table; 0 is no bound."
        ),
        key!(
            "tenant_limits.series",
            count,
            server.tenant_limits.series,
            "Series of all tables of a tenant; 0 is no bound."
        ),
        key!("log.format", word, log_format, "text or json."),
        key!(
            "log.level",
            text,
            log_level,
            "error, warn, info, debug or trace, or a filter such as info,lynxstore_storage=debug."
        ),
        key!(
            "traces.endpoint",
            text,
            traces.endpoint,
            "Address of a collector that spans are posted to, as http://127.0.0.1:4318/v1/traces."
        ),
        key!("traces.headers_file", path, traces.headers_file, "Headers of the posts, a line of `name: value` each."),
        key!("traces.sample_ratio", ratio, traces.sample_ratio, "Part of the traces that is exported, 0 to 1."),
        key!("traces.service_name", text, traces.service_name, "What the collector knows the server by."),
    ];
    KEYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_reads_back_and_names_are_unique() {
        let mut names: Vec<_> = all_keys().iter().map(|key| key.name).collect();
        for key in all_keys() {
            let (mut config, default) = (ServeConfig::default(), key.default_value());
            if !default.is_empty() {
                (key.set)(&mut config, &default).unwrap_or_else(|error| panic!("{}: {error}", key.name));
            }
            assert_eq!((key.show)(&config), default, "{}", key.name);
            assert!(key.help.ends_with('.'), "{}", key.name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all_keys().len());
    }
}
