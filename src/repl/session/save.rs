//! `:save`: what was typed and worked, as a script.

use std::{io, path::Path};

use super::Talk;
use crate::{
    executor::whole,
    script::{Checked, diagnostics::render},
};

impl Talk {
    /// Writes what was typed as a script, if it passes a check. What needs a variable whose input was taken back is left out.
    pub(super) fn save(&mut self, file: &Path) {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = file.display().to_string();
        let text = loop {
            let (text, ends) = self.script();
            let checked = Checked::new(&name, folder, &text);
            let found = checked.diagnostics();
            let Some(first) = found.first() else { break text };
            let line = first.origin().filter(|origin| *origin.file == *name).map(|origin| origin.line);
            let input = line.and_then(|line| ends.iter().find(|(end, _)| line <= *end)).map(|(_, input)| *input);
            let Some(input) = input.filter(|_| self.has_undone) else {
                self.console.tell(&render(&found, checked.sources(), self.printer.style().colour));
                return self.refuse("not saved: as a script it would not pass its check");
            };
            self.inputs[input].is_kept = false;
            let text = self.inputs[input].text.lines().next().unwrap_or_default().to_owned();
            self.console.tell(&format!("left out, as what it needs was taken back: {text}"));
        };
        // What this session has written it may write again.
        let write = if self.saved.contains(file) { whole::write } else { whole::create };
        match write(file, text.as_bytes()) {
            Ok(()) => {
                self.saved.insert(file.to_path_buf());
                let words: Vec<&str> = std::iter::once(name.as_str()).chain(self.arguments.iter().map(String::as_str)).collect();
                self.console.tell(&format!("saved: podlift run {}", words.join(" ")));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.refuse(format!("{name} is there already, and not from this session: save it under another name"));
            }
            Err(error) => self.refuse(format!("{name} cannot be written: {error}")),
        }
    }

    /// The inputs as a script, and the line that each of them ends in.
    fn script(&self) -> (String, Vec<(usize, usize)>) {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for (index, input) in self.inputs.iter().enumerate().filter(|(_, input)| input.is_kept) {
            text += input.text.trim_end();
            if !input.text.trim_end().ends_with([';', '}']) {
                text.push(';');
            }
            text.push('\n');
            ends.push((text.matches('\n').count(), index));
        }
        (text, ends)
    }
}
