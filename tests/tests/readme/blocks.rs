//! The fenced blocks of a Markdown file.

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    /// The word behind the opening fence.
    pub(crate) language: String,
    /// The heading that it stands under.
    pub(crate) heading: String,
    /// Line of the opening fence, from 1.
    pub(crate) line: usize,
    /// What stands between the fences.
    pub(crate) text: String,
}

/// All blocks, in order. A fence inside of a list counts too.
pub(crate) fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut heading, mut open) = (String::new(), None::<Block>);
    for (line, text) in (1..).zip(markdown.lines()) {
        let fence = text.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(text);
                block.text.push('\n');
            }
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.trim().to_owned(),
                    heading: heading.clone(),
                    line,
                    text: String::new(),
                });
            }
            (None, None) => {
                if let Some(title) = text.strip_prefix('#') {
                    title
                        .trim_start_matches('#')
                        .trim()
                        .clone_into(&mut heading);
                }
            }
        }
    }
    assert_eq!(open, None, "a block is not closed");
    blocks
}

#[test]
fn blocks_know_their_heading_and_language() {
    let found = blocks("# A\n```sh\na\n# b\n```\n## B c\n\n```toml\n```\n");
    let seen: Vec<_> = found
        .iter()
        .map(|block| (&*block.heading, &*block.language, block.line, &*block.text))
        .collect();
    assert_eq!(seen, [("A", "sh", 2, "a\n# b\n"), ("B c", "toml", 8, "")]);
}
