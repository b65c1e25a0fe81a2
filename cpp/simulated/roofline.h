// Roofline: public figures of GPUs and models, and the costs of one iteration derived from them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bareflight/cpp/simulated/cost_model.h"

namespace tensorrt_llm::simulation {

/// One number the simulation rests on, and where it comes from.
struct Figure {
    std::string name;
    double value;
    std::string unit;
    std::string source;
};

/// Assumptions of ours: no public figure fixes them; all can be set in the profile.
struct Efficiency {
    double bandwidth = 0.80;
    double compute = 0.60;
};

/// A GPU type, a model, a precision and a tensor-parallel size, parsed from a profile's name.
struct Deployment {
    struct Gpu const* gpu;
    struct Model const* model;
    bool fp8;
    int tensor_parallel;
};

/// Resources of a deployment.
struct Hardware {
    CostModel::Roofline roofline;
    double base_us;
    int vocab_size;
    int max_seq_len;
    double weights_bytes_per_gpu;
    double free_bytes_per_gpu;
    double kv_bytes_per_token_per_gpu;
    std::vector<Figure> figures;
};

/// `h200-llama3-8b`, `h100-llama3-70b-fp8-tp2`, …; empty when the name is of another kind.
std::optional<Deployment> parse_deployment(std::string const& name);
/// Throws std::runtime_error when the weights do not fit the memory.
Hardware resolve(Deployment const& deployment, Efficiency const& efficiency);
/// The names that `parse_deployment` accepts, as one readable pattern.
std::string deployment_names();

}  // namespace tensorrt_llm::simulation
