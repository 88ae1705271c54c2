//! What a build says, line by line.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

/// How many of the last lines are kept.
const KEPT: usize = 30;
/// The most of one line that is kept, in bytes.
const LONGEST_LINE: usize = 1000;

/// A build's last lines. Its two streams are read side by side and come in any order, so they are kept apart: a complaint is not
/// pushed out by what was said before it.
#[derive(Default)]
pub(super) struct Output {
    said: VecDeque<String>,
    complained: VecDeque<String>,
}

impl Output {
    /// Adds a line of the standard output.
    pub(super) fn said(&mut self, line: String) {
        keep(&mut self.said, line);
    }

    /// Adds a line of the standard error, where BuildKit says everything and older builders what went wrong.
    pub(super) fn complained(&mut self, line: String) {
        keep(&mut self.complained, line);
    }

    /// The last lines as text, the complaints last.
    pub(super) fn text(&self) -> String {
        let surplus = (self.said.len() + self.complained.len()).saturating_sub(KEPT);
        let lines = self.said.iter().skip(surplus).chain(&self.complained);
        lines.map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

fn keep(lines: &mut VecDeque<String>, line: String) {
    if lines.len() == KEPT {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// Splits a stream into lines without control characters, empty ones left out. A carriage return ends a line too: that is how
/// progress is drawn.
pub(super) struct Lines<R> {
    reader: R,
    pending: Vec<u8>,
    ready: VecDeque<String>,
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The lines of this stream.
    pub(super) fn new(reader: R) -> Self {
        Self { reader, pending: Vec::new(), ready: VecDeque::new(), buffer: vec![0; 8192], ended: false }
    }

    /// The next line, `None` at the end or when the stream breaks. Nothing is lost if this is dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            let count = self.reader.read(&mut self.buffer).await.unwrap_or(0);
            for index in 0..count {
                match self.buffer[index] {
                    b'\n' | b'\r' => self.end_line(),
                    byte if self.pending.len() < LONGEST_LINE => self.pending.push(byte),
                    _ => {}
                }
            }
            if count == 0 {
                self.end_line();
                self.ended = true;
            }
        }
    }

    fn end_line(&mut self) {
        let line = printable(&String::from_utf8_lossy(&std::mem::take(&mut self.pending)));
        if !line.is_empty() {
            self.ready.push_back(line);
        }
    }
}

/// Text without terminal sequences and control characters.
fn printable(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                // ECMA-48: ESC [, parameters, and a final character from `@` to `~`.
                if characters.next() == Some('[') {
                    characters.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => plain.push(' '),
            character if character.is_control() => {}
            character => plain.push(character),
        }
    }
    plain.trim_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_plain_text() {
        let said = b"Step 1/2 : FROM x\n\n \x1b[91mred\x1b[0m\rdone \x07\xff\n".to_vec();
        let mut lines = Lines::new([said, vec![b'a'; 5000]].concat().leak() as &[u8]);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        assert_eq!(all[..3], ["Step 1/2 : FROM x", " red", "done \u{fffd}"]);
        assert_eq!(all[3].len(), LONGEST_LINE);
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn the_last_lines_are_kept() {
        let mut output = Output::default();
        output.complained("what went wrong".into());
        (1..=40).for_each(|number| output.said(number.to_string()));
        let text = output.text();
        assert!(text.starts_with("12\n13\n") && text.ends_with("\n40\nwhat went wrong"), "{text}");
        (1..=40).for_each(|number| output.complained(format!("#{number}")));
        let text = output.text();
        assert!(text.starts_with("#11\n") && text.ends_with("\n#40"), "{text}");
    }
}
