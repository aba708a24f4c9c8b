//! `POST /api/v1/events/<table>`: an event per line, as JSON.
//!
//! 200: every line is on disk, or is there already by its deduplication key. 400: some lines were bad, the others are on
//! disk. The answer says how many lines became what, and lists the first bad ones. With `sampling=adaptive` a part of
//! the lines is left out under pressure.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::response::json_error;
use super::state::ServerState;
use super::tenant::{Caller, Tenant};
use super::upload::{HasRoom, refusal_as_json, write_rows};
use crate::ingest::Precision;
use crate::ingest::events::{self, EventOptions, Nested};
use crate::ingest::rows::RowOutcome;

/// Columns of a deduplication key, and tags that a request may name.
const NAMES_MAX: usize = 40;

/// Parameters of the address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventParameters {
    time: Option<String>,
    time_unit: Option<String>,
    tags: Option<String>,
    nested: Option<String>,
    dedup_key: Option<String>,
    sampling: Option<String>,
}

/// Whether lines may be left out under pressure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sampling {
    Off,
    Adaptive,
}

impl EventParameters {
    fn sampling(&self) -> Result<Sampling, String> {
        match self.sampling.as_deref() {
            None | Some("off") => Ok(Sampling::Off),
            Some("adaptive") => Ok(Sampling::Adaptive),
            Some(_) => Err("the parameter sampling is adaptive or off".into()),
        }
    }

    fn options(self) -> Result<EventOptions, String> {
        Ok(EventOptions {
            time: self.time.filter(|name| !name.is_empty()),
            time_unit: self.time_unit.as_deref().unwrap_or("auto").parse::<Precision>()?,
            tags: names("tags", self.tags)?,
            nested: match self.nested.as_deref() {
                None | Some("flatten") => Nested::Flatten,
                Some("json") => Nested::Json,
                Some(_) => return Err("the parameter nested is flatten or json".into()),
            },
            dedup_key: names("dedup_key", self.dedup_key)?,
            // What the sampler of the table decides.
            sampling: None,
        })
    }
}

/// The names in a list with commas.
fn names(parameter: &str, list: Option<String>) -> Result<Vec<String>, String> {
    let names: Vec<String> = list.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
    if names.len() > NAMES_MAX || names.iter().any(String::is_empty) && list.as_deref() != Some("") {
        return Err(format!("the parameter {parameter} lists 1 to {NAMES_MAX} names with commas between them"));
    }
    Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
}

/// Handles one request.
pub(super) async fn write(
    State(state): State<Arc<ServerState>>,
    Caller(tenant): Caller,
    Path(table): Path<String>,
    Query(parameters): Query<EventParameters>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let parsed = parameters.sampling().and_then(|sampling| Ok((sampling, parameters.options()?)));
    let (sampling, options) = match parsed {
        Ok(parsed) => parsed,
        Err(message) => return json_error(StatusCode::BAD_REQUEST, "invalid_input", &message),
    };
    let job = move |tenant: &Tenant, body: &[u8], _: &mut HasRoom<'_>| match sampling {
        Sampling::Off => events::write(&tenant.rows, &table, body, &options),
        Sampling::Adaptive => tenant.event_samplers.write(&tenant.rows, &table, body, &options, Instant::now),
    };
    match write_rows(state, tenant, "events", &headers, body, job).await {
        Ok(outcome) => answer(&outcome),
        Err(refusal) => refusal_as_json(&refusal),
    }
}

fn answer(outcome: &RowOutcome) -> Response {
    let rejected = &outcome.rejected;
    let errors = rejected.shown().iter().map(|row| {
        serde_json::json!({
            "line": row.line,
            "reason": row.fault.reason.as_str(),
            "message": row.fault.detail,
        })
    });
    let mut body = serde_json::json!({
        "written": outcome.written,
        "duplicates": outcome.duplicates,
        "rejected": rejected.count(),
        "errors": errors.collect::<Vec<_>>(),
    });
    if let Some(sampled) = outcome.sampled {
        body["sampled_out"] = sampled.sampled_out.into();
        body["weight"] = sampled.weight.into();
    }
    let respond = |status: StatusCode| (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    // Not 429: the good lines are on disk, and without a key they would be stored again.
    respond(if rejected.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST })
}
