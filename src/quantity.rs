//! Amounts, as Kubernetes writes them, each with its dimension and bounds.

use crate::api::{self, Api, WORDS};
use crate::document::{Node, Value};
use crate::fields::wrong_type;
use crate::text::quote;
use crate::violation::{Refusal, Violation};
use regex::Regex;
use serde::{Serialize, Serializer};
use serde_json::json;
use std::sync::LazyLock;

/// The parts of a quantity without a sign
/// ([Quantity](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)).
static QUANTITY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([0-9]{1,15})(?:\.([0-9]{1,9}))?(?:(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)|[eE]([+-]?[0-9]{1,2}))?$")
        .expect("a constant")
});

/// Billionths in one.
const ONE: u128 = 1_000_000_000;
const MEBIBYTE: u128 = ONE << 20;

/// What a dimension takes.
struct Rules {
    /// For the API server, which reads the same by it.
    pattern: &'static str,
    /// The bounds in billionths; nothing is allowed too.
    least: u128,
    most: u128,
    /// Whether it is bytes, which have no parts.
    is_bytes: bool,
    help: &'static str,
}

const CPU: Rules = Rules {
    pattern: r"^[0-9]{1,15}(\.[0-9]{1,9})?(n|u|m|k|[eE][+-]?[0-9]{1,2})?$",
    least: ONE / 1000,
    most: 1_000_000 * ONE,
    is_bytes: false,
    help: "write processors, from `1m` (a thousandth of one) to `1M`, as in `4`, `500m`, `1.5`",
};

const BYTES: Rules = Rules {
    pattern: r"^[0-9]{1,15}((\.[0-9]{1,3})?(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE]\+?([3-9]|1[0-9])))?$",
    least: MEBIBYTE,
    most: ONE << 60,
    is_bytes: true,
    help: "write bytes, from `1Mi` to `1Ei`, as in `512Mi`, `8Gi`, `1.5G`",
};

/// An amount: how it was written, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Amount {
    text: String,
    /// In billionths.
    value: u128,
}

impl Amount {
    /// Reads a text or a number.
    fn parse(node: &Node, rules: &Rules) -> Result<Self, Refusal> {
        match &node.value {
            Value::String(text) => Self::parse_text(text, rules),
            // A whole number is no text: for the API server too, the pattern is not for it.
            Value::Number(number) if number.is_u64() => {
                let value = number.as_u64().map(|number| u128::from(number) * ONE);
                Self::bounded(&number.to_string(), value, rules)
            }
            Value::Number(number) if number.is_i64() => Self::parse_text(&number.to_string(), rules),
            // `x-kubernetes-int-or-string`: a fraction is neither.
            Value::Number(_) => Err(Refusal::new("type", "is a fraction without quotes").help("put it in quotes")),
            _ => Err(wrong_type(node, "an amount")),
        }
    }

    fn parse_text(text: &str, rules: &Rules) -> Result<Self, Refusal> {
        static PATTERNS: LazyLock<[Regex; 2]> =
            LazyLock::new(|| [CPU, BYTES].map(|rules| Regex::new(rules.pattern).expect("a constant")));
        let refuse = |what: &str| Refusal::new("quantity", format!("{} {what}", quote(text))).help(rules.help);
        let value = value_of(text);
        if !PATTERNS[usize::from(rules.is_bytes)].is_match(text) {
            let refusal = refuse(if value.is_some() { "is an amount of something else" } else { "is not an amount" });
            let meant = text.strip_suffix('m').filter(|_| rules.is_bytes && value.is_some());
            return Err(Refusal { suggestion: meant.map(|number| format!("{number}Mi")), ..refusal });
        }
        Self::bounded(text, value, rules)
    }

    /// Holds a value to the bounds of its dimension; none is one that is too large to be counted.
    fn bounded(text: &str, value: Option<u128>, rules: &Rules) -> Result<Self, Refusal> {
        let refuse = |what: &str| Refusal::new("quantity", format!("{} {what}", quote(text))).help(rules.help);
        match value {
            Some(value @ 1..) if value < rules.least => {
                let meant = text.parse::<u64>().is_ok() && rules.is_bytes;
                Err(Refusal { suggestion: meant.then(|| format!("{text}Mi")), ..refuse("is too little") })
            }
            Some(value) if value <= rules.most => Ok(Self { text: text.to_owned(), value }),
            _ => Err(refuse("is too much")),
        }
    }
}

/// The billionths of an amount, rounded up, as the API server does; none for what is no amount or too large to be counted.
fn value_of(text: &str) -> Option<u128> {
    let parts = QUANTITY.captures(text)?;
    let fraction = parts.get(2).map_or("", |part| part.as_str());
    let digits = format!("{}{fraction:0<9}", &parts[1]).parse::<u128>().ok()?;
    if digits == 0 {
        return Some(0);
    }
    let decimal = |power: i32| match u32::try_from(power) {
        Ok(power) => digits.checked_mul(10_u128.checked_pow(power)?),
        // No amount has so many digits as there are parts then.
        Err(_) => Some(digits.div_ceil(10_u128.checked_pow(power.unsigned_abs()).unwrap_or(u128::MAX))),
    };
    if let Some(exponent) = parts.get(4) {
        return decimal(exponent.as_str().parse().ok()?);
    }
    match parts.get(3).map_or("", |unit| unit.as_str()) {
        "" => Some(digits),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        unit => {
            let power = 1 + i32::try_from("KMGTPE".find(&unit[..1].to_ascii_uppercase())?).ok()?;
            match unit.ends_with('i') {
                true => digits.checked_mul(1_u128.checked_shl(10 * power.unsigned_abs())?),
                false => decimal(3 * power),
            }
        }
    }
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $rules:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(Amount);

        impl $name {
            /// Reads a text or a number.
            ///
            /// # Errors
            /// What is no such amount, or out of its bounds.
            pub fn parse(node: &Node) -> Result<Self, Refusal> {
                Amount::parse(node, &$rules).map(Self)
            }

            /// Reads a text.
            ///
            /// # Errors
            /// As [`Self::parse`].
            pub fn parse_text(text: &str) -> Result<Self, Refusal> {
                Amount::parse_text(text, &$rules).map(Self)
            }

            /// Its value in billionths: of a processor, of a byte.
            pub const fn value(&self) -> u128 {
                self.0.value
            }

            /// The smaller of the two, but where `limit` is nothing: what does not fit into that fits nowhere.
            pub fn within<'q>(&'q self, limit: &'q Self) -> &'q Self {
                if limit.0.value > 0 && limit.0.value < self.0.value { limit } else { self }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0.text)
            }
        }

        impl Api for $name {
            fn schema() -> serde_json::Value {
                schema(&$rules)
            }

            fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
                api::leaf(node, path, faults, Self::parse)
            }
        }
    };
}

quantity!(
    /// An amount of processors, as `500m`, `4`, `1.5`.
    Cpu,
    CPU
);
quantity!(
    /// An amount of bytes, as `512Mi`, `8Gi`.
    Bytes,
    BYTES
);

impl Cpu {
    /// An amount in billionths as people read it, rounded up to thousandths.
    pub fn shown(value: u128) -> String {
        let thousandths = value.div_ceil(ONE / 1000);
        if thousandths.is_multiple_of(1000) { (thousandths / 1000).to_string() } else { format!("{thousandths}m") }
    }
}

impl Bytes {
    /// An amount in billionths as people read it, rounded up to mebibytes.
    pub fn shown(value: u128) -> String {
        let mebibytes = value.div_ceil(MEBIBYTE);
        if mebibytes.is_multiple_of(1024) { format!("{}Gi", mebibytes / 1024) } else { format!("{mebibytes}Mi") }
    }
}

/// The API server's rules, by its [library for quantities](https://kubernetes.io/docs/reference/using-api/cel/).
fn schema(rules: &Rules) -> serde_json::Value {
    let billionths = |value: u128| {
        format!("quantity('{}')", if value >= ONE { (value / ONE).to_string() } else { format!("{}n", value) })
    };
    let amount = "quantity(string(self))";
    let validations = json!([{
        "rule": format!(
            "{amount}.compareTo(quantity('0')) == 0 || ({amount}.compareTo({}) >= 0 && {amount}.compareTo({}) <= 0)",
            billionths(rules.least),
            billionths(rules.most)
        ),
        "message": rules.help,
    }]);
    json!({
        WORDS: format!("nothing, or {}", rules.help.trim_start_matches("write ")),
        "x-kubernetes-int-or-string": true,
        "pattern": rules.pattern,
        "maxLength": 32,
        "x-kubernetes-validations": validations,
    })
}

/// A number of things, up to a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count(u32);

impl Api for Count {
    fn schema() -> serde_json::Value {
        json!({WORDS: "a whole number, at most a million", "type": "integer", "format": "uint32", "minimum": 0.0, "maximum": f64::from(Self::MAX)})
    }

    fn read(node: &Node, path: &str, faults: &mut Vec<Violation>) -> Option<Self> {
        api::leaf(node, path, faults, Self::parse)
    }
}

impl Count {
    const MAX: u32 = 1_000_000;

    /// A count that the program itself names.
    pub const fn new(count: u32) -> Self {
        Self(count)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Reads a whole number.
    ///
    /// # Errors
    /// What is no whole number from 0 to a million.
    pub fn parse(node: &Node) -> Result<Self, Refusal> {
        let Value::Number(number) = &node.value else {
            return Err(wrong_type(node, "a whole number"));
        };
        match number.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(count) if count <= Self::MAX => Ok(Self(count)),
            _ => Err(Refusal::new("range", format!("`{number}` is not a whole number from 0 to {}", Self::MAX))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn an_amount_has_its_dimension_and_bounds() {
        for good in ["4", "0", "500m", "1.5", "1e3", "1E3", "1500000u", "1k", "2e-1", "1000000", "0.001"] {
            assert!(Cpu::parse_text(good).is_ok(), "{good}: {:?}", Cpu::parse_text(good));
        }
        for good in ["0", "8Gi", "1.5Gi", "2T", "129e6", "129E6", "1048576", "1Mi", "1Ei", "0.5G", "1000000k"] {
            assert!(Bytes::parse_text(good).is_ok(), "{good}: {:?}", Bytes::parse_text(good));
        }
        let why = |refusal: Refusal| (refusal.message.split_once("` ").unwrap().1.to_owned(), refusal.suggestion);
        let cpu = |text: &str| why(Cpu::parse_text(text).unwrap_err()).0;
        let bytes = |text: &str| why(Bytes::parse_text(text).unwrap_err());
        for bad in ["", "-1", "+1", "8GB", "8 Gi", ".5", "1.", "lots", "1\n", "9999999999999999", "1e", "1e+", "1e100"]
        {
            assert_eq!((cpu(bad).as_str(), bytes(bad).0.as_str()), ("is not an amount", "is not an amount"), "{bad:?}");
        }
        for other in ["4Gi", "4G", "1Ki"] {
            assert_eq!(cpu(other), "is an amount of something else", "{other}");
        }
        assert_eq!((cpu("0.1m").as_str(), cpu("1000001").as_str()), ("is too little", "is too much"));
        assert_eq!(bytes("512m"), ("is an amount of something else".to_owned(), Some("512Mi".to_owned())));
        assert_eq!(bytes("512"), ("is too little".to_owned(), Some("512Mi".to_owned())));
        assert_eq!(bytes("512k"), ("is too little".to_owned(), None));
        assert_eq!(bytes("1048576.5").0, "is an amount of something else");
        for much in ["2Ei", "2E", "999999999999999Ei", "9e19"] {
            assert_eq!(bytes(much).0, "is too much", "{much}");
        }
    }

    #[test]
    fn the_value_counts_not_the_text() {
        let bytes = |text| Bytes::parse_text(text).unwrap();
        for (own, limit, least) in [
            ("256Mi", "1Gi", "256Mi"),
            ("256Mi", "200Mi", "200Mi"),
            ("256Mi", "200000k", "200000k"),
            ("1024Mi", "1Gi", "1024Mi"),
            ("256Mi", "0", "256Mi"),
        ] {
            assert_eq!(bytes(own).within(&bytes(limit)), &bytes(least), "{own} {limit}");
        }
        let cpu = |text| Cpu::parse_text(text).unwrap();
        assert_eq!(cpu("500m").within(&cpu("0.25")), &cpu("0.25"));
        assert_eq!(cpu("500m").within(&cpu("1e0")), &cpu("500m"));
    }

    #[test]
    fn the_pattern_of_the_api_and_the_values_agree() {
        for rules in [CPU, BYTES] {
            let pattern = Regex::new(rules.pattern).unwrap();
            for unit in
                ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E3"]
            {
                let text = format!("1{unit}");
                assert!(!pattern.is_match(&text) || value_of(&text).is_some(), "{text}");
            }
        }
        assert_eq!(
            [value_of("1Ki"), value_of("1k"), value_of("1.5M")],
            [Some(1024 * ONE), Some(1000 * ONE), Some(1_500_000 * ONE)]
        );
        assert_eq!(
            [value_of("1n"), value_of("0.1n"), value_of("1E"), value_of("1E0")],
            [Some(1), Some(1), Some(ONE * 10_u128.pow(18)), Some(ONE)]
        );
        assert_eq!([value_of("0e99"), value_of("1e-99"), value_of("1e99")], [Some(0), Some(1), None]);
    }
}
