//! `:undo`: takes back what the last input did that changed something.

use super::Talk;
use crate::{
    model::Key,
    script::TakenBack,
    terminal::words::{self, Line},
};

impl Talk {
    pub(super) fn undo(&mut self) {
        let all = self.consent.changes().len();
        let Some(index) = self.inputs.iter().rposition(|input| input.before < all) else {
            return self.console.tell("nothing was changed yet");
        };
        let before = self.inputs[index].before;
        let calls = self.consent.changes()[before..].iter().map(|(call, _)| call.key.clone()).collect();
        let TakenBack { taken, finals, left } = self.evaluator.undo(&calls);
        let is_left = |key: &Key| left.iter().any(|left| left.record.key == *key);
        for left in &left {
            let Line { host, verb, description } = Line::of(&left.record.op);
            self.console.tell(&format!("{verb} {description} on {host} could not be taken back: {}", left.failure.message));
            let ended = self.ended(&left.failure);
            self.failed.get_or_insert(ended);
        }
        // What stays can be tried again, and what is final is not gone past.
        let mut place = 0;
        self.consent.changes().retain(|(call, _)| {
            place += 1;
            place <= before || finals.contains(&call.key) || is_left(&call.key)
        });
        let behind = if finals.is_empty() { "" } else { "; what came before commit() is final, and stays" };
        if taken.is_empty() {
            self.console.tell(match (finals.is_empty(), left.is_empty()) {
                (false, _) => "nothing was taken back: what was done is final, as commit() came behind it",
                (true, true) => "there is nothing of it to take back",
                (true, false) => "nothing that it did was taken back",
            });
        } else {
            self.console.tell(&format!("taken back: {}{behind}", words::count(taken.len(), "change")));
        }
        self.has_undone |= !taken.is_empty();
        if finals.is_empty() && left.is_empty() {
            let input = &mut self.inputs[index];
            input.text = std::mem::take(&mut input.unchanging);
            input.is_kept = !input.text.is_empty();
        } else if !taken.is_empty() {
            // Half of it stands: a script would do it whole.
            self.inputs[index].is_kept = false;
        }
    }
}
