//! A line that is being written, with or without colours.

/// How a piece of a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Dim,
    Red,
    Green,
    Yellow,
    Magenta,
    Cyan,
    Alarm,
}

impl Look {
    /// The parameters of "select graphic rendition" (ECMA-48, 8.3.117): the eight colours that
    /// every terminal has, so that its theme decides what they are.
    const fn parameters(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Magenta => "35",
            Self::Cyan => "36",
            Self::Alarm => "1;31",
        }
    }
}

/// A line, and how wide it is so far.
#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    /// Characters that are seen; colours take no room.
    width: usize,
    /// Blanks that are only written when something follows them.
    blanks: usize,
    colour: bool,
}

impl Line {
    pub(super) fn new(colour: bool) -> Self {
        Self {
            colour,
            ..Self::default()
        }
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        (self.width, self.blanks) = (0, 0);
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn push(&mut self, look: Look, text: &str) {
        if text.is_empty() {
            return;
        }
        self.text.extend(std::iter::repeat_n(' ', self.blanks));
        self.width += self.blanks + text.chars().count();
        self.blanks = 0;
        if self.colour && look != Look::Plain {
            self.text.push_str("\x1b[");
            self.text.push_str(look.parameters());
            self.text.push('m');
            self.text.push_str(text);
            self.text.push_str("\x1b[0m");
        } else {
            self.text.push_str(text);
        }
    }

    /// Goes on at `column`, and at least one blank behind what is there.
    pub(super) fn align(&mut self, column: usize) {
        self.blanks = column.saturating_sub(self.width).max(1);
    }

    /// Where the next piece begins.
    pub(super) const fn column(&self) -> usize {
        self.width + self.blanks
    }

    /// How wide it is without trailing blanks.
    pub(super) const fn width(&self) -> usize {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_by_what_is_seen() {
        let mut line = Line::new(true);
        line.push(Look::Green, "größe");
        line.align(8);
        line.push(Look::Plain, "x");
        line.align(2);
        line.push(Look::Plain, "y");
        line.align(99);
        assert_eq!(line.as_str(), "\x1b[32mgröße\x1b[0m   x y");
        assert_eq!(line.width(), 11);
        line.clear();
        line.colour = false;
        line.push(Look::Alarm, "plain");
        assert_eq!(line.as_str(), "plain");
    }
}
