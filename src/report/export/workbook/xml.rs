//! XML of a workbook's parts.

use std::fmt::Write as _;

use super::{Bold, Cell, Sheet};

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
/// Most characters of one cell; a spreadsheet refuses more.
const MOST_CHARACTERS: usize = 32_767;
/// Widest column that is made for its content.
const WIDEST: usize = 40;

/// What the archive's root points at.
pub(super) const ROOT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
    <Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
    <Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" \
    Target=\"xl/workbook.xml\"/></Relationships>";

/// Formats by number: plain, bold, two decimals, several lines, at the top.
pub(super) const STYLES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
    <styleSheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\">\
    <fonts count=\"2\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font>\
    <font><b/><sz val=\"11\"/><name val=\"Calibri\"/></font></fonts>\
    <fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill><fill><patternFill patternType=\"gray125\"/></fill></fills>\
    <borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>\
    <cellStyleXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/></cellStyleXfs>\
    <cellXfs count=\"5\">\
    <xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\"/>\
    <xf numFmtId=\"0\" fontId=\"1\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyFont=\"1\"/>\
    <xf numFmtId=\"4\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>\
    <xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyAlignment=\"1\"><alignment wrapText=\"1\"/></xf>\
    <xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyAlignment=\"1\"><alignment vertical=\"top\"/></xf>\
    </cellXfs>\
    <cellStyles count=\"1\"><cellStyle name=\"Normal\" xfId=\"0\" builtinId=\"0\"/></cellStyles></styleSheet>";

/// A place in `STYLES`.
#[derive(Debug, Clone, Copy)]
enum Style {
    Plain = 0,
    Bold = 1,
    Decimals = 2,
    Lines = 3,
    Top = 4,
}

/// Which part is what.
pub(super) fn content_types(sheets: &[Sheet]) -> String {
    let mut text = format!(
        "{HEAD}<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
         <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
         <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
         <Override PartName=\"/xl/workbook.xml\" \
         ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml\"/>\
         <Override PartName=\"/xl/styles.xml\" \
         ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml\"/>"
    );
    for number in 1..=sheets.len() {
        // Writing to a string cannot fail, here and below.
        let _infallible = write!(
            text,
            "<Override PartName=\"/xl/worksheets/sheet{number}.xml\" \
             ContentType=\"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml\"/>"
        );
    }
    text.push_str("</Types>");
    text
}

/// The sheets by name.
pub(super) fn workbook(sheets: &[Sheet]) -> String {
    let mut text = format!(
        "{HEAD}<workbook xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" \
         xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\"><sheets>"
    );
    for (number, sheet) in (1..).zip(sheets) {
        let name = escaped(sheet.name);
        let _infallible =
            write!(text, "<sheet name=\"{name}\" sheetId=\"{number}\" r:id=\"rId{number}\"/>");
    }
    text.push_str("</sheets></workbook>");
    text
}

/// Where the parts of the workbook lie.
pub(super) fn parts(sheets: &[Sheet]) -> String {
    const KINDS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let mut text = format!(
        "{HEAD}<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">"
    );
    for number in 1..=sheets.len() {
        let _infallible = write!(
            text,
            "<Relationship Id=\"rId{number}\" Type=\"{KINDS}/worksheet\" Target=\"worksheets/sheet{number}.xml\"/>"
        );
    }
    let styles = sheets.len() + 1;
    let _infallible = write!(
        text,
        "<Relationship Id=\"rId{styles}\" Type=\"{KINDS}/styles\" Target=\"styles.xml\"/></Relationships>"
    );
    text
}

/// A sheet: columns, cells, cells that are shown as one.
pub(super) fn sheet(sheet: &Sheet) -> String {
    let mut text = format!(
        "{HEAD}<worksheet xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\">{}<sheetData>",
        columns(sheet)
    );
    for (place, row) in sheet.rows.iter().enumerate() {
        let _infallible = write!(text, "<row r=\"{}\">", place + 1);
        for (column, cell) in row.iter().enumerate() {
            put_cell(&mut text, sheet, (place, column), cell);
        }
        text.push_str("</row>");
    }
    text.push_str("</sheetData>");
    if !sheet.merged.is_empty() {
        let _infallible = write!(text, "<mergeCells count=\"{}\">", sheet.merged.len());
        for merged in &sheet.merged {
            let column = letters(merged.column);
            let (first, last) = (merged.first + 1, merged.last + 1);
            let _infallible = write!(text, "<mergeCell ref=\"{column}{first}:{column}{last}\"/>");
        }
        text.push_str("</mergeCells>");
    }
    text.push_str("</worksheet>");
    text
}

fn columns(sheet: &Sheet) -> String {
    let count = sheet.rows.iter().map(Vec::len).max().unwrap_or(0);
    if count == 0 {
        return String::new();
    }
    let mut text = String::from("<cols>");
    for column in 0..count {
        let cells = sheet.rows.iter().filter_map(|row| row.get(column));
        let width = cells.map(Cell::width).max().unwrap_or(0).min(WIDEST) + 2;
        let folded = sheet.folded.contains(&column);
        let folded = if folded { " hidden=\"1\" outlineLevel=\"1\"" } else { "" };
        let number = column + 1;
        let _infallible = write!(
            text,
            "<col min=\"{number}\" max=\"{number}\" width=\"{width}\" customWidth=\"1\"{folded}/>"
        );
    }
    text.push_str("</cols>");
    text
}

fn style(sheet: &Sheet, (row, column): (usize, usize)) -> Style {
    let from = |first: Option<usize>| first.is_some_and(|first| column >= first);
    let is_bold = match sheet.bold {
        Bold::FirstRow => row == 0,
        Bold::FirstColumn => column == 0,
    };
    if is_bold {
        Style::Bold
    } else if sheet.merged.iter().any(|it| it.column == column && it.first == row) {
        Style::Top
    } else if from(sheet.lines_from) {
        Style::Lines
    } else if from(sheet.decimals_from) {
        Style::Decimals
    } else {
        Style::Plain
    }
}

fn put_cell(text: &mut String, sheet: &Sheet, place: (usize, usize), cell: &Cell) {
    let (row, column) = place;
    let at = format!("{}{}", letters(column), row + 1);
    let style = style(sheet, place) as u8;
    match cell {
        Cell::Number(value) if value.is_finite() => {
            let _infallible = write!(text, "<c r=\"{at}\" s=\"{style}\"><v>{value}</v></c>");
        }
        Cell::Text(content) => {
            let content = escaped(content);
            let _infallible = write!(
                text,
                "<c r=\"{at}\" s=\"{style}\" t=\"inlineStr\"><is><t xml:space=\"preserve\">{content}</t></is></c>"
            );
        }
        Cell::Number(_) | Cell::Empty => {}
    }
}

/// `A`, `B`, …, `Z`, `AA`, ….
fn letters(column: usize) -> String {
    let (mut rest, mut letters) = (column + 1, Vec::new());
    while rest > 0 {
        letters.push(char::from(b'A' + ((rest - 1) % 26) as u8));
        rest = (rest - 1) / 26;
    }
    letters.into_iter().rev().collect()
}

/// Without what XML or a cell has no place for.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars().take(MOST_CHARACTERS) {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_on_with_two_letters_behind_z() {
        assert_eq!([0, 25, 26, 701, 702].map(letters), ["A", "Z", "AA", "ZZ", "AAA"]);
    }

    #[test]
    fn what_would_end_an_element_or_is_no_character_of_xml_is_replaced() {
        assert_eq!(escaped("a<b & \"c\"\n\u{1b}"), "a&lt;b &amp; &quot;c&quot;\n\u{fffd}");
        assert_eq!(escaped(&"x".repeat(40_000)).len(), MOST_CHARACTERS);
    }

    #[test]
    fn a_number_that_is_none_and_an_empty_cell_are_left_out() {
        let cells = vec![Cell::Number(f64::NAN), Cell::Empty, Cell::Number(1.5)];
        let made = sheet(&Sheet::new("s", vec![vec![], cells], Bold::FirstRow));
        assert!(made.contains("<row r=\"2\"><c r=\"C2\" s=\"0\"><v>1.5</v></c></row>"), "{made}");
    }
}
