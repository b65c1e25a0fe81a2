//! Flags that every request carries: table `[request]` of a configuration file.

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::request::terms::TokenSequences;
use crate::settings::human_duration::HumanDuration;
use crate::workload::adapters::AdapterMix;
use crate::workload::priorities::PriorityMix;

/// Terms of all requests; absent means not given.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
#[command(next_help_heading = "Each request (`sim:` and TensorRT-LLM); table [request] of a file")]
pub struct RequestFlags {
    /// Beams; above 1 is beam search, and the executor is opened for that width
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beam_width: Option<u32>,
    /// Draw no token below this share of the most probable one
    #[arg(long, value_name = "SHARE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Make tokens that were there already less probable: above 1
    #[arg(long, value_name = "FACTOR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f32>,
    /// Taken off once from tokens that were there already
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f32>,
    /// Taken off for each time that a token was there already
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f32>,
    /// With beams: above 0 favours longer ones
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_penalty: Option<f32>,
    /// Token sequences that end an output, e.g. `12,13;27`
    #[arg(long, value_name = "IDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_words: Option<TokenSequences>,
    /// Token sequences that no output may hold
    #[arg(long, value_name = "IDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_words: Option<TokenSequences>,
    /// Text that ends an output, as the tokenizer cuts it where it stands alone; may be given again and again
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_text: Option<Vec<String>>,
    /// Text that no output may hold; may be given again and again
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_text: Option<Vec<String>>,
    /// Priority of all requests, from 0 to 1, or several with their shares: `0.9:0.2,0.5:0.8` (the executor's default: 0.5)
    #[arg(long, value_name = "P or P:SHARE,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<PriorityMix>,
    /// The engine itself ends a request after this
    #[arg(long, value_name = "SPAN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allotted_time: Option<HumanDuration>,
    /// LoRA adapters by task id with their shares, 0 for the model itself: `1:0.5,2:0.25,0:0.25`
    #[arg(long, value_name = "TASK:SHARE,…")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<AdapterMix>,
}
