//! What answers cost. All sums are of integers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::{Bill, Usage};

/// What models cost.
///
/// The built-in ones are Anthropic's list prices; `prices.toml` in this crate tells as of when and
/// what the form of the file is. A model that is not in the list costs as much as the one in it that
/// is most expensive for the same answer, so that a new name is never free.
#[derive(Clone, Debug)]
pub struct Prices {
    models: Vec<Model>,
    /// Trillionths of a dollar for one search.
    web_search: u128,
    /// Thousandths, by region.
    inference_geo: BTreeMap<String, u64>,
    /// The highest factor of fast mode that is known, in thousandths.
    fast: u64,
}

#[derive(Clone, Debug)]
struct Model {
    patterns: Vec<String>,
    /// Thousandths of a dollar for a million tokens, which are billionths for one.
    rates: Rates,
    long: Option<Long>,
    fast: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Rates {
    input: u64,
    output: u64,
    cache_write: u64,
    cache_write_1h: u64,
    cache_read: u64,
}

/// By how many thousandths prices rise for prompts of more than `above` tokens.
#[derive(Clone, Copy, Debug)]
struct Long {
    above: u64,
    input: u64,
    output: u64,
}

impl Prices {
    /// The list prices that this build knows.
    ///
    /// # Errors
    ///
    /// Never, unless the build is broken: its own file is checked by its tests.
    pub fn built_in() -> Result<Self, PricesError> {
        Self::parse(BUILT_IN)
    }

    /// Prices from a file of the form that `prices.toml` in this crate has.
    ///
    /// # Errors
    ///
    /// When it is not TOML of that form, names no model at all, or has a price that is not a decimal
    /// number with at most three decimals.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            PricesError {
                line,
                message: error.message().to_owned(),
            }
        })?;
        if file.model.is_empty() {
            return Err(PricesError {
                line: None,
                message: "there is no [[model]], so no answer would have a price".to_owned(),
            });
        }
        let models: Vec<Model> = file.model.into_iter().map(Model::from).collect();
        let fast = models.iter().filter_map(|model| model.fast).max();
        Ok(Self {
            // Thousandths for a thousand searches are millionths for one.
            web_search: u128::from(file.web_search.map_or(0, |price| price.0)) * MILLION,
            inference_geo: (file.inference_geo.into_iter())
                .map(|(region, factor)| (region, factor.0))
                .collect(),
            fast: fast.unwrap_or(ONE),
            models,
        })
    }

    /// Whether a model of this name is in the list.
    pub fn knows(&self, model: &str) -> bool {
        self.model(model).is_some()
    }

    /// What a bill comes to, in millionths of a US dollar, rounded up.
    pub fn cost(&self, bill: &Bill) -> u64 {
        let known = bill.model.as_deref().and_then(|name| self.model(name));
        let tokens = match known {
            Some(model) => model.cost(&bill.usage, self.fast),
            None => (self.models.iter())
                .map(|model| model.cost(&bill.usage, self.fast))
                .max()
                .unwrap_or(u128::MAX),
        };
        let region = bill.region.as_ref();
        let factor = region.and_then(|region| self.inference_geo.get(region));
        let searches = u128::from(bill.usage.web_searches).saturating_mul(self.web_search);
        let sum = rise(tokens, factor.copied().unwrap_or(ONE)).saturating_add(searches);
        u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }

    /// The bill of whichever of these models costs most for this usage. Without any, it is one that
    /// costs as much as the dearest in the list.
    pub(crate) fn dearest(&self, models: &[&str], usage: Usage) -> Bill {
        let bills = models.iter().map(|model| Bill::new(*model, usage));
        let dearest = bills.max_by_key(|bill| self.cost(bill));
        dearest.unwrap_or(Bill {
            usage,
            model: None,
            region: None,
        })
    }

    fn model(&self, name: &str) -> Option<&Model> {
        let matches = |model: &&Model| model.patterns.iter().any(|it| matches(it, name));
        self.models.iter().find(matches)
    }
}

impl Model {
    /// Trillionths of a dollar.
    fn cost(&self, usage: &Usage, highest_fast: u64) -> u128 {
        let part = |tokens: u64, rate: u64| u128::from(tokens).saturating_mul(u128::from(rate));
        let rates = &self.rates;
        let mut input = part(usage.input, rates.input)
            .saturating_add(part(usage.cache_write, rates.cache_write))
            .saturating_add(part(usage.cache_write_1h, rates.cache_write_1h))
            .saturating_add(part(usage.cache_read, rates.cache_read))
            // From billionths.
            .saturating_mul(1000);
        let mut output = part(usage.output, rates.output).saturating_mul(1000);
        if let Some(long) = self.long.filter(|long| usage.prompt() > long.above) {
            input = rise(input, long.input);
            output = rise(output, long.output);
        }
        let sum = input.saturating_add(output);
        if usage.fast {
            rise(sum, self.fast.unwrap_or(highest_fast))
        } else {
            sum
        }
    }
}

/// So many thousandths of an amount, rounded up.
fn rise(amount: u128, thousandths: u64) -> u128 {
    if thousandths == ONE {
        return amount;
    }
    (amount.saturating_mul(u128::from(thousandths))).div_ceil(u128::from(ONE))
}

/// Reads an amount of US dollars such as `5` or `0.25` as millionths. `None` for anything else than
/// digits with a point and at most six decimals among them, and for amounts that are too large.
pub fn micro_dollars(text: &str) -> Option<u64> {
    decimal(text, 6)
}

/// A decimal number without sign or exponent, in units of its last decimal of `places`.
fn decimal(text: &str, places: u32) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let missing = places.checked_sub(u32::try_from(part.len()).ok()?);
    if !digits(whole) || !digits(part) {
        return None;
    }
    let part = part.parse::<u64>().ok()?;
    let whole = whole.parse::<u64>().ok()?;
    (whole.checked_mul(10_u64.pow(places)))?.checked_add(part * 10_u64.pow(missing?))
}

/// Whether `name` is as `pattern` says, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The prices cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct PricesError {
    line: Option<usize>,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    web_search: Option<Thousandths>,
    #[serde(default)]
    inference_geo: BTreeMap<String, Thousandths>,
    #[serde(default)]
    model: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "match")]
    patterns: Vec<String>,
    input: Thousandths,
    output: Thousandths,
    cache_write: Thousandths,
    cache_write_1h: Thousandths,
    cache_read: Thousandths,
    long: Option<LongEntry>,
    fast: Option<Thousandths>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongEntry {
    above: u64,
    input: Thousandths,
    output: Thousandths,
}

impl From<Entry> for Model {
    fn from(entry: Entry) -> Self {
        Self {
            patterns: entry.patterns,
            rates: Rates {
                input: entry.input.0,
                output: entry.output.0,
                cache_write: entry.cache_write.0,
                cache_write_1h: entry.cache_write_1h.0,
                cache_read: entry.cache_read.0,
            },
            long: entry.long.map(|long| Long {
                above: long.above,
                input: long.input.0,
                output: long.output.0,
            }),
            fast: entry.fast.map(|fast| fast.0),
        }
    }
}

/// A decimal number, kept in thousandths. Written as a text, or as a number that prints as one.
struct Thousandths(u64);

impl<'de> Deserialize<'de> for Thousandths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            _ => return Err(D::Error::custom("expected a price such as \"3.75\"")),
        };
        match decimal(&text, 3) {
            Some(number) => Ok(Self(number)),
            None => Err(D::Error::custom(
                "expected a price such as \"3.75\", with at most three decimals",
            )),
        }
    }
}

const BUILT_IN: &str = include_str!("../prices.toml");
/// A factor that changes nothing, in thousandths.
const ONE: u64 = 1000;
const MILLION: u128 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(model: &str, usage: Usage) -> u64 {
        Prices::built_in().unwrap().cost(&Bill::new(model, usage))
    }

    #[test]
    fn prices_are_exact() {
        let million = Usage::tokens(1_000_000, 1_000_000);
        assert_eq!(cost("claude-opus-5", million), 30_000_000);
        assert_eq!(cost("claude-haiku-4-5-20251001", million), 6_000_000);
        // A tenth of a millionth of a dollar is still something.
        assert_eq!(cost("claude-haiku-5-5", Usage::tokens(1, 0)), 1);
        assert_eq!(cost("claude-haiku-5-5", Usage::tokens(10, 0)), 1);
        assert_eq!(cost("claude-haiku-5-5", Usage::tokens(11, 0)), 2);
        assert_eq!(cost("claude-haiku-5-5", Usage::default()), 0);
        let cached = Usage {
            cache_write: 1000,
            cache_write_1h: 1000,
            cache_read: 1000,
            ..Usage::default()
        };
        assert_eq!(cost("claude-sonnet-4-6", cached), 3750 + 6000 + 300);
    }

    #[test]
    fn what_makes_an_answer_dearer_is_counted() {
        let long = Usage::tokens(200_001, 1000);
        assert_eq!(cost("claude-sonnet-4-5", long), 200_001 * 6 + 22_500);
        assert_eq!(cost("claude-sonnet-4-6", long), 200_001 * 3 + 15_000);
        let mut usage = Usage::tokens(1000, 0);
        usage.fast = true;
        assert_eq!(cost("claude-opus-4-8", usage), 10_000);
        assert_eq!(cost("claude-haiku-4-5", usage), 6_000, "not priced");
        usage.web_searches = 3;
        assert_eq!(cost("claude-opus-4-8", usage), 40_000);
        let mut bill = Bill::new("claude-opus-5", Usage::tokens(1000, 0));
        bill.region = Some("us".to_owned());
        assert_eq!(Prices::built_in().unwrap().cost(&bill), 5_500);
    }

    /// The one law that keeps a new name from being free.
    #[test]
    fn a_model_that_nobody_knows_costs_no_less_than_any() {
        let prices = Prices::built_in().unwrap();
        for (input, output, read) in [(1, 0, 0), (0, 1, 0), (0, 0, 9), (300_000, 7, 7), (9, 9, 9)] {
            let mut usage = Usage::tokens(input * 1000, output * 1000);
            usage.cache_read = read * 1000;
            for unknown in [Some("claude-opus-5-9"), Some(""), None] {
                let bill = Bill {
                    model: unknown.map(str::to_owned),
                    usage,
                    region: None,
                };
                let unknown = prices.cost(&bill);
                for model in &prices.models {
                    let name = model.patterns[0].replace('*', "x");
                    assert!(prices.cost(&Bill::new(name, usage)) <= unknown);
                }
            }
        }
        assert!(!prices.knows("claude-opus-5-9"));
        assert!(prices.knows("claude-opus-5-20260724"));
    }

    #[test]
    fn every_entry_of_the_list_can_be_reached_and_is_dear_enough() {
        let prices = Prices::built_in().unwrap();
        for (at, model) in prices.models.iter().enumerate() {
            assert!(!model.patterns.is_empty());
            for pattern in &model.patterns {
                let name = pattern.replace('*', "250101");
                let found = prices.models.iter().position(|other| {
                    let mut patterns = other.patterns.iter();
                    patterns.any(|pattern| matches(pattern, &name))
                });
                assert_eq!(found, Some(at), "{pattern}");
            }
            let rates = &model.rates;
            assert!(rates.cache_read < rates.input && rates.input < rates.cache_write);
            assert!(rates.cache_write < rates.cache_write_1h && rates.input < rates.output);
        }
    }

    #[test]
    fn own_prices_may_be_numbers_and_mistakes_are_told() {
        let model = |input: &str| {
            format!(
                "[[model]]\nmatch = [\"m\"]\ninput = {input}\noutput = 2.5\ncache_write = 1\n\
                 cache_write_1h = 1\ncache_read = 0.001\n"
            )
        };
        let prices = Prices::parse(&model("0.375")).unwrap();
        let bill = Bill::new("m", Usage::tokens(1000, 1000));
        assert_eq!(prices.cost(&bill), 375 + 2500);
        for wrong in [
            "-1", "\"\"", "\"1.\"", "\".5\"", "1.2345", "true", "inf", "\"1e3\"",
        ] {
            let error = Prices::parse(&model(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("line 3: expected a price"), "{error}");
        }
        assert!(Prices::parse("").is_err());
        assert!(Prices::parse("surprise = 1").is_err());
    }

    #[test]
    fn dollars_are_read_without_floating_point() {
        for (text, expected) in [
            ("5", Some(5_000_000)),
            ("0.25", Some(250_000)),
            ("0.000001", Some(1)),
            ("0.0000001", None),
            ("1,5", None),
            ("-1", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(micro_dollars(text), expected, "{text}");
        }
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*a", "a", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
