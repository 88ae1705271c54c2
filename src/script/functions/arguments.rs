//! A call's arguments, read as what they have to be.

use rhai::{Array, Dynamic, FnPtr, ImmutableString, Map};

use super::{Function, Trouble};
use crate::{
    failure::Failure,
    model::{Host, Image, Period, Registry, Release, Service},
    script::{
        options::{Options, plain},
        types,
        values::type_word,
    },
};

/// What a function was called with.
pub(super) struct Arguments<'a> {
    function: &'static Function,
    values: &'a [&'a mut Dynamic],
}

/// A host or an array of hosts, as it was given.
pub(super) struct Hosts {
    pub(super) list: Vec<Host>,
    pub(super) is_array: bool,
}

impl Hosts {
    /// One result as it is, those of an array as an array.
    pub(super) fn results(&self, mut results: Vec<Dynamic>) -> Dynamic {
        if self.is_array { results.into() } else { results.pop().unwrap_or_default() }
    }
}

impl<'a> Arguments<'a> {
    pub(super) fn new(function: &'static Function, values: &'a [&'a mut Dynamic]) -> Self {
        Self { function, values }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// An argument as it is; `()` where it was left out.
    pub(super) fn value(&self, index: usize) -> Dynamic {
        self.values.get(index).map(|value| value.flatten_clone()).unwrap_or_default()
    }

    /// Says what the function expects, and what it got.
    pub(super) fn mismatch(&self) -> Trouble {
        let got: Vec<String> = self.values.iter().map(|value| type_word(value)).collect();
        let failure = Failure::refused(format!("{} got {}({})", self.function, self.function.name, got.join(", ")));
        let wrong = self.function.parameters.iter().zip(&got).find_map(|(parameter, got)| {
            let types = types::taken(self.function.name, parameter)?;
            let expected = types::in_words(types);
            (!types.contains(&got.as_str())).then(|| format!("`{}` is to be {expected}", parameter.trim_end_matches('?')))
        });
        match wrong {
            Some(wrong) => failure.hint(wrong).into(),
            None => failure.into(),
        }
    }

    /// Says which element of an array is not what it has to be.
    pub(super) fn wrong_element(&self, place: &str, at: usize, item: &Dynamic, expected: &str) -> Trouble {
        let got = types::with_article(&type_word(item));
        Failure::refused(format!("{place}[{at}] of `{}` is {got}, and is to be {expected}", self.function.name)).into()
    }

    fn read<T: Clone + Send + Sync + 'static>(&self, index: usize) -> Result<T, Trouble> {
        self.value(index).try_cast::<T>().ok_or_else(|| self.mismatch())
    }

    pub(super) fn service(&self, index: usize) -> Result<Service, Trouble> {
        self.read(index)
    }

    pub(super) fn image(&self, index: usize) -> Result<Image, Trouble> {
        self.read(index)
    }

    pub(super) fn registry(&self, index: usize) -> Result<Registry, Trouble> {
        self.read(index)
    }

    pub(super) fn function(&self, index: usize) -> Result<FnPtr, Trouble> {
        self.read(index)
    }

    pub(super) fn list(&self, index: usize) -> Result<Array, Trouble> {
        self.read(index)
    }

    pub(super) fn map(&self, index: usize) -> Result<Map, Trouble> {
        self.read(index)
    }

    pub(super) fn bool(&self, index: usize) -> Result<bool, Trouble> {
        self.read(index)
    }

    pub(super) fn whole(&self, index: usize) -> Result<i64, Trouble> {
        self.read(index)
    }

    /// A string that may hold secrets.
    pub(super) fn string(&self, index: usize) -> Result<String, Trouble> {
        self.read::<ImmutableString>(index).map(Into::into)
    }

    /// A string that holds no secret.
    pub(super) fn plain(&self, index: usize) -> Result<String, Trouble> {
        let text = self.string(index)?;
        plain(&text).map_err(|problem| Failure::refused(format!("{}: `{}` {problem}", self.function, self.function.parameters[index])))?;
        Ok(text)
    }

    pub(super) fn period(&self, index: usize) -> Result<Period, Trouble> {
        Ok(Period::parse(&self.plain(index)?)?)
    }

    /// A length of time over 0.
    pub(super) fn some_time(&self, index: usize) -> Result<Period, Trouble> {
        Ok(Period::parse_over_zero(&self.plain(index)?)?)
    }

    /// A release, or `None` for `()`.
    pub(super) fn release(&self, index: usize) -> Result<Option<Release>, Trouble> {
        if self.value(index).is_unit() { Ok(None) } else { self.read(index).map(Some) }
    }

    /// A host or an array of hosts, none of which is named twice.
    pub(super) fn hosts(&self, index: usize) -> Result<Hosts, Trouble> {
        self.hosts_of(self.function.parameters[index], self.value(index))
    }

    /// The same, of a value that stands at this place.
    fn hosts_of(&self, place: &str, value: Dynamic) -> Result<Hosts, Trouble> {
        if let Some(host) = value.clone().try_cast::<Host>() {
            return Ok(Hosts { list: vec![host], is_array: false });
        }
        let list = value.try_cast::<Array>().ok_or_else(|| self.mismatch())?;
        let host = |(at, item): (usize, &Dynamic)| {
            let item = item.flatten_clone();
            item.clone().try_cast::<Host>().ok_or_else(|| self.wrong_element(place, at, &item, "a host: host(…) makes one of an address"))
        };
        let list = list.iter().enumerate().map(host).collect::<Result<Vec<_>, _>>()?;
        if let Some((index, host)) =
            list.iter().enumerate().find(|(index, host)| list[..*index].iter().any(|other| other.name == host.name))
        {
            return Err(Failure::refused(format!(
                "{}: the host {} is named twice, the second time at [{index}]",
                self.function, host.name
            ))
            .into());
        }
        Ok(Hosts { list, is_array: true })
    }

    /// The same, of which there is at least one: work on no host would do nothing, and pass.
    pub(super) fn some_hosts(&self, index: usize) -> Result<Hosts, Trouble> {
        self.some_hosts_of(self.function.parameters[index], self.value(index))
    }

    /// The same, of a value that stands at this place.
    pub(super) fn some_hosts_of(&self, place: &str, value: Dynamic) -> Result<Hosts, Trouble> {
        let hosts = self.hosts_of(place, value)?;
        if hosts.list.is_empty() {
            let failure = Failure::refused(format!("`{}` got no host: it would do nothing, and pass", self.function.name));
            return Err(failure.hint("the array is empty: see what it is made from, or say `if !fleet.is_empty()`").into());
        }
        Ok(hosts)
    }

    /// The option map, which is the last parameter.
    pub(super) fn options(&self) -> Result<Options, Trouble> {
        let Some((index, spec)) = self.function.options() else { return Err(self.mismatch()) };
        let given = self.value(index);
        if !given.is_unit() && !given.is_map() {
            return Err(self.mismatch());
        }
        Ok(Options::read(spec, Some(&given))?)
    }
}
