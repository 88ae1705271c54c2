//! Durations and sizes as people write them: `"500ms"`, `"30s"`, `"5m"`, `"512m"`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::name::Invalid;

/// A length of time, exact to the millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(u64);

impl Period {
    /// So many milliseconds.
    pub const fn milliseconds(count: u64) -> Self {
        Self(count)
    }

    /// So many seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(count * 1000)
    }

    /// The length in milliseconds.
    pub const fn as_milliseconds(self) -> u64 {
        self.0
    }

    /// The length as the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// Reads `"500ms"`, `"30s"`, `"5m"`, `"2h"`, `"1d"` or a sum such as `"1m30s"`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("duration", text, "write it as \"500ms\", \"30s\", \"5m\", \"2h\" or \"1m30s\"");
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total = 0u64;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
            let count: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            let unit_length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let unit = match &rest[..unit_length] {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(invalid()),
            };
            rest = &rest[unit_length..];
            total = count.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
        }
        Ok(Self(total))
    }

    /// The same, of a length that has to be over 0.
    ///
    /// # Errors
    /// Where it is no duration, or one of 0.
    pub fn parse_over_zero(text: &str) -> Result<Self, Invalid> {
        let period = Self::parse(text)?;
        if period == Self::default() {
            Err(Invalid::new("duration here", text, "it has to be over 0, such as \"500ms\""))
        } else {
            Ok(period)
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        if self.0 == 0 {
            return formatter.write_str("0s");
        }
        let mut rest = self.0;
        for (length, unit) in UNITS {
            if rest >= length {
                write!(formatter, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Period {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

/// A number of bytes, written with Docker's binary units: `"64k"`, `"512m"`, `"2g"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Reads a count with one of Docker's units: none or `b`, `k`, `m`, `g`, with or without a `b` behind, in any case.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("size", text, "write it as \"64k\", \"512m\" or \"2g\"");
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
        let count: u64 = lower[..digits].parse().map_err(|_| invalid())?;
        let unit = match &lower[digits..] {
            "" | "b" => 1,
            "k" | "kb" => 1 << 10,
            "m" | "mb" => 1 << 20,
            "g" | "gb" => 1 << 30,
            "t" | "tb" => 1 << 40,
            _ => return Err(invalid()),
        };
        count.checked_mul(unit).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")];
        #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
        for (size, unit) in UNITS {
            if self.0 >= size {
                return write!(formatter, "{:.1} {unit}", self.0 as f64 / size as f64);
            }
        }
        write!(formatter, "{} B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_the_same() {
        for text in ["500ms", "30s", "5m", "1m30s", "2h", "1d"] {
            assert_eq!(Period::parse(text).expect("valid").to_string(), text);
        }
        assert_eq!(Period::parse("0s").expect("valid"), Period::default());
        for text in ["", "5", "s", "5x", "-5s", "1.5s", "99999999999999999999s", "999999999999999999d"] {
            assert!(Period::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_use_dockers_units() {
        assert_eq!(Bytes::parse("512m").expect("valid"), Bytes(512 << 20));
        assert_eq!(Bytes::parse("1GB").expect("valid"), Bytes(1 << 30));
        assert!(Bytes::parse("lots").is_err());
        assert_eq!(Bytes(1 << 20).to_string(), "1.0 MB");
    }
}
