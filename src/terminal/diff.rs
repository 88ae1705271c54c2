//! Unified diffs of short texts.

use std::fmt::Write;

use super::style::Style;

const CONTEXT: usize = 3;

/// The difference between two texts as a unified diff with three lines of context; empty where there is none.
pub fn unified(name: &str, before: &str, after: &str, style: Style) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let edits = edits(&before, &after);
    let mut text = String::new();
    for hunk in hunks(&edits) {
        if text.is_empty() {
            let _ = writeln!(text, "{}\n{}", style.strong(format!("--- {name}")), style.strong(format!("+++ {name}")));
        }
        let lines = &edits[hunk.clone()];
        let (old, new) = (olds(lines), news(lines));
        // An empty range names the line before it (POSIX, diff -u).
        let (old_start, new_start) = (olds(&edits[..hunk.start]), news(&edits[..hunk.start]));
        let (old_start, new_start) = (old_start + usize::from(old > 0), new_start + usize::from(new > 0));
        let _ = writeln!(text, "{}", style.faint(format!("@@ -{old_start},{old} +{new_start},{new} @@")));
        for edit in lines {
            let _ = match edit {
                Edit::Same(line) => writeln!(text, " {line}"),
                Edit::Old(line) => writeln!(text, "{}", style.bad(format!("-{line}"))),
                Edit::New(line) => writeln!(text, "{}", style.good(format!("+{line}"))),
            };
        }
    }
    text
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Edit<'a> {
    Same(&'a str),
    Old(&'a str),
    New(&'a str),
}

impl Edit<'_> {
    const fn is_old(&self) -> bool {
        !matches!(self, Self::New(_))
    }

    const fn is_new(&self) -> bool {
        !matches!(self, Self::Old(_))
    }
}

fn olds(edits: &[Edit<'_>]) -> usize {
    edits.iter().filter(|edit| edit.is_old()).count()
}

fn news(edits: &[Edit<'_>]) -> usize {
    edits.iter().filter(|edit| edit.is_new()).count()
}

/// The shortest way from one text to the other, by the longest common subsequence.
fn edits<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Edit<'a>> {
    // common[i][j]: the length of the longest common subsequence of before[i..] and after[j..].
    let mut common = vec![vec![0usize; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            common[i][j] = if before[i] == after[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut edits = Vec::with_capacity(before.len().max(after.len()));
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            edits.push(Edit::Same(before[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == after.len() || (i < before.len() && common[i + 1][j] >= common[i][j + 1]) {
            edits.push(Edit::Old(before[i]));
            i += 1;
        } else {
            edits.push(Edit::New(after[j]));
            j += 1;
        }
    }
    edits
}

/// The ranges of edits that are shown: the changes with their context, neighbours joined.
fn hunks(edits: &[Edit<'_>]) -> Vec<std::ops::Range<usize>> {
    let mut hunks: Vec<std::ops::Range<usize>> = Vec::new();
    for (place, _) in edits.iter().enumerate().filter(|(_, edit)| !matches!(edit, Edit::Same(_))) {
        let range = place.saturating_sub(CONTEXT)..(place + CONTEXT + 1).min(edits.len());
        match hunks.last_mut() {
            Some(last) if last.end >= range.start => last.end = range.end,
            _ => hunks.push(range),
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_changed_line_stands_in_its_context() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\n";
        let after = before.replace("b\n", "B\n").replace("l\n", "");
        assert_eq!(
            unified("web.conf", before, &after, Style::PLAIN),
            "\
--- web.conf
+++ web.conf
@@ -1,5 +1,5 @@
 a
-b
+B
 c
 d
 e
@@ -9,5 +9,4 @@
 i
 j
 k
-l
 m
"
        );
    }

    #[test]
    fn a_new_file_is_all_new_and_the_same_file_is_nothing() {
        assert_eq!(unified("f", "", "a\nb\n", Style::PLAIN), "--- f\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b\n");
        assert_eq!(unified("f", "a\n", "a\n", Style::PLAIN), "");
    }

    proptest! {
        #[test]
        fn edits_lead_from_one_text_to_the_other(before in "[ab\n]{0,24}", after in "[ab\n]{0,24}") {
            let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
            let edits = edits(&before, &after);
            let line = |edit: &Edit<'_>| match *edit { Edit::Same(line) | Edit::Old(line) | Edit::New(line) => line.to_string() };
            let olds: Vec<String> = edits.iter().filter(|edit| edit.is_old()).map(line).collect();
            let news: Vec<String> = edits.iter().filter(|edit| edit.is_new()).map(line).collect();
            prop_assert_eq!(olds, before);
            prop_assert_eq!(news, after);
        }
    }
}
