//! Input tensors of a request, looked up by name and checked against the model.

use crate::serve::kserve::model::{BEAM_WIDTH, Model};
use crate::serve::refusal::Refusal;
use crate::targets::triton::datatype::{first_text, first_whole};
use crate::targets::triton::kserve::ModelInferRequest;
use crate::targets::triton::tensor_roles::Role;

/// The tensors of one request.
#[derive(Debug)]
pub struct Tensors<'a> {
    model: Model,
    request: &'a ModelInferRequest,
}

impl<'a> Tensors<'a> {
    /// Checks names, types and sizes.
    ///
    /// # Errors
    /// The first tensor that does not belong here.
    pub fn check(model: Model, request: &'a ModelInferRequest) -> Result<Self, Refusal> {
        let name = model.name();
        if request.inputs.len() != request.raw_input_contents.len() {
            let message = format!(
                "{} inputs and {} raw input contents: every input of model '{name}' goes into `raw_input_contents`",
                request.inputs.len(),
                request.raw_input_contents.len()
            );
            return Err(Refusal::Invalid { field: None, message });
        }
        for (head, raw) in request.inputs.iter().zip(&request.raw_input_contents) {
            let known = model.inputs().iter().find(|input| input.name == head.name);
            let known = known.ok_or_else(|| {
                let message =
                    format!("unexpected inference input '{}' for model '{name}'", head.name);
                Refusal::field(&head.name, message)
            })?;
            if known.datatype != head.datatype {
                let message = format!(
                    "inference input '{}' data-type is '{}', but model '{name}' expects '{}'",
                    head.name, head.datatype, known.datatype
                );
                return Err(Refusal::field(&head.name, message));
            }
            let elements = head.shape.iter().product::<i64>().max(0) as usize;
            if head.shape.first().is_some_and(|batch| *batch != 1) && head.shape.len() > 1 {
                let message = format!(
                    "input '{}' has a batch of {}: send one request for each prompt",
                    head.name, head.shape[0]
                );
                return Err(Refusal::field(&head.name, message));
            }
            if width(known.datatype).is_some_and(|width| raw.len() != elements * width) {
                let message = format!(
                    "input '{}' has the shape {:?} and {} bytes, which do not go together",
                    head.name,
                    head.shape,
                    raw.len()
                );
                return Err(Refusal::field(&head.name, message));
            }
        }
        let tensors = Self { model, request };
        for input in model.inputs().iter().filter(|input| input.required) {
            if tensors.raw(input.name).is_none() {
                let message =
                    format!("expected input '{}' for model '{name}' is missing", input.name);
                return Err(Refusal::field(input.name, message));
            }
        }
        if tensors.first(BEAM_WIDTH).is_some_and(|width| width != 1) {
            return Err(Refusal::field(BEAM_WIDTH, "`beam_width` can only be 1 here"));
        }
        Ok(tensors)
    }

    fn raw(&self, name: &str) -> Option<&'a [u8]> {
        let at = self.request.inputs.iter().position(|head| head.name == name)?;
        self.request.raw_input_contents.get(at).map(|raw| &raw[..])
    }

    fn first(&self, name: &str) -> Option<i64> {
        let at = self.request.inputs.iter().position(|head| head.name == name)?;
        first_whole(&self.request.inputs[at].datatype, self.request.raw_input_contents.get(at)?)
    }

    /// The name and bytes of the input of that role, if it was sent.
    fn of_role(&self, role: Role) -> Option<(&'static str, &'a [u8])> {
        let mut known = self.model.inputs().iter().filter(|input| input.role == Some(role));
        known.find_map(|input| self.raw(input.name).map(|raw| (input.name, raw)))
    }

    /// A whole number.
    pub fn whole(&self, role: Role) -> Option<i64> {
        self.of_role(role).and_then(|(name, _)| self.first(name))
    }

    /// A whole number of 0 or more.
    ///
    /// # Errors
    /// When it is below, or too large for any model.
    pub fn count(&self, role: Role) -> Result<Option<u32>, Refusal> {
        let Some((name, _)) = self.of_role(role) else { return Ok(None) };
        let Some(number) = self.first(name) else { return Ok(None) };
        u32::try_from(number).map(Some).map_err(|_| {
            Refusal::field(name, format!("`{name}` is to be a whole number, 0 or above"))
        })
    }

    /// Yes or no; no where it was not sent.
    pub fn flag(&self, role: Role) -> bool {
        self.of_role(role).is_some_and(|(_, raw)| raw.first().is_some_and(|byte| *byte != 0))
    }

    /// A number.
    pub fn number(&self, role: Role) -> Option<f32> {
        let (_, raw) = self.of_role(role)?;
        raw.first_chunk().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// A text.
    ///
    /// # Errors
    /// When it is cut short or not UTF-8.
    pub fn text(&self, role: Role) -> Result<&'a str, Refusal> {
        let Some((name, raw)) = self.of_role(role) else { return Ok("") };
        let text = first_text(raw).and_then(|text| std::str::from_utf8(text).ok());
        text.ok_or_else(|| Refusal::field(name, format!("`{name}` holds no text in UTF-8")))
    }

    /// Token ids.
    ///
    /// # Errors
    /// When one is below 0, or there are fewer than the shape demands.
    pub fn ids(&self, role: Role) -> Result<Vec<u32>, Refusal> {
        let Some((name, raw)) = self.of_role(role) else { return Ok(Vec::new()) };
        let (ids, _) = raw.as_chunks();
        let ids = ids.iter().map(|id| u32::try_from(i32::from_le_bytes(*id)));
        let mut ids: Vec<u32> = ids
            .collect::<Result<_, _>>()
            .map_err(|_| Refusal::field(name, format!("`{name}` holds an id below 0")))?;
        if let Some(length) = self.count(Role::PromptLength)? {
            if length as usize > ids.len() {
                let message =
                    format!("`input_lengths` says {length}, and `{name}` holds {}", ids.len());
                return Err(Refusal::field("input_lengths", message));
            }
            ids.truncate(length as usize);
        }
        Ok(ids)
    }
}

fn width(datatype: &str) -> Option<usize> {
    Some(match datatype {
        "BOOL" => 1,
        "INT32" | "FP32" => 4,
        "UINT64" => 8,
        _ => return None,
    })
}
