//! Data on a terminal: cut short, and without any power over the terminal.

/// Appends `text` so that it can't do anything but be read: control characters, marks that turn
/// the direction of writing, and bytes that are not UTF-8 are spelled out. After `max` characters
/// an ellipsis takes the place of the rest.
pub(super) fn push_visible(text: &[u8], max: usize, out: &mut String) {
    let mut left = max;
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            if left == 0 {
                out.push('…');
                return;
            }
            left -= 1;
            push_character(character, out);
        }
        for byte in chunk.invalid() {
            if left == 0 {
                out.push('…');
                return;
            }
            left -= 1;
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
}

fn push_character(character: char, out: &mut String) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ if is_powerful(character) => out.extend(character.escape_unicode()),
        _ => out.push(character),
    }
}

/// Characters that act instead of being seen: control characters (C1 too: U+009B begins an escape
/// sequence), line and paragraph separators, and those that reorder or hide what is around them
/// (Unicode Standard Annex 9; the joiners U+200C and U+200D are needed to write and stay).
fn is_powerful(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61C}'
                | '\u{180E}'
                | '\u{200B}'
                | '\u{200E}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{E0000}'..='\u{E007F}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn visible(text: &[u8], max: usize) -> String {
        let mut out = String::new();
        push_visible(text, max, &mut out);
        out
    }

    #[test]
    fn what_acts_is_spelled_out() {
        assert_eq!(visible("Zoë 👩‍💻 x".as_bytes(), 99), "Zoë 👩‍💻 x");
        assert_eq!(
            visible(b"\x1b]0;title\x07\x1b[2J", 99),
            "\\u{1b}]0;title\\u{7}\\u{1b}[2J"
        );
        assert_eq!(
            visible("\u{9b}31m\u{7f}".as_bytes(), 99),
            "\\u{9b}31m\\u{7f}"
        );
        assert_eq!(
            visible("a\u{202e}b\u{2066}".as_bytes(), 99),
            "a\\u{202e}b\\u{2066}"
        );
        assert_eq!(visible(b"a\tb\r\nc\0", 99), "a\\tb\\r\\nc\\u{0}");
        assert_eq!(visible(b"ab\xFF\xC3", 99), "ab\\xff\\xc3");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(visible(b"12345", 5), "12345");
        assert_eq!(visible(b"123456", 5), "12345…");
        assert_eq!(visible("größer".as_bytes(), 4), "größ…");
        assert_eq!(visible(b"\xFF\xFF\xFF", 2), "\\xff\\xff…");
        assert_eq!(visible(b"", 0), "");
    }

    proptest! {
        #[test]
        fn no_bytes_have_power(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!visible(&bytes, 40).chars().any(is_powerful));
        }
    }
}
