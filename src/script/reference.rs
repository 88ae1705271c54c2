//! The language reference, `docs/language.md`, embedded section by section.

const TEXT: &str = include_str!("../../docs/language.md");

/// One section of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its title: a function's name, or words.
    pub title: &'static str,
    /// Whether it is about a function.
    pub is_function: bool,
    /// The chapter that it is in: a family of functions, or its own title.
    pub chapter: &'static str,
    /// What it says, as Markdown without its heading.
    pub text: String,
}

/// The whole reference as Markdown.
pub fn markdown() -> String {
    without_marks(TEXT)
}

/// Every section, in order. A chapter's own words are a section of that title.
pub fn sections() -> Vec<Section> {
    let mut sections = Vec::new();
    let mut chapter = "";
    for piece in TEXT.split("\n## ").skip(1).flat_map(|chapter| chapter.split("\n### ").enumerate()) {
        let (heading, text) = piece.1.split_once('\n').unwrap_or((piece.1, ""));
        let title = heading.trim().trim_matches('`');
        if piece.0 == 0 {
            chapter = title;
        }
        let text = without_marks(text).trim().to_owned();
        sections.push(Section { title, is_function: heading.trim() != title, chapter, text });
    }
    sections
}

/// The section of this title: a function's exactly, another's in any case.
pub fn section(title: &str) -> Option<Section> {
    sections()
        .into_iter()
        .find(|section| section.title == title || (!section.is_function && section.title.eq_ignore_ascii_case(title)))
        .filter(|section| !section.text.is_empty())
}

fn without_marks(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("<!--")).fold(String::new(), |text, line| text + line + "\n").replace("\n\n\n", "\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_its_section_in_a_family() {
        let drain = section("drain").expect("there is one");
        assert!(drain.is_function && drain.chapter == "Do" && drain.text.starts_with("```\ndrain(release, options?)"), "{drain:?}");
        assert!(!drain.text.contains("<!--") && drain.text.ends_with("```"), "{}", drain.text);
        for function in crate::script::signatures() {
            assert!(section(function.name).is_some_and(|section| section.is_function), "{}", function.name);
        }
    }

    #[test]
    fn what_is_no_function_is_found_in_any_case() {
        assert_eq!(section("failures").expect("there is one").chapter, "What holds everywhere");
        assert_eq!((section("Drain"), section("no such thing")), (None, None));
    }
}
