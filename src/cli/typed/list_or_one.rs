//! A list in a file, which may stand as its one member: `concurrency = 4`, `scenario = "D(8,2)"`.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error as _, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list of values, or one of them.
pub(super) fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    deserializer.deserialize_any(Members(PhantomData)).map(Some)
}

struct Members<T>(PhantomData<T>);

fn one<'de, T: Deserialize<'de>, E: serde::de::Error>(
    value: impl IntoDeserializer<'de, E>,
) -> Result<Vec<T>, E> {
    T::deserialize(value.into_deserializer()).map(|member| vec![member])
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or several as `[…, …]`")
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Vec<T>, E> {
        one(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Vec<T>, E> {
        one(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Vec<T>, E> {
        one(value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Vec<T>, E> {
        one(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, members: A) -> Result<Vec<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(members))
    }
}

/// As in a file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    One(String),
    Several(Vec<String>),
}

#[allow(clippy::ref_option, reason = "serde calls it with a reference to the field")]
pub(super) fn serialize<T: Display, S: Serializer>(
    members: &Option<Vec<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let texts: Vec<String> = members.iter().flatten().map(ToString::to_string).collect();
    match <[String; 1]>::try_from(texts) {
        Ok([one]) => Written::One(one),
        Err(several) => Written::Several(several),
    }
    .serialize(serializer)
}

pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let texts = match Written::deserialize(deserializer)? {
        Written::One(text) => vec![text],
        Written::Several(texts) => texts,
    };
    let parsed: Result<Vec<T>, _> = texts.iter().map(|text| text.parse()).collect();
    parsed.map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use crate::cli::typed::Settings;

    #[test]
    fn one_value_stands_for_a_list_of_one_and_what_is_neither_is_an_error_that_says_so() {
        let read = |text: &str| toml::from_str::<Settings>(text).map(|it| toml::to_string(&it));
        for (text, whole) in [
            ("concurrency = 4", "concurrency = [4]"),
            ("concurrency = \"quick\"", "concurrency = [\"quick\"]"),
            ("rate = 2.5", "rate = [2.5]"),
            ("rate = 5", "rate = [5.0]"),
            ("note = \"a=b\"", "note = [\"a=b\"]"),
            ("export = \"aiperf\"", "export = [\"aiperf\"]"),
        ] {
            let settings = read(text).expect(text).expect(text);
            assert_eq!(settings.trim(), whole);
        }
        for text in ["concurrency = -4", "concurrency = \"many\"", "rate = true", "rate = \"x\""] {
            assert!(read(text).is_err(), "{text}");
        }
        let error = read("rate = true").expect_err("no rate").to_string();
        assert!(error.contains("several as `[…, …]`"), "{error}");
    }

    #[test]
    fn one_scenario_is_a_text_and_several_are_a_list_and_both_come_back() {
        for text in ["scenario = \"D(8,2)\"\n", "scenario = [\"D(8,2)\", \"U(1,4)/(1,2)\"]\n"] {
            let settings: Settings = toml::from_str(text).expect(text);
            assert_eq!(toml::to_string(&settings).expect(text), text);
        }
        let error = toml::from_str::<Settings>("scenario = ['D(8,2)', 'X(1)']");
        let error = error.expect_err("no scenario").to_string();
        assert!(error.contains("'X(1)' is not a traffic scenario"), "{error}");
    }
}
