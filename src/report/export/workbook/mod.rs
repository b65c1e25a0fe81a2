//! Workbooks of Office Open XML (`.xlsx`): sheets of plain cells with the few formats that the sheets of genai-bench have.

mod archive;
mod xml;

use std::io;

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// A number; one that is not finite is written as nothing.
    Number(f64),
    /// A text.
    Text(String),
}

impl Cell {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Characters that it takes.
    fn width(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Number(value) => value.to_string().chars().count(),
            Self::Text(text) => text.chars().count(),
        }
    }
}

/// Which cells are bold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bold {
    /// Those of the first row.
    FirstRow,
    /// Those of the first column.
    FirstColumn,
}

/// Cells of one column that are shown as one, with the value of the first. Rows count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// The column, from 0.
    pub column: usize,
    /// The first row.
    pub first: usize,
    /// The last row, which lies below it.
    pub last: usize,
}

/// A sheet.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// At most 31 characters.
    pub name: &'static str,
    /// Its cells, row by row.
    pub rows: Vec<Vec<Cell>>,
    /// Which are bold.
    pub bold: Bold,
    /// The first column whose numbers have two decimals and commas between thousands.
    pub decimals_from: Option<usize>,
    /// The first column whose texts have several lines.
    pub lines_from: Option<usize>,
    /// Cells that are shown as one.
    pub merged: Vec<Merged>,
    /// Columns that are folded away, from 0.
    pub folded: Vec<usize>,
}

impl Sheet {
    /// Most rows that a sheet holds.
    pub const MOST_ROWS: usize = 1_048_576;

    /// A sheet without formats.
    pub fn new(name: &'static str, rows: Vec<Vec<Cell>>, bold: Bold) -> Self {
        Self {
            name,
            rows,
            bold,
            decimals_from: None,
            lines_from: None,
            merged: Vec::new(),
            folded: Vec::new(),
        }
    }

    /// Shows cells of a column as one, where there are several.
    pub fn merge(&mut self, column: usize, first: usize, last: usize) {
        if first < last {
            self.merged.push(Merged { column, first, last });
        }
    }
}

/// The file. The same sheets have the same bytes.
///
/// # Errors
/// Never in practice: it is packed in memory.
pub fn bytes(sheets: &[Sheet]) -> io::Result<Vec<u8>> {
    let mut archive = archive::Archive::default();
    archive.add("[Content_Types].xml", xml::content_types(sheets).as_bytes())?;
    archive.add("_rels/.rels", xml::ROOT.as_bytes())?;
    archive.add("xl/workbook.xml", xml::workbook(sheets).as_bytes())?;
    archive.add("xl/_rels/workbook.xml.rels", xml::parts(sheets).as_bytes())?;
    archive.add("xl/styles.xml", xml::STYLES.as_bytes())?;
    for (number, sheet) in (1..).zip(sheets) {
        archive.add(&format!("xl/worksheets/sheet{number}.xml"), xml::sheet(sheet).as_bytes())?;
    }
    Ok(archive.finish())
}
