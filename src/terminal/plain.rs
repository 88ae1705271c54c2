//! A run in plain lines, for pipes and logs.

use std::{fmt::Write, time::Duration};

use super::{
    Printer, clean,
    throttle::Throttle,
    words::{self, Detail, Line},
};
use crate::executor::{Call, Event, Level, Narrator};

/// One line for each event: what happened, the call's key, host, verb and description, and the time it took.
pub struct Plain {
    printer: Printer,
    detail: Detail,
    progress: Throttle,
}

impl Plain {
    /// Tells `printer` so much of it.
    pub fn new(printer: Printer, detail: Detail) -> Self {
        Self { printer, detail, progress: Throttle::every(Duration::from_secs(5)) }
    }

    fn line(&self, mark: &str, call: &Call, more: Option<String>, took: Option<Duration>) {
        let Line { host, verb, description } = Line::of(&call.op);
        let mut line = format!("{mark:<7} {:<7} {host:<15} {verb:<12} {description}", call.key.as_str());
        if let Some(more) = more {
            let _ = write!(line, " ({more})");
        }
        if let Some(took) = took {
            let _ = write!(line, " {}", words::time(took));
        }
        self.printer.tell(line);
    }
}

impl Narrator for Plain {
    fn tell(&self, event: Event<'_>) {
        match event {
            Event::Began { call } => {
                self.progress.begin(&call.key);
                if self.detail.begin(&call.op) {
                    self.line("began", call, None, None);
                }
            }
            Event::Progressed { call, what, bytes } => {
                if self.progress.lets(&call.key) {
                    let amount = bytes.map(|(done, of)| format!(" {}", words::amount(done, of))).unwrap_or_default();
                    self.line("going", call, Some(format!("{}{amount}", clean::line(what))), None);
                }
            }
            Event::Done { call, outcome, took } => {
                self.progress.end(&call.key);
                if self.detail.end(call, took) {
                    let mark = if outcome.is_skipped() { "skipped" } else { "done" };
                    self.line(mark, call, words::summary(&call.op, outcome), Some(took));
                }
            }
            Event::Failed { call, failure, took } => {
                self.progress.end(&call.key);
                if self.detail.failure() {
                    self.line("failed", call, Some(clean::line(&failure.message)), Some(took));
                }
            }
            Event::Replayed { call, result } => {
                if self.detail.replayed() {
                    self.line("replay", call, words::result(&call.op, result), None);
                }
            }
            Event::PhaseBegan { .. } | Event::PhaseEnded { .. } if self.detail == Detail::Little => {}
            Event::PhaseBegan { title, .. } => self.printer.tell(format!("phase   {}", clean::line(title))),
            Event::PhaseEnded { title, took, .. } => {
                self.printer.tell(format!("end     {} {}", clean::line(title), words::time(took)));
            }
            Event::Said { level: Level::Info, text, .. } => self.printer.tell(format!("info    {}", clean::line(text))),
            Event::Said { level: Level::Warn, text, origin } => {
                self.printer.tell(format!("warning {} ({origin})", clean::line(text)));
            }
            Event::Sent { host, what } => {
                if self.detail.sent() {
                    self.printer.tell(format!("sent    {} {}", clean::line(host), clean::line(what)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            style::Surroundings,
            testing::{Paper, tell_a_run},
        },
        *,
    };

    fn told(detail: Detail) -> String {
        let paper = Paper::default();
        let printer = Printer::new(Surroundings::default(), Box::new(Paper::default()), Box::new(paper.clone()));
        tell_a_run(&Plain::new(printer, detail));
        paper.text()
    }

    #[test]
    fn a_run_in_a_pipe_is_a_line_an_event() {
        assert_eq!(
            told(Detail::Usual),
            "\
phase   images
began   2[0]    h1              ship         shop-web:v2
began   2[1]    10.0.0.12       ship         shop-web:v2
done    2[1]    10.0.0.12       ship         shop-web:v2 (nothing to send) 120ms
done    2[0]    h1              ship         shop-web:v2 (2.0 kB sent, 1.0 MB were there) 2.5s
end     images 2.6s
info    half way
warning one host is slow (deploy.rhai:4)
began   3       here            pause        3s
done    3       here            pause        3s 3.0s
began   4[0]    h1              healthcheck  shop-web-v2-0123456789-1, at most 30s
done    4[0]    h1              healthcheck  shop-web-v2-0123456789-1, at most 30s (healthy after 3 checks) 2.0s
began   4[1]    10.0.0.12       healthcheck  shop-web-v2-0123456789-1, at most 30s
failed  4[1]    10.0.0.12       healthcheck  shop-web-v2-0123456789-1, at most 30s (shop-web-v2-0123456789-1 is not healthy: connection refused) 1m05s
"
        );
    }

    #[test]
    fn a_dry_run_tells_what_the_script_says() {
        assert_eq!(told(Detail::Little), "info    half way\nwarning one host is slow (deploy.rhai:4)\n");
    }

    #[test]
    fn verbose_tells_what_was_read_and_sent() {
        let told = told(Detail::All);
        assert!(
            told.starts_with(
                "began   1       here            now          the time\ndone    1       here            now          the time 1ms\n"
            ),
            "{told}"
        );
        assert!(told.contains("\nsent    h1 POST /images/load\n"), "{told}");
    }
}
