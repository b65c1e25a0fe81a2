//! Claims about help: what is listed, how it is laid out.

use super::*;
use crate::cli::typed::{Cli, MEASURING};

fn built() -> Command {
    let mut program = Cli::clap_command();
    program.build();
    program
}

#[test]
fn a_screen_is_a_screen() {
    let program = built();
    let mut screens = vec![("bareflight", screens::of_program(&program))];
    for name in MEASURING {
        let command = program.find_subcommand(name).expect(name);
        screens.push((name, screens::of_command(command).expect(name)));
    }
    for (name, text) in screens {
        assert!(text.lines().count() <= screens::HEIGHT, "{name} has more lines:\n{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= screens::WIDTH, "{name}: {line}");
        }
    }
}

#[test]
fn a_screen_has_ten_flags_that_there_are() {
    let program = built();
    for name in MEASURING {
        let command = program.find_subcommand(name).expect(name);
        let text = screens::of_command(command).expect(name);
        let flags = text.lines().filter(|line| line.starts_with("  ") && line.contains("--"));
        let flags = flags.filter(|line| !line.trim_start().starts_with("bareflight")).count();
        assert_eq!(flags, 10, "{name}:\n{text}");
    }
}

#[test]
fn every_command_is_on_the_screen_of_the_program() {
    let program = built();
    let text = screens::of_program(&program);
    for command in program.get_subcommands() {
        let mut words = text.split([' ', ',', '\n']);
        let is_there = words.any(|word| word == command.get_name());
        assert!(is_there, "`{}` is new: add it to screens.rs", command.get_name());
    }
}

#[test]
fn what_a_flag_changes_is_said_first_and_belongs_to_a_flag() {
    let program = built();
    let run = program.find_subcommand("run").expect("run");
    for (id, effect) in effects::EFFECTS {
        let flag = run.get_arguments().find(|flag| flag.get_id() == *id).expect(id);
        let help = flag.get_long_help().expect(id).to_string();
        assert!(help.starts_with(effect), "{id}: {help}");
    }
}

#[test]
fn topics_fit_a_terminal_of_80_and_of_120_columns() {
    for topic in Topic::ALL {
        for width in [80, 120] {
            let text = wrapped::Page::of(width).render(&topic.lines());
            for line in text.lines().filter(|line| !line.starts_with("  bareflight")) {
                assert!(line.chars().count() <= width, "{}: {line}", topic.name());
            }
        }
    }
}

#[test]
fn an_unknown_topic_is_refused_with_the_nearest_and_the_list() {
    let said = of_command(built(), &["target".to_owned()]).expect_err("none").to_string();
    assert!(said.contains("did you mean `targets`?") && said.contains("`exit-codes`"), "{said}");
    assert!(of_command(built(), &["inspect".into(), "engine".into()]).is_ok());
}
