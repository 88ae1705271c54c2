//! What an engine is told about a container before it is made.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, NetworkingConfig, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use serde_json::Value;

use crate::{failure::Failure, model::Service};

/// What decides a container besides its service.
pub struct Parts {
    /// The image's id on the host.
    pub image: String,
    /// `NAME=VALUE` lines, secrets in place.
    pub env: Vec<String>,
    /// The program and arguments in place of the image's, secrets in place.
    pub command: Option<Vec<String>>,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// The address and port that it publishes its port on.
    pub publish: Option<(String, u16)>,
}

/// The engine's configuration for a container of `service`.
pub fn configuration(service: &Service, parts: Parts) -> Result<ContainerCreateBody, Failure> {
    let inner = service.port.map(|port| format!("{port}/tcp"));
    let bindings = inner.clone().zip(parts.publish).map(|(inner, (address, port))| {
        let binding = PortBinding { host_ip: Some(address), host_port: Some(port.to_string()) };
        HashMap::from([(inner, Some(vec![binding]))])
    });
    let host = HostConfig {
        binds: (!service.volumes.is_empty()).then(|| service.volumes.clone()),
        port_bindings: bindings,
        restart_policy: Some(restart_policy(&service.restart)?),
        memory: service.memory.map(|bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX)),
        nano_cpus: service.cpus.map(|thousandths| i64::try_from(thousandths.saturating_mul(1_000_000)).unwrap_or(i64::MAX)),
        log_config: Some(log_limits()),
        network_mode: service.network.clone(),
        ..HostConfig::default()
    };
    let networking = service.network.clone().map(|network| {
        let endpoint = EndpointSettings { aliases: Some(vec![service.name.to_string()]), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some(HashMap::from([(network, endpoint)])) }
    });
    Ok(ContainerCreateBody {
        image: Some(parts.image),
        env: Some(parts.env),
        cmd: parts.command,
        labels: Some(parts.labels),
        exposed_ports: inner.map(|inner| vec![inner]),
        stop_timeout: Some(i64::try_from(service.stop_timeout.as_milliseconds().div_ceil(1000)).unwrap_or(i64::MAX)),
        host_config: Some(with_options(host, service.options.as_deref())?),
        networking_config: networking,
        ..ContainerCreateBody::default()
    })
}

/// Docker's restart policy for a word such as `unless-stopped` or `on-failure:5`.
pub fn restart_policy(word: &str) -> Result<RestartPolicy, Failure> {
    let (name, count) = word.split_once(':').map_or((word, None), |(name, count)| (name, Some(count)));
    let unknown = || {
        Failure::refused(format!("{word:?} is no restart policy"))
            .hint("write \"no\", \"always\", \"unless-stopped\", \"on-failure\" or \"on-failure:5\"")
    };
    let name = match name {
        "no" => RestartPolicyNameEnum::NO,
        "always" => RestartPolicyNameEnum::ALWAYS,
        "unless-stopped" => RestartPolicyNameEnum::UNLESS_STOPPED,
        "on-failure" => RestartPolicyNameEnum::ON_FAILURE,
        _ => return Err(unknown()),
    };
    let maximum_retry_count = match count {
        Some(count) if name == RestartPolicyNameEnum::ON_FAILURE => Some(count.parse().map_err(|_| unknown())?),
        Some(_) => return Err(unknown()),
        None => None,
    };
    Ok(RestartPolicy { name: Some(name), maximum_retry_count })
}

/// Docker's default log driver keeps everything for ever.
fn log_limits() -> HostConfigLogConfig {
    let limits = [("max-size", "10m"), ("max-file", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    HostConfigLogConfig { typ: Some("json-file".into()), config: Some(limits.into()) }
}

/// Whether a service's own `options` fit. No engine is asked.
///
/// # Errors
/// As a refusal, for a name that Docker's `HostConfig` does not have, and for a value of another type.
pub fn fits(options: &str) -> Result<(), Failure> {
    with_options(HostConfig::default(), Some(options)).map(drop)
}

/// The service's own `options` over what podlift chose.
fn with_options(config: HostConfig, options: Option<&str>) -> Result<HostConfig, Failure> {
    let Some(options) = options else { return Ok(config) };
    let unusable = |error: serde_json::Error| {
        Failure::refused(format!("the service's `options` do not fit Docker's HostConfig: {error}"))
            .hint("use the names and types of the Docker API's HostConfig, for example #{ ShmSize: 67108864 }")
    };
    let mut merged = serde_json::to_value(config).map_err(unusable)?;
    let options: Value = serde_json::from_str(options).map_err(unusable)?;
    let options = options.as_object().cloned().unwrap_or_default();
    for (name, value) in &options {
        merged[name] = value.clone();
    }
    let config: HostConfig = serde_json::from_value(merged).map_err(unusable)?;
    // What the library does not know it drops in silence.
    let known = serde_json::to_value(&config).map_err(unusable)?;
    match options.iter().find(|(name, value)| !value.is_null() && known.get(name.as_str()).is_none()) {
        Some((name, _)) => Err(Failure::refused(format!("the service's `options` name {name:?}, which Docker's HostConfig does not have"))
            .hint("names are those of the Docker API, for example ShmSize, CapAdd, ExtraHosts")),
        None => Ok(config),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{Balancer, Bytes, Check, Health, Period, ServiceFacts, ServiceName};

    fn service() -> Service {
        ServiceFacts {
            name: ServiceName::new("web").expect("valid"),
            image: "shop-web".into(),
            port: Some(8000),
            replicas: 1,
            command: None,
            env: BTreeMap::new(),
            health: Health::new(Check::Tcp),
            volumes: vec!["data:/data".into()],
            network: Some("shop".into()),
            publish: None,
            memory: Some(Bytes(512 << 20)),
            cpus: Some(1500),
            restart: "on-failure:3".into(),
            stop_timeout: Period::milliseconds(1500),
            labels: BTreeMap::new(),
            domain: None,
            listen: 80,
            balancer: Balancer::Each,
            tls: None,
            server: true,
            options: Some(r#"{"ShmSize":67108864}"#.into()),
        }
        .into()
    }

    #[test]
    fn an_engine_is_told_exactly_this() {
        let parts = Parts {
            image: "sha256:ab".into(),
            env: vec!["A=1".into()],
            command: None,
            labels: HashMap::from([("podlift.project".into(), "shop".into())]),
            publish: Some(("127.0.0.1".into(), 20000)),
        };
        let told = serde_json::to_value(configuration(&service(), parts).expect("fits")).expect("plain data");
        let expected = serde_json::json!({
            "Image": "sha256:ab",
            "Env": ["A=1"],
            "Labels": { "podlift.project": "shop" },
            "ExposedPorts": { "8000/tcp": {} },
            "StopTimeout": 2,
            "HostConfig": {
                "Binds": ["data:/data"],
                "LogConfig": { "Type": "json-file", "Config": { "max-file": "3", "max-size": "10m" } },
                "Memory": 536_870_912,
                "NanoCpus": 1_500_000_000,
                "NetworkMode": "shop",
                "PortBindings": { "8000/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "20000" }] },
                "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 3 },
                "ShmSize": 67_108_864,
            },
            "NetworkingConfig": { "EndpointsConfig": { "shop": { "Aliases": ["web"] } } },
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn options_and_policies_that_do_not_fit_are_refused() {
        let mut broken = service();
        broken.options = Some(r#"{"Memory":"lots"}"#.into());
        let parts = || Parts { image: String::new(), env: Vec::new(), command: None, labels: HashMap::new(), publish: None };
        assert!(configuration(&broken, parts()).expect_err("is refused").message.contains("HostConfig"));
        let mut misspelt = service();
        misspelt.options = Some(r#"{"ShmSise":1}"#.into());
        assert!(configuration(&misspelt, parts()).expect_err("is refused").message.contains("\"ShmSise\""));
        for word in ["sometimes", "always:3", "on-failure:x", ""] {
            assert!(restart_policy(word).is_err(), "{word:?}");
        }
    }
}
