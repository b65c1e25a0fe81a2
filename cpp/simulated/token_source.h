// Which token comes next? A pure function of seeds, prompt and position, so that equal seeds give equal
// tokens.
#pragma once

#include <cstdint>
#include <vector>

namespace tensorrt_llm::simulation {

/// A bijective 64-bit mixer (the finalizer of SplitMix64).
constexpr std::uint64_t mix(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/// Order-dependent: the chain over a prefix names that prefix.
constexpr std::uint64_t chain(std::uint64_t hash, std::int32_t token) {
    return (hash ^ static_cast<std::uint32_t>(token)) * 0x9ddfea08eb382d69ULL + 0x632be59bd9b4e019ULL;
}

inline std::uint64_t hash_of(std::vector<std::int32_t> const& tokens) {
    std::uint64_t hash = 0;
    for (auto const token : tokens) {
        hash = chain(hash, token);
    }
    return mix(hash);
}

/// The tokens of one sequence.
class TokenSource {
  public:
    TokenSource() = default;
    TokenSource(std::uint64_t profile_seed, std::uint64_t sampling_seed, std::uint64_t prompt_hash,
                std::int32_t vocab_size, std::int32_t end_id)
        : mKey(mix(mix(profile_seed) ^ mix(sampling_seed ^ 0x5bd1e995) ^ prompt_hash)),
          mVocab(static_cast<std::uint64_t>(vocab_size)),
          mEndId(end_id) {}

    /// Within the vocabulary and never the end id.
    std::int32_t token(std::int64_t position, std::int32_t beam = 0) const {
        auto const drawn = static_cast<std::int32_t>(draw(position, beam) % mVocab);
        return drawn != mEndId ? drawn : static_cast<std::int32_t>((drawn + 1) % mVocab);
    }

    /// Uniform in [0, 1): whether the draft of this position is accepted.
    double chance(std::int64_t position) const {
        return static_cast<double>(draw(position, -1) >> 11) * 0x1.0p-53;
    }

  private:
    std::uint64_t draw(std::int64_t position, std::int32_t row) const {
        return mix(mKey ^ mix(static_cast<std::uint64_t>(position) * 0x100000001b3ULL +
                              static_cast<std::uint64_t>(row + 1)));
    }

    std::uint64_t mKey = 0;
    std::uint64_t mVocab = 2;
    std::int32_t mEndId = -1;
};

}  // namespace tensorrt_llm::simulation
