//! Values as people want to see them: releases and weights as tables, the rest in words.

use rhai::{Array, Dynamic, Map};

use crate::{
    model::Release,
    script::Evaluator,
    terminal::{Style, table::Table},
};

/// A value for people.
pub fn show(value: &Dynamic, evaluator: &Evaluator, style: Style) -> String {
    let value = value.flatten_clone();
    if let Some(release) = value.read_lock::<Release>() {
        return containers(&release, style);
    }
    let Some(items) = value.read_lock::<Array>().filter(|items| !items.is_empty()) else { return evaluator.words(&value) };
    let of = |value: &Dynamic| value.flatten_clone().try_cast::<Release>();
    if items.iter().all(|item| of(item).is_some()) {
        return releases(items.iter().filter_map(of), style);
    }
    let weight = |item: &Dynamic| {
        let pair = item.flatten_clone().try_cast::<Array>().filter(|pair| pair.len() == 2)?;
        Some((of(&pair[0])?, pair[1].as_int().ok()?))
    };
    if items.iter().all(|item| weight(item).is_some()) {
        return weights(&items.iter().filter_map(weight).collect::<Vec<_>>(), style);
    }
    let map = |item: &Dynamic| item.flatten_clone().try_cast::<Map>();
    let maps: Vec<Map> = items.iter().filter_map(map).collect();
    match maps.first() {
        Some(first) if maps.len() == items.len() && maps.iter().all(|map| map.keys().eq(first.keys())) => rows(&maps, evaluator, style),
        _ => evaluator.words(&value),
    }
}

fn containers(release: &Release, style: Style) -> String {
    let mut table = Table::new(["SERVICE", "VERSION", "HOST", "CONTAINER", "STATE", "PORT"]);
    for container in &release.containers {
        table.row([
            release.service.name.to_string(),
            container.version.to_string(),
            container.host.to_string(),
            container.name.to_string(),
            container.state.word().to_owned(),
            container.port.map(|port| port.to_string()).unwrap_or_default(),
        ]);
    }
    table.render(style)
}

fn versions(release: &Release) -> String {
    release.versions().iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

fn on(release: &Release) -> String {
    release.hosts.iter().map(|host| host.name.to_string()).collect::<Vec<_>>().join(", ")
}

fn releases(all: impl Iterator<Item = Release>, style: Style) -> String {
    let mut table = Table::new(["SERVICE", "VERSION", "HOSTS", "CONTAINERS", "STATE", "WEIGHT", "RUN"]);
    for release in all {
        table.row([
            release.service.name.to_string(),
            versions(&release),
            on(&release),
            release.containers.len().to_string(),
            release.state().to_string(),
            release.weight().to_string(),
            release.run().map(ToString::to_string).unwrap_or_default(),
        ]);
    }
    table.render(style)
}

fn weights(all: &[(Release, i64)], style: Style) -> String {
    let sum: i64 = all.iter().map(|(_, weight)| weight).sum();
    let mut table = Table::new(["SERVICE", "VERSION", "HOSTS", "WEIGHT", "OF ALL"]);
    for (release, weight) in all {
        let share = if sum > 0 { format!("{}%", weight * 100 / sum) } else { String::new() };
        table.row([release.service.name.to_string(), versions(release), on(release), weight.to_string(), share]);
    }
    table.render(style)
}

fn rows(maps: &[Map], evaluator: &Evaluator, style: Style) -> String {
    let Some(first) = maps.first() else { return String::new() };
    let mut table = Table::with(first.keys().map(|key| key.to_uppercase()).collect());
    for map in maps {
        table.row(map.values().map(|value| match value.clone().into_string() {
            Ok(text) => evaluator.show(&text),
            Err(_) => evaluator.words(value),
        }));
    }
    table.render(style)
}
