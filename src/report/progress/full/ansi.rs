//! Frames as the control sequences of a terminal, handed over whole.

use std::io::{self, Write as _};

use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};

use crate::console::terminal;

/// What is drawn since the last frame.
#[derive(Debug)]
pub(super) struct Ansi {
    frame: Vec<u8>,
    cursor: Position,
    is_coloured: bool,
}

/// Colours and weight of a cell.
type Look = (Color, Color, Modifier);

impl Ansi {
    pub(super) fn new(is_coloured: bool) -> Self {
        Self { frame: Vec::new(), cursor: Position::ORIGIN, is_coloured }
    }

    fn set_look(&mut self, (front, back, weight): Look) -> io::Result<()> {
        self.frame.write_all(b"\x1b[0")?;
        for (modifier, code) in WEIGHTS {
            if weight.contains(modifier) {
                write!(self.frame, ";{code}")?;
            }
        }
        if self.is_coloured {
            self.set_colour(front, 0)?;
            self.set_colour(back, 10)?;
        }
        self.frame.write_all(b"m")
    }

    /// Codes of backgrounds are those of foregrounds, and ten more.
    fn set_colour(&mut self, colour: Color, more: u8) -> io::Result<()> {
        match colour {
            Color::Reset => Ok(()),
            Color::Rgb(red, green, blue) => {
                write!(self.frame, ";{};2;{red};{green};{blue}", 38 + more)
            }
            Color::Indexed(index) => write!(self.frame, ";{};5;{index}", 38 + more),
            named => write!(self.frame, ";{}", code_of(named) + more),
        }
    }
}

const WEIGHTS: [(Modifier, u8); 5] = [
    (Modifier::BOLD, 1),
    (Modifier::DIM, 2),
    (Modifier::ITALIC, 3),
    (Modifier::UNDERLINED, 4),
    (Modifier::REVERSED, 7),
];

const fn code_of(colour: Color) -> u8 {
    match colour {
        Color::Black => 30,
        Color::Red => 31,
        Color::Green => 32,
        Color::Yellow => 33,
        Color::Blue => 34,
        Color::Magenta => 35,
        Color::Cyan => 36,
        Color::Gray => 37,
        Color::DarkGray => 90,
        Color::LightRed => 91,
        Color::LightGreen => 92,
        Color::LightYellow => 93,
        Color::LightBlue => 94,
        Color::LightMagenta => 95,
        Color::LightCyan => 96,
        Color::White => 97,
        Color::Reset | Color::Rgb(..) | Color::Indexed(_) => 39,
    }
}

impl Backend for Ansi {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut next = None;
        let mut look: Option<Look> = None;
        for (x, y, cell) in content {
            if next != Some((x, y)) {
                self.set_cursor_position((x, y))?;
            }
            let wanted = (cell.fg, cell.bg, cell.modifier);
            if look != Some(wanted) {
                self.set_look(wanted)?;
                look = Some(wanted);
            }
            self.frame.write_all(cell.symbol().as_bytes())?;
            next = Some((x + 1, y));
        }
        self.frame.write_all(b"\x1b[0m")
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.frame.write_all(b"\x1b[?25l")
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.frame.write_all(b"\x1b[?25h")
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.cursor = position.into();
        write!(self.frame, "\x1b[{};{}H", self.cursor.y + 1, self.cursor.x + 1)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        let code: &[u8] = match region {
            ClearType::All => b"\x1b[2J",
            ClearType::AfterCursor => b"\x1b[0J",
            ClearType::BeforeCursor => b"\x1b[1J",
            ClearType::CurrentLine => b"\x1b[2K",
            ClearType::UntilNewLine => b"\x1b[0K",
        };
        self.frame.write_all(code)
    }

    fn size(&self) -> io::Result<Size> {
        terminal::size().map(|(width, height)| Size { width, height })
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        // Nothing here is drawn in pixels.
        let pixels = Size { width: 0, height: 0 };
        Ok(WindowSize { columns_rows: self.size()?, pixels })
    }

    fn flush(&mut self) -> io::Result<()> {
        let shown = terminal::show(&self.frame);
        self.frame.clear();
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::Style;

    fn drawn(is_coloured: bool) -> String {
        let mut ansi = Ansi::new(is_coloured);
        let (mut one, mut two) = (Cell::new("a"), Cell::new("b"));
        one.set_style(Style::new().fg(Color::Red).add_modifier(Modifier::BOLD));
        two.set_style(Style::new().bg(Color::Indexed(7)));
        ansi.draw([(0, 0, &one), (1, 0, &one), (4, 2, &two)].into_iter()).expect("memory");
        String::from_utf8(ansi.frame).expect("text")
    }

    #[test]
    fn neighbours_share_their_place_and_look() {
        assert_eq!(drawn(true), "\x1b[1;1H\x1b[0;1;31maa\x1b[3;5H\x1b[0;48;5;7mb\x1b[0m");
    }

    #[test]
    fn without_colours_weight_stays() {
        assert_eq!(drawn(false), "\x1b[1;1H\x1b[0;1maa\x1b[3;5H\x1b[0mb\x1b[0m");
    }
}
