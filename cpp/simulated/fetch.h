// Fetching of one request by the loop: a job, or the reason for its refusal.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bareflight/cpp/simulated/intake.h"
#include "bareflight/cpp/simulated/limits.h"
#include "bareflight/cpp/simulated/sequence.h"

namespace tensorrt_llm::simulation {

/// Everything that TensorRT-LLM finds out only here, so that it comes back as an error response. Remembers a
/// LoRA adapter whose weights came along.
std::optional<std::string> reason_to_refuse(executor::Request::Fields const& request, Limits const& limits,
                                            std::set<executor::IdType>& lora_cache);

/// The sequences of an accepted request; `maxTokens` is clamped silently to what the sequence length leaves.
std::vector<std::unique_ptr<Sequence>> make_sequences(Queued&& queued, Limits const& limits,
                                                      Behaviour const& behaviour, Clock::time_point now);

}  // namespace tensorrt_llm::simulation
