//! The nouns: plain data, validated where it is written, with no idea of hosts, scripts or terminals.

pub mod container;
pub mod database;
pub mod health;
pub mod history;
pub mod host;
pub mod image;
pub mod key;
pub mod lease;
pub mod name;
pub mod quantity;
pub mod release;
pub mod route;
pub mod run;
pub mod service;
pub mod sql;
pub mod survey;
pub mod text;

pub use container::{Container, ContainerState};
pub use database::Database;
pub use health::{Check, Health};
pub use history::HistoryEntry;
pub use host::{Host, Proxy, ProxyKind};
pub use image::Image;
pub use key::Key;
pub use lease::Lease;
pub use name::{ContainerName, HostName, Invalid, ProjectName, RunId, ServiceName, Token, Version};
pub use quantity::{Bytes, Period};
pub use release::{Release, ReleaseId};
pub use route::{Endpoint, Front, RouteTable, Server, Share};
pub use run::RunInfo;
pub use service::{Balancer, Service, Tls};
pub use survey::{Engine, HostState, Store, StoredImage, TakenFront};
pub use text::Text;
