use super::*;
use crate::ingest::Precision;
use crate::ingest::rows::SeriesName;

type Parsed = (String, Vec<(String, String)>, Vec<(String, LineValue<'static>)>, Option<i64>);

fn owned(value: &LineValue<'_>) -> LineValue<'static> {
    match value {
        LineValue::String(text) => LineValue::String(text.to_string().into()),
        LineValue::F64(value) => LineValue::F64(*value),
        LineValue::I64(value) => LineValue::I64(*value),
        LineValue::U64(value) => LineValue::U64(*value),
        LineValue::Bool(value) => LineValue::Bool(*value),
    }
}

/// The lines of a text, or their faults, with their numbers.
fn lines(text: &str) -> Vec<(usize, Result<Parsed, String>)> {
    let mut parser = LineParser::new(text, 1);
    let mut lines = Vec::new();
    while let Some(line) = parser.next_line() {
        lines.push(match line {
            Err((number, fault)) => (number, Err(fault.detail)),
            Ok(line) => {
                let fields =
                    parser.fields().iter().map(|field| (field.name.to_string(), owned(&field.value))).collect();
                let parsed =
                    parse_series(line.series).map_err(|fault| fault.detail).map(|SeriesName { table, tags }| {
                        let tags =
                            tags.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
                        (table.into_owned(), tags, fields, line.time)
                    });
                (line.number, parsed)
            }
        });
    }
    lines
}

fn line(text: &str) -> Parsed {
    let mut all = lines(text);
    assert_eq!(all.len(), 1, "{text}: {all:?}");
    all.remove(0).1.unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_line_is_measurement_tags_fields_and_time() {
    let (table, tags, fields, time) = line("cpu,host=a,dc=eu usage=1.5,n=3i,u=4u,ok=t,s=\"x y\" 1700000000000000000\n");
    assert_eq!(
        (table.as_str(), tags, time),
        ("cpu", pairs(&[("host", "a"), ("dc", "eu")]), Some(1_700_000_000_000_000_000))
    );
    let expected = [
        ("usage", LineValue::F64(1.5)),
        ("n", LineValue::I64(3)),
        ("u", LineValue::U64(4)),
        ("ok", LineValue::Bool(true)),
        ("s", LineValue::String("x y".into())),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(line("cpu f=1").3, None);
    assert_eq!(line("cpu  f=1   -5  \r\n").3, Some(-5));
}

#[test]
fn backslashes_take_the_meaning_of_some_characters_only() {
    let (table, tags, fields, _) = line(r#"my\ cpu\,x,ta\=g=va\,l\ u\=e,b=c\d\\x fi\ e\,l\=d="q\"uo\\te\n",p=1"#);
    assert_eq!(table, "my cpu,x");
    assert_eq!(tags, pairs(&[("ta=g", "va,l u=e"), ("b", r"c\d\\x")]));
    assert_eq!(fields[0], ("fi e,l=d".to_owned(), LineValue::String("q\"uo\\te\\n".into())));
    // A measurement may hold an equals sign.
    assert_eq!(line("a=b f=1").0, "a=b");
}

#[test]
fn numbers_read_to_the_same_bits_as_the_standard_library_reads_them() {
    let mut texts: Vec<String> = [
        "0",
        "-0",
        "1",
        "-1",
        "+1",
        "1.",
        ".5",
        "-.5",
        "0.1",
        "123.456",
        "1e3",
        "1E-3",
        "1.5e+10",
        "9007199254740993",
        "9007199254740992.5",
        "0.30000000000000004",
        "123456789012345678901234567890",
        "5e-324",
        "1.7976931348623157e308",
        "0.000000000000000000000001",
        "72057594037927945",
        "1234567.8901234567",
        "-12.340",
        "00012.5",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut state = 1_u64;
    for _ in 0..20_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        texts.push((f64::from_bits(state)).to_string());
        texts.push(format!("{:.*}", (state >> 60) as usize, (state >> 20) as i32 as f64 / 1000.0));
    }
    for text in texts.iter().filter(|text| !text.contains("NaN") && !text.contains("inf")) {
        let expected: f64 = text.parse().unwrap();
        match &line(&format!("m f={text}")).2[0].1 {
            LineValue::F64(value) => assert_eq!(value.to_bits(), expected.to_bits(), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    assert_eq!(line("m f=-9223372036854775808i").2[0].1, LineValue::I64(i64::MIN));
    assert_eq!(line("m f=18446744073709551615u").2[0].1, LineValue::U64(u64::MAX));
}

#[test]
fn booleans_have_five_spellings_each() {
    for text in ["t", "T", "true", "True", "TRUE"] {
        assert_eq!(line(&format!("m f={text}")).2[0].1, LineValue::Bool(true));
    }
    for text in ["f", "F", "false", "False", "FALSE"] {
        assert_eq!(line(&format!("m f={text} 1")).2[0].1, LineValue::Bool(false));
    }
}

#[test]
fn a_bad_line_is_named_and_the_others_are_read() {
    let bad = [
        "m",
        "m ",
        "m f",
        "m f=",
        "m =1",
        "m f=1,",
        "m f=x",
        "m f=1x",
        "m f=1i2",
        "m f=1.5i",
        "m f=-1u",
        "m f=nan",
        "m f=inf",
        "m f=1e999",
        "m f=9223372036854775808i",
        "m f=tru",
        "m f=\"x\"y",
        "m f=1 x",
        "m f=1 1 1",
        "m f=1 1.5",
        "m,a f=1",
        "m,=b f=1",
        "m,a= f=1",
        "m,a=b=c f=1",
        "m,,a=b f=1",
        "m f=-",
        "m f=.",
        "m f=1 99999999999999999999",
        "m f=\"x",
        "m f=1e",
        "m f= 1",
        "m f =1",
    ];
    for text in bad {
        let all = lines(&format!("a f=1 1\n{text}\r\nb f=2 2\n"));
        assert_eq!(all.len(), 3, "{text}: {all:?}");
        assert!(all[0].1.is_ok() && all[2].1.is_ok(), "{text}: {all:?}");
        assert_eq!(all[1].0, 2, "{text}");
        assert!(all[1].1.is_err(), "{text}: {all:?}");
    }
}

#[test]
fn lines_are_counted_across_comments_empty_lines_and_text_with_breaks() {
    let all = lines("# comment\n\n  \na f=\"1\n2\",g=1 1\n#x\r\nb f=1\nbad\nc f=1");
    let numbers: Vec<_> = all.iter().map(|(number, line)| (*number, line.is_ok())).collect();
    assert_eq!(numbers, [(4, true), (7, true), (8, false), (9, true)]);
    assert_eq!(all[0].1.as_ref().unwrap().2[0].1, LineValue::String("1\n2".into()));
}

#[test]
fn times_are_in_the_unit_that_the_request_says() {
    for (name, factor) in [
        ("ns", 1),
        ("", 1),
        ("n", 1),
        ("u", 1_000),
        ("\u{b5}", 1_000),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("second", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ] {
        assert_eq!(name.parse::<Precision>().unwrap().nanoseconds(-3), Some(-3 * factor), "{name}");
    }
    let auto: Precision = "auto".parse().unwrap();
    for number in [1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000] {
        assert_eq!(auto.nanoseconds(number), Some(1_700_000_000_000_000_000));
    }
    assert_eq!(Precision::Seconds.nanoseconds(i64::MAX / 2), None);
    assert!("weeks".parse::<Precision>().is_err());
}
