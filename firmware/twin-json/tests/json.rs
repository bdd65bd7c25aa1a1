//! Behaviour of the reader and the writer; `serde_json` is the reference.

use proptest::prelude::*;
use twin_json::{Kind, MAX_DEPTH, Value, Writer, unescape_in_place};

#[test]
fn members_are_found_through_unrelated_content() {
    let text = r#" { "a" : [ 1, {"x":"}"}, [] ], "deviceUpdate": {"__t":"c", "service" : {"n": -12 , "s":"a\"b"}}, "$version":9 } "#;
    let value = Value::parse(text).unwrap();
    let service = value.at(&["deviceUpdate", "service"]).unwrap();
    assert_eq!(service.get("n").unwrap().as_i64(), Some(-12));
    assert!(service.get("s").unwrap().as_str().unwrap().is("a\"b"));
    assert_eq!(value.get("$version").unwrap().as_i64(), Some(9));
    assert_eq!(value.get("a").unwrap().items().count(), 3);
    assert_eq!(&text[service.range()], service.text());
    assert!(value.get("service").is_none());
}

#[test]
fn escaped_keys_are_the_same_keys() {
    let value = Value::parse(r#"{"\u0061\u0062":1}"#).unwrap();
    assert_eq!(value.get("ab").unwrap().as_i64(), Some(1));
}

#[test]
fn the_last_of_equal_keys_counts() {
    assert_eq!(Value::parse(r#"{"a":1,"a":2}"#).unwrap().get("a").unwrap().as_i64(), Some(2));
}

#[test]
fn integers_are_exact_or_refused() {
    let number = |text| Value::parse(text).unwrap().as_i64();
    assert_eq!(number("9223372036854775807"), Some(i64::MAX));
    assert_eq!(number("-9223372036854775808"), Some(i64::MIN));
    assert_eq!(number("9223372036854775808"), None);
    assert_eq!(number("1.0"), None);
    assert_eq!(number("1e3"), None);
    assert_eq!(number("true"), None);
    assert_eq!(Value::parse(r#""262144""#).unwrap().as_lenient_u32(), Some(262_144));
    assert_eq!(Value::parse("4294967296").unwrap().as_lenient_u32(), None);
    assert_eq!(Value::parse("-1").unwrap().as_lenient_u32(), None);
}

#[test]
fn malformed_documents_are_refused() {
    for text in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "-",
        "+1",
        "1e",
        "nul",
        "tru",
        "\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\n\"",
        "1 2",
        "{\"a\":1}}",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "'a'",
    ] {
        assert!(Value::parse(text).is_err(), "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Value::parse(&nested(MAX_DEPTH as usize)).is_ok());
    assert!(Value::parse(&nested(MAX_DEPTH as usize + 1)).is_err());
    assert!(Value::parse(&nested(100_000)).is_err());
}

#[test]
fn half_a_surrogate_pair_has_no_text() {
    let value = Value::parse(r#""x\ud800y""#).unwrap();
    let string = value.as_str().unwrap();
    assert!(string.copy_to(&mut [0; 32]).is_none());
    assert!(!string.is("x"));
    assert!(unescape_in_place(&mut string.raw().as_bytes().to_vec()).is_none());
}

#[test]
fn writer_says_when_something_did_not_fit() {
    let mut buffer = [0; 8];
    let mut writer = Writer::new(&mut buffer);
    writer.string("12345678");
    assert_eq!(writer.finish(), None);
}

fn unescaped(text: &str) -> String {
    let string = Value::parse(text).unwrap().as_str().unwrap();
    let mut copy = string.raw().as_bytes().to_vec();
    let len = unescape_in_place(&mut copy).unwrap();
    let in_place = String::from_utf8(copy[..len].to_vec()).unwrap();
    assert!(string.is(&in_place));
    assert_eq!(string.copy_to(&mut vec![0; text.len()]), Some(in_place.as_str()));
    in_place
}

/// Walks everything with the accessors and compares with the reference's tree.
fn same(ours: Value<'_>, reference: &serde_json::Value) -> bool {
    use serde_json::Value as Reference;
    match (ours.kind(), reference) {
        (Kind::Null, Reference::Null) => true,
        (Kind::Bool, Reference::Bool(value)) => ours.text() == if *value { "true" } else { "false" },
        (Kind::Number, Reference::Number(value)) => ours.as_i64() == value.as_i64(),
        (Kind::String, Reference::String(value)) => unescaped(ours.text()) == *value,
        (Kind::Array, Reference::Array(items)) => {
            ours.items().count() == items.len() && ours.items().zip(items).all(|(a, b)| same(a, b))
        }
        (Kind::Object, Reference::Object(members)) => {
            members.iter().all(|(key, value)| ours.get(key).is_some_and(|mine| same(mine, value)))
        }
        _ => false,
    }
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Escapes each UTF-16 unit as `\uXXXX`: the longest way to write a string.
fn fully_escaped(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
    format!("\"{units}\"")
}

proptest! {
    #[test]
    fn documents_read_like_the_reference(document in document(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        prop_assert!(same(Value::parse(&text).unwrap(), &document));
    }

    #[test]
    fn unescaping_inverts_every_way_of_escaping(text: String) {
        prop_assert_eq!(unescaped(&serde_json::to_string(&text).unwrap()), text.clone());
        prop_assert_eq!(unescaped(&fully_escaped(&text)), text.clone());
        let mut buffer = vec![0; text.len() * 6 + 2];
        let mut writer = Writer::new(&mut buffer);
        writer.string(&text);
        let ours = writer.finish().unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(ours).unwrap(), text);
    }

    #[test]
    fn numbers_are_written_as_they_are_read(value: i64) {
        let mut buffer = [0; 20];
        let mut writer = Writer::new(&mut buffer);
        writer.number(value);
        prop_assert_eq!(writer.finish().unwrap(), value.to_string());
    }

    #[test]
    fn acceptance_is_the_references(text in r#"[\[\]{}",:\\0-9a-f.eE+\- \ntrulsn]{0,24}"#) {
        // The reference also refuses numbers beyond f64 and half surrogate pairs.
        if let Ok(document) = serde_json::from_str::<serde_json::Value>(&text) {
            let ours = Value::parse(&text);
            prop_assert!(ours.is_ok());
            let _ = document;
        } else if let Ok(value) = Value::parse(&text) {
            let known = text.contains("\\u") || text.contains(['e', 'E']);
            prop_assert!(known, "{:?} accepted", value.text());
        }
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(value) = Value::parse(&text) {
            value.members().for_each(drop);
        }
        let _ = unescape_in_place(&mut bytes.clone());
    }
}
