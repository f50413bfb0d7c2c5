//! Whatever is in the file: an answer, never a panic.

use proptest::prelude::*;
use proptest::sample::Index;
use walgate::config::{diff, example, explain};

use super::read;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "(\\[|\\]|=|\"|'|\\.|\\$|\\{|\\}|#|\n|sinks|source|type|[a-z0-9 ]|\\PC){0,80}") {
        drop(read(&text));
    }

    #[test]
    fn a_damaged_example_is_answered(
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        cut in any::<Index>(),
    ) {
        let mut bytes = example().into_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(2 * bytes.len()));
        if let Ok(loaded) = read(&bytes) {
            prop_assert!(explain(&loaded).contains("source.slot = "));
            prop_assert!(diff(&loaded, &loaded).is_empty());
        }
    }
}
