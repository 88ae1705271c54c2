//! What a metrics server says.

use serde::{Deserialize, Serialize};

use crate::model::{Host, Prometheus};

/// Asks a Prometheus server for the value of an expression, now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// The server.
    pub prometheus: Prometheus,
    /// The expression, in `PromQL`.
    pub promql: String,
    /// What a dry run takes for the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume: Option<f64>,
}

impl Measure {
    pub(super) fn describe(&self) -> String {
        format!("{} of {}", self.promql, self.prometheus)
    }
    pub(super) fn host(&self) -> Option<&Host> {
        self.prometheus.via.as_ref()
    }
}

/// The series that an expression has, each with its value now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How many there are.
    pub count: u64,
    /// The first few.
    pub series: Vec<Series>,
}

/// One series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    /// Its labels, as `PromQL` writes them.
    pub labels: String,
    /// Its value as Prometheus writes it: a number, `NaN`, `+Inf` or `-Inf`.
    pub value: String,
}
