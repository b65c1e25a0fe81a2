//! Rows of a Parquet file as JSON objects, in builds with the feature `parquet`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::open::has_extension;

pub(super) use reading::{ParquetRows, open};

/// How the format begins.
const MAGIC: [u8; 4] = *b"PAR1";

/// How to build a program that reads and writes Parquet.
pub const BUILD: &str = "cargo build --release --features parquet";

/// Whether a file is Parquet by its name or by its first bytes.
pub(super) fn is_parquet(path: &Path) -> io::Result<bool> {
    if has_extension(path, "parquet") {
        return Ok(true);
    }
    // What a pipe gives can be read only once.
    if !fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    let mut head = Vec::with_capacity(MAGIC.len());
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(head == MAGIC)
}

#[cfg(not(feature = "parquet"))]
mod reading {
    use std::path::Path;

    use super::super::records::{ReadError, Record};

    /// There is none in this build.
    pub(in super::super) enum ParquetRows {}

    /// # Errors
    /// Always: this build reads no Parquet.
    pub(in super::super) fn open(_path: &Path) -> Result<ParquetRows, ReadError> {
        Err(ReadError::ParquetNotBuilt)
    }

    impl ParquetRows {
        pub(in super::super) fn next(&mut self) -> Result<Option<Record>, ReadError> {
            match *self {}
        }
    }
}

#[cfg(feature = "parquet")]
mod reading {
    use std::fs::File;
    use std::path::Path;

    use parquet::errors::ParquetError;
    use parquet::file::reader::SerializedFileReader;
    use parquet::record::reader::RowIter;
    use parquet::record::{Field, Row};
    use serde_json::{Map, Value};

    use super::super::records::{ReadError, Record};
    use crate::workload::images::data_url_of_bytes;

    /// The rows of one file, one group of rows in memory at a time.
    pub(in super::super) struct ParquetRows {
        rows: RowIter<'static>,
        number: u64,
    }

    /// # Errors
    /// When the file cannot be read, or is no Parquet.
    pub(in super::super) fn open(path: &Path) -> Result<ParquetRows, ReadError> {
        let file = File::open(path).map_err(ReadError::Read)?;
        let reader = SerializedFileReader::new(file).map_err(|why| no_parquet(1, &why))?;
        Ok(ParquetRows { rows: RowIter::from_file_into(Box::new(reader)), number: 0 })
    }

    fn no_parquet(line: u64, why: &ParquetError) -> ReadError {
        ReadError::Form(line, format!("it is no readable Parquet ({why})"))
    }

    impl ParquetRows {
        pub(in super::super) fn next(&mut self) -> Result<Option<Record>, ReadError> {
            self.number += 1;
            match self.rows.next() {
                None => Ok(None),
                Some(Err(why)) => Err(no_parquet(self.number, &why)),
                Some(Ok(row)) => Ok(Some((self.number, Ok(object(row))))),
            }
        }
    }

    fn object(row: Row) -> Value {
        let columns = row.into_columns().into_iter();
        Value::Object(columns.map(|(name, field)| (name, value(field))).collect::<Map<_, _>>())
    }

    fn value(field: Field) -> Value {
        match field {
            Field::Null => Value::Null,
            Field::Bool(it) => it.into(),
            Field::Byte(it) => it.into(),
            Field::Short(it) => it.into(),
            Field::Int(it) => it.into(),
            Field::Long(it) => it.into(),
            Field::UByte(it) => it.into(),
            Field::UShort(it) => it.into(),
            Field::UInt(it) => it.into(),
            Field::ULong(it) => it.into(),
            Field::Float16(it) => f64::from(it).into(),
            Field::Float(it) => f64::from(it).into(),
            Field::Double(it) => it.into(),
            Field::Str(it) => it.into(),
            // Older writers do not say that bytes are text; images are sent as data.
            Field::Bytes(it) => match std::str::from_utf8(it.data()) {
                Ok(text) => text.into(),
                Err(_) => data_url_of_bytes(it.data()).map_or(Value::Null, |url| (&*url).into()),
            },
            Field::Group(row) => object(row),
            Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
            Field::MapInternal(map) => {
                let entry = |(key, entry): &(Field, Field)| {
                    let name = match value(key.clone()) {
                        Value::String(name) => name,
                        other => other.to_string(),
                    };
                    (name, value(entry.clone()))
                };
                Value::Object(map.entries().iter().map(entry).collect())
            }
            // Numbers and times that no prompt and no length is: as they print.
            other @ (Field::Decimal(_)
            | Field::Date(_)
            | Field::TimeMillis(_)
            | Field::TimeMicros(_)
            | Field::TimestampMillis(_)
            | Field::TimestampMicros(_)) => other.to_string().into(),
        }
    }
}
