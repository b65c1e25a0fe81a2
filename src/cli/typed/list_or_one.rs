//! A list in a file: one member as a text, several as a list of texts.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
