// What is a profile, and what is said of one that is not?
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "bareflight/cpp/simulated/describe.h"
#include "bareflight/cpp/simulated/json_reader.h"
#include "bareflight/cpp/simulated/profile.h"
#include "bench.h"

using claims::contains;
namespace tle = bench::tle;
using claims::holds;
using claims::same;
using claims::thrown_by;
namespace sim = tensorrt_llm::simulation;

namespace {

std::string refusal_of(std::string const& spec) {
    return thrown_by([&] { sim::parse_profile(spec); });
}

/// A directory that is gone when the claim ends.
class EngineDirectory {
  public:
    explicit EngineDirectory(std::string const& config)
        : mPath(std::filesystem::temp_directory_path() /
                ("bareflight-claims-" + std::to_string(bench::Clock::now().time_since_epoch().count()))) {
        std::filesystem::create_directory(mPath);
        std::ofstream(mPath / "config.json") << config;
    }
    ~EngineDirectory() { std::filesystem::remove_all(mPath); }
    std::string path() const { return mPath.string(); }

  private:
    std::filesystem::path mPath;
};

}  // namespace

CLAIM("an unknown profile, key or value is refused by one sentence that lists what is known") {
    contains(refusal_of("nil"), "unknown name 'nil'; known names are null, explicit and {h100,h200,b200}");
    contains(refusal_of(""), "unknown name");
    contains(refusal_of("h100-llama3-8b-int4"), "unknown name");
    contains(refusal_of("h100-llama3-8b-tp3"), "unknown name");
    contains(refusal_of("null,vocabulary=3"), "unknown key 'vocabulary'; known keys are base_us");
    contains(refusal_of("null,vocab"), "needs a value");
    contains(refusal_of("null,"), "unknown key ''");
    contains(refusal_of("null,vocab=many"), "vocab must be a whole number from 2");
    contains(refusal_of("null,vocab=2.5"), "not '2.5'");
    contains(refusal_of("explicit,base_us=-1"), "base_us must be a number from 0");
    contains(refusal_of("null,acceptance=1.5"), "from 0 to 1");
    contains(refusal_of("null,vocab=3,vocab=4"), "given twice");
    contains(refusal_of("null,base_us=1"), "use explicit");
    contains(refusal_of("null,stall_ms=1"), "give both");
    contains(refusal_of("explicit,compute_efficiency=0.5"), "roofline");
    contains(refusal_of("null,kv_tokens=8"), "less than one block");
}

CLAIM("a model that does not fit its memory is refused with what would fit") {
    contains(refusal_of("h200-llama3-70b"), "do not fit the 141.0 GB of one h200: use -tp2 or -fp8");
    contains(refusal_of("h100-llama3-70b-fp16"), "use -tp2");
    sim::parse_profile("h200-llama3-70b-fp8");
    sim::parse_profile("h200-llama3-70b-tp2");
    sim::parse_profile("b200-llama3-70b");
}

CLAIM("precision and parallelism default to fp16 on one GPU") {
    auto const plain = sim::parse_profile("h100-llama3-8b");
    auto const named = sim::parse_profile("h100-llama3-8b-fp16-tp1");
    auto const load = sim::IterationLoad{100, 10, 1000};
    same(plain.cost.iteration_cost_ns(load), named.cost.iteration_cost_ns(load), "cost");
    holds(plain.cost.iteration_cost_ns(load) >
              sim::parse_profile("h100-llama3-8b-fp8").cost.iteration_cost_ns(load),
          "fp8 is not faster");
}

CLAIM("a description says that it is simulated and names the source of each figure") {
    auto const scalars = sim::read_json_scalars(sim::describe("h200-llama3-8b-fp8,max_batch_size=64"));
    same(scalars.at("profile"), std::string("h200-llama3-8b-fp8,max_batch_size=64"), "profile");
    same(scalars.at("kind"), std::string("roofline"), "kind");
    same(scalars.at("simulated"), std::string("true"), "simulated");
    same(scalars.at("limits.max_batch_size"), std::string("64"), "max_batch_size");
    same(scalars.at("limits.vocab_size"), std::string("128256"), "vocab_size");
    holds(scalars.count("limits.kv_blocks") == 1 && scalars.count("costs.base_us") == 1, "a key is missing");
    holds(scalars.count("figures[].source") == 1, "the figures have no source");
    auto const text = sim::describe("null");
    contains(text, "\"kind\":\"null\"");
    contains(text, "\"figures\":[]");
    contains(thrown_by([] { sim::describe("nil"); }), "unknown name");
}

CLAIM("an engine directory names its profile, and its build limits count") {
    EngineDirectory const engine(
        R"({"version":"1.2.1","simulated_profile":"null,vocab=500","build_config":{"max_batch_size":7,)"
        R"("max_input_len":null,"max_seq_len":99,"plugins":[1,{"a":"b"}]}})");
    auto const profile = sim::load_profile(engine.path());
    same(profile.limits.max_batch_size, 7, "max_batch_size");
    same(profile.limits.max_seq_len, 99, "max_seq_len");
    same(profile.limits.vocab_size, 500, "vocab_size");
    auto executor = bench::open(engine.path());
    same(bench::answer_of(executor, bench::streaming(90, 100)).tokens.size(), 9U, "tokens up to the limit");
}

CLAIM("a directory without a profile, or with a broken config, is refused by name") {
    EngineDirectory const real(R"({"version":"1.2.1"})");
    contains(thrown_by([&] { sim::load_profile(real.path()); }), "has no key \"simulated_profile\"");
    EngineDirectory const broken("{\"version\":");
    contains(thrown_by([&] { sim::load_profile(broken.path()); }), "malformed JSON at offset 11");
}

CLAIM(
    "an engine that returns context logits, or has no paged context attention, reuses nothing and "
    "still answers") {
    std::string const head = R"({"simulated_profile":"null","build_config":{)";
    auto const reused = [&](std::string const& build) {
        EngineDirectory const engine(head + build + "}}");
        tle::ExecutorConfig config;
        config.setKvCacheConfig(tle::KvCacheConfig(true));
        auto executor = bench::open(engine.path(), config);
        bench::answer_of(executor, bench::streaming(100, 2));
        auto const again = bench::answer_of(executor, bench::with_metrics(bench::streaming(100, 2)));
        return again.metrics().kvCacheMetrics.numReusedBlocks;
    };
    claims::same(reused(R"("gather_context_logits":false)"), 3, "blocks that were reused");
    claims::same(reused(R"("gather_context_logits":true)"), 0, "blocks reused with context logits");
    claims::same(reused(R"("plugin_config":{"use_paged_context_fmha":false})"), 0,
                 "blocks reused without it");
}

CLAIM("an output that is clamped and reuse that is switched off are warnings of the log") {
    setenv("TLLM_LOG_LEVEL", "WARNING", 1);
    std::ostringstream written;
    auto* const before = std::cerr.rdbuf(written.rdbuf());
    // Each thread reads the level once: this one and the executor's are new.
    std::thread([] {
        EngineDirectory const engine(
            R"({"simulated_profile":"null,max_seq_len=32","build_config":{"gather_context_logits":true}})");
        tle::ExecutorConfig config;
        config.setKvCacheConfig(tle::KvCacheConfig(true));
        auto executor = bench::open(engine.path(), config);
        bench::answer_of(executor, bench::streaming(20, 100));
        bench::answer_of(executor, bench::streaming(40, 1));
    }).join();
    std::cerr.rdbuf(before);
    setenv("TLLM_LOG_LEVEL", "ERROR", 1);
    auto const log = written.str();
    contains(log, "[TensorRT-LLM][WARNING] block reuse is switched off");
    contains(log, "[TensorRT-LLM][WARNING] an output of 100 tokens does not fit: it ends after 12");
    contains(log, "[TensorRT-LLM][ERROR] Encountered an error when fetching new request: Prompt length (40)");
}

CLAIM("each call of the executor throws from the call on that the profile names, whichever type it names") {
    auto const thrower = [](std::string const& keys) { return bench::open("null," + keys); };
    contains(thrown_by([&] { thrower("throw_at_open=1"); }),
             "simulated exception of the call open, number 1");
    auto executor = thrower("throw_at_enqueue=2");
    executor.enqueueRequest(bench::streaming(4, 1));
    for (int number = 2; number < 4; ++number) {
        contains(thrown_by([&] { executor.enqueueRequest(bench::streaming(4, 1)); }),
                 "enqueue, number " + std::to_string(number));
    }
    bool threw_int = false;
    auto other = thrower("throw_at_shutdown=1,throw_int=1");
    try {
        other.shutdown();
    } catch (int) {
        threw_int = true;
    }
    claims::holds(threw_int, "it threw something else than an int");
    other.shutdown();
}
