//! Format trait: how a file is cut into records, and what a record asks.

use serde_json::Value;

use super::columns::Columns;
use crate::clock::Nanos;
use crate::workload::scenario::Span;

/// How a file is cut into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// JSON: one array, one object with an array under one of these names, or one value a line.
    Json(&'static [&'static str]),
    /// The same, and never lines.
    JsonWithin(&'static [&'static str]),
    /// A table with a header; each row becomes an object of texts.
    Csv,
    /// A text a line.
    Lines,
    /// Columns of Parquet; any other shape but lines may be Parquet too.
    Parquet,
}

/// What a record asks, before anything is counted.
#[derive(Debug, Clone, PartialEq)]
pub struct RawEntry {
    /// The prompt, or what is known of it.
    pub given: Given,
    /// The output.
    pub output: RawOutput,
    /// When it arrived, on the trace's own clock.
    pub at: Option<Nanos>,
    /// Addresses, data or files of images.
    pub images: Vec<String>,
    /// The recorded answer, where later turns may repeat it.
    pub answer: Option<String>,
    /// How long the user thinks before it, where the file says so.
    pub think: Option<Nanos>,
    /// Later turns of the same conversation.
    pub later: Vec<RawEntry>,
    /// The bin of a histogram that it is, from which requests are drawn.
    pub bin: Option<Box<Bin>>,
}

/// A bin of a histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Which lengths it is of.
    pub of: BinOf,
    /// Its count, above 0.
    pub weight: f64,
}

/// Lengths of a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinOf {
    /// A prompt and, where it is told, its output.
    Both {
        /// Prompt tokens.
        input: Span,
        /// Output tokens.
        output: Option<Span>,
    },
    /// A prompt, whatever its output.
    Input(Span),
    /// An output, whatever its prompt.
    Output(Span),
}

/// What is known of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Its text.
    Text(String),
    /// Its token ids.
    Ids(Vec<u32>),
    /// Its length alone.
    Length(u32),
    /// Its length, and blocks of tokens of which those with the same id are the same.
    Blocks {
        /// Length in tokens.
        tokens: u32,
        /// Tokens of a block.
        block: u32,
        /// Which blocks.
        ids: Vec<u64>,
    },
}

/// What is known of an output.
#[derive(Debug, Clone, PartialEq)]
pub enum RawOutput {
    /// Nothing.
    Unknown,
    /// Its length.
    Tokens(u32),
    /// A recorded answer, whose tokens are to be counted.
    Text(String),
}

impl RawEntry {
    pub(super) fn new(given: Given, output: RawOutput) -> Self {
        let (at, images, answer, think, later) = (None, Vec::new(), None, None, Vec::new());
        Self { given, output, at, images, answer, think, later, bin: None }
    }
}

/// A published format: one file of `formats/` each.
pub(super) trait Format: Sync {
    /// How its files are cut; `has_csv_name` where the file's name says that it is a table.
    fn shape(&self, has_csv_name: bool) -> Shape;

    /// Which of several plans in one file a record is of; the first one is taken.
    fn part<'a>(&self, _record: &'a Value) -> Option<&'a str> {
        None
    }

    /// What a record asks; `None` where it is well formed and asks nothing.
    ///
    /// # Errors
    /// What is wrong with it, to follow `file, line n: `.
    fn entry(&self, record: &Value, columns: &Columns) -> Result<Option<RawEntry>, String>;
}
