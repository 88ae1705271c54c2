//! `start`, in its three forms.

use std::collections::BTreeMap;

use rhai::Dynamic;

use super::{Arguments, Caller, Function, Trouble, declare};
use crate::{
    failure::Failure,
    model::{Container, ContainerName, Host, Image, Release, Service},
    op::{self, CopyOf},
    script::values::release::value,
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "start",
        parameters: &["service", "image", "hosts", "options?"],
        returns: "Release",
        doc: "Starts `replicas` containers on each host, with weight 0.",
        body: start,
    },
    Function {
        name: "start",
        parameters: &["release"],
        returns: "Release",
        doc: "Starts a stopped release again, with weight 0.",
        body: again,
    },
    Function {
        name: "start",
        parameters: &["release", "hosts"],
        returns: "Release",
        doc: "Starts a copy of a release on these hosts, with its own image, env and health check.",
        body: copy,
    },
];

fn start(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (mut service, image, hosts) = (arguments.service(0)?, arguments.image(1)?, arguments.some_hosts(2)?);
    let options = arguments.options()?;
    service.env.extend(declare::variables(&caller.session, &options.map("env"))?);
    service.labels.extend(declare::labels(&options)?);
    if let Some(command) = declare::words(&caller.session, &options)? {
        service.command = Some(command);
    }
    let replicas = options.whole("replicas").unwrap_or(service.replicas);
    declare::one_port(&service, replicas)?;
    note(caller, &service, &image);
    let start = |host: &Host| op::Start {
        host: host.clone(),
        project: caller.session.project(),
        service: service.clone(),
        reference: image.reference.clone(),
        digest: image.digest.clone(),
        version: image.version.clone(),
        replicas,
        copy: None,
    };
    let started = caller.perform_on(hosts.is_array, hosts.list.iter().map(start).collect())?;
    Ok(released(&service, &hosts.list, started))
}

fn again(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let Some(release) = arguments.release(0)? else { return Ok(Dynamic::UNIT) };
    let start = |(host, containers): (&Host, Vec<ContainerName>)| op::StartAgain {
        host: host.clone(),
        project: caller.session.project(),
        service: release.service.name.clone(),
        containers,
        proxies: release.service.proxies(std::slice::from_ref(host)).to_vec(),
        restart: Some(release.service.restart.clone()),
    };
    let started = caller.perform_each(by_host(&release).map(start).collect())?;
    Ok(released(&release.service, &release.hosts, started))
}

fn copy(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (release, hosts) = (arguments.release(0)?, arguments.some_hosts(1)?);
    let Some(release) = release else { return Ok(Dynamic::UNIT) };
    let (Some(image), Some(original)) = (release.image(), release.containers.first()) else {
        return Err(Failure::refused(format!(
            "a release of several images cannot be copied: {}",
            Dynamic::from(release.service.name.to_string())
        ))
        .hint("copy one of them: releases(service, hosts) lists them")
        .into());
    };
    let on_one_host = |host: &Host| release.containers.iter().filter(|container| container.host == host.name).count();
    let replicas = release.hosts.iter().map(on_one_host).max().unwrap_or(1);
    let mut service = release.service.clone();
    service.health = original.health.clone();
    let origin = release.hosts.iter().find(|host| host.name == original.host);
    note(caller, &service, &image);
    let start = |host: &Host| op::Start {
        host: host.clone(),
        project: caller.session.project(),
        service: service.clone(),
        reference: image.reference.clone(),
        digest: image.digest.clone(),
        version: image.version.clone(),
        replicas: u32::try_from(replicas).unwrap_or(1),
        copy: origin.map(|origin| CopyOf { host: origin.clone(), container: original.name.clone() }),
    };
    let started = caller.perform_on(hosts.is_array, hosts.list.iter().map(start).collect())?;
    Ok(released(&service, &hosts.list, started))
}

fn note(caller: &Caller<'_>, service: &Service, image: &Image) {
    let mut current = caller.session.current();
    current.service = Some(service.name.to_string());
    current.version = Some(image.version.to_string());
}

fn released(service: &Service, hosts: &[Host], started: Vec<Vec<Container>>) -> Dynamic {
    value(Release::of(service, hosts, started.into_iter().flatten().collect(), BTreeMap::new()))
}

/// A release's hosts with the names of its containers there.
pub(super) fn by_host(release: &Release) -> impl Iterator<Item = (&Host, Vec<ContainerName>)> {
    release.hosts.iter().filter_map(|host| {
        let containers: Vec<ContainerName> =
            release.containers.iter().filter(|container| container.host == host.name).map(|container| container.name.clone()).collect();
        (!containers.is_empty()).then_some((host, containers))
    })
}
