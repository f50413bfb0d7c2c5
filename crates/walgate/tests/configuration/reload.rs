//! What SIGHUP may change.

use walgate::config::{ReloadPlan, diff};

use super::{Folder, SINK, read};

fn plan(old: &str, new: &str) -> ReloadPlan {
    let folder = Folder::with(format!("{old}\n{SINK}"));
    let old = folder.load().expect("the old one");
    folder.write("walgate.toml", format!("{new}\n{SINK}"));
    diff(&old, &folder.load().expect("the new one"))
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn the_same_is_no_change() {
    for (old, new) in [
        ("", ""),
        ("[log]\nlevel = \"info\"", ""),
        ("# a comment", "\n\n"),
        (
            "[source]\nslot = \"walgate\"\nepoch = 0",
            "[source]\nepoch = 0",
        ),
    ] {
        assert!(
            plan(old, new).is_empty(),
            "{old} → {new}: {:?}",
            plan(old, new)
        );
    }
}

#[test]
fn what_is_safe_takes_effect() {
    let plan = plan("", "shutdown_timeout = \"1s\"\n[log]\nlevel = \"debug\"");
    assert_eq!(plan.now, keys(&["log.level"]));
    assert_eq!(plan.restart, keys(&["shutdown_timeout"]));
}

#[test]
fn thresholds_and_channels_take_effect_and_the_policy_does_not() {
    let plan = plan(
        "",
        "[guard]\nheadroom = [50]\nsettle_after = \"3m\"\npolicy = [\"alert\", \"drop-slot\"]\nallow_data_loss = true\n\
         drop_at = \"critical\"\n[alerts]\nat = \"critical\"\nwebhook = \"https://geheim\"",
    );
    let now = [
        "alerts.at",
        "guard.headroom",
        "guard.settle_after",
        "alerts.webhook",
    ];
    let restart = ["guard.allow_data_loss", "guard.drop_at", "guard.policy"];
    assert_eq!((plan.now, plan.restart), (keys(&now), keys(&restart)));
}

#[test]
fn the_rest_waits_for_a_restart() {
    let plan = plan(
        "[source]\nslot = \"a\"\nurl = \"postgres://a:geheim@h/d\"",
        "[source]\nslot = \"b\"\nurl = \"postgres://a:anders@h/d\"\n[log]\nlevel = \"warn\"\n[sinks.f]\ntype = \"file\"\npath = \"f\"",
    );
    assert_eq!(plan.now, keys(&["log.level"]));
    assert!(
        plan.restart
            .starts_with(&keys(&["source.slot", "source.url"])),
        "{plan:?}"
    );
    assert!(
        plan.restart.contains(&"sinks.f.path".to_owned()),
        "{plan:?}"
    );
    assert!(!format!("{plan:?}").contains("geheim"));
}

#[test]
fn a_sink_that_goes_or_changes_its_kind_is_seen() {
    let gone = plan("[sinks.f]\ntype = \"file\"\npath = \"f\"", "");
    assert!(
        gone.restart.contains(&"sinks.f.path".to_owned()) && gone.now.is_empty(),
        "{gone:?}"
    );
    let changed = plan(
        "[sinks.f]\ntype = \"file\"\npath = \"f\"",
        "[sinks.f]\ntype = \"kafka\"\nbrokers = [\"k:1\"]",
    );
    assert!(
        changed.restart.contains(&"sinks.f.type".to_owned()),
        "{changed:?}"
    );
}

#[test]
fn a_broken_file_leaves_the_old_one_as_it_is() {
    let old = read(SINK).expect("valid");
    assert!(read("[sinks.out]\ntype = ").is_err());
    assert!(diff(&old, &old).is_empty());
}
