//! Colours and marks, where the reader's terminal has them.

use std::fmt::Display;

/// How output looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// Whether colours are used.
    pub colour: bool,
}

impl Style {
    /// No colours.
    pub const PLAIN: Self = Self { colour: false };

    /// Something that went well.
    pub fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    /// Something that went wrong.
    pub fn bad(self, text: impl Display) -> String {
        self.paint("31", text)
    }

    /// Something to look at.
    pub fn warning(self, text: impl Display) -> String {
        self.paint("33", text)
    }

    /// Something that matters less than what is beside it.
    pub fn faint(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    /// A piece of code.
    pub fn code(self, text: impl Display) -> String {
        self.paint("36", text)
    }

    /// A title.
    pub fn strong(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

/// What decides about colours and the live tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Surroundings {
    /// Whether standard output is a terminal.
    pub output_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub error_is_terminal: bool,
    /// `NO_COLOR` is set and not empty (no-color.org).
    pub no_color: bool,
    /// `CLICOLOR_FORCE` is set and neither empty nor `0` (bixense.com/clicolors).
    pub force_color: bool,
    /// `TERM` is `dumb`.
    pub dumb: bool,
}

impl Surroundings {
    /// This process's.
    pub fn read() -> Self {
        use std::io::IsTerminal;
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            output_is_terminal: std::io::stdout().is_terminal(),
            error_is_terminal: std::io::stderr().is_terminal(),
            no_color: set("NO_COLOR").is_some(),
            force_color: set("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            dumb: set("TERM").is_some_and(|value| value == "dumb"),
        }
    }

    /// How standard output looks.
    pub fn output(&self) -> Style {
        Style { colour: self.colour(self.output_is_terminal) }
    }

    /// How standard error looks.
    pub fn error(&self) -> Style {
        Style { colour: self.colour(self.error_is_terminal) }
    }

    /// Whether lines on standard error can be redrawn.
    pub fn is_live(&self) -> bool {
        self.error_is_terminal && !self.dumb
    }

    fn colour(&self, is_terminal: bool) -> bool {
        !self.no_color && (self.force_color || (is_terminal && !self.dumb))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_wins_over_all_and_force_over_pipes() {
        let terminal = Surroundings { output_is_terminal: true, error_is_terminal: true, ..Surroundings::default() };
        assert!(terminal.output().colour && terminal.is_live());
        let pipe = Surroundings { output_is_terminal: false, ..terminal.clone() };
        assert!(!pipe.output().colour && pipe.error().colour);
        assert!(Surroundings { force_color: true, ..pipe }.output().colour);
        assert!(!Surroundings { no_color: true, force_color: true, ..terminal.clone() }.error().colour);
        let dumb = Surroundings { dumb: true, ..terminal };
        assert!(!dumb.error().colour && !dumb.is_live());
    }
}
