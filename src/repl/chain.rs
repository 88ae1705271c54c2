//! What stands before a dot: a name, with what is looked up in it one after the other.

use crate::script::pieces::{Kind, Pieces};

/// One link of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link<'t> {
    /// A variable, or a property.
    Name(&'t str),
    /// An item: what stands in the brackets.
    Item(&'t str),
    /// What a function returns.
    Call(&'t str),
}

/// The links that a text ends in, the first of them first; `None` where it ends in something else.
pub fn chain(text: &str) -> Option<Vec<Link<'_>>> {
    let pieces = Pieces::of(text);
    let is = |index: usize, text: &str| pieces.all.get(index).is_some_and(|piece| piece.is(text));
    let mut links = Vec::new();
    let mut end = pieces.all.len();
    loop {
        let last = end.checked_sub(1)?;
        match pieces.all[last].kind {
            Kind::Word => {
                links.push(Link::Name(pieces.all[last].text));
                end = last;
            }
            Kind::Close => {
                let open = pieces.opening(last)?;
                match pieces.all[open].text {
                    "[" => {
                        links.push(Link::Item(text[pieces.all[open].end()..pieces.all[last].start].trim()));
                        end = open;
                        continue;
                    }
                    "(" => {
                        let name = open.checked_sub(1).filter(|&name| pieces.all[name].kind == Kind::Word)?;
                        links.push(Link::Call(pieces.all[name].text));
                        end = name;
                    }
                    _ => return None,
                }
            }
            _ => return None,
        }
        match end {
            2.. if is(end - 1, ":") => return None,
            2.. if is(end - 1, ".") && is(end - 2, ".") => break,
            2.. if is(end - 1, ".") && is(end - 2, "?") => end -= 2,
            1.. if is(end - 1, ".") => end -= 1,
            _ => break,
        }
    }
    links.reverse();
    Some(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_names_items_and_calls() {
        assert_eq!(chain("f(old"), Some(vec![Link::Name("old")]));
        assert_eq!(chain("let a = old.hosts[0]"), Some(vec![Link::Name("old"), Link::Name("hosts"), Link::Item("0")]));
        assert_eq!(chain("`${running(web, [a])?.image"), Some(vec![Link::Call("running"), Link::Name("image")]));
        assert_eq!(chain("0..n"), Some(vec![Link::Name("n")]));
    }

    #[test]
    fn other_values_have_none() {
        for text in ["", "1", "\"a\"", "[1][0]", "#{ a: 1 }", "rolling::deploy(web)", ")", "(a)", "f()()"] {
            assert_eq!(chain(text), None, "{text}");
        }
    }
}
