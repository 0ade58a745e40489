//! What is printed: lines, tables and JSON, with colour on a terminal only.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Standard output, or what stands for it.
pub struct Page {
    out: Box<dyn Write + Send>,
    colour: bool,
}

/// Whether colour may be used: on a terminal, unless `NO_COLOR` says otherwise.
pub(super) fn colour_wanted(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A text in an ANSI style, or plain.
pub(super) fn painted(text: &str, style: &str, colour: bool) -> String {
    if colour {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

impl Page {
    /// Standard output.
    pub fn standard() -> Page {
        let out = io::stdout();
        let colour = colour_wanted(out.is_terminal());
        Page {
            out: Box::new(io::BufWriter::new(out)),
            colour,
        }
    }

    /// A text in an ANSI style where colour is wanted.
    pub fn paint(&self, text: &str, style: &str) -> String {
        painted(text, style, self.colour)
    }

    /// One line.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// One JSON document, indented.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut self.out, value).map_err(io::Error::from)?;
        writeln!(self.out)
    }

    /// A table with aligned columns and a heading; nothing where there are no rows.
    pub fn table(&mut self, heading: &[(&str, Align)], rows: &[Vec<String>]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| row.iter().map(|cell| harmless(cell)).collect())
            .collect();
        let names: Vec<String> = heading.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut widths: Vec<usize> = vec![0; heading.len()];
        for row in rows.iter().chain([&names]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let aligned = |cells: &[String]| {
            let cells = cells.iter().zip(heading).zip(&widths);
            let cells = cells.map(|((cell, (_, align)), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let names = self.paint(&aligned(&names), "1");
        self.line(&names)?;
        for row in &rows {
            self.line(&aligned(row))?;
        }
        Ok(())
    }

    /// Names and values, one pair a line.
    pub fn pairs(&mut self, pairs: &[(&str, String)]) -> io::Result<()> {
        let width = pairs.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or_default();
        for (name, value) in pairs {
            let name = self.paint(&format!("{name:<width$}"), "1");
            let value = harmless(value);
            self.line(format!("{name}  {value}").trim_end())?;
        }
        Ok(())
    }

    /// Hands everything over that is still held back.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What comes from a database may hold escape sequences, or characters that turn the direction of a line or cannot be seen;
/// a terminal shall not obey them, and nobody be misled.
pub(super) fn harmless(text: &str) -> String {
    let unseen = |c| {
        matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || unseen(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one thread").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_turns_a_line_or_hides_is_written_out() {
        assert_eq!(harmless("a\u{202e}b\u{200b}\n"), "a\\u{202e}b\\u{200b}\\n");
        assert_eq!(harmless("メール 📨 é"), "メール 📨 é");
    }

    #[test]
    fn columns_are_aligned_and_control_characters_shown() {
        let out = Shared::default();
        let mut page = Page {
            out: Box::new(out.clone()),
            colour: false,
        };
        let rows = [
            vec!["é".to_owned(), "1".to_owned()],
            vec!["a\x1b[31m".to_owned(), "1234".to_owned()],
        ];
        page.table(&[("NAME", Align::Left), ("N", Align::Right)], &rows)
            .expect("printed");
        page.table(&[("NAME", Align::Left)], &[]).expect("printed");
        let text = String::from_utf8(out.0.lock().expect("one thread").clone()).expect("UTF-8");
        assert_eq!(text, "NAME            N\né               1\na\\u{1b}[31m  1234\n");
    }
}
