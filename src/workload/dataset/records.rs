//! Records of a file, one at a time: JSON values, rows of a table, lines.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::elements::{CutError, Elements, Lines, Place};
use super::format::Shape;
use super::parquet_rows::{self, ParquetRows};
use super::{DatasetError, open};

/// A record with the line that it begins on, or why that is none.
pub(super) type Record = (u64, Result<Value, String>);

/// Records of one file.
pub(super) enum Records {
    Elements(Elements),
    Lines { bytes: Box<dyn BufRead>, line: u64, json: bool },
    Rows { headers: csv::StringRecord, rows: Box<csv::Reader<Box<dyn BufRead>>> },
    Parquet(Box<ParquetRows>),
}

/// Where a file is not what its kind has.
pub(super) enum ReadError {
    Read(std::io::Error),
    Form(u64, String),
    #[cfg(not(feature = "parquet"))]
    ParquetNotBuilt,
}

impl From<CutError> for ReadError {
    fn from(error: CutError) -> Self {
        match error {
            CutError::Read(why) => Self::Read(why),
            CutError::Form(line, why) => Self::Form(line, why),
        }
    }
}

impl ReadError {
    pub(super) fn of(self, path: &Path, kind: &'static str) -> DatasetError {
        let path = path.to_owned();
        match self {
            Self::Read(why) => DatasetError::Read { path, why: Arc::new(why) },
            #[cfg(not(feature = "parquet"))]
            Self::ParquetNotBuilt => DatasetError::ParquetNotBuilt { path },
            Self::Form(line, reason) => DatasetError::NotOfKind { path, line, reason, kind },
        }
    }
}

impl Records {
    pub(super) fn open(path: &Path, shape: Shape) -> Result<Self, ReadError> {
        if shape == Shape::Parquet || parquet_rows::is_parquet(path).map_err(ReadError::Read)? {
            if shape == Shape::Lines {
                let why = "it is Parquet, which has columns: name the kind `parquet`, and a column with `--prompt-column`";
                return Err(ReadError::Form(1, why.to_owned()));
            }
            return parquet_rows::open(path).map(|rows| Self::Parquet(Box::new(rows)));
        }
        let bytes = open::open(path).map_err(ReadError::Read)?;
        match shape {
            Shape::Lines | Shape::Parquet => Ok(Self::Lines { bytes, line: 1, json: false }),
            Shape::Json(members) | Shape::JsonWithin(members) => {
                let lines = match shape {
                    Shape::Json(_) if has_name_of_lines(path) => Lines::Named,
                    Shape::Json(_) => Lines::Possible,
                    Shape::JsonWithin(_) | Shape::Csv | Shape::Lines | Shape::Parquet => {
                        Lines::Never
                    }
                };
                match Elements::new(bytes, members, lines)? {
                    (Place::Array, elements) => Ok(Self::Elements(elements)),
                    (Place::Lines, elements) => {
                        let (bytes, line) = elements.into_lines();
                        Ok(Self::Lines { bytes, line, json: true })
                    }
                }
            }
            Shape::Csv => {
                let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
                let headers = rows.headers().cloned().map_err(of_table)?;
                Ok(Self::Rows { headers, rows: Box::new(rows) })
            }
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, ReadError> {
        match self {
            Self::Elements(elements) => {
                let parsed = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(no_json);
                Ok(elements.next()?.map(|(line, bytes)| (line, parsed(bytes))))
            }
            Self::Lines { bytes, line, json } => next_line(bytes, line, *json),
            Self::Rows { headers, rows } => next_row(headers, rows),
            Self::Parquet(rows) => rows.next(),
        }
    }
}

fn has_name_of_lines(path: &Path) -> bool {
    ["jsonl", "ndjson"].iter().any(|name| open::has_extension(path, name))
}

fn no_json(error: serde_json::Error) -> String {
    format!("it is no JSON ({error})")
}

fn of_table(error: csv::Error) -> ReadError {
    let line = error.position().map_or(1, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(why) => ReadError::Read(why),
        csv::ErrorKind::Utf8 { .. } => ReadError::Form(line, "it is no UTF-8".to_owned()),
        _ => ReadError::Form(line, "it is no table".to_owned()),
    }
}

fn next_line(
    bytes: &mut Box<dyn BufRead>,
    line: &mut u64,
    json: bool,
) -> Result<Option<Record>, ReadError> {
    loop {
        let mut text = Vec::new();
        if bytes.read_until(b'\n', &mut text).map_err(ReadError::Read)? == 0 {
            return Ok(None);
        }
        let this = *line;
        *line += 1;
        while matches!(text.last(), Some(b'\n' | b'\r')) {
            text.pop();
        }
        if json && text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let record = if json {
            serde_json::from_slice(&text).map_err(no_json)
        } else {
            String::from_utf8(text).map(Value::String).map_err(|_| "it is no UTF-8".to_owned())
        };
        return Ok(Some((this, record)));
    }
}

fn next_row(
    headers: &csv::StringRecord,
    rows: &mut csv::Reader<Box<dyn BufRead>>,
) -> Result<Option<Record>, ReadError> {
    let mut row = csv::ByteRecord::new();
    if !rows.read_byte_record(&mut row).map_err(of_table)? {
        return Ok(None);
    }
    let line = row.position().map_or(0, csv::Position::line);
    if row.len() != headers.len() {
        let why = format!("it has {} columns, and the header {}", row.len(), headers.len());
        return Ok(Some((line, Err(why))));
    }
    let record = csv::StringRecord::from_byte_record(row)
        .map(|row| {
            let cell = |(name, cell): (&str, &str)| (name.to_owned(), Value::String(cell.into()));
            Value::Object(headers.iter().zip(row.iter()).map(cell).collect::<Map<_, _>>())
        })
        .map_err(|_| "it is no UTF-8".to_owned());
    Ok(Some((line, record)))
}
