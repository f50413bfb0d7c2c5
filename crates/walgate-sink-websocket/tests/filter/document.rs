//! `FILTERS.md`: what it shows is so.

use walgate_sink_websocket::filter::{Filter, MAX_DEPTH, MAX_FILTER_BYTES, MAX_TESTS, MAX_VALUES};

const DOCUMENT: &str = include_str!("../../FILTERS.md");

#[test]
fn every_example_is_a_filter() {
    let mut examples = 0;
    for block in DOCUMENT.split("```filter\n").skip(1) {
        let (block, _) = block.split_once("```").expect("a closed block");
        for line in block.lines() {
            let filter = Filter::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert!(!filter.columns().is_empty(), "{line}");
            examples += 1;
        }
    }
    assert!(examples > 10, "only {examples} were found");
}

#[test]
fn the_limits_are_the_documented_ones() {
    let text = format!(
        "4,096 bytes; {MAX_TESTS} conditions, of which an `in` is one and a `between` two; 1,000 \
         values in one `in`; {MAX_DEPTH} levels"
    );
    assert!(DOCUMENT.contains(&text), "{text}");
    assert_eq!((MAX_FILTER_BYTES, MAX_VALUES), (4096, 1000));
}
