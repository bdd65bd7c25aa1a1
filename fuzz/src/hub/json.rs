//! JSON out of a fuzzer's bytes: whatever they are, it is well-formed.

use serde_json::{Map, Number, Value};

use crate::Input;

/// Names that matter to somebody, and such that twins refuse.
const KEYS: [&str; 16] =
    ["a", "b", "c", "d", "", "$x", "a.b", "a b", "\n", "~/", "deviceUpdate", "__t", "steps", "files", "ä", "0"];

/// The next key: one of a few, so that patches meet, or text of the input.
pub fn key(input: &mut Input<'_>) -> String {
    match input.byte() {
        0xFF => text(input),
        0xFE => "k".repeat(usize::from(input.half())),
        byte => KEYS[usize::from(byte) % KEYS.len()].to_owned(),
    }
}

fn text(input: &mut Input<'_>) -> String {
    let len = input.byte().into();
    String::from_utf8_lossy(input.slice(len)).into_owned()
}

/// The next value, at most `depth` levels deep.
pub fn value(input: &mut Input<'_>, depth: usize) -> Value {
    match input.byte() % 10 {
        0 => Value::Null,
        1 => Value::Bool(input.byte() & 1 != 0),
        2 => i64::from(input.byte()).into(),
        3 => i64::from_le_bytes(input.array()).into(),
        4 => Number::from_f64(f64::from_le_bytes(input.array())).map_or(Value::Null, Value::Number),
        5 => text(input).into(),
        // Lengths around every limit of a twin, without as many bytes of input.
        6 => "s".repeat(usize::from(input.half()) % 9_000).into(),
        7 if depth > 0 => (0..input.byte() % 6).map(|_| value(input, depth - 1)).collect(),
        8 if depth > 0 => {
            // A chain, to get deep with little input.
            let levels = usize::from(input.byte()) % depth;
            let name = key(input);
            let inner = value(input, 0);
            (0..levels).fold(inner, |inner, _| Value::Object(Map::from_iter([(name.clone(), inner)])))
        }
        _ if depth > 0 => object(input, depth).into(),
        other => other.into(),
    }
}

/// The next object.
pub fn object(input: &mut Input<'_>, depth: usize) -> Map<String, Value> {
    (0..input.byte() % 6).map(|_| (key(input), value(input, depth - 1))).collect()
}
