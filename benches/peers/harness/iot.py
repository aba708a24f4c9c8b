"""The TSBS IoT queries over `readings` and `diagnostics`, after the TimescaleDB text of the suite.

Where that text joins a table of tags to rows by their number, the tables here carry the tags themselves. Four things
are said otherwise, the same for all systems:

- The last value of a truck is the newest one that is there: a NULL is passed over, as `last` and `arg_max` do.
- Rows are those of a truck and driver, not of one of the nine numbers that a truck gets from missing tags.
- Integer division, whose meaning differs between systems, is written out: `floor(count(*) / 6.0)`, `/ 144.0`.
- `breakdown-frequency` counts the rows of status 0; the suite's `count(status = 0)` counts every row with a status.
"""

from .query import Dialect, Draw, Query, Target

FLEETS = ["East", "West", "North", "South"]
TAGS = ["name", "fleet", "driver", "model", "device_version"]
CAPACITIES = ["load_capacity", "fuel_capacity", "nominal_fuel_consumption"]
FIELDS = {
    "readings": ["latitude", "longitude", "elevation", "velocity", "heading", "grade", "fuel_consumption"],
    "diagnostics": ["fuel_state", "current_load", "status"],
}


def _last_loc(d: Dialect, draw: Draw) -> str:
    return (
        f"SELECT name, driver, {d.last('longitude')} AS longitude, {d.last('latitude')} AS latitude FROM readings "
        f"WHERE name IS NOT NULL AND fleet = '{draw.choice(FLEETS)}' GROUP BY name, driver"
    )


def _low_fuel(d: Dialect, draw: Draw) -> str:
    return (
        f"SELECT name, driver, {d.last('fuel_state')} AS fuel FROM diagnostics "
        f"WHERE name IS NOT NULL AND fleet = '{draw.choice(FLEETS)}' GROUP BY name, driver "
        f"HAVING {d.last('fuel_state')} < 0.1"
    )


def _high_load(d: Dialect, draw: Draw) -> str:
    return (
        f"SELECT name, driver, {d.last('current_load')} AS load FROM diagnostics "
        f"WHERE name IS NOT NULL AND fleet = '{draw.choice(FLEETS)}' GROUP BY name, driver "
        f"HAVING {d.last('current_load')} / max(load_capacity) > 0.9"
    )


def _stationary_trucks(d: Dialect, draw: Draw) -> str:
    start, end = draw.window(1 / 6)
    return (
        f"SELECT name, driver FROM readings WHERE time >= '{start}' AND time < '{end}' AND name IS NOT NULL "
        f"AND fleet = '{draw.choice(FLEETS)}' GROUP BY name, driver HAVING avg(velocity) < 1"
    )


def _long_sessions(hours: int, ten_minutes_max: int):
    def text(d: Dialect, draw: Draw) -> str:
        start, end = draw.window(hours)
        return (
            f"SELECT name, driver FROM (SELECT name, driver, {d.bucket('10 minutes', 'time')} AS ten_minutes "
            f"FROM readings WHERE time >= '{start}' AND time < '{end}' AND name IS NOT NULL "
            f"AND fleet = '{draw.choice(FLEETS)}' GROUP BY name, driver, ten_minutes HAVING avg(velocity) > 1) AS s "
            f"GROUP BY name, driver HAVING count(*) > {ten_minutes_max}"
        )

    return text


def _avg_vs_projected(d: Dialect, draw: Draw) -> str:
    return (
        "SELECT fleet, avg(fuel_consumption) AS avg_fuel_consumption, "
        "avg(nominal_fuel_consumption) AS projected_fuel_consumption FROM readings "
        "WHERE velocity > 1 AND fleet IS NOT NULL AND nominal_fuel_consumption IS NOT NULL AND name IS NOT NULL "
        "GROUP BY fleet"
    )


def _avg_daily_driving_duration(d: Dialect, draw: Draw) -> str:
    return (
        f"WITH sessions AS (SELECT fleet, name, driver, {d.bucket('10 minutes', 'time')} AS ten_minutes "
        "FROM readings GROUP BY fleet, name, driver, ten_minutes HAVING avg(velocity) > 1), "
        f"daily AS (SELECT fleet, name, driver, {d.bucket('1 day', 'ten_minutes')} AS day, "
        "floor(count(*) / 6.0) AS hours FROM sessions GROUP BY fleet, name, driver, day) "
        "SELECT fleet, name, driver, avg(hours) AS avg_daily_hours FROM daily GROUP BY fleet, name, driver"
    )


def _avg_daily_driving_session(d: Dialect, draw: Draw) -> str:
    over = "OVER (PARTITION BY name ORDER BY ten_minutes)"
    return (
        f"WITH status AS (SELECT name, {d.bucket('10 minutes', 'time')} AS ten_minutes, "
        "avg(velocity) > 5 AS driving FROM readings WHERE name IS NOT NULL GROUP BY name, ten_minutes), "
        f"marked AS (SELECT name, ten_minutes, driving, lag({d.nullable('driving')}) {over} AS before FROM status), "
        f"changes AS (SELECT name, ten_minutes AS start, lead({d.nullable('ten_minutes')}) {over} AS stop, driving "
        "FROM marked WHERE driving <> before) "
        f"SELECT name, {d.bucket('1 day', 'start')} AS day, avg({d.seconds('stop')} - {d.seconds('start')}) AS seconds "
        "FROM changes WHERE driving GROUP BY name, day ORDER BY name, day"
    )


def _avg_load(d: Dialect, draw: Draw) -> str:
    return (
        "SELECT fleet, model, capacity, avg(avg_load / capacity) AS load FROM "
        "(SELECT fleet, model, name, max(load_capacity) AS capacity, avg(current_load) AS avg_load FROM diagnostics "
        "WHERE name IS NOT NULL GROUP BY fleet, model, name) AS t GROUP BY fleet, model, capacity"
    )


def _daily_activity(d: Dialect, draw: Draw) -> str:
    return (
        f"SELECT fleet, model, {d.bucket('1 day', 'ten_minutes')} AS day, sum(reports) / 144.0 AS daily_activity FROM "
        f"(SELECT fleet, model, name, {d.bucket('10 minutes', 'time')} AS ten_minutes, count(*) AS reports "
        "FROM diagnostics WHERE name IS NOT NULL GROUP BY fleet, model, name, ten_minutes HAVING avg(status) < 1) "
        "AS t GROUP BY fleet, model, day ORDER BY day"
    )


def _breakdown_frequency(d: Dialect, draw: Draw) -> str:
    return (
        f"WITH broken AS (SELECT model, name, {d.bucket('10 minutes', 'time')} AS ten_minutes, "
        "2 * count(*) FILTER (WHERE status = 0) >= count(*) AS is_broken FROM diagnostics WHERE name IS NOT NULL "
        "GROUP BY model, name, ten_minutes), "
        f"pairs AS (SELECT model, is_broken, lead({d.nullable('is_broken')}) OVER "
        "(PARTITION BY model, name ORDER BY ten_minutes) AS is_broken_next FROM broken) "
        "SELECT model, count(*) AS breakdowns FROM pairs WHERE NOT is_broken AND is_broken_next GROUP BY model"
    )


_IOT = Target(1 / 5)

QUERIES = [
    Query("last-loc", "readings", _last_loc, _IOT, 7),
    Query("low-fuel", "diagnostics", _low_fuel, _IOT, 7),
    Query("high-load", "diagnostics", _high_load, _IOT, 7),
    Query("stationary-trucks", "readings", _stationary_trucks, _IOT, 20),
    # 5 minutes of rest an hour leave 22 of the 24 ten-minute periods, 35 minutes leave 60 of 144.
    Query("long-driving-sessions", "readings", _long_sessions(4, 22), _IOT, 7),
    Query("long-daily-sessions", "readings", _long_sessions(24, 60), _IOT, 5),
    Query("avg-vs-projected-fuel-consumption", "readings", _avg_vs_projected, _IOT, 5),
    Query("avg-daily-driving-duration", "readings", _avg_daily_driving_duration, _IOT, 3),
    Query("avg-daily-driving-session", "readings", _avg_daily_driving_session, _IOT, 3),
    Query("avg-load", "diagnostics", _avg_load, _IOT, 5),
    Query("daily-activity", "diagnostics", _daily_activity, _IOT, 3),
    Query("breakdown-frequency", "diagnostics", _breakdown_frequency, _IOT, 3),
]
