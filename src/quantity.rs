//! Amounts, as Kubernetes writes them.

use crate::document::{Node, Value};
use crate::fields::wrong_type;
use crate::violation::{Refusal, quote};
use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::LazyLock;

/// An amount of processors or bytes (`500m`, `4`, `1.5`, `8Gi`): Kubernetes' `Quantity`, without
/// signs and exponents, which nobody means in a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity(String);

const PATTERN: &str = r"^[0-9]{1,15}(\.[0-9]{1,3})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$";

impl Quantity {
    /// Reads a text or a number.
    ///
    /// # Errors
    /// What is no amount.
    pub fn parse(node: &Node) -> Result<Self, Refusal> {
        match &node.value {
            Value::String(text) => Self::parse_text(text),
            Value::Number(number) if !number.is_f64() => Self::parse_text(&number.to_string()),
            // `x-kubernetes-int-or-string`: a fraction is neither.
            Value::Number(_) => Err(Refusal::new("type", "is a fraction without quotes").help("put it in quotes")),
            _ => Err(wrong_type(node, "an amount")),
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// What is no amount.
    pub fn parse_text(text: &str) -> Result<Self, Refusal> {
        static AMOUNT: LazyLock<Regex> = LazyLock::new(|| Regex::new(PATTERN).expect("a constant"));
        if AMOUNT.is_match(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Refusal::new("quantity", format!("{} is not an amount", quote(text)))
            .help("write a number with or without a unit, as in `4`, `500m`, `8Gi`"))
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"x-kubernetes-int-or-string": true, "pattern": PATTERN, "maxLength": 24})
    }
}

/// A number of things, up to a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Count(#[schemars(range(min = 0, max = 1_000_000))] u32);

impl Count {
    /// A count that the program itself names.
    pub const fn new(count: u32) -> Self {
        Self(count)
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
            Some(count) if count <= 1_000_000 => Ok(Self(count)),
            _ => Err(Refusal::new("range", format!("`{number}` is not a whole number from 0 to 1000000"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_those_of_a_quota() {
        for good in ["4", "0", "500m", "1.5", "8Gi", "2T"] {
            assert!(Quantity::parse_text(good).is_ok(), "{good}");
        }
        for bad in ["", "-1", "+1", "1e3", "8GB", "8 Gi", ".5", "1.", "lots", "1\n", "9999999999999999"] {
            assert!(Quantity::parse_text(bad).is_err(), "{bad:?}");
        }
    }
}
