//! Documents as tables for people.

use serde_json::Value;

/// A column: its title, and the member that it shows, as a JSON pointer.
pub(super) type Column = (&'static str, &'static str);

/// One line a document, the columns as wide as they need to be.
pub(super) fn list(rows: &[Value], columns: &[Column]) -> String {
    let mut lines = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|(_, pointer)| text(row.pointer(pointer))).collect()));
    let width = |column: usize| lines.iter().map(|line: &Vec<String>| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One line a member, those inside others by their path.
pub(super) fn members(document: &Value) -> String {
    let mut rows = Vec::new();
    flatten("", document, &mut rows);
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:width$}  {value}").trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, rows);
            }
        }
        Value::Null => {}
        other => rows.push((path.to_owned(), text(Some(other)))),
    }
}

/// A value in one line.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.replace(['\n', '\r', '\t', '\u{1b}'], " "),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [json!({"id": "a", "n": {"x": 1}}), json!({"id": "äöü", "n": {}})];
        assert_eq!(list(&rows, &[("id", "/id"), ("x", "/n/x")]), "id   x\na    1\näöü  -");
    }

    #[test]
    fn members_have_their_path() {
        assert_eq!(members(&json!({"a": {"b": [1, 2], "c": null}, "long": "t\u{1b}[1m"})), "a.b   [1,2]\nlong  t [1m");
    }
}
