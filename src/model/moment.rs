//! Moments as they are written: RFC 3339, UTC, to the millisecond, so that as text they are in order.

use jiff::{SignedDuration, Timestamp};

/// A moment in words.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The first moment from `began` on that is behind `known`.
pub fn moment_behind(began: &str, known: Option<&str>) -> String {
    let parsed = |text: &str| text.parse::<Timestamp>().ok();
    let next = |known: Timestamp| known.checked_add(SignedDuration::from_millis(1)).unwrap_or(known);
    match (parsed(began), known.and_then(parsed).map(next)) {
        (Some(began), Some(next)) => moment(began.max(next)),
        (Some(only), None) | (None, Some(only)) => moment(only),
        (None, None) => began.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_order_as_text() {
        let first = moment_behind("2026-01-01T00:00:59Z", None);
        assert_eq!(first, "2026-01-01T00:00:59.000Z");
        let second = moment_behind("2026-01-01T00:00:59Z", Some(&first));
        assert_eq!(second, "2026-01-01T00:00:59.001Z");
        assert!(first < second);
        assert_eq!(moment_behind("2026-01-01T00:00:58Z", Some("2026-01-01T00:00:59.999Z")), "2026-01-01T00:01:00.000Z");
        assert_eq!(moment_behind("2026-01-02T00:00:00Z", Some(&second)), "2026-01-02T00:00:00.000Z");
        assert_eq!(moment_behind("some day", None), "some day");
    }
}
