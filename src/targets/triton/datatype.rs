//! Encoding of values as tensor bytes, and back: KServe's datatypes, little-endian and row by row.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value as Json, json};

/// A datatype that some input or output of a language model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datatype {
    /// One byte, 0 or 1.
    Bool,
    /// Signed.
    Int32,
    /// Signed.
    Int64,
    /// Unsigned.
    Uint32,
    /// Unsigned.
    Uint64,
    /// IEEE 754.
    Fp32,
    /// IEEE 754.
    Fp64,
    /// Text, each element after its length.
    Bytes,
}

impl Datatype {
    /// The datatype of that name; `None` for one that no value here needs (`FP16`, `UINT8`, …).
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "BOOL" => Self::Bool,
            "INT32" => Self::Int32,
            "INT64" => Self::Int64,
            "UINT32" => Self::Uint32,
            "UINT64" => Self::Uint64,
            "FP32" => Self::Fp32,
            "FP64" => Self::Fp64,
            "BYTES" => Self::Bytes,
            _ => return None,
        })
    }

    /// As the protocol writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    const fn width(self) -> Option<usize> {
        match self {
            Self::Bool => Some(1),
            Self::Int32 | Self::Uint32 | Self::Fp32 => Some(4),
            Self::Int64 | Self::Uint64 | Self::Fp64 => Some(8),
            Self::Bytes => None,
        }
    }
}

/// Value of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Whole(i64),
    /// Any number.
    Number(f64),
    /// Text.
    Text(&'a str),
    /// Token ids.
    Ids(&'a [u32]),
}

impl Value<'_> {
    /// Elements of the tensor.
    pub fn elements(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            _ => 1,
        }
    }

    /// The value as a tensor of type `datatype`; `None` where it cannot be one.
    pub fn encode(&self, datatype: Datatype) -> Option<Bytes> {
        let mut bytes = BytesMut::new();
        match *self {
            Self::Text(text) => {
                if datatype != Datatype::Bytes {
                    return None;
                }
                bytes.reserve(4 + text.len());
                bytes.put_u32_le(u32::try_from(text.len()).ok()?);
                bytes.put_slice(text.as_bytes());
            }
            Self::Ids(ids) => {
                bytes.reserve(ids.len() * datatype.width()?);
                for id in ids {
                    put_whole(&mut bytes, datatype, i64::from(*id))?;
                }
            }
            Self::Flag(flag) => put_whole(&mut bytes, datatype, i64::from(flag))?,
            Self::Whole(number) => put_whole(&mut bytes, datatype, number)?,
            Self::Number(number) => match datatype {
                Datatype::Fp32 => bytes.put_f32_le(number as f32),
                Datatype::Fp64 => bytes.put_f64_le(number),
                _ => return None,
            },
        }
        Some(bytes.freeze())
    }

    /// The value as Triton's generate endpoints take it.
    pub fn json(&self) -> Json {
        match *self {
            Self::Flag(flag) => json!(flag),
            Self::Whole(number) => json!(number),
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Ids(ids) => json!(ids),
        }
    }
}

fn put_whole(bytes: &mut BytesMut, datatype: Datatype, number: i64) -> Option<()> {
    match datatype {
        Datatype::Bool => bytes.put_u8(u8::from(number != 0)),
        Datatype::Int32 => bytes.put_i32_le(i32::try_from(number).ok()?),
        Datatype::Int64 => bytes.put_i64_le(number),
        // A seed of 64 bits keeps its low half, so that every seed can be sent.
        Datatype::Uint32 => bytes.put_u32_le(number as u32),
        Datatype::Uint64 => bytes.put_u64_le(number as u64),
        Datatype::Fp32 => bytes.put_f32_le(number as f32),
        Datatype::Fp64 => bytes.put_f64_le(number as f64),
        Datatype::Bytes => return None,
    }
    Some(())
}

/// The first element of a tensor of whole numbers.
#[inline]
pub fn first_whole(datatype: &str, raw: &[u8]) -> Option<i64> {
    Some(match datatype {
        "INT32" => i64::from(i32::from_le_bytes(*raw.first_chunk()?)),
        "UINT32" => i64::from(u32::from_le_bytes(*raw.first_chunk()?)),
        "INT64" | "UINT64" => i64::from_le_bytes(*raw.first_chunk()?),
        _ => return None,
    })
}

/// The first element of a tensor of texts; `None` where it holds none, or is cut short.
#[inline]
pub fn first_text(raw: &[u8]) -> Option<&[u8]> {
    let (length, rest) = raw.split_first_chunk()?;
    rest.get(..u32::from_le_bytes(*length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_does_not_fit_the_type_is_refused() {
        assert_eq!(Value::Text("x").encode(Datatype::Int32), None);
        assert_eq!(Value::Number(0.5).encode(Datatype::Int32), None);
        assert_eq!(Value::Whole(1 << 40).encode(Datatype::Int32), None);
        assert_eq!(Value::Whole(1).encode(Datatype::Bytes), None);
        assert_eq!(Datatype::named("FP16"), None);
    }

    #[test]
    fn text_goes_after_its_length() {
        let bytes = Value::Text("hé").encode(Datatype::Bytes).unwrap();
        assert_eq!(&bytes[..], b"\x03\0\0\0h\xc3\xa9");
        assert_eq!(first_text(&bytes), Some("hé".as_bytes()));
    }

    #[test]
    fn a_text_tensor_that_is_empty_or_cut_short_holds_no_text() {
        assert_eq!(first_text(b""), None);
        assert_eq!(first_text(b"\x05\0\0\0abc"), None);
        assert_eq!(first_text(b"\0\0\0\0"), Some(&b""[..]));
    }

    #[test]
    fn whole_numbers_take_the_width_of_the_tensor() {
        assert_eq!(
            &Value::Ids(&[1, 258]).encode(Datatype::Int32).unwrap()[..],
            [1, 0, 0, 0, 2, 1, 0, 0]
        );
        assert_eq!(Value::Whole(-1).encode(Datatype::Int32).unwrap().len(), 4);
        assert_eq!(Value::Flag(true).encode(Datatype::Bool).unwrap().len(), 1);
        let seed = Value::Whole(-2).encode(Datatype::Uint64).unwrap();
        assert_eq!(first_whole("UINT64", &seed), Some(-2));
    }
}
