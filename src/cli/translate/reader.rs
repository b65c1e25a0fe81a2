//! Flags of another benchmark: a table of what each means, and their reader.

use super::draft::{Draft, Service};
use super::perf_analyzer;

/// The command line of one benchmark.
pub struct Dialect {
    /// The words that it begins with.
    pub programs: &'static [&'static [&'static str]],
    /// What it asks where nothing is said.
    pub service: Service,
    /// Whether tokens come as they are made where nothing is said.
    pub streams: bool,
    /// Its flags.
    pub flags: &'static [Flag],
    /// Adds what it does by itself where its flags do not say it.
    pub finish: fn(&mut Draft),
}

impl Dialect {
    /// Whether a word is one of its flags, or the name of a command that stands among them.
    fn names(&self, word: &str) -> bool {
        self.flags.iter().any(|flag| flag.names.contains(&word))
    }
}

/// One flag.
pub struct Flag {
    /// Every way to spell it.
    pub names: &'static [&'static str],
    /// What it means.
    pub means: Means,
}

/// What a flag means.
pub enum Means {
    /// Its value goes into the draft where it makes sense.
    Value(fn(&mut Draft, &str) -> Result<(), String>),
    /// Its value goes into the draft, whatever it is.
    Put(fn(&mut Draft, &str)),
    /// It takes no value, and changes the draft.
    Switch(fn(&mut Draft)),
    /// The value goes to a flag of ours.
    Same(&'static str),
    /// It takes no value, and we do so anyway.
    Always,
    /// It takes a value, and is about the other program alone.
    ItsOwn,
    /// It takes no value, and is about the other program alone.
    ItsOwnSwitch,
    /// It takes a value and has no counterpart, with what to do instead.
    Nothing(&'static str),
    /// It takes no value and has no counterpart, with what to do instead.
    NothingOfSwitch(&'static str),
}

impl Means {
    const fn takes_value(&self) -> bool {
        matches!(
            self,
            Self::Value(_) | Self::Put(_) | Self::Same(_) | Self::ItsOwn | Self::Nothing(_)
        )
    }
}

/// A flag for a table.
pub const fn flag(names: &'static [&'static str], means: Means) -> Flag {
    Flag { names, means }
}

/// Reads flags into the draft. Flags that are not known are told and left out with the values behind them.
///
/// # Errors
/// When a value is missing or makes no sense.
pub fn read(dialect: &Dialect, words: &[String], draft: &mut Draft) -> Result<(), String> {
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            // What GenAI-Perf hands on.
            let rest: Vec<String> = words.cloned().collect();
            return read(&perf_analyzer::DIALECT, &rest, draft);
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word.as_str(), None),
        };
        let known = dialect.flags.iter().find(|flag| flag.names.contains(&name));
        let Some(flag) = known else {
            let mut whole = word.clone();
            while let Some(value) = words.next_if(|next| is_value(next)) {
                whole = format!("{whole} {value}");
            }
            draft.leave_out(&whole, "it is not known here");
            continue;
        };
        if !flag.means.takes_value() {
            apply_switch(&flag.means, name, draft);
            continue;
        }
        let mut values: Vec<&str> = inline.into_iter().collect();
        if values.is_empty() {
            let value = words.next().ok_or_else(|| format!("`{name}` has no value"))?;
            values.push(value);
            // Lists are separated by spaces in some of these programs.
            let is_next = |next: &&String| is_value(next) && !dialect.names(next);
            while let Some(value) = words.next_if(is_next) {
                values.push(value);
            }
        }
        for value in values {
            apply(&flag.means, name, value, draft)?;
        }
    }
    Ok(())
}

fn is_value(word: &str) -> bool {
    !word.starts_with('-') || word.parse::<f64>().is_ok()
}

fn apply(means: &Means, name: &str, value: &str, draft: &mut Draft) -> Result<(), String> {
    match means {
        Means::Value(put) => put(draft, value).map_err(|why| format!("`{name} {value}`: {why}"))?,
        Means::Put(put) => put(draft, value),
        Means::Same(ours) => draft.add(ours, value),
        Means::Nothing(remedy) => draft.leave_out(&format!("{name} {value}"), remedy),
        Means::ItsOwn
        | Means::Switch(_)
        | Means::Always
        | Means::ItsOwnSwitch
        | Means::NothingOfSwitch(_) => {}
    }
    Ok(())
}

fn apply_switch(means: &Means, name: &str, draft: &mut Draft) {
    match means {
        Means::Switch(change) => change(draft),
        Means::NothingOfSwitch(remedy) => draft.leave_out(name, remedy),
        Means::Always
        | Means::ItsOwnSwitch
        | Means::Value(_)
        | Means::Put(_)
        | Means::Same(_)
        | Means::ItsOwn
        | Means::Nothing(_) => {}
    }
}
