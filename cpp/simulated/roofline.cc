// Roofline: public figures of GPUs and models, and the costs of one iteration derived from them.
#include "bareflight/cpp/simulated/roofline.h"

#include <cstdio>
#include <stdexcept>

namespace tensorrt_llm::simulation {

struct Gpu {
    char const* name;
    double memory_bytes;
    double bandwidth_bytes_per_s;
    double fp16_flops;
    double fp8_flops;
    double nvlink_bytes_per_s;
    char const* source;
};

struct Model {
    char const* name;
    double parameters;
    int layers;
    int kv_heads;
    int head_dim;
    int hidden;
    int vocab;
    int max_positions;
    char const* source;
};

namespace {

// Dense arithmetic (the sheets print figures with sparsity, which are twice as high); NVLink counts both
// directions.
constexpr Gpu kGpus[] = {
    {"h100", 80e9, 3.35e12, 989e12, 1979e12, 900e9, "NVIDIA H100 datasheet, H100 SXM, dense"},
    {"h200", 141e9, 4.8e12, 989e12, 1979e12, 900e9, "NVIDIA H200 datasheet, H200 SXM, dense"},
    {"b200", 180e9, 8.0e12, 2250e12, 4500e12, 1800e9, "NVIDIA DGX B200 datasheet, one of eight GPUs, dense"},
};

constexpr Model kModels[] = {
    {"llama3-8b", 8.03e9, 32, 8, 128, 4096, 128256, 8192,
     "meta-llama/Meta-Llama-3-8B: config.json and model card"},
    {"llama3-70b", 70.6e9, 80, 8, 128, 8192, 128256, 8192,
     "meta-llama/Meta-Llama-3-70B: config.json and model card"},
};

constexpr char const* kAssumption = "assumption of this simulation";
/// CUDA context, libraries, activations and buffers on each GPU.
constexpr double kReservedBytes = 4e9;
/// Host work and kernel launches of an iteration that no roofline shows.
constexpr double kBaseUs = 300;
/// One all-reduce of a small message between GPUs of one node; two per layer.
constexpr double kAllReduceUs = 6;
constexpr double kNsPerSecond = 1e9;

std::string gigabytes(double bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f GB", bytes / 1e9);
    return text;
}

double weight_bytes(Deployment const& deployment) {
    return deployment.model->parameters * (deployment.fp8 ? 1 : 2);
}

double kv_bytes_per_token(Deployment const& deployment) {
    auto const& model = *deployment.model;
    return 2.0 * model.layers * model.kv_heads * model.head_dim * (deployment.fp8 ? 1 : 2);
}

void require_fit(Deployment const& deployment) {
    auto const& gpu = *deployment.gpu;
    auto const per_gpu = weight_bytes(deployment) / deployment.tensor_parallel;
    if (per_gpu + kReservedBytes < gpu.memory_bytes) {
        return;
    }
    int enough = deployment.tensor_parallel;
    while (weight_bytes(deployment) / enough + kReservedBytes >= gpu.memory_bytes) {
        enough *= 2;
    }
    throw std::runtime_error(
        std::string("the weights of ") + deployment.model->name + " in " + (deployment.fp8 ? "fp8" : "fp16") +
        " take " + gigabytes(per_gpu) + " per GPU, and with " + gigabytes(kReservedBytes) +
        " for the runtime they do not fit the " + gigabytes(gpu.memory_bytes) + " of one " + gpu.name +
        ": use -tp" + std::to_string(enough) + (deployment.fp8 ? "" : " or -fp8"));
}

std::vector<Figure> figures_of(Deployment const& deployment, Efficiency const& efficiency) {
    auto const& gpu = *deployment.gpu;
    auto const& model = *deployment.model;
    std::string const source = gpu.source;
    std::vector<Figure> figures = {
        {"gpu_memory", gpu.memory_bytes, "B", source},
        {"gpu_bandwidth", gpu.bandwidth_bytes_per_s, "B/s", source},
        {"gpu_flops", deployment.fp8 ? gpu.fp8_flops : gpu.fp16_flops, "FLOP/s", source},
        {"model_parameters", model.parameters, "parameters", model.source},
        {"model_layers", static_cast<double>(model.layers), "layers", model.source},
        {"model_kv_heads", static_cast<double>(model.kv_heads), "heads", model.source},
        {"model_head_dim", static_cast<double>(model.head_dim), "elements", model.source},
        {"model_hidden_size", static_cast<double>(model.hidden), "elements", model.source},
        {"model_vocab_size", static_cast<double>(model.vocab), "tokens", model.source},
        {"model_max_positions", static_cast<double>(model.max_positions), "tokens", model.source},
        {"weight_bytes", weight_bytes(deployment), "B", "parameters times bytes per weight"},
        {"kv_bytes_per_token", kv_bytes_per_token(deployment), "B",
         "2 x layers x KV heads x head_dim x bytes per element; fp8 profiles keep the cache in fp8"},
        {"tensor_parallel", static_cast<double>(deployment.tensor_parallel), "GPUs", "the profile's name"},
        {"bandwidth_efficiency", efficiency.bandwidth, "fraction", kAssumption},
        {"compute_efficiency", efficiency.compute, "fraction", kAssumption},
        {"reserved_memory", kReservedBytes, "B", kAssumption},
    };
    if (deployment.tensor_parallel > 1) {
        figures.push_back({"nvlink_bandwidth", gpu.nvlink_bytes_per_s, "B/s", source});
        figures.push_back({"all_reduce_latency", kAllReduceUs, "us", kAssumption});
    }
    return figures;
}

/// Two ring all-reduces per layer, each of one hidden state in 16 bit per token.
void add_communication(Deployment const& deployment, CostModel::Roofline& roofline) {
    if (deployment.tensor_parallel == 1) {
        return;
    }
    auto const reductions = 2.0 * deployment.model->layers;
    auto const ranks = static_cast<double>(deployment.tensor_parallel);
    auto const one_way = deployment.gpu->nvlink_bytes_per_s / 2;
    auto const bytes_per_token = 2.0 * deployment.model->hidden * 2.0 * (ranks - 1) / ranks;
    roofline.communication_ns = reductions * kAllReduceUs * 1000;
    roofline.communication_ns_per_token = reductions * bytes_per_token / one_way * kNsPerSecond;
}

template <typename Entry, std::size_t N>
Entry const* take_prefix(std::string& rest, Entry const (&entries)[N]) {
    for (auto const& entry : entries) {
        std::string const name = entry.name;
        if (rest == name || rest.compare(0, name.size() + 1, name + "-") == 0) {
            rest.erase(0, std::min(rest.size(), name.size() + 1));
            return &entry;
        }
    }
    return nullptr;
}

}  // namespace

std::optional<Deployment> parse_deployment(std::string const& name) {
    std::string rest = name;
    auto const* gpu = take_prefix(rest, kGpus);
    auto const* model = gpu != nullptr ? take_prefix(rest, kModels) : nullptr;
    if (model == nullptr) {
        return std::nullopt;
    }
    Deployment deployment{gpu, model, false, 1};
    if (rest.compare(0, 4, "fp16") == 0 || rest.compare(0, 3, "fp8") == 0) {
        deployment.fp8 = rest[2] == '8';
        rest.erase(0, deployment.fp8 ? 3 : 4);
        if (rest.compare(0, 3, "-tp") == 0) {
            rest.erase(0, 1);
        }
    }
    if (rest.empty()) {
        return deployment;
    }
    for (int const ranks : {1, 2, 4, 8}) {
        if (rest == "tp" + std::to_string(ranks)) {
            deployment.tensor_parallel = ranks;
            return deployment;
        }
    }
    return std::nullopt;
}

Hardware resolve(Deployment const& deployment, Efficiency const& efficiency) {
    require_fit(deployment);
    auto const& gpu = *deployment.gpu;
    auto const ranks = static_cast<double>(deployment.tensor_parallel);
    auto const bandwidth = gpu.bandwidth_bytes_per_s * efficiency.bandwidth;
    auto const flops = (deployment.fp8 ? gpu.fp8_flops : gpu.fp16_flops) * efficiency.compute;

    Hardware hardware;
    hardware.base_us = kBaseUs;
    hardware.vocab_size = deployment.model->vocab;
    hardware.max_seq_len = deployment.model->max_positions;
    hardware.weights_bytes_per_gpu = weight_bytes(deployment) / ranks;
    hardware.free_bytes_per_gpu = gpu.memory_bytes - hardware.weights_bytes_per_gpu - kReservedBytes;
    hardware.kv_bytes_per_token_per_gpu = kv_bytes_per_token(deployment) / ranks;
    hardware.roofline.weights_ns = hardware.weights_bytes_per_gpu / bandwidth * kNsPerSecond;
    hardware.roofline.kv_ns_per_token = hardware.kv_bytes_per_token_per_gpu / bandwidth * kNsPerSecond;
    // Two operations per parameter and token; attention's own quadratic part is left out.
    hardware.roofline.compute_ns_per_token =
        2.0 * deployment.model->parameters / ranks / flops * kNsPerSecond;
    add_communication(deployment, hardware.roofline);
    hardware.figures = figures_of(deployment, efficiency);
    return hardware;
}

std::string deployment_names() { return "{h100,h200,b200}-{llama3-8b,llama3-70b}[-fp16|-fp8][-tp1|2|4|8]"; }

}  // namespace tensorrt_llm::simulation
