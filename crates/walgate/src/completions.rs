//! `walgate completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;

/// For bash: behind `--table` of `follow` come the tables of the server that is named. A URL is several words
/// for bash, so that it is looked for in the line.
const BASH: &str = r#"
_walgate_with_tables() {
    if [[ ${COMP_WORDS[1]} == follow && ${COMP_WORDS[COMP_CWORD-1]} == --table \
        && $COMP_LINE =~ (wss?|https?)://[^[:space:]]+ ]]; then
        COMPREPLY=($(compgen -W "$(walgate follow "${BASH_REMATCH[0]}" --list-tables 2>/dev/null)" \
            -- "${COMP_WORDS[COMP_CWORD]}"))
    else
        _walgate "$@"
    fi
}
complete -F _walgate_with_tables -o nosort -o bashdefault -o default walgate 2>/dev/null ||
    complete -F _walgate_with_tables -o bashdefault -o default walgate
"#;

/// The same for fish.
const FISH: &str = r#"
function __fish_walgate_tables
    set -l url (string match -r -- '(?:ws|http)s?://\S+' (commandline))
    test -n "$url"; and walgate follow $url[1] --list-tables 2>/dev/null
end
complete -c walgate -n "__fish_walgate_using_subcommand follow" -l table -x -a "(__fish_walgate_tables)"
"#;

/// The completions for a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut page = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "walgate", &mut page);
    match shell {
        Shell::Bash => page.extend_from_slice(BASH.as_bytes()),
        Shell::Fish => page.extend_from_slice(FISH.as_bytes()),
        _ => {}
    }
    page
}
