//! Names of metrics and labels as Prometheus translates them from OpenTelemetry, with units and types as suffixes.
//!
//! After `prometheus/otlptranslator`, strategy `UnderscoreEscapingWithSuffixes`.

/// What a metric is, as far as its name says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A sum that only grows: `_total`.
    Counter,
    /// A value of now; one without a dimension (unit `1`) is a `_ratio`.
    Gauge,
    /// Everything else.
    Other,
}

/// The name of a metric: words of letters and digits with `_` between them, then the unit, then the kind. Empty when
/// there is no letter or digit.
pub fn metric_name(name: &str, unit: &str, kind: MetricKind) -> String {
    let mut words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return String::new();
    }
    let (main, per) = unit.split_once('/').map_or((unit, ""), |(main, per)| (main, per));
    let main = unit_word(main.trim());
    if !main.is_empty() && !words.contains(&&*main) {
        words.push(&main);
    }
    let per = per_word(per.trim());
    if !per.is_empty() && !words.contains(&&*per) {
        words.extend(["per", &per]);
    }
    let last = match kind {
        MetricKind::Counter => Some("total"),
        MetricKind::Gauge if unit.trim() == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        words.retain(|word| *word != last);
        words.push(last);
    }
    let name = words.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn unit_word(unit: &str) -> String {
    word(match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    })
}

fn per_word(unit: &str) -> String {
    word(match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    })
}

/// A unit as a word; annotations in braces are none.
fn word(unit: &str) -> String {
    if unit.contains(['{', '}']) {
        return String::new();
    }
    let parts: Vec<_> = unit.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    parts.join("_")
}

/// The label of an attribute: other characters than letters, digits and `_` become `_`, and a prefix keeps it from
/// beginning with a digit or one underscore.
pub fn label_name(attribute: &str) -> String {
    let name: String = attribute.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{name}")
    } else if name.starts_with('_') && !name.starts_with("__") {
        format!("key{name}")
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_get_their_unit_and_kind_as_suffixes() {
        use MetricKind::{Counter, Gauge, Other};
        for (name, unit, kind, expected) in [
            ("http.server.duration", "s", Other, "http_server_duration_seconds"),
            ("http.server.request.size", "By", Counter, "http_server_request_size_bytes_total"),
            ("requests_total", "1", Counter, "requests_total"),
            ("total.requests", "{request}", Counter, "requests_total"),
            ("system.io", "By/s", Gauge, "system_io_bytes_per_second"),
            ("cpu.utilization", "1", Gauge, "cpu_utilization_ratio"),
            ("memory_bytes", "By", Gauge, "memory_bytes"),
            ("2xx..responses", "", Other, "_2xx_responses"),
            ("a:b", "parsec/fortnight", Other, "a:b_parsec_per_fortnight"),
            ("\u{e4}.\u{f6}", "s", Other, ""),
        ] {
            assert_eq!(metric_name(name, unit, kind), expected, "{name} {unit}");
        }
    }

    #[test]
    fn labels_are_names_that_prometheus_takes() {
        for (attribute, label) in
            [("http.method", "http_method"), ("1st", "key_1st"), ("_x", "key_x"), ("__x", "__x"), ("a-\u{e4}", "a__")]
        {
            assert_eq!(label_name(attribute), label);
        }
    }
}
