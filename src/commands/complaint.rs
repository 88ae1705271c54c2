//! Tells what went wrong: as text for people, or as JSON for programs.

use crate::{
    failure::Failure,
    script::{
        diagnostics::{Diagnostic, render},
        sources::Sources,
    },
    terminal::{Printer, clean},
};

/// Prints diagnostics for people.
pub fn tell(printer: &Printer, diagnostics: &[Diagnostic], sources: &Sources) {
    if !diagnostics.is_empty() {
        printer.tell(render(diagnostics, sources, printer.style().colour));
    }
}

/// Prints a failure that has no script around it.
pub fn tell_failure(printer: &Printer, failure: &Failure) {
    let sources = Sources::default();
    tell(printer, &[harmless(Diagnostic::of_failure(failure, &sources))], &sources);
}

/// The diagnostic with everything that a host could have said made harmless for a terminal.
pub fn harmless(mut diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.message = clean::block(&diagnostic.message);
    for detail in &mut diagnostic.details {
        detail.title = clean::line(&detail.title);
        detail.text = clean::block(&detail.text);
    }
    for hint in &mut diagnostic.hints {
        *hint = clean::line(hint);
    }
    diagnostic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_said_cannot_move_the_cursor() {
        let failure = Failure::failed("gone\u{1b}[2J").detail("log\u{1b}[1m", "a\u{1b}]0;x\u{7}\nb").hint("look\u{8}");
        let diagnostic = harmless(Diagnostic::of_failure(&failure, &Sources::default()));
        assert_eq!((diagnostic.message.as_str(), diagnostic.hints[0].as_str()), ("gone", "look"));
        assert_eq!((diagnostic.details[0].title.as_str(), diagnostic.details[0].text.as_str()), ("log", "a\nb"));
    }
}
