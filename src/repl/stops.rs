//! Where a stepped run stops.

use std::fmt;

use super::places::is_file;
use crate::{
    failure::Origin,
    op::{Class, Op},
};

/// How far it goes until it stops again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To the next op that changes something or waits.
    Op,
    /// To the next line or op of any kind.
    Line,
    /// To another line at this level or further out.
    Next(usize),
    /// To a line further out than this level.
    Out(usize),
    /// To this line.
    Until(String, usize),
    /// To a break point.
    Break,
}

/// A place to stop at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// A line, of any file where none is named.
    Line(Option<String>, usize),
    /// A function of a script, or an op by its verb.
    Name(String),
}

impl Break {
    /// Reads `LINE`, `FILE:LINE`, or a name.
    pub fn parse(text: &str) -> Self {
        if let Ok(line) = text.parse() {
            return Self::Line(None, line);
        }
        match text.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?))) {
            Some((file, line)) => Self::Line(Some(file.to_owned()), line),
            None => Self::Name(text.to_owned()),
        }
    }

    fn is_line(&self, origin: &Origin) -> bool {
        matches!(self, Self::Line(file, line) if *line == origin.line && file.as_ref().is_none_or(|file| is_file(&origin.file, file)))
    }
}

impl fmt::Display for Break {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(Some(file), line) => write!(formatter, "{file}:{line}"),
            Self::Line(None, line) => write!(formatter, "line {line}"),
            Self::Name(name) => write!(formatter, "`{name}`"),
        }
    }
}

/// Where it is to stop, and where it was last.
#[derive(Debug)]
pub struct Stops {
    goal: Goal,
    breaks: Vec<Break>,
    last: Option<(String, usize, usize)>,
}

impl Stops {
    /// Before each op, or where there are break points at the first of them.
    pub fn new(breaks: Vec<Break>) -> Self {
        Self { goal: if breaks.is_empty() { Goal::Op } else { Goal::Break }, breaks, last: None }
    }

    /// Goes on until this is reached.
    pub fn go(&mut self, goal: Goal) {
        self.goal = goal;
    }

    /// Adds a place to stop at.
    pub fn add(&mut self, place: Break) {
        self.breaks.push(place);
    }

    /// The places to stop at.
    pub fn breaks(&self) -> &[Break] {
        &self.breaks
    }

    /// Whether it stops here, in `function`; every step of the script asks.
    pub fn at(&mut self, origin: &Origin, level: usize, function: Option<&str>) -> bool {
        let here = (origin.file.to_string(), origin.line, level);
        let last = self.last.replace(here.clone());
        if last.as_ref() == Some(&here) {
            return false;
        }
        let entered = last.is_none_or(|(.., before)| level > before);
        let wanted = match &self.goal {
            Goal::Op | Goal::Break => false,
            Goal::Line => true,
            Goal::Next(from) => level <= *from,
            Goal::Out(from) => level < *from,
            Goal::Until(file, line) => **file == *origin.file && *line == origin.line,
        };
        let named = |place: &Break| matches!(place, Break::Name(name) if entered && function == Some(name));
        wanted || self.breaks.iter().any(|place| place.is_line(origin) || named(place))
    }

    /// Whether it stops before this op.
    pub fn before(&self, op: &Op) -> bool {
        let wanted = match self.goal {
            Goal::Op => op.class() != Class::Read,
            Goal::Line => true,
            _ => false,
        };
        wanted || self.breaks.iter().any(|place| matches!(place, Break::Name(name) if name == op.verb()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Period,
        op::{Now, Pause},
    };

    fn at(line: usize) -> Origin {
        Origin { file: "deploy/web.rhai".into(), line, column: 1 }
    }

    #[test]
    fn without_break_points_it_stops_before_what_changes_or_waits() {
        let stops = Stops::new(Vec::new());
        assert!(stops.before(&Pause { period: Period::seconds(1) }.into()) && !stops.before(&Now {}.into()));
        let stops = Stops::new(vec![Break::parse("now")]);
        assert!(!stops.before(&Pause { period: Period::seconds(1) }.into()) && stops.before(&Now {}.into()));
    }

    #[test]
    fn next_stays_where_it_is_and_out_leaves() {
        let mut stops = Stops::new(Vec::new());
        assert!(!stops.at(&at(1), 0, None));
        stops.go(Goal::Next(0));
        assert!(!stops.at(&at(1), 0, None), "the rest of the line");
        assert!(!stops.at(&at(9), 1, Some("f")), "a function");
        assert!(stops.at(&at(2), 0, None));
        stops.go(Goal::Line);
        assert!(stops.at(&at(9), 1, Some("f")));
        stops.go(Goal::Out(1));
        assert!(!stops.at(&at(10), 1, Some("f")) && !stops.at(&at(20), 2, Some("g")) && stops.at(&at(3), 0, None));
    }

    #[test]
    fn break_points_name_lines_and_functions() {
        let mut stops = Stops::new(vec![Break::parse("web.rhai:3"), Break::parse("deploy"), Break::parse("other.rhai:4")]);
        let seen: Vec<bool> = [(1, 0), (3, 0), (4, 0)].map(|(line, level)| stops.at(&at(line), level, None)).to_vec();
        assert_eq!(seen, [false, true, false]);
        assert!(stops.at(&at(8), 1, Some("deploy")));
        assert!(!stops.at(&at(9), 1, Some("deploy")), "only where it is entered");
    }
}
