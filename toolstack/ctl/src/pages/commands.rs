//! The command line's own pages: one for each verb.

use clap::CommandFactory;
use clap_mangen::Man;

use super::see_also;
use crate::cli::Cli;

/// File names and texts.
pub fn pages() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    add(&command, &mut all);
    all
}

fn add(command: &clap::Command, all: &mut Vec<(String, String)>) {
    command.get_subcommands().filter(|c| !c.is_hide_set()).for_each(|c| add(c, all));
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_string();
    let man = Man::new(command.clone()).manual("xenpod").date("\"\"");
    let mut text = Vec::new();
    // Writing to a Vec does not fail.
    let _ = man.render(&mut text);
    let mut related = vec!["xenpodctl(1)"];
    if name == "xenpodctl" {
        related = vec!["xenpod-recipes(7)", "xenpodd(8)", "xenpodd.yaml(5)", "org.xenpod1.Manager(5)"];
    }
    let verb = name.strip_prefix("xenpodctl-").unwrap_or_default();
    if ["", "run", "create", "start", "explain", "container-create"].contains(&verb) {
        related.push("xenpod-manifest(5)");
    }
    let related: Vec<String> = related.into_iter().map(String::from).collect();
    // An empty line is a paragraph that man(1) can only guess.
    let text = String::from_utf8_lossy(&text).replace("\n\n", "\n.PP\n") + &see_also(&related).to_roff();
    all.push((format!("{name}.1"), text));
}
