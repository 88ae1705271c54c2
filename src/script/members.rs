//! What values have: properties, a map's keys, and what can be called on texts and lists.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet},
};

use rhai::{Array, Dynamic, Engine, FuncMetadata, ImmutableString, Map, Scope};

use super::{engine, functions::signatures};
use crate::model::{Database, Health, Host, Image, Prometheus, Registry, Release, Service};

/// What values of each type have.
#[derive(Debug)]
pub struct Members {
    engine: Engine,
    by_type: BTreeMap<TypeId, BTreeSet<String>>,
    /// The properties that the values of any type have.
    properties: BTreeSet<String>,
}

impl Default for Members {
    fn default() -> Self {
        let engine = engine::language();
        let (mut by_type, mut properties) = (BTreeMap::<TypeId, BTreeSet<String>>::new(), BTreeSet::new());
        for (of, name, is_property) in engine.collect_fn_metadata(None, |function| member(function.metadata), true) {
            if is_property && of != TypeId::of::<i64>() {
                properties.insert(name.clone());
            }
            by_type.entry(of).or_default().insert(name);
        }
        Self { engine, by_type, properties }
    }
}

impl Members {
    /// What may stand behind a value and a dot.
    pub fn of(&self, value: &Dynamic) -> Vec<String> {
        match value.read_lock::<Map>() {
            Some(map) if !map.is_empty() => map.keys().map(ToString::to_string).collect(),
            _ => self.of_type(value.type_id()),
        }
    }

    /// The same for what a function of podlift returns; `None` where that is not known.
    pub fn of_returned(&self, function: &str) -> Option<Vec<String>> {
        let mut returned = signatures().filter(|signature| signature.name == function).map(|signature| signature.returns);
        returned.next().and_then(type_id).map(|of| self.of_type(of))
    }

    /// What a value of a type that is not known may have.
    pub fn of_any(&self) -> Vec<String> {
        self.properties.iter().cloned().collect()
    }

    /// A value's property, or what a map has under this key.
    pub fn get(&self, value: &Dynamic, name: &str) -> Option<Dynamic> {
        if let Some(map) = value.read_lock::<Map>() {
            return map.get(name).map(Dynamic::flatten_clone);
        }
        let mut scope = Scope::new();
        scope.push_dynamic("it", value.clone());
        self.engine.eval_expression_with_scope::<Dynamic>(&mut scope, &format!("it.{name}")).ok()
    }

    fn of_type(&self, of: TypeId) -> Vec<String> {
        self.by_type.get(&of).into_iter().flatten().cloned().collect()
    }
}

/// The type that a function is a member of, the member's name, and whether that is a property.
fn member(function: &FuncMetadata) -> Option<(TypeId, String, bool)> {
    let of = *function.param_types.first()?;
    if let Some(name) = function.name.strip_prefix("get$") {
        return Some((of, name.to_owned(), true));
    }
    let has_methods = [TypeId::of::<Array>(), TypeId::of::<Map>(), TypeId::of::<ImmutableString>()].contains(&of);
    let is_word = function.name.chars().all(|one| one.is_ascii_lowercase() || one == '_');
    (has_methods && is_word).then(|| (of, function.name.to_string(), false))
}

fn type_id(returned: &str) -> Option<TypeId> {
    Some(match returned {
        "Service" => TypeId::of::<Service>(),
        "Image" => TypeId::of::<Image>(),
        "Host" => TypeId::of::<Host>(),
        "Health" => TypeId::of::<Health>(),
        "Release" => TypeId::of::<Release>(),
        "Database" => TypeId::of::<Database>(),
        "Registry" => TypeId::of::<Registry>(),
        "Prometheus" => TypeId::of::<Prometheus>(),
        "Array" => TypeId::of::<Array>(),
        "string" => TypeId::of::<ImmutableString>(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_what_its_type_has() {
        let members = Members::default();
        let host = Dynamic::from(Host::parse("h1").expect("valid"));
        assert_eq!(members.of(&host), ["address", "labels", "name"]);
        assert_eq!(members.get(&host, "name").and_then(|name| name.into_string().ok()).as_deref(), Some("h1"));
        assert!(members.get(&host, "weight").is_none());
        let text = members.of(&"a".into());
        assert!(text.contains(&"contains".into()) && !text.contains(&"weight".into()), "{text:?}");
        let release = members.of_returned("running").expect("it returns a release");
        assert!(release.contains(&"weight".into()) && !release.contains(&"address".into()), "{release:?}");
    }

    #[test]
    fn a_map_has_its_keys() {
        let members = Members::default();
        let map = Dynamic::from(Map::from([("batch".into(), 1.into())]));
        assert_eq!(members.of(&map), ["batch"]);
        assert_eq!(members.get(&map, "batch").and_then(|value| value.as_int().ok()), Some(1));
    }
}
