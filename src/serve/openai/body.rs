//! Body of a request: prompts of token ids parsed directly, other fields as JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::serve::refusal::Refusal;

/// The body of a request, taken apart.
#[derive(Debug, Default, PartialEq)]
pub struct ParsedBody {
    /// `prompt`.
    pub prompt: Option<Element>,
    /// All other members.
    pub rest: Map<String, Value>,
}

/// A prompt, or a part of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// Text.
    Text(String),
    /// A token id.
    Id(u32),
    /// Several.
    List(Vec<Element>),
}

impl ParsedBody {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is no JSON object, or its prompt is nothing that a prompt can be.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(bytes).map_err(|error| Refusal::Invalid {
            field: None,
            message: format!("the body is not the JSON object that is wanted: {error}"),
        })
    }
}

impl<'de> Deserialize<'de> for ParsedBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = ParsedBody;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParsedBody, A::Error> {
                let mut asked = ParsedBody::default();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "prompt" {
                        asked.prompt = map.next_value()?;
                    } else {
                        asked.rest.insert(name, map.next_value()?);
                    }
                }
                Ok(asked)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Element;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a prompt: a text, or a list of token ids")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Element, E> {
                Ok(Element::Text(text.to_owned()))
            }
            fn visit_u64<E: Error>(self, id: u64) -> Result<Element, E> {
                let id = u32::try_from(id);
                id.map(Element::Id).map_err(|_| E::custom("a token id has at most 32 bits"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Element, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(Element::List(elements))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_a_text_or_ids_and_nothing_else() {
        let prompt = |json: &str| ParsedBody::read(json.as_bytes()).map(|asked| asked.prompt);
        for bad in [r#"{"prompt":-1}"#, r#"{"prompt":[1.5]}"#, r#"{"prompt":{"a":1}}"#, "[]", "{"] {
            assert!(prompt(bad).is_err(), "{bad}");
        }
        assert_eq!(prompt(r#"{"prompt":null}"#), Ok(None));
        assert_eq!(prompt(r#"{"prompt":"a"}"#), Ok(Some(Element::Text("a".into()))));
        let ids = Element::List(vec![Element::Id(1), Element::Id(2)]);
        assert_eq!(prompt(r#"{"prompt":[1,2]}"#), Ok(Some(ids)));
    }
}
