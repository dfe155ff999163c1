//! Examples in a table: values between commas, semicolons or tabs, quoted as spreadsheets write them, or
//! between the bars of Markdown.
//!
//! The reader is part of this crate because its errors name a line and a field, and because text pasted from
//! a spreadsheet may start with a quotation mark that is not a quote.

use super::names::{Fields, normal};
use super::{ExamplesLayout, FormatError, ReadExamples, invalid, unclear};

/// Limit on the columns of a table.
const MAX_COLUMNS: usize = 64;
/// The byte order mark, which is left at the start of a row where files were joined.
pub(super) const MARK: char = '\u{feff}';

/// Reads a table that names its delimiter or shows it.
pub(super) fn read(text: &str) -> Result<ReadExamples, FormatError> {
    if is_markdown(text) {
        return read_markdown(text);
    }
    let (delimiter, rest, line) = delimiter(text);
    read_rows(delimiter, Header::default(), Rows { rest, delimiter, line })
}

/// Reads a table with tabs.
pub(super) fn read_tabs(text: &str) -> Result<ReadExamples, FormatError> {
    read_rows('\t', Header::default(), Rows { rest: text, delimiter: '\t', line: 1 })
}

/// Reads a table of Markdown; a rule below the first row says that it is a header, whatever its names are.
fn read_markdown(text: &str) -> Result<ReadExamples, FormatError> {
    let mut lines: Vec<(usize, &str)> =
        (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).collect();
    let is_ruled = lines.get(1).is_some_and(|(_, line)| is_rule(line));
    if is_ruled {
        lines.remove(1);
    }
    let rows = lines.into_iter().map(|(index, line)| Ok((index, cells(line))));
    read_rows('|', Header { is_there: is_ruled, ..Header::default() }, rows)
}

fn read_rows(
    delimiter: char,
    mut header: Header,
    rows: impl Iterator<Item = Result<(usize, Vec<String>), FormatError>>,
) -> Result<ReadExamples, FormatError> {
    let layout = ExamplesLayout { delimiter: Some(delimiter), ..ExamplesLayout::default() };
    let mut read = ReadExamples { examples: Vec::new(), layout };
    for row in rows {
        let (line, row) = row?;
        if is_blank(&row) {
            continue;
        }
        // Spreadsheets write empty cells behind the last column.
        let cells = row.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |last| last + 1);
        let place = format!("line {line}");
        let Some(columns) = header.columns(&mut read.layout, &place, &row, cells)? else {
            continue;
        };
        if cells > columns.most || row.len() < columns.least {
            let (found, expected) = (row.len(), columns.most);
            return Err(FormatError::Columns { line, found, expected, delimiter });
        }
        // Blanks around a cell come from laying the table out.
        let is_trimmed = row.iter().any(|cell| cell.trim().len() < cell.len());
        read.layout.trimmed += u32::from(is_trimmed);
        let field = |index: usize| Ok(row.get(index).map_or("", |cell| cell.trim()).to_owned());
        let (input, output) = columns.fields.read(field)?;
        read.push(&place, input, output)?;
    }
    Ok(read)
}

/// The header of a table, once its first row has been read.
#[derive(Default)]
pub(super) struct Header {
    /// Whether the first row is known to be one.
    is_there: bool,
    started: bool,
    found: Option<Names>,
}

/// What a header says.
struct Names {
    fields: Fields,
    /// The names as they are compared, and in the order of the alphabet.
    names: Vec<String>,
    sorted: Vec<String>,
}

/// Which columns of a row hold an example.
pub(super) struct Columns {
    pub(super) fields: Fields,
    /// The fewest and the most that a row may have.
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Header {
    /// The columns of a row; none for the header itself. `cells` are those before the empty ones at its end.
    ///
    /// # Errors
    /// [`FormatError::Invalid`] for a header that does not say which column is what, or stands between rows.
    pub(super) fn columns(
        &mut self,
        layout: &mut ExamplesLayout,
        place: &str,
        row: &[String],
        cells: usize,
    ) -> Result<Option<Columns>, FormatError> {
        if !std::mem::replace(&mut self.started, true) {
            let named = Fields::of_header(&row[..cells]).map_err(|found| unclear(place, found))?;
            let named = named.or((self.is_there && cells == 2).then_some(Fields::TWO_COLUMNS));
            if let Some(fields) = named {
                layout.note(row, fields);
                let names: Vec<String> = row.iter().map(normal).collect();
                self.found = Some(Names { fields, sorted: sorted(names.clone()), names });
                return Ok(None);
            }
        } else {
            match self.found.as_ref().filter(|found| found.names.len() == row.len()) {
                Some(Names { names, sorted: known, .. }) => {
                    let same: Vec<String> = row.iter().map(normal).collect();
                    // Joined files repeat it.
                    if *names == same {
                        return Ok(None);
                    }
                    if *known == sorted(same) || Fields::are_named_by(&row[..cells]) {
                        return Err(second_header(place, row));
                    }
                }
                None if Fields::are_named_by(&row[..cells]) => {
                    return Err(second_header(place, row));
                }
                None => {}
            }
        }
        Ok(Some(match &self.found {
            Some(found) => Columns { fields: found.fields, least: 0, most: found.names.len() },
            None => Columns { fields: Fields::TWO_COLUMNS, least: 2, most: 2 },
        }))
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

fn second_header(place: &str, row: &[String]) -> FormatError {
    let expected = "an example; a header stands before all others".into();
    invalid(place, expected, format!("the header {}", row.join(", ")))
}

/// Whether a text is a table of Markdown, whose rows have bars at both ends.
fn is_markdown(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
    let is_row = |line: &str| line.len() > 1 && line.starts_with('|') && line.ends_with('|');
    lines.peek().is_some() && lines.all(is_row)
}

/// Whether a line of Markdown is the rule below a header.
fn is_rule(line: &str) -> bool {
    line.contains('-') && line.chars().all(|c| "|-: \t\r".contains(c))
}

/// The cells of a row of Markdown, in which `\|` is a bar.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let line = line.strip_suffix('|').unwrap_or(line);
    let mut cells = vec![String::new()];
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '|' if cells.len() <= MAX_COLUMNS => cells.push(String::new()),
            _ => {
                let escaped = (c == '\\').then(|| chars.next_if_eq(&'|')).flatten();
                cells.last_mut().into_iter().for_each(|cell| cell.push(escaped.unwrap_or(c)));
            }
        }
    }
    cells
}

/// A table's delimiter, the text without a line that names it, and the line on which that starts.
fn delimiter(text: &str) -> (char, &str, usize) {
    let (first_line, rest) = text.split_once('\n').unwrap_or((text, ""));
    if let Some(named) = named_delimiter(first_line) {
        return (named, rest, 2);
    }
    let first_row = |delimiter| {
        let row = Rows { rest: text.trim_start(), delimiter, line: 1 }.next_row();
        row.ok().flatten().map_or_else(Vec::new, |(_, row)| row)
    };
    let (commas, semicolons) = (first_row(','), first_row(';'));
    if Fields::of_header(&commas) != Ok(None) {
        return (',', text, 1);
    }
    if Fields::of_header(&semicolons) != Ok(None) || (commas.len() == 1 && semicolons.len() > 1) {
        return (';', text, 1);
    }
    let delimiter = match (pairs(text, ','), pairs(text, ';')) {
        (None, Some(_)) => ';',
        (Some(commas), Some(semicolons)) if semicolons_delimit(&commas, &semicolons) => ';',
        _ => ',',
    };
    (delimiter, text, 1)
}

/// The delimiter that a line `sep=;` names, as Excel writes it.
pub(super) fn named_delimiter(line: &str) -> Option<char> {
    let (name, delimiter) = line.trim_end_matches('\r').split_once('=')?;
    let mut chars = delimiter.chars();
    match (chars.next(), chars.next()) {
        (Some(delimiter), None) if name.eq_ignore_ascii_case("sep") => Some(delimiter),
        _ => None,
    }
}

/// Whether semicolons are the delimiters of a table that either could delimit. Text has a blank behind its own
/// commas and semicolons. Where it has none, as in `3,50` and `&eacute;`, it is the input that has them.
fn semicolons_delimit(commas: &[[String; 2]], semicolons: &[[String; 2]]) -> bool {
    let any =
        |rows: &[[String; 2]], is: fn(&str) -> bool| rows.iter().any(|[_, output]| is(output));
    let starts_blank = |output: &str| output.starts_with(' ');
    match (any(commas, starts_blank), any(semicolons, starts_blank)) {
        (true, false) => true,
        (false, true) => false,
        // Commas between digits, where every row has one, are decimal.
        _ => {
            semicolons.iter().all(|row| row.iter().any(|cell| has_decimal_comma(cell)))
                || !any(semicolons, |output| output.contains(','))
        }
    }
}

/// Whether every comma of a cell stands between digits, and there is one.
fn has_decimal_comma(cell: &str) -> bool {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let parts: Vec<&str> = cell.split(',').collect();
    parts
        .windows(2)
        .all(|pair| is_digit(pair[0].chars().next_back()) && is_digit(pair[1].chars().next()))
        && parts.len() == 2
}

/// Whether a line's first tab is one between columns: within quotation marks that end before a comma or a
/// semicolon it is a part of the cell.
pub(super) fn has_tab_between(line: &str) -> bool {
    let Some(tab) = line.find('\t') else { return false };
    let Some(quoted) = line.strip_prefix('"') else { return true };
    let end = quoted.replace("\"\"", "  ").find('"').map(|end| end + 1);
    !end.is_some_and(|end| tab < end && line[end + 1..].trim_start().starts_with([',', ';']))
}

/// The rows of a table if each has two columns.
fn pairs(text: &str, delimiter: char) -> Option<Vec<[String; 2]>> {
    let mut pairs = Vec::new();
    let mut rows = Rows { rest: text, delimiter, line: 1 };
    while let Some((_, row)) = rows.next_row().ok()? {
        if !is_blank(&row) {
            pairs.push(row.try_into().ok()?);
        }
    }
    Some(pairs)
}

fn is_blank(row: &[String]) -> bool {
    row.iter().all(|field| field.trim().is_empty())
}

/// A reader of a table's rows.
struct Rows<'t> {
    rest: &'t str,
    delimiter: char,
    /// Line number of the start of `rest`.
    line: usize,
}

impl Iterator for Rows<'_> {
    type Item = Result<(usize, Vec<String>), FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

impl Rows<'_> {
    /// The next row, and the number of its first line.
    fn next_row(&mut self) -> Result<Option<(usize, Vec<String>)>, FormatError> {
        self.rest = self.rest.trim_start_matches(MARK);
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let mut row = Vec::new();
        loop {
            if row.len() == MAX_COLUMNS {
                return Err(invalid(
                    &format!("line {line}"),
                    format!("at most {MAX_COLUMNS} columns"),
                    "more".into(),
                ));
            }
            row.push(self.next_field()?);
            if let Some(rest) = self.rest.strip_prefix(self.delimiter) {
                self.rest = rest;
                continue;
            }
            let end =
                self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix(['\n', '\r']));
            if let Some(rest) = end {
                self.rest = rest;
                self.line += 1;
            }
            return Ok(Some((line, row)));
        }
    }

    fn next_field(&mut self) -> Result<String, FormatError> {
        if self.rest.trim_start_matches(' ').starts_with('"')
            && let Some(field) = self.quoted_field()?
        {
            return Ok(field);
        }
        let end = self.rest.find([self.delimiter, '\n', '\r']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(field.into())
    }

    /// A field in quotation marks, blanks around them left out; `None` in a table with tabs or behind a
    /// blank if the marks do not enclose it.
    fn quoted_field(&mut self) -> Result<Option<String>, FormatError> {
        let quoted = self.rest.trim_start_matches(' ');
        let (mut field, mut rest) = (String::new(), &quoted[1..]);
        let problem = loop {
            let Some(mark) = rest.find('"') else { break "no closing quotation mark" };
            field.push_str(&rest[..mark]);
            rest = &rest[mark + 1..];
            if let Some(after) = rest.strip_prefix('"') {
                field.push('"');
                rest = after;
                continue;
            }
            let behind = rest.trim_start_matches(' ');
            if behind.is_empty() || behind.starts_with([self.delimiter, '\n', '\r']) {
                self.line += field.matches('\n').count();
                self.rest = behind;
                return Ok(Some(field));
            }
            break "text after the closing quotation mark";
        };
        if self.delimiter == '\t' || self.rest.starts_with(' ') {
            return Ok(None);
        }
        Err(invalid(
            &format!("line {}", self.line),
            "a quoted value, with quotation marks inside it doubled".into(),
            problem.into(),
        ))
    }
}
