//! Scenarios: distributions of prompt and output lengths.

use std::fmt;
use std::str::FromStr;

use rand_distr::{Distribution, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::workload::images::{LONGEST_SIDE, MOST_IMAGES};
use crate::workload::seeds::below;

/// Longest prompt or output that can be asked for, in tokens; above what any model takes.
pub const MAX_TOKENS: u32 = 1 << 24;

/// Draws of a normal length before it is clamped. With a mean of at least 1 about half of all draws are accepted.
const RESAMPLES: u32 = 64;

/// Distribution of prompt and output lengths, in tokens, written as genai-bench writes traffic scenarios.
///
/// | notation | meaning |
/// |---|---|
/// | `D(in,out)` | always these lengths |
/// | `N(mean,std)/(mean,std)` | normal: input, then output |
/// | `U(min,max)/(min,max)` | uniform, both ends included: input, then output |
/// | `U(max_in,max_out)` | short for `U(1,max_in)/(1,max_out)` |
/// | `L(mean,std)/(mean,std)` | log-normal with these means and deviations: input, then output |
/// | `E(n)` | embeddings: each text has n tokens |
/// | `R(doc,query)` | rerank: tokens of each document, and of the query |
/// | `I(w,h)`, `I(w,h,n)` | chat with n images (1) of w × h pixels and a text of 100 tokens in, 100 out |
/// | `I(w,h,n)/(in,out)` | the same with a text of these lengths |
///
/// The letter may be small, spaces are ignored, and `Display` writes the long form. A normal length is rounded to
/// a whole number and drawn again until it is at least 1: nothing piles up at 1, and where the deviation is large
/// against the mean, the mean of what is drawn lies above the one that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scenario {
    /// Always the same lengths.
    Deterministic {
        /// Prompt tokens.
        input: u32,
        /// Output tokens.
        output: u32,
    },
    /// Normal, truncated below 1.
    Normal {
        /// Prompt tokens.
        input: Normal,
        /// Output tokens.
        output: Normal,
    },
    /// Uniform.
    Uniform {
        /// Prompt tokens.
        input: Span,
        /// Output tokens.
        output: Span,
    },
    /// Log-normal, truncated below 1.
    LogNormal {
        /// Prompt tokens.
        input: LogNormal,
        /// Output tokens.
        output: LogNormal,
    },
    /// Embeddings of texts.
    Embedding {
        /// Tokens of a text.
        tokens: u32,
    },
    /// Documents in the order of their relevance to a query.
    Rerank {
        /// Tokens of a document.
        document: u32,
        /// Tokens of the query.
        query: u32,
    },
    /// Images with a text.
    Images {
        /// How many, and of which size.
        made: MadeImages,
        /// Tokens of the text.
        input: u32,
        /// Output tokens.
        output: u32,
    },
}

/// What a scenario asks of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Text.
    Text,
    /// Vectors.
    Embeddings,
    /// An order of documents.
    Rerank,
    /// Text about images.
    ImageText,
}

/// Images of a request that are made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MadeImages {
    /// Pixels of a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// How many.
    pub count: u32,
}

/// Lengths of the text beside images where none are given, prompt and output.
const TEXT_BESIDE_IMAGES: u32 = 100;

/// Mean and standard deviation, in tokens, before truncation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    /// At least 1.
    pub mean: f64,
    /// At least 0.
    pub std: f64,
}

/// Mean and standard deviation of lengths whose logarithms are normal, in tokens, before truncation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogNormal(pub Normal);

impl LogNormal {
    /// Mean and standard deviation of the logarithms.
    pub fn of_logarithms(self) -> Normal {
        let Normal { mean, std } = self.0;
        let variance = libm::log1p((std / mean) * (std / mean));
        Normal { mean: libm::log(mean) - variance / 2.0, std: variance.sqrt() }
    }

    fn draw(self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        let Normal { mean, std } = self.of_logarithms();
        let draw = || {
            let z: f64 = StandardNormal.sample(rng);
            libm::exp(mean + std * z)
        };
        drawn_within(draw, self.0.mean)
    }
}

/// Smallest and largest length, in tokens, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// At least 1.
    pub min: u32,
    /// At least `min`.
    pub max: u32,
}

/// Lengths of one request, in tokens, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Prompt tokens.
    pub input: u32,
    /// Output tokens asked for.
    pub output: u32,
}

/// A text is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "'{text}' is not a traffic scenario: {why}; write D(in,out), N(mean,std)/(mean,std) or \
     U(min,max)/(min,max), e.g. D(512,128), N(480,240)/(300,150) or U(50,100)/(200,250); L(mean,std)/(mean,std) is log-normal; E(n) for embeddings, R(doc,query) \
     for rerank, I(w,h) or I(w,h,n)/(in,out) for images with text"
)]
pub struct ScenarioError {
    text: String,
    why: String,
}

impl Scenario {
    /// Draws the lengths of one request: input first.
    pub fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> Lengths {
        match *self {
            Self::Deterministic { input, output } => Lengths { input, output },
            Self::Normal { input, output } => {
                Lengths { input: input.draw(rng), output: output.draw(rng) }
            }
            Self::Uniform { input, output } => {
                Lengths { input: input.draw(rng), output: output.draw(rng) }
            }
            Self::LogNormal { input, output } => {
                Lengths { input: input.draw(rng), output: output.draw(rng) }
            }
            Self::Embedding { tokens } => Lengths { input: tokens, output: 0 },
            Self::Rerank { document, .. } => Lengths { input: document, output: 0 },
            Self::Images { input, output, .. } => Lengths { input, output },
        }
    }

    /// What is asked.
    pub fn task(&self) -> Task {
        match self {
            Self::Deterministic { .. }
            | Self::Normal { .. }
            | Self::Uniform { .. }
            | Self::LogNormal { .. } => Task::Text,
            Self::Embedding { .. } => Task::Embeddings,
            Self::Rerank { .. } => Task::Rerank,
            Self::Images { .. } => Task::ImageText,
        }
    }

    /// The distribution of prompt lengths alone, as text that two scenarios share where their prompts do.
    pub fn prompt_lengths(&self) -> String {
        match self {
            Self::Deterministic { input, .. } => format!("D({input})"),
            Self::Normal { input: Normal { mean, std }, .. } => format!("N({mean},{std})"),
            Self::Uniform { input: Span { min, max }, .. } => format!("U({min},{max})"),
            Self::LogNormal { input: LogNormal(Normal { mean, std }), .. } => {
                format!("L({mean},{std})")
            }
            Self::Embedding { .. } | Self::Rerank { .. } => self.to_string(),
            Self::Images { made: MadeImages { width, height, count }, input, .. } => {
                format!("I({width},{height},{count})/({input})")
            }
        }
    }

    /// The longest output, or one that a normal length is beyond once in a million draws.
    pub fn longest_likely_output(&self) -> u32 {
        match *self {
            Self::Deterministic { output, .. } | Self::Images { output, .. } => output,
            Self::LogNormal { output, .. } => {
                let Normal { mean, std } = output.of_logarithms();
                libm::exp(mean + 5.0 * std).round().clamp(1.0, f64::from(MAX_TOKENS)) as u32
            }
            Self::Embedding { .. } | Self::Rerank { .. } => 0,
            Self::Uniform { output, .. } => output.max,
            Self::Normal { output: Normal { mean, std }, .. } => {
                (mean + 5.0 * std).round().clamp(1.0, f64::from(MAX_TOKENS)) as u32
            }
        }
    }

    /// The lengths that it is about, before truncation and rounded.
    pub fn mean(&self) -> Lengths {
        let middle = |span: Span| span.min.midpoint(span.max);
        match *self {
            Self::Deterministic { input, output } | Self::Images { input, output, .. } => {
                Lengths { input, output }
            }
            Self::Embedding { tokens } => Lengths { input: tokens, output: 0 },
            Self::Rerank { document, query } => Lengths { input: document + query, output: 0 },
            Self::Normal { input, output }
            | Self::LogNormal { input: LogNormal(input), output: LogNormal(output) } => {
                Lengths { input: input.mean.round() as u32, output: output.mean.round() as u32 }
            }
            Self::Uniform { input, output } => {
                Lengths { input: middle(input), output: middle(output) }
            }
        }
    }
}

impl Normal {
    fn draw(self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        let draw = || {
            let z: f64 = StandardNormal.sample(rng);
            self.mean + self.std * z
        };
        drawn_within(draw, self.mean)
    }
}

/// A whole length, drawn until it is one that can be asked for; after many tries the mean.
fn drawn_within(mut draw: impl FnMut() -> f64, mean: f64) -> u32 {
    let range = 1.0..=f64::from(MAX_TOKENS);
    let accepted = (0..RESAMPLES).map(|_| draw().round()).find(|length| range.contains(length));
    accepted.unwrap_or(mean.round()) as u32
}

impl Span {
    /// A length of it, each as likely as another.
    pub(in crate::workload) fn draw(self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        self.min + below(rng, u64::from(self.max - self.min) + 1) as u32
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deterministic { input, output } => write!(f, "D({input},{output})"),
            Self::Normal { input: i, output: o } => {
                write!(f, "N({},{})/({},{})", i.mean, i.std, o.mean, o.std)
            }
            Self::Uniform { input: i, output: o } => {
                write!(f, "U({},{})/({},{})", i.min, i.max, o.min, o.max)
            }
            Self::LogNormal { input: LogNormal(i), output: LogNormal(o) } => {
                write!(f, "L({},{})/({},{})", i.mean, i.std, o.mean, o.std)
            }
            Self::Embedding { tokens } => write!(f, "E({tokens})"),
            Self::Rerank { document, query } => write!(f, "R({document},{query})"),
            Self::Images { made: MadeImages { width, height, count }, input, output } => {
                write!(f, "I({width},{height},{count})/({input},{output})")
            }
        }
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, ScenarioError> {
        parse(text).map_err(|why| ScenarioError { text: text.to_owned(), why })
    }
}

impl TryFrom<String> for Scenario {
    type Error = ScenarioError;

    fn try_from(text: String) -> Result<Self, ScenarioError> {
        text.parse()
    }
}

impl From<Scenario> for String {
    fn from(scenario: Scenario) -> Self {
        scenario.to_string()
    }
}

fn parse(text: &str) -> Result<Scenario, String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let letter = compact.chars().next().ok_or("it is empty")?;
    let groups =
        compact[letter.len_utf8()..].split('/').map(group).collect::<Result<Vec<_>, _>>()?;
    let groups: Vec<&[&str]> = groups.iter().map(Vec::as_slice).collect();
    match (letter.to_ascii_uppercase(), groups.as_slice()) {
        ('D', [[input, output]]) => {
            Ok(Scenario::Deterministic { input: tokens(input)?, output: tokens(output)? })
        }
        ('N', [[_, _], [_, _]]) => {
            Ok(Scenario::Normal { input: normal(groups[0])?, output: normal(groups[1])? })
        }
        ('U', [[_, _], [_, _]]) => {
            Ok(Scenario::Uniform { input: span(groups[0])?, output: span(groups[1])? })
        }
        ('L', [[_, _], [_, _]]) => Ok(Scenario::LogNormal {
            input: LogNormal(normal(groups[0])?),
            output: LogNormal(normal(groups[1])?),
        }),
        ('L', _) => Err("L takes two pairs, input and output".to_owned()),
        ('E', [[length]]) => Ok(Scenario::Embedding { tokens: tokens(length)? }),
        ('R', [[document, query]]) => {
            Ok(Scenario::Rerank { document: tokens(document)?, query: tokens(query)? })
        }
        ('I', [size]) => {
            let (input, output) = (TEXT_BESIDE_IMAGES, TEXT_BESIDE_IMAGES);
            Ok(Scenario::Images { made: images(size)?, input, output })
        }
        ('I', [size, [input, output]]) => Ok(Scenario::Images {
            made: images(size)?,
            input: tokens(input)?,
            output: tokens(output)?,
        }),
        ('U', [[max_in, max_out]]) => Ok(Scenario::Uniform {
            input: Span { min: 1, max: tokens(max_in)? },
            output: Span { min: 1, max: tokens(max_out)? },
        }),
        ('D', _) => Err("D takes one pair".to_owned()),
        ('N', _) => Err("N takes two pairs, input and output".to_owned()),
        ('U', _) => Err("U takes one pair or two".to_owned()),
        ('E', _) => Err("E takes one number".to_owned()),
        ('R', _) => Err("R takes one pair, document and query".to_owned()),
        ('I', _) => Err("I takes width, height and a number of images, then lengths".to_owned()),
        _ => Err(format!("there is no distribution '{letter}'")),
    }
}

fn group(text: &str) -> Result<Vec<&str>, String> {
    text.strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .map(|inside| inside.split(',').collect())
        .ok_or_else(|| format!("'{text}' is no number, pair or more in parentheses"))
}

fn images(size: &[&str]) -> Result<MadeImages, String> {
    let number = |text: &str, most: u32, what: &str| {
        let number: Option<u32> = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| format!("'{text}' is no {what} from 1 to {most}"))
    };
    let side = |text: &str| number(text, LONGEST_SIDE, "number of pixels");
    match *size {
        [width, height] => Ok(MadeImages { width: side(width)?, height: side(height)?, count: 1 }),
        [width, height, count] => Ok(MadeImages {
            width: side(width)?,
            height: side(height)?,
            count: number(count, MOST_IMAGES, "number of images")?,
        }),
        _ => Err("I takes width, height and a number of images, then lengths".to_owned()),
    }
}

fn tokens(text: &str) -> Result<u32, String> {
    let count: u32 = text
        .parse()
        .map_err(|_| format!("'{text}' is not a whole number of tokens up to {MAX_TOKENS}"))?;
    if (1..=MAX_TOKENS).contains(&count) {
        Ok(count)
    } else {
        Err(format!("{count} tokens is outside 1 to {MAX_TOKENS}"))
    }
}

fn span(pair: &[&str]) -> Result<Span, String> {
    let &[min, max] = pair else { return Err("U takes one pair or two".to_owned()) };
    let span = Span { min: tokens(min)?, max: tokens(max)? };
    if span.min > span.max {
        return Err(format!("the minimum {min} is above the maximum {max}"));
    }
    Ok(span)
}

fn normal(pair: &[&str]) -> Result<Normal, String> {
    let &[mean, std] = pair else { return Err("N takes two pairs, input and output".to_owned()) };
    let number = |text: &str| text.parse::<f64>().map_err(|_| format!("'{text}' is not a number"));
    let normal = Normal { mean: number(mean)?, std: number(std)? };
    let most = f64::from(MAX_TOKENS);
    if !(1.0..=most).contains(&normal.mean) {
        return Err(format!("a mean of {mean} tokens is outside 1 to {MAX_TOKENS}"));
    }
    if !(0.0..=most).contains(&normal.std) {
        return Err(format!("a deviation of {std} tokens is outside 0 to {MAX_TOKENS}"));
    }
    Ok(normal)
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
