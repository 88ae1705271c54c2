//! What a script may say: the host's functions, their options, and what is used in place of Rhai's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::{Dynamic, Engine};

/// Functions that Rhai itself provides, with the fewest and the most arguments they take.
const BUILT_IN: &[(&str, usize, usize)] = &[
    ("Fn", 1, 1),
    ("call", 1, usize::MAX),
    ("curry", 1, usize::MAX),
    ("is_def_fn", 2, 3),
    ("is_def_var", 1, 1),
    ("is_shared", 1, 1),
    ("type_of", 1, 1),
];

/// What the host knows: read from an engine, with the tables of options and of what scripts do without.
#[derive(Clone, Default)]
pub struct Vocabulary {
    functions: BTreeMap<String, BTreeSet<usize>>,
    own: BTreeSet<(String, usize)>,
    rhai: BTreeSet<(String, usize)>,
    options: BTreeMap<String, Vec<OptionKey>>,
    replaced: BTreeMap<(String, usize), String>,
    forms: BTreeMap<(String, usize), Form>,
}

/// The names of a function's parameters, and the type of what it returns, where that is known.
type Form = (Vec<&'static str>, Option<&'static str>);

/// A key of a function's option map.
#[derive(Clone)]
pub struct OptionKey {
    /// The key.
    pub name: String,
    /// Whether a value fits; the error says what is expected and what was given.
    pub fits: Fits,
    /// What it is, in words, where a call has to give it.
    pub required: Option<String>,
}

/// Whether a value fits; the error goes on after "the option `x` of `f`".
pub type Fits = Arc<dyn Fn(&Dynamic) -> Result<(), String> + Send + Sync>;

impl Vocabulary {
    /// The functions that are registered with this engine.
    pub fn of(engine: &Engine) -> Self {
        let own: BTreeSet<(String, usize)> = Self::registered(engine, false).into_iter().collect();
        let rhai = Self::registered(&Engine::new(), true).into_iter().collect();
        let mut functions: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (name, arity) in Self::registered(engine, true) {
            functions.entry(name).or_default().insert(arity);
        }
        Self { functions, own, rhai, ..Self::default() }
    }

    fn registered(engine: &Engine, standard: bool) -> Vec<(String, usize)> {
        engine.collect_fn_metadata(
            None,
            |function| function.namespace.is_empty().then(|| (function.metadata.name.to_string(), function.metadata.num_params)),
            standard,
        )
    }

    /// Adds what a function's trailing option map may hold.
    #[must_use]
    pub fn with_options(mut self, function: impl Into<String>, keys: impl IntoIterator<Item = OptionKey>) -> Self {
        self.options.insert(function.into(), keys.into_iter().collect());
        self
    }

    /// Adds what a function's parameters are called where it is called with all of them, and the type of what it returns.
    #[must_use]
    pub fn with_form(mut self, function: impl Into<String>, parameters: &[&'static str], returned: Option<&'static str>) -> Self {
        self.forms.insert((function.into(), parameters.len()), (parameters.to_vec(), returned));
        self
    }

    /// Adds functions of Rhai that scripts do without: name, argument count, and what to use in their place.
    #[must_use]
    pub fn replacing<'a>(mut self, functions: impl IntoIterator<Item = &'a (&'a str, usize, &'a str)>) -> Self {
        self.replaced.extend(functions.into_iter().map(|(name, arity, instead)| (((*name).into(), *arity), (*instead).into())));
        self
    }

    /// The keys of a function's option map, where it has one.
    pub fn options(&self, function: &str) -> Option<&[OptionKey]> {
        self.options.get(function).map(Vec::as_slice)
    }

    /// The names of the parameters of a function that is called with so many arguments.
    pub fn parameters(&self, function: &str, arity: usize) -> Option<&[&'static str]> {
        self.forms.get(&(function.to_owned(), arity)).map(|(parameters, _)| parameters.as_slice())
    }

    /// The type of what a function returns that is called with so many arguments.
    pub fn returned(&self, function: &str, arity: usize) -> Option<&'static str> {
        self.forms.get(&(function.to_owned(), arity)).and_then(|(_, returned)| *returned)
    }

    /// What to use in place of one of Rhai's functions.
    pub fn instead(&self, function: &str, arity: usize) -> Option<&str> {
        self.replaced.get(&(function.into(), arity)).map(String::as_str)
    }

    /// Whether the host itself, and not Rhai's library, has a function of this name with so many parameters.
    pub fn is_own(&self, function: &str, arity: usize) -> bool {
        self.own.contains(&(function.into(), arity))
    }

    /// Whether Rhai's own library has a function of this name with so many parameters.
    pub fn is_of_rhai(&self, function: &str, arity: usize) -> bool {
        self.rhai.contains(&(function.into(), arity))
    }

    /// Whether values have a property of this name.
    pub fn is_property(&self, name: &str) -> bool {
        self.functions.contains_key(&format!("get${name}"))
    }

    /// With how many arguments a function can be called, or `None` where there is no such function.
    pub fn arities(&self, function: &str) -> Option<Arities> {
        if let Some((_, least, most)) = BUILT_IN.iter().find(|(name, ..)| *name == function) {
            return Some(Arities::Between(*least, *most));
        }
        self.functions.get(function).map(|arities| Arities::Exactly(arities.clone()))
    }

    /// All names that can be called.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let built_in = BUILT_IN.iter().map(|(name, ..)| *name);
        let nameable = |name: &&str| name.starts_with(|first: char| first.is_alphabetic()) && !name.contains('$');
        self.functions.keys().map(String::as_str).filter(nameable).chain(built_in)
    }
}

/// With how many arguments a function can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arities {
    /// One of these counts.
    Exactly(BTreeSet<usize>),
    /// At least and at most so many.
    Between(usize, usize),
}

impl Arities {
    /// Whether so many arguments fit.
    pub fn take(&self, count: usize) -> bool {
        match self {
            Self::Exactly(counts) => counts.contains(&count),
            Self::Between(least, most) => (least..=most).contains(&&count),
        }
    }
}
