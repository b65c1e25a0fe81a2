// Sampling settings, and the modes of speculative decoding.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensorrt_llm/executor/tensor.h"
#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::executor {

/// An extra tensor of the model, by name, that a request may ask back.
struct AdditionalModelOutput {
    std::string name;
    bool gatherContext{false};
};

class SamplingConfig {
  public:
    /// Throws when a value is outside its range (beam width and counts positive, 0 < topP <= 1, …).
    explicit SamplingConfig(SizeType32 beamWidth = 1, std::optional<SizeType32> const& topK = std::nullopt,
                            std::optional<FloatType> const& topP = std::nullopt,
                            std::optional<FloatType> const& topPMin = std::nullopt,
                            std::optional<TokenIdType> const& topPResetIds = std::nullopt,
                            std::optional<FloatType> const& topPDecay = std::nullopt,
                            std::optional<RandomSeedType> const& seed = std::nullopt,
                            std::optional<FloatType> const& temperature = std::nullopt,
                            std::optional<SizeType32> const& minTokens = std::nullopt,
                            std::optional<FloatType> const& beamSearchDiversityRate = std::nullopt,
                            std::optional<FloatType> const& repetitionPenalty = std::nullopt,
                            std::optional<FloatType> const& presencePenalty = std::nullopt,
                            std::optional<FloatType> const& frequencyPenalty = std::nullopt,
                            std::optional<SizeType32> const& promptIgnoreLength = std::nullopt,
                            std::optional<FloatType> const& lengthPenalty = std::nullopt,
                            std::optional<SizeType32> const& earlyStopping = std::nullopt,
                            std::optional<SizeType32> const& noRepeatNgramSize = std::nullopt,
                            std::optional<SizeType32> const& numReturnSequences = std::nullopt,
                            std::optional<FloatType> const& minP = std::nullopt,
                            std::optional<std::vector<SizeType32>> const& beamWidthArray = std::nullopt);

    SizeType32 getBeamWidth() const { return mBeamWidth; }
    SizeType32 getNumReturnBeams() const;
    std::optional<SizeType32> getTopK() const { return mTopK; }
    std::optional<FloatType> getTopP() const { return mTopP; }
    std::optional<RandomSeedType> getSeed() const { return mSeed; }
    std::optional<FloatType> getTemperature() const { return mTemperature; }
    std::optional<SizeType32> getMinTokens() const { return mMinTokens; }
    std::optional<FloatType> getRepetitionPenalty() const { return mRepetitionPenalty; }
    std::optional<FloatType> getPresencePenalty() const { return mPresencePenalty; }
    std::optional<FloatType> getFrequencyPenalty() const { return mFrequencyPenalty; }
    std::optional<FloatType> getLengthPenalty() const { return mLengthPenalty; }
    std::optional<SizeType32> getNumReturnSequences() const { return mNumReturnSequences; }
    std::optional<FloatType> getMinP() const { return mMinP; }

    void setTopK(std::optional<SizeType32> const& topK);
    void setTopP(std::optional<FloatType> const& topP);
    void setSeed(std::optional<RandomSeedType> const& seed);
    void setTemperature(std::optional<FloatType> const& temperature);
    void setMinTokens(std::optional<SizeType32> const& minTokens);
    void setRepetitionPenalty(std::optional<FloatType> const& repetitionPenalty);
    void setPresencePenalty(std::optional<FloatType> const& presencePenalty);
    void setFrequencyPenalty(std::optional<FloatType> const& frequencyPenalty);
    /// Not validated, as in TensorRT-LLM.
    void setLengthPenalty(std::optional<FloatType> const& lengthPenalty);
    void setNumReturnSequences(std::optional<SizeType32> const& numReturnSequences);
    void setMinP(std::optional<FloatType> const& minP);

  private:
    SizeType32 mBeamWidth;
    std::optional<SizeType32> mTopK;
    std::optional<FloatType> mTopP;
    std::optional<RandomSeedType> mSeed;
    std::optional<FloatType> mTemperature;
    std::optional<SizeType32> mMinTokens;
    std::optional<FloatType> mRepetitionPenalty;
    std::optional<FloatType> mPresencePenalty;
    std::optional<FloatType> mFrequencyPenalty;
    std::optional<FloatType> mLengthPenalty;
    std::optional<SizeType32> mNumReturnSequences;
    std::optional<FloatType> mMinP;
};

class LookaheadDecodingConfig {
  public:
    explicit LookaheadDecodingConfig(SizeType32 windowSize, SizeType32 ngramSize,
                                     SizeType32 verificationSetSize);
    SizeType32 getWindowSize() const { return mWindowSize; }
    SizeType32 getNgramSize() const { return mNgramSize; }
    SizeType32 getVerificationSetSize() const { return mVerificationSetSize; }

  private:
    SizeType32 mWindowSize;
    SizeType32 mNgramSize;
    SizeType32 mVerificationSetSize;
};

class EagleConfig {
  public:
    explicit EagleConfig(std::optional<EagleChoices> eagleChoices = std::nullopt, bool greedySampling = true,
                         std::optional<float> posteriorThreshold = std::nullopt, bool useDynamicTree = false,
                         std::optional<SizeType32> dynamicTreeMaxTopK = std::nullopt);
    std::optional<EagleChoices> getEagleChoices() const { return mEagleChoices; }
    bool isGreedySampling() const { return mGreedySampling; }

  private:
    std::optional<EagleChoices> mEagleChoices;
    bool mGreedySampling;
};

class DecodingMode {
  public:
    static constexpr DecodingMode Auto() { return DecodingMode(0); }
    static constexpr DecodingMode TopK() { return DecodingMode(1); }
    static constexpr DecodingMode TopP() { return DecodingMode(2); }
    static constexpr DecodingMode TopKTopP() { return DecodingMode(3); }
    static constexpr DecodingMode BeamSearch() { return DecodingMode(4); }
    static constexpr DecodingMode Medusa() { return DecodingMode(5); }
    static constexpr DecodingMode Lookahead() { return DecodingMode(6); }
    static constexpr DecodingMode ExplicitDraftTokens() { return DecodingMode(7); }
    static constexpr DecodingMode ExternalDraftTokens() { return DecodingMode(8); }
    static constexpr DecodingMode Eagle() { return DecodingMode(9); }
    constexpr bool operator==(DecodingMode const& other) const { return mState == other.mState; }

  private:
    explicit constexpr DecodingMode(int state) : mState(state) {}
    int mState;
};

class DecodingConfig {
  public:
    explicit DecodingConfig(std::optional<DecodingMode> decodingMode = std::nullopt,
                            std::optional<LookaheadDecodingConfig> lookaheadDecodingConfig = std::nullopt,
                            std::optional<MedusaChoices> medusaChoices = std::nullopt,
                            std::optional<EagleConfig> eagleConfig = std::nullopt);
    std::optional<DecodingMode> getDecodingMode() const { return mDecodingMode; }
    std::optional<LookaheadDecodingConfig> getLookaheadDecodingConfig() const { return mLookaheadConfig; }
    void setLookaheadDecodingConfig(LookaheadDecodingConfig const& lookaheadDecodingConfig);

  private:
    std::optional<DecodingMode> mDecodingMode;
    std::optional<LookaheadDecodingConfig> mLookaheadConfig;
    std::optional<MedusaChoices> mMedusaChoices;
    std::optional<EagleConfig> mEagleConfig;
};

class ExternalDraftTokensConfig {
  public:
    explicit ExternalDraftTokensConfig(VecTokens tokens, std::optional<Tensor> logits = std::nullopt,
                                       std::optional<FloatType> const& acceptanceThreshold = std::nullopt,
                                       std::optional<bool> const& fastLogits = std::nullopt);
    VecTokens getTokens() const { return mTokens; }

  private:
    VecTokens mTokens;
    std::optional<Tensor> mLogits;
    std::optional<FloatType> mAcceptanceThreshold;
    std::optional<bool> mFastLogits;
};

}  // namespace tensorrt_llm::executor
