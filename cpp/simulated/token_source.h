// Choice of the next token: a pure function of the seeds and of all tokens before it.
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

/// The chain over a whole prefix.
inline std::uint64_t chain_over(std::vector<std::int32_t> const& tokens) {
    std::uint64_t hash = 0;
    for (auto const token : tokens) {
        hash = chain(hash, token);
    }
    return hash;
}

/// Source of the tokens of one sequence.
class TokenSource {
  public:
    TokenSource() = default;
    /// `agreement` is the share of tokens that a source of the same seeds with an agreement of 1 would give,
    /// too.
    TokenSource(std::uint64_t profile_seed, std::uint64_t sampling_seed, std::int32_t vocab_size,
                std::int32_t end_id, double agreement)
        : mKey(mix(mix(profile_seed) ^ mix(sampling_seed ^ 0x5bd1e995))),
          mVocab(static_cast<std::uint64_t>(vocab_size)),
          mEndId(end_id),
          mAgreement(agreement) {}

    /// The token after the tokens of this chain: within the vocabulary and never the end id.
    std::int32_t token_after(std::uint64_t prefix, std::int32_t beam = 0) const {
        auto const agreed = not_the_end(draw(prefix, beam) % mVocab);
        bool const agrees = mAgreement >= 1 || uniform(draw(prefix, kAgreement)) < mAgreement;
        return agrees ? agreed : not_the_end(static_cast<std::uint64_t>(agreed) + 1);
    }

    /// Uniform in [0, 1): whether the draft after this chain is accepted, where an engine drafts by itself.
    double chance_after(std::uint64_t prefix) const { return uniform(draw(prefix, kAcceptance)); }

  private:
    /// Rows beside those of the beams.
    static constexpr std::int32_t kAcceptance = -1;
    static constexpr std::int32_t kAgreement = -2;

    static double uniform(std::uint64_t drawn) { return static_cast<double>(drawn >> 11) * 0x1.0p-53; }

    std::int32_t not_the_end(std::uint64_t drawn) const {
        auto const token = static_cast<std::int32_t>(drawn % mVocab);
        return token != mEndId ? token : static_cast<std::int32_t>((drawn + 1) % mVocab);
    }

    std::uint64_t draw(std::uint64_t prefix, std::int32_t row) const {
        return mix(mKey ^ mix(prefix + static_cast<std::uint64_t>(row + 2) * 0x100000001b3ULL));
    }

    std::uint64_t mKey = 0;
    std::uint64_t mVocab = 2;
    std::int32_t mEndId = -1;
    double mAgreement = 1;
};

}  // namespace tensorrt_llm::simulation
