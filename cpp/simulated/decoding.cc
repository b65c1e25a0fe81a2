// Sampling and decoding settings of the executor API: their members and the values that they refuse.
#include "tensorrt_llm/executor/decoding.h"

#include <stdexcept>
#include <string>

namespace tensorrt_llm::executor {

namespace {

/// Widest beam that TensorRT-LLM's sampling kernels take.
constexpr SizeType32 kMaxBeamWidth = 1024;

[[noreturn]] void refuse(char const* name, std::string const& value, char const* rule) {
    throw std::invalid_argument(std::string(name) + " must be " + rule + ", not " + value);
}

template <typename T, typename Valid>
std::optional<T> checked(std::optional<T> const& value, char const* name, char const* rule, Valid valid) {
    if (value && !valid(*value)) {
        refuse(name, std::to_string(*value), rule);
    }
    return value;
}

std::optional<SizeType32> checkedTopK(std::optional<SizeType32> const& topK) {
    return checked(topK, "topK", "0 or more", [](SizeType32 value) { return value >= 0; });
}

std::optional<FloatType> checkedTopP(std::optional<FloatType> const& topP) {
    return checked(topP, "topP", "above 0 and at most 1",
                   [](FloatType value) { return value > 0.0F && value <= 1.0F; });
}

std::optional<FloatType> checkedTemperature(std::optional<FloatType> const& temperature) {
    return checked(temperature, "temperature", "0 or more", [](FloatType value) { return value >= 0.0F; });
}

std::optional<SizeType32> checkedMinTokens(std::optional<SizeType32> const& minTokens) {
    return checked(minTokens, "minTokens", "0 or more", [](SizeType32 value) { return value >= 0; });
}

std::optional<FloatType> checkedRepetition(std::optional<FloatType> const& penalty) {
    return checked(penalty, "repetitionPenalty", "above 0", [](FloatType value) { return value > 0.0F; });
}

std::optional<FloatType> checkedMinP(std::optional<FloatType> const& minP) {
    return checked(minP, "minP", "between 0 and 1",
                   [](FloatType value) { return value >= 0.0F && value <= 1.0F; });
}

std::optional<SizeType32> checkedSequences(std::optional<SizeType32> const& count, SizeType32 beamWidth) {
    checked(count, "numReturnSequences", "above 0", [](SizeType32 value) { return value > 0; });
    return checked(count, "numReturnSequences", "at most the beam width",
                   [beamWidth](SizeType32 value) { return beamWidth == 1 || value <= beamWidth; });
}

SizeType32 checkedBeamWidth(SizeType32 beamWidth) {
    if (beamWidth <= 0 || beamWidth > kMaxBeamWidth) {
        refuse("beamWidth", std::to_string(beamWidth), "from 1 to 1024");
    }
    return beamWidth;
}

}  // namespace

SamplingConfig::SamplingConfig(
    SizeType32 beamWidth, std::optional<SizeType32> const& topK, std::optional<FloatType> const& topP,
    std::optional<FloatType> const&, std::optional<TokenIdType> const&, std::optional<FloatType> const&,
    std::optional<RandomSeedType> const& seed, std::optional<FloatType> const& temperature,
    std::optional<SizeType32> const& minTokens, std::optional<FloatType> const&,
    std::optional<FloatType> const& repetitionPenalty, std::optional<FloatType> const& presencePenalty,
    std::optional<FloatType> const& frequencyPenalty, std::optional<SizeType32> const&,
    std::optional<FloatType> const& lengthPenalty, std::optional<SizeType32> const&,
    std::optional<SizeType32> const&, std::optional<SizeType32> const& numReturnSequences,
    std::optional<FloatType> const& minP, std::optional<std::vector<SizeType32>> const&)
    : mBeamWidth(checkedBeamWidth(beamWidth)),
      mTopK(checkedTopK(topK)),
      mTopP(checkedTopP(topP)),
      mSeed(seed),
      mTemperature(checkedTemperature(temperature)),
      mMinTokens(checkedMinTokens(minTokens)),
      mRepetitionPenalty(checkedRepetition(repetitionPenalty)),
      mPresencePenalty(presencePenalty),
      mFrequencyPenalty(frequencyPenalty),
      mLengthPenalty(lengthPenalty),
      mNumReturnSequences(checkedSequences(numReturnSequences, beamWidth)),
      mMinP(checkedMinP(minP)) {}

SizeType32 SamplingConfig::getNumReturnBeams() const {
    return mNumReturnSequences && mBeamWidth > 1 ? *mNumReturnSequences : mBeamWidth;
}

void SamplingConfig::setTopK(std::optional<SizeType32> const& topK) { mTopK = checkedTopK(topK); }

void SamplingConfig::setTopP(std::optional<FloatType> const& topP) { mTopP = checkedTopP(topP); }

void SamplingConfig::setSeed(std::optional<RandomSeedType> const& seed) { mSeed = seed; }

void SamplingConfig::setTemperature(std::optional<FloatType> const& temperature) {
    mTemperature = checkedTemperature(temperature);
}

void SamplingConfig::setMinTokens(std::optional<SizeType32> const& minTokens) {
    mMinTokens = checkedMinTokens(minTokens);
}

void SamplingConfig::setRepetitionPenalty(std::optional<FloatType> const& repetitionPenalty) {
    mRepetitionPenalty = checkedRepetition(repetitionPenalty);
}

void SamplingConfig::setPresencePenalty(std::optional<FloatType> const& presencePenalty) {
    mPresencePenalty = presencePenalty;
}

void SamplingConfig::setFrequencyPenalty(std::optional<FloatType> const& frequencyPenalty) {
    mFrequencyPenalty = frequencyPenalty;
}

void SamplingConfig::setLengthPenalty(std::optional<FloatType> const& lengthPenalty) {
    mLengthPenalty = lengthPenalty;
}

void SamplingConfig::setNumReturnSequences(std::optional<SizeType32> const& numReturnSequences) {
    mNumReturnSequences = checkedSequences(numReturnSequences, mBeamWidth);
}

void SamplingConfig::setMinP(std::optional<FloatType> const& minP) { mMinP = checkedMinP(minP); }

LookaheadDecodingConfig::LookaheadDecodingConfig(SizeType32 windowSize, SizeType32 ngramSize,
                                                 SizeType32 verificationSetSize)
    : mWindowSize(windowSize), mNgramSize(ngramSize), mVerificationSetSize(verificationSetSize) {
    if (windowSize < 1 || ngramSize < 1 || verificationSetSize < 0) {
        refuse("lookahead decoding's window, n-gram and verification sizes",
               std::to_string(windowSize) + "," + std::to_string(ngramSize) + "," +
                   std::to_string(verificationSetSize),
               "at least 1, 1 and 0");
    }
}

EagleConfig::EagleConfig(std::optional<EagleChoices> eagleChoices, bool greedySampling, std::optional<float>,
                         bool, std::optional<SizeType32>)
    : mEagleChoices(std::move(eagleChoices)), mGreedySampling(greedySampling) {}

DecodingConfig::DecodingConfig(std::optional<DecodingMode> decodingMode,
                               std::optional<LookaheadDecodingConfig> lookaheadDecodingConfig,
                               std::optional<MedusaChoices> medusaChoices,
                               std::optional<EagleConfig> eagleConfig)
    : mDecodingMode(decodingMode),
      mLookaheadConfig(lookaheadDecodingConfig),
      mMedusaChoices(std::move(medusaChoices)),
      mEagleConfig(std::move(eagleConfig)) {}

ExternalDraftTokensConfig::ExternalDraftTokensConfig(VecTokens tokens, std::optional<Tensor> logits,
                                                     std::optional<FloatType> const& acceptanceThreshold,
                                                     std::optional<bool> const& fastLogits)
    : mTokens(std::move(tokens)),
      mLogits(std::move(logits)),
      mAcceptanceThreshold(acceptanceThreshold),
      mFastLogits(fastLogits) {}

void DecodingConfig::setLookaheadDecodingConfig(LookaheadDecodingConfig const& lookaheadDecodingConfig) {
    mLookaheadConfig = lookaheadDecodingConfig;
}

}  // namespace tensorrt_llm::executor
