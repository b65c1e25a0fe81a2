//! Records of a file, one at a time: JSON values, rows of a table, lines.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::elements::{CutError, Elements, LONGEST, Lines, Place};
use super::format::Shape;
use super::parquet_rows::{self, ParquetRows};
use super::{DatasetError, open};

/// A record with the line that it begins on, or why that is none.
pub(super) type Record = (u64, Result<Value, String>);

/// Records of one file.
pub(super) enum Records {
    Elements(Elements),
    Lines { bytes: Box<dyn BufRead>, line: u64, json: bool },
    Rows(Box<Table>),
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
            Shape::Csv => Table::open(bytes).map(|table| Self::Rows(Box::new(table))),
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, ReadError> {
        match self {
            Self::Elements(elements) => {
                let parsed = |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(no_json);
                Ok(elements.next()?.map(|(line, bytes)| (line, parsed(bytes))))
            }
            Self::Lines { bytes, line, json } => next_line(bytes, line, *json),
            Self::Rows(table) => table.next(),
            Self::Parquet(rows) => rows.next(),
        }
    }
}

fn has_name_of_lines(path: &Path) -> bool {
    ["jsonl", "ndjson"].iter().any(|name| open::has_extension(path, name))
}

fn no_json(error: serde_json::Error) -> String {
    // Of the entry, and not of the file: an entry of one line has but columns.
    let words = error.to_string().replace(" at line 1 column ", " at column ");
    format!("it is no JSON ({words})")
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
        let mut most = bytes.as_mut().take(LONGEST as u64 + 1);
        if most.read_until(b'\n', &mut text).map_err(ReadError::Read)? == 0 {
            return Ok(None);
        }
        let this = *line;
        if text.len() > LONGEST {
            return Err(ReadError::Form(this, TOO_LONG.to_owned()));
        }
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

/// Why a file is given up: a broken one may never end an entry, and all of it would have to be held.
const TOO_LONG: &str = "an entry is longer than 64 MiB";

/// A table with a header.
pub(super) struct Table {
    headers: csv::StringRecord,
    rows: csv::Reader<Metered>,
    /// Bytes that were read since the last row.
    since: Rc<Cell<usize>>,
    /// Lines end in CRLF: the reader then takes a row to begin before the line feed of the one before.
    lines_behind: u64,
}

impl Table {
    fn open(mut bytes: Box<dyn BufRead>) -> Result<Self, ReadError> {
        let head = bytes.fill_buf().map_err(ReadError::Read)?;
        let delimiter = delimiter(head);
        let first_end = head.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let lines_behind = u64::from(head[..first_end].ends_with(b"\r"));
        let since = Rc::new(Cell::new(0));
        let metered = Metered { bytes, since: Rc::clone(&since) };
        let mut rows =
            csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(metered);
        let mut headers = rows.headers().cloned().map_err(of_table)?;
        headers.trim();
        Ok(Self { headers, rows, since, lines_behind })
    }

    fn next(&mut self) -> Result<Option<Record>, ReadError> {
        let Self { headers, rows, since, lines_behind } = self;
        let mut row = csv::ByteRecord::new();
        since.set(0);
        if !rows.read_byte_record(&mut row).map_err(of_table)? {
            return Ok(None);
        }
        let line = row.position().map_or(0, csv::Position::line) + *lines_behind;
        if row.len() != headers.len() {
            let why = format!("it has {} columns, and the header {}", row.len(), headers.len());
            return Ok(Some((line, Err(why))));
        }
        let record = csv::StringRecord::from_byte_record(row)
            .map(|row| {
                let cell =
                    |(name, cell): (&str, &str)| (name.to_owned(), Value::String(cell.into()));
                Value::Object(headers.iter().zip(row.iter()).map(cell).collect::<Map<_, _>>())
            })
            .map_err(|_| "it is no UTF-8".to_owned());
        Ok(Some((line, record)))
    }
}

/// What separates cells: a comma, or what a header without one has instead.
fn delimiter(head: &[u8]) -> u8 {
    let header = head.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let has = |delimiter: &u8| header.contains(delimiter);
    [b',', b'\t', b';'].into_iter().find(has).unwrap_or(b',')
}

/// Bytes of a table, which end in an error where a row does not end.
struct Metered {
    bytes: Box<dyn BufRead>,
    since: Rc<Cell<usize>>,
}

impl Read for Metered {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.since.set(self.since.get() + read);
        if self.since.get() > LONGEST {
            let words = format!("{TOO_LONG}: does a quotation mark lack its second one?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Vec<(u64, String)> {
        let bytes: Box<dyn BufRead> = Box::new(io::Cursor::new(text.to_owned().into_bytes()));
        let mut table = Table::open(bytes).ok().expect("a table");
        let mut rows = Vec::new();
        while let Some((line, row)) = table.next().ok().expect("a row") {
            rows.push((line, row.map_or_else(|why| why, |row| row.to_string())));
        }
        rows
    }

    #[test]
    fn cells_are_separated_as_the_header_s_are_and_names_have_no_space_around_them() {
        for text in ["a, b\n1,2\n", "a;b\r\n1;2\r\n", "a\tb \n1\t2", "a,b\n1,2"] {
            assert_eq!(table(text), [(2, r#"{"a":"1","b":"2"}"#.to_owned())], "{text:?}");
        }
        assert_eq!(table("a\n1;2\n")[0].1, r#"{"a":"1;2"}"#);
        let lines = |text: &str| table(text).iter().map(|row| row.0).collect::<Vec<_>>();
        assert_eq!(lines("a,b\n1,\"2\n3\"\n4,5\n6\n"), [2, 4, 5]);
        assert_eq!(lines("a,b\r\n1,\"2\r\n3\"\r\n4,5\r\n6\r\n"), [2, 4, 5]);
    }

    /// Bytes without an end.
    struct Endless;

    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            into.fill(b'x');
            Ok(into.len())
        }
    }

    #[test]
    fn a_line_or_row_that_does_not_end_is_given_up() {
        let endless = |head: &'static [u8]| -> Box<dyn BufRead> {
            Box::new(io::BufReader::with_capacity(1 << 20, head.chain(Endless)))
        };
        let mut table = Table::open(endless(b"a,b\n1,\"")).ok().expect("a header");
        assert!(
            matches!(table.next(), Err(ReadError::Read(why)) if why.to_string().contains("64 MiB"))
        );
        let line = next_line(&mut endless(b"1 2"), &mut 7, false);
        assert!(matches!(line, Err(ReadError::Form(7, why)) if why.contains("64 MiB")));
    }
}
