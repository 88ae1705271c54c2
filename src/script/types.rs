//! What types the arguments of host functions have: what run time tells by, and `check` compares with what it knows before. Types are
//! called as messages call them, see [`type_word`](super::values::type_word).

/// The types that a parameter takes; `None` where only the function can tell.
pub fn taken(function: &str, parameter: &str) -> Option<&'static [&'static str]> {
    Some(match (function, parameter) {
        // Places and lists have forms of their own.
        ("hook" | "probe" | "parallel" | "batches" | "http_get", _) if parameter != "options?" && parameter != "action" => return None,
        ("service", "name") => &["string", "config"],
        (_, "service") => &["service"],
        (_, "image") => &["image"],
        (_, "host" | "hosts") => &["host", "array"],
        (_, "release") => &["release", "()"],
        (_, "database") => &["database"],
        (_, "source") => &["database", "prometheus"],
        ("push", "registry") => &["registry"],
        (_, "config") => &["config"],
        (_, "table" | "addresses") => &["array"],
        (_, "options?") | ("options", "given") => &["map", "()"],
        (_, "defaults") => &["map"],
        (_, "action") => &["function"],
        (_, "lines" | "keep" | "times") => &["int"],
        (_, "address" | "during" | "duration" | "every" | "name" | "path" | "question" | "reference" | "text" | "title" | "url") => {
            &["string"]
        }
        _ => return None,
    })
}

/// The type of what a function returns, by what its signature says; `None` where that depends on what it is called with.
pub fn returned(returns: &str) -> Option<&'static str> {
    Some(match returns {
        "Service" => "service",
        "Image" => "image",
        "Host" => "host",
        "Health" => "health check",
        "Release" => "release",
        "Database" => "database",
        "Registry" => "registry",
        "Prometheus" => "prometheus",
        "Config" => "config",
        "Array" => "array",
        "string" => "string",
        _ => return None,
    })
}

/// A type with its article: `an array`, `a release`, `()`.
pub fn with_article(word: &str) -> String {
    match word {
        "()" => word.into(),
        "function" => "a closure".into(),
        "int" => "a whole number".into(),
        "bool" => "true or false".into(),
        "float" => "a number".into(),
        _ if word.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {word}"),
        _ => format!("a {word}"),
    }
}

/// These types in words: `a host or an array`. That a release may be none is not worth a word.
pub fn in_words(types: &[&str]) -> String {
    let words: Vec<String> = types.iter().filter(|word| **word != "()").map(|word| with_article(word)).collect();
    words.join(" or ")
}
