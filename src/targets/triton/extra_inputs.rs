//! Inputs and request parameters that the user adds as JSON.

use bytes::Bytes;
use serde_json::Value as Json;

use crate::targets::triton::datatype::{Datatype, Value};
use crate::targets::triton::kserve::{Choice, InputTensor};
use crate::targets::triton::metadata::ModelFacts;

/// A tensor that the user gives as JSON; its type and rank are those of the model's input.
pub(super) fn extra_tensor(
    name: &str,
    value: &Json,
    facts: &ModelFacts,
) -> Result<(InputTensor, Bytes), String> {
    let Some(tensor) = facts.inputs.iter().find(|tensor| tensor.name == name) else {
        return Err(format!("model `{}` has no input `{name}`", facts.name));
    };
    let value = match value {
        Json::Bool(flag) => Value::Flag(*flag),
        Json::String(text) => Value::Text(text),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Whole(whole),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Null | Json::Array(_) | Json::Object(_) => {
            return Err(format!("extra input `{name}` must be a number, a text, true or false"));
        }
    };
    let raw = Datatype::named(&tensor.datatype)
        .and_then(|datatype| value.encode(datatype))
        .ok_or_else(|| format!("extra input `{name}` does not fit its type {}", tensor.datatype))?;
    let shape = vec![1; tensor.shape.len().max(1)];
    Ok((InputTensor { name: name.to_owned(), datatype: tensor.datatype.clone(), shape }, raw))
}

/// A request parameter that the user gives as JSON.
pub(super) fn parameter(name: &str, value: &Json) -> Result<Choice, String> {
    Ok(match value {
        Json::Bool(flag) => Choice::Bool(*flag),
        Json::String(text) => Choice::String(text.clone()),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Choice::Int64(whole),
            None => Choice::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::Null | Json::Array(_) | Json::Object(_) => {
            return Err(format!(
                "request parameter `{name}` must be a number, a text, true or false"
            ));
        }
    })
}
