//! The report as one HTML file that needs nothing else: the page draws itself from the JSON inside it.

use super::Report;

const PAGE: &str = include_str!("report.html");
const PLACE: &str = "/*REPORT*/null";

/// The page's text.
pub fn render(report: &Report) -> String {
    // A "</script>" inside a string would end the script element; "<\/" means the same to JSON.
    let data = report.to_json().replace("</", "<\\/");
    PAGE.replacen(PLACE, &data, 1)
}

#[cfg(test)]
mod tests {
    use super::{PAGE, PLACE};

    #[test]
    fn page_has_one_place_for_the_data() {
        assert_eq!(PAGE.matches(PLACE).count(), 1);
    }
}
