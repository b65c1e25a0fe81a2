// A request to the executor: one prompt, its limits and its options.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensorrt_llm/executor/decoding.h"
#include "tensorrt_llm/executor/tensor.h"
#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::executor {

class OutputConfig {
  public:
    explicit OutputConfig(
        bool returnLogProbs = false, bool returnContextLogits = false, bool returnGenerationLogits = false,
        bool excludeInputFromOutput = false, bool returnEncoderOutput = false, bool returnPerfMetrics = false,
        std::optional<std::vector<AdditionalModelOutput>> additionalModelOutputs = std::nullopt);

    bool returnLogProbs;
    bool returnContextLogits;
    bool returnGenerationLogits;
    bool excludeInputFromOutput;
    bool returnEncoderOutput;
    bool returnPerfMetrics;
    std::optional<std::vector<AdditionalModelOutput>> additionalModelOutputs;
};

class LoraConfig {
  public:
    explicit LoraConfig(IdType taskId, std::optional<Tensor> weights = std::nullopt,
                        std::optional<Tensor> config = std::nullopt);
    IdType getTaskId() const { return mTaskId; }
    std::optional<Tensor> getWeights() const { return mWeights; }
    std::optional<Tensor> getConfig() const { return mConfig; }

  private:
    IdType mTaskId;
    std::optional<Tensor> mWeights;
    std::optional<Tensor> mConfig;
};

class PromptTuningConfig {
  public:
    explicit PromptTuningConfig(Tensor embeddingTable,
                                std::optional<VecTokenExtraIds> inputTokenExtraIds = std::nullopt)
        : mEmbeddingTable(std::move(embeddingTable)), mInputTokenExtraIds(std::move(inputTokenExtraIds)) {}
    Tensor getEmbeddingTable() const { return mEmbeddingTable; }
    std::optional<VecTokenExtraIds> getInputTokenExtraIds() const { return mInputTokenExtraIds; }

  private:
    Tensor mEmbeddingTable;
    std::optional<VecTokenExtraIds> mInputTokenExtraIds;
};

/// State handed from a context server to a generation server; the simulated executor serves both in one.
class ContextPhaseParams {
  public:
    explicit ContextPhaseParams(VecTokens firstGenTokens, IdType reqId)
        : mFirstGenTokens(std::move(firstGenTokens)), mReqId(reqId) {}
    ContextPhaseParams(ContextPhaseParams const&) = default;
    ContextPhaseParams(ContextPhaseParams&&) = default;
    ContextPhaseParams& operator=(ContextPhaseParams const&) = default;
    ContextPhaseParams& operator=(ContextPhaseParams&&) = default;
    ~ContextPhaseParams();
    VecTokens const& getFirstGenTokens() const { return mFirstGenTokens; }
    IdType getReqId() const { return mReqId; }

  private:
    VecTokens mFirstGenTokens;
    IdType mReqId;
};

/// Names that a wrapper passes through; the simulated executor has nothing to set up behind them.
class MultimodalInput {};
class MropeConfig {};
class KvCacheRetentionConfig {};
class GuidedDecodingParams {};

/// Everything sits behind one pointer, so a move is cheap; a copy copies the prompt.
class Request {
  public:
    static constexpr PriorityType kDefaultPriority = 0.5F;

    /// Throws when the prompt is empty, `maxTokens` is not positive or `numReturnSequences` does not fit the
    /// beam.
    Request(VecTokens inputTokenIds, SizeType32 maxTokens, bool streaming = false,
            SamplingConfig const& samplingConfig = SamplingConfig(),
            OutputConfig const& outputConfig = OutputConfig(),
            std::optional<SizeType32> const& endId = std::nullopt,
            std::optional<SizeType32> const& padId = std::nullopt,
            std::optional<std::vector<SizeType32>> positionIds = std::nullopt,
            std::optional<std::list<VecTokens>> badWords = std::nullopt,
            std::optional<std::list<VecTokens>> stopWords = std::nullopt,
            std::optional<Tensor> embeddingBias = std::nullopt,
            std::optional<ExternalDraftTokensConfig> externalDraftTokensConfig = std::nullopt,
            std::optional<PromptTuningConfig> promptTuningConfig = std::nullopt,
            std::optional<MultimodalInput> multimodalInput = std::nullopt,
            std::optional<Tensor> multimodalEmbedding = std::nullopt,
            std::optional<MropeConfig> mRopeConfig = std::nullopt,
            std::optional<LoraConfig> loraConfig = std::nullopt,
            std::optional<LookaheadDecodingConfig> lookaheadConfig = std::nullopt,
            std::optional<KvCacheRetentionConfig> kvCacheRetentionConfig = std::nullopt,
            std::optional<std::string> logitsPostProcessorName = std::nullopt,
            std::optional<LogitsPostProcessor> logitsPostProcessor = std::nullopt,
            std::optional<VecTokens> encoderInputTokenIds = std::nullopt,
            std::optional<IdType> clientId = std::nullopt, bool returnAllGeneratedTokens = false,
            PriorityType priority = kDefaultPriority,
            RequestType type = RequestType::REQUEST_TYPE_CONTEXT_AND_GENERATION,
            std::optional<ContextPhaseParams> contextPhaseParams = std::nullopt,
            std::optional<Tensor> encoderInputFeatures = std::nullopt,
            std::optional<SizeType32> encoderOutputLength = std::nullopt,
            std::optional<Tensor> crossAttentionMask = std::nullopt, SizeType32 numReturnSequences = 1,
            std::optional<EagleConfig> eagleConfig = std::nullopt,
            std::optional<Tensor> skipCrossAttnBlocks = std::nullopt,
            std::optional<GuidedDecodingParams> guidedDecodingParams = std::nullopt,
            std::optional<SizeType32> languageAdapterUid = std::nullopt,
            std::optional<MillisecondsType> allottedTimeMs = std::nullopt,
            std::optional<CacheSaltIDType> cacheSaltID = std::nullopt,
            std::optional<IdType> disaggRequestId = std::nullopt);

    Request(Request const& other);
    Request(Request&& other) noexcept;
    Request& operator=(Request const& other);
    Request& operator=(Request&& other) noexcept;
    ~Request();

    /// Everything that was set, as the simulated executor reads it.
    struct Fields {
        VecTokens inputTokenIds;
        SizeType32 maxTokens{};
        bool streaming{};
        SamplingConfig samplingConfig;
        OutputConfig outputConfig;
        std::optional<SizeType32> endId;
        std::optional<SizeType32> padId;
        std::optional<std::list<VecTokens>> badWords;
        std::optional<std::list<VecTokens>> stopWords;
        std::optional<ExternalDraftTokensConfig> externalDraftTokensConfig;
        std::optional<LoraConfig> loraConfig;
        std::optional<IdType> clientId;
        bool returnAllGeneratedTokens{};
        PriorityType priority{kDefaultPriority};
        SizeType32 numReturnSequences{1};
        std::optional<MillisecondsType> allottedTimeMs;
        std::optional<CacheSaltIDType> cacheSaltID;
    };
    Fields const& fields() const { return *mFields; }

    void setOutputConfig(OutputConfig const& outputConfig);
    void setEndId(SizeType32 endId);
    void setPadId(SizeType32 padId);
    void setClientId(IdType clientId);
    /// Higher runs first.
    void setPriority(PriorityType priority);
    void setReturnAllGeneratedTokens(bool returnAllGeneratedTokens);
    void setStopWords(std::list<VecTokens> const& stopWords);
    void setBadWords(std::list<VecTokens> const& badWords);
    void setExternalDraftTokensConfig(ExternalDraftTokensConfig const& externalDraftTokensConfig);
    void setLoraConfig(LoraConfig const& loraConfig);
    void setAllottedTimeMs(MillisecondsType allottedTimeMs);

  private:
    std::unique_ptr<Fields> mFields;
};

}  // namespace tensorrt_llm::executor
