//! `requests.parquet` and `deliveries.parquet`: the tables of a run in columns, in builds with the feature `parquet`.

pub use writing::{check, write};

/// Why there is no Parquet.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFileError {
    /// The feature is off.
    #[error(
        "this build writes no Parquet: build it with `cargo build --release --features parquet`, or read `requests.csv` and \
         `deliveries.csv.gz`, which hold the same"
    )]
    NotBuilt,
    /// A table of the run cannot be read, or its file not written.
    #[error("`{path}` cannot be written: {why}")]
    Write {
        /// Which file.
        path: String,
        /// What is in the way.
        why: String,
    },
}

/// Columns of words; all others are numbers.
#[cfg(any(feature = "parquet", test))]
const WORDS: [&str; 10] = [
    "part",
    "token_source",
    "token_hash",
    "stamp_source",
    "outcome",
    "reason",
    "failure_words",
    "connect_at",
    "oddities",
    "outlier",
];

#[cfg(not(feature = "parquet"))]
mod writing {
    use std::path::Path;

    use super::ParquetFileError;

    /// Whether this build writes Parquet.
    ///
    /// # Errors
    /// With what is missing.
    pub fn check() -> Result<(), ParquetFileError> {
        Err(ParquetFileError::NotBuilt)
    }

    /// Writes the tables of a run into a folder that is there; what was left out, in words.
    ///
    /// # Errors
    /// With what is missing.
    pub fn write(_run: &Path, _folder: &Path) -> Result<Vec<String>, ParquetFileError> {
        Err(ParquetFileError::NotBuilt)
    }
}

#[cfg(feature = "parquet")]
mod writing {
    use std::fs::File;
    use std::io::Read;
    use std::path::Path;
    use std::sync::Arc;

    use flate2::read::MultiGzDecoder;
    use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
    use parquet::errors::ParquetError;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::types::Type;

    use super::{ParquetFileError, WORDS};
    use crate::store::run_directory::file;
    use crate::store::{deliveries_file, rows};

    /// Rows of a group, which is in memory as a whole.
    const GROUP: usize = 64 << 10;

    /// Values of one column of a group. A level of 1 is a value, one of 0 is an empty cell.
    struct Column {
        name: String,
        levels: Vec<i16>,
        values: Values,
    }

    enum Values {
        Words(Vec<ByteArray>),
        Whole(Vec<i64>),
        Real(Vec<f64>),
    }

    /// Whether this build writes Parquet.
    ///
    /// # Errors
    /// Never in this build.
    pub fn check() -> Result<(), ParquetFileError> {
        Ok(())
    }

    /// Writes the tables of a run into a folder that is there; what was left out, in words.
    ///
    /// # Errors
    /// When a table cannot be read, or a file not be written.
    pub fn write(run: &Path, folder: &Path) -> Result<Vec<String>, ParquetFileError> {
        let requests = run.join(file::REQUESTS);
        let of_file = |path: &Path, why: String| ParquetFileError::Write {
            path: path.display().to_string(),
            why,
        };
        let to = folder.join("requests.parquet");
        let from = File::open(&requests).map_err(|why| of_file(&requests, why.to_string()))?;
        table(from, &to).map_err(|why| of_file(&to, why))?;
        let deliveries = run.join(file::DELIVERIES);
        if !deliveries.exists() {
            return Ok(vec!["the run kept no deliveries".to_owned()]);
        }
        let to = folder.join("deliveries.parquet");
        let from = File::open(&deliveries).map_err(|why| of_file(&deliveries, why.to_string()))?;
        table(MultiGzDecoder::new(from), &to).map_err(|why| of_file(&to, why))?;
        Ok(Vec::new())
    }

    fn table(from: impl Read, to: &Path) -> Result<(), String> {
        let mut rows = csv::Reader::from_reader(from);
        let words = |error: csv::Error| error.to_string();
        let names = rows.headers().map_err(words)?.clone();
        let mut columns: Vec<Column> = names.iter().map(Column::new).collect();
        let in_words = |error: ParquetError| error.to_string();
        let out = File::create(to).map_err(|why| why.to_string())?;
        let mut writer = writer(&columns, out).map_err(in_words)?;
        let mut row = csv::StringRecord::new();
        let mut held = 0;
        while rows.read_record(&mut row).map_err(words)? {
            for (column, cell) in columns.iter_mut().zip(&row) {
                column.push(cell)?;
            }
            held += 1;
            if held == GROUP {
                group(&mut writer, &mut columns).map_err(in_words)?;
                held = 0;
            }
        }
        if held > 0 {
            group(&mut writer, &mut columns).map_err(in_words)?;
        }
        let out = writer.into_inner().map_err(in_words)?;
        out.sync_all().map_err(|why| why.to_string())
    }

    fn writer(columns: &[Column], out: File) -> Result<SerializedFileWriter<File>, ParquetError> {
        let fields = columns.iter().map(|column| column.schema().map(Arc::new));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("bareflight").with_fields(fields).build()?;
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))
    }

    fn group(
        writer: &mut SerializedFileWriter<File>,
        columns: &mut [Column],
    ) -> Result<(), ParquetError> {
        let mut group = writer.next_row_group()?;
        for column in columns {
            let Some(mut out) = group.next_column()? else { break };
            let levels = Some(&*column.levels);
            match &mut column.values {
                Values::Words(values) => {
                    out.typed::<ByteArrayType>().write_batch(values, levels, None)?;
                    values.clear();
                }
                Values::Whole(values) => {
                    out.typed::<Int64Type>().write_batch(values, levels, None)?;
                    values.clear();
                }
                Values::Real(values) => {
                    out.typed::<DoubleType>().write_batch(values, levels, None)?;
                    values.clear();
                }
            }
            out.close()?;
            column.levels.clear();
        }
        group.close()?;
        Ok(())
    }

    impl Column {
        fn new(name: &str) -> Self {
            let is_raw = rows::COLUMNS.contains(&name) || deliveries_file::COLUMNS.contains(&name);
            let values = match (WORDS.contains(&name), is_raw) {
                (true, _) => Values::Words(Vec::new()),
                (false, true) => Values::Whole(Vec::new()),
                (false, false) => Values::Real(Vec::new()),
            };
            Self { name: name.to_owned(), levels: Vec::new(), values }
        }

        fn schema(&self) -> Result<Type, ParquetError> {
            let (physical, logical) = match self.values {
                Values::Words(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Values::Whole(_) => (Physical::INT64, None),
                Values::Real(_) => (Physical::DOUBLE, None),
            };
            Type::primitive_type_builder(&self.name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
        }

        fn push(&mut self, cell: &str) -> Result<(), String> {
            self.levels.push(i16::from(!cell.is_empty()));
            if cell.is_empty() {
                return Ok(());
            }
            let no_number = || format!("column `{}`: `{cell}` is no number", self.name);
            match &mut self.values {
                Values::Words(values) => values.push(cell.into()),
                Values::Whole(values) => values.push(cell.parse().map_err(|_| no_number())?),
                Values::Real(values) => values.push(cell.parse().map_err(|_| no_number())?),
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::COLUMNS;

    #[test]
    fn words_are_columns_of_the_tables() {
        let others = WORDS.iter().filter(|name| !COLUMNS.contains(name));
        assert_eq!(others.collect::<Vec<_>>(), [&"outlier"]);
    }
}
