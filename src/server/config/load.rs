//! Puts a configuration together from a file, the environment and flags, and shows what came of it.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;

use super::keys::{Key, all_keys};
use super::serve_config::ServeConfig;
use super::suggest::nearest;
use crate::server::{TenantLimits, TenantName};

/// Who set a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigSource {
    /// Nobody.
    Default,
    /// The file.
    File,
    /// A variable of the environment.
    Environment,
    /// A flag.
    Flag,
}

impl ConfigSource {
    fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
            Self::Flag => "flag",
        }
    }
}

/// Prefixes of variables that are ours: others that begin with `LYNX_` may belong to anybody.
const SECTIONS: [&str; 9] = ["DATABASE", "SERVER", "TLS", "LIMITS", "ROWS", "SAMPLING", "SQL", "TENANT_LIMITS", "LOG"];

/// The section of the file that overrides `tenant_limits` for one tenant: `[tenants.NAME]`.
const TENANTS: &str = "tenants";

/// A configuration and who set what of it.
#[derive(Debug)]
struct Builder {
    config: ServeConfig,
    sources: BTreeMap<&'static str, ConfigSource>,
}

impl Builder {
    fn set(&mut self, name: &str, text: &str, source: ConfigSource) -> Result<(), String> {
        let key = find(name)?;
        (key.set)(&mut self.config, text).map_err(|error| format!("{name}: {error}"))?;
        self.sources.insert(key.name, source);
        Ok(())
    }

    fn set_file(&mut self, text: &str) -> Result<(), String> {
        let table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        for (section, value) in &table {
            let Value::Table(entries) = value else {
                return Err(format!(
                    "'{section}' stands outside of a section: the file is made of sections such as [server]"
                ));
            };
            if section == TENANTS {
                self.set_tenants(entries)?;
                continue;
            }
            for (name, value) in entries {
                let name = format!("{section}.{name}");
                self.set(&name, &plain(value).ok_or_else(|| format!("{name} is no plain value"))?, ConfigSource::File)?;
            }
        }
        Ok(())
    }

    fn set_tenants(&mut self, tenants: &toml::Table) -> Result<(), String> {
        // Each starts from the limits for all, which may stand further down in the file.
        let mut given: BTreeMap<TenantName, Vec<(String, String)>> = BTreeMap::new();
        for (tenant, value) in tenants {
            let name = TenantName::parse(tenant).map_err(|error| format!("[tenants.\"{tenant}\"]: {error}"))?;
            let Value::Table(entries) = value else { return Err(format!("tenants.{tenant} is no section")) };
            for (key, value) in entries {
                let text = plain(value).ok_or_else(|| format!("tenants.{tenant}.{key} is no plain value"))?;
                // Read once to know that it makes sense.
                let full = format!("tenant_limits.{key}");
                let mut scratch = ServeConfig::default();
                let found = find(&full).map_err(|_| unknown(&format!("tenants.{tenant}.{key}"), &full))?;
                (found.set)(&mut scratch, &text).map_err(|error| format!("tenants.{tenant}.{key}: {error}"))?;
                given.entry(name.clone()).or_default().push((full, text));
            }
        }
        self.config.overrides = given;
        Ok(())
    }
}

/// A plain value as text; a list as texts separated by commas.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Array(values) => {
            let texts = values.iter().map(|value| value.as_str().filter(|text| !text.contains(',')));
            Some(texts.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

fn find(name: &str) -> Result<&'static Key, String> {
    all_keys().iter().find(|key| key.name == name).ok_or_else(|| unknown(name, name))
}

fn unknown(name: &str, meant: &str) -> String {
    match nearest(meant, all_keys().iter().map(|key| key.name)) {
        Some(near) => format!("there is no key {name}: did you mean {near}?"),
        None => format!("there is no key {name}: see docs/configuration.md"),
    }
}

/// The limits of a tenant: those for all, and what the file says of it.
pub(super) fn limits_of(all: &TenantLimits, overrides: &[(String, String)]) -> TenantLimits {
    let mut config = ServeConfig::default();
    config.server.tenant_limits = all.clone();
    for (name, text) in overrides {
        // Both were checked when the file was read.
        if let Ok(key) = find(name) {
            let _ = (key.set)(&mut config, text);
        }
    }
    config.server.tenant_limits
}

/// Puts a configuration together: the file if there is one, then variables, then flags as pairs of key and value.
///
/// # Errors
/// What is wrong, and where; an unknown key with the one that may have been meant.
pub fn load_config(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[(String, String)],
) -> Result<(ServeConfig, BTreeMap<&'static str, ConfigSource>), String> {
    let mut builder = Builder { config: ServeConfig::default(), sources: BTreeMap::new() };
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        builder.set_file(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix("LYNX_") else { continue };
        if let Some(key) = all_keys().iter().find(|key| key.variable() == variable) {
            builder.set(key.name, &text, ConfigSource::Environment).map_err(|error| format!("{variable}: {error}"))?;
        } else if SECTIONS.iter().any(|section| rest.strip_prefix(section).is_some_and(|rest| rest.starts_with('_'))) {
            let variables: Vec<_> = all_keys().iter().map(Key::variable).collect();
            let near = nearest(&variable, variables.iter().map(String::as_str));
            let near = near.map_or_else(String::new, |near| format!(": did you mean {near}?"));
            return Err(format!("the variable {variable} is no key{near}"));
        }
    }
    for (name, text) in flags {
        builder.set(name, text, ConfigSource::Flag)?;
    }
    builder.config.settle()?;
    Ok((builder.config, builder.sources))
}

/// The configuration in the form of its file, with who set each key. It holds no secrets: these stand in files of their
/// own, of which it has the names.
pub fn describe(config: &ServeConfig, sources: &BTreeMap<&'static str, ConfigSource>) -> String {
    let mut text = String::new();
    let mut last_section = "";
    for key in all_keys() {
        let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != last_section {
            text.push_str(&format!("{}[{section}]\n", if last_section.is_empty() { "" } else { "\n" }));
            last_section = section;
        }
        let source = sources.get(key.name).copied().unwrap_or(ConfigSource::Default).name();
        let value = (key.show)(config);
        let value = match value.parse::<f64>() {
            Ok(number) if number.is_finite() => value,
            _ if value == "true" || value == "false" => value,
            _ => format!("{value:?}"),
        };
        text.push_str(&format!("{name} = {value}  # {source}\n"));
    }
    for (tenant, overrides) in &config.overrides {
        text.push_str(&format!("\n[tenants.\"{tenant}\"]\n"));
        for (name, value) in overrides {
            text.push_str(&format!("{} = {value:?}  # file\n", name.trim_start_matches("tenant_limits.")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Loaded = Result<(ServeConfig, BTreeMap<&'static str, ConfigSource>), String>;

    fn load(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lynxstore.toml");
        std::fs::write(&path, file).unwrap();
        let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        load_config(Some(&path), owned(variables), &owned(flags))
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file =
            "[server]\nlisten = \"127.0.0.1:1\"\n[sql]\nrows = 1\ntimeout = \"1s\"\n[limits]\nbody_bytes = \"1MiB\"\n";
        let variables = [("LYNX_SQL_ROWS", "2"), ("LYNX_SQL_TIMEOUT", "2s"), ("LYNX_CACHE", "/x"), ("PATH", "/bin")];
        let (config, sources) = load(file, &variables, &[("sql.timeout", "3s")]).unwrap();
        assert_eq!(config.server.listen.port(), 1);
        assert_eq!(config.server.remote_write.body_bytes_max, 1 << 20);
        assert_eq!(config.server.sql_rows_max, 2);
        assert_eq!(config.server.statement_time_max, Duration::from_secs(3));
        assert_eq!(sources["sql.timeout"], ConfigSource::Flag);
        assert_eq!(sources["sql.rows"], ConfigSource::Environment);
        let shown = describe(&config, &sources);
        for line in [
            "listen = \"127.0.0.1:1\"  # file",
            "rows = 2  # environment",
            "timeout = \"3s\"  # flag",
            "depth = 50  # default",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
        }
        // What is shown is a file that means the same.
        let (again, _) = load(&shown, &[], &[]).unwrap();
        assert_eq!(describe(&again, &sources), shown);
    }

    #[test]
    fn what_does_not_exist_is_an_error_with_a_suggestion() {
        for (file, variables, expected) in [
            ("[server]\nlisen = 1", &[][..], "did you mean server.listen?"),
            ("[serve]\nlisten = \"x\"", &[], "did you mean server.listen?"),
            ("[limits]\nwhatever_this_may_be = 1", &[], "see docs/configuration.md"),
            ("listen = \"x\"", &[], "outside of a section"),
            ("[sql]\nrows = { most = 1 }", &[], "no plain value"),
            ("[sql]\nrows = 1.5", &[], "sql.rows: '1.5' is no whole number"),
            ("[sql]\nrows = \"many\"", &[], "sql.rows: 'many' is no whole number"),
            ("[sql]\nrows = -1", &[], "sql.rows"),
            ("[log]\nformat = \"xml\"", &[], "expected `text` or `json`"),
            ("[tls]\ncert_file = \"a\"", &[], "tls.key_file is not"),
            ("[tls]\nmin_version = \"TLS13\"", &[], "tls.cert_file is missing"),
            ("[sql\n", &[], "lynxstore.toml"),
            ("[tenants.\"..\"]\nseries = 1", &[], "names of tenants"),
            ("[tenants.a]\nserie = 1", &[], "did you mean tenant_limits.series?"),
            ("", &[("LYNX_SQL_ROW", "1")], "did you mean LYNX_SQL_ROWS?"),
            ("", &[("LYNX_SQL_ROWS", "x")], "LYNX_SQL_ROWS"),
        ] {
            let error = load(file, variables, &[]).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    #[test]
    fn limits_of_a_tenant_start_from_those_for_all() {
        let file = "[tenants.big]\nseries = 9\n[tenant_limits]\nseries = 5\nnew_series_per_minute = 7\n";
        let (config, sources) = load(file, &[], &[]).unwrap();
        let limits = &config.server.tenant_overrides[&TenantName::parse("big").unwrap()];
        assert_eq!((limits.series, limits.new_series_per_minute), (9, 7));
        assert_eq!(config.server.tenant_limits.series, 5);
        assert!(describe(&config, &sources).contains("[tenants.\"big\"]\nseries = \"9\"  # file"));
    }
}
