//! The last line of a run: how it ended, how long it took, and what to do next.

use std::time::Duration;

use super::{style::Style, words};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// Whether it did what it was asked to.
    pub good: bool,
    /// The end state in a few words, for example `done: 14 changes on 3 hosts`.
    pub end: String,
    /// How long it took.
    pub took: Duration,
    /// What to do next, one sentence without a full stop.
    pub next: Option<String>,
}

impl Conclusion {
    /// The line.
    pub fn render(&self, style: Style) -> String {
        let mark = if self.good { style.good("✓") } else { style.bad("✗") };
        let next = self.next.as_ref().map(|next| format!("; {next}")).unwrap_or_default();
        format!("{mark} {} {}{next}", style.strong(&self.end), style.faint(format!("in {}", words::time(self.took))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_end_time_and_what_next() {
        let conclusion = Conclusion {
            good: false,
            end: "failed, and the fleet is mixed: 4 changes stand".into(),
            took: Duration::from_millis(31_400),
            next: Some("`podlift ps deploy.rhai` shows what runs".into()),
        };
        assert_eq!(
            conclusion.render(Style::PLAIN),
            "✗ failed, and the fleet is mixed: 4 changes stand in 31.4s; `podlift ps deploy.rhai` shows what runs"
        );
    }
}
