//! The name that was probably meant.

/// The candidate that is nearest to `written`, if one is near.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (written.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The question whether the nearest candidate was meant.
pub fn did_you_mean<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(written, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let known = ["healthcheck", "hook", "start", "stop"];
        assert_eq!(nearest("helthcheck", known), Some("healthcheck"));
        assert_eq!(nearest("strat", known), Some("start"));
        assert_eq!(nearest("deploy", known), None);
    }
}
