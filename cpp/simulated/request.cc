// Requests of the executor API: their members, and refusals before the queue.
#include "tensorrt_llm/executor/request.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace tensorrt_llm::executor {

OutputConfig::OutputConfig(bool logProbs, bool contextLogits, bool generationLogits, bool excludeInput,
                           bool encoderOutput, bool perfMetrics,
                           std::optional<std::vector<AdditionalModelOutput>> additionalOutputs)
    : returnLogProbs(logProbs),
      returnContextLogits(contextLogits),
      returnGenerationLogits(generationLogits),
      excludeInputFromOutput(excludeInput),
      returnEncoderOutput(encoderOutput),
      returnPerfMetrics(perfMetrics),
      additionalModelOutputs(std::move(additionalOutputs)) {}

LoraConfig::LoraConfig(IdType taskId, std::optional<Tensor> weights, std::optional<Tensor> config)
    : mTaskId(taskId), mWeights(std::move(weights)), mConfig(std::move(config)) {
    if (mWeights.has_value() != mConfig.has_value()) {
        throw std::invalid_argument(
            "a LoRA request must carry both weights and config, or neither (task id only)");
    }
}

ContextPhaseParams::~ContextPhaseParams() = default;

Request::Request(VecTokens inputTokenIds, SizeType32 maxTokens, bool streaming,
                 SamplingConfig const& samplingConfig, OutputConfig const& outputConfig,
                 std::optional<SizeType32> const& endId, std::optional<SizeType32> const& padId,
                 std::optional<std::vector<SizeType32>>, std::optional<std::list<VecTokens>> badWords,
                 std::optional<std::list<VecTokens>> stopWords, std::optional<Tensor>,
                 std::optional<ExternalDraftTokensConfig> externalDraftTokensConfig,
                 std::optional<PromptTuningConfig>, std::optional<MultimodalInput>, std::optional<Tensor>,
                 std::optional<MropeConfig>, std::optional<LoraConfig> loraConfig,
                 std::optional<LookaheadDecodingConfig>, std::optional<KvCacheRetentionConfig>,
                 std::optional<std::string>, std::optional<LogitsPostProcessor>, std::optional<VecTokens>,
                 std::optional<IdType> clientId, bool returnAllGeneratedTokens, PriorityType priority,
                 RequestType, std::optional<ContextPhaseParams>, std::optional<Tensor>,
                 std::optional<SizeType32>, std::optional<Tensor>, SizeType32 numReturnSequences,
                 std::optional<EagleConfig>, std::optional<Tensor>, std::optional<GuidedDecodingParams>,
                 std::optional<SizeType32>, std::optional<MillisecondsType> allottedTimeMs,
                 std::optional<CacheSaltIDType> cacheSaltID, std::optional<IdType>)
    : mFields(std::make_unique<Fields>()) {
    if (inputTokenIds.empty()) {
        throw std::invalid_argument("a request needs a prompt: inputTokenIds is empty");
    }
    if (maxTokens <= 0) {
        throw std::invalid_argument("maxTokens must be greater than 0, not " + std::to_string(maxTokens));
    }
    mFields->inputTokenIds = std::move(inputTokenIds);
    mFields->maxTokens = maxTokens;
    mFields->streaming = streaming;
    mFields->samplingConfig = samplingConfig;
    mFields->outputConfig = outputConfig;
    mFields->endId = endId;
    mFields->padId = padId;
    mFields->badWords = std::move(badWords);
    mFields->stopWords = std::move(stopWords);
    mFields->externalDraftTokensConfig = std::move(externalDraftTokensConfig);
    mFields->loraConfig = std::move(loraConfig);
    mFields->clientId = clientId;
    mFields->returnAllGeneratedTokens = returnAllGeneratedTokens;
    mFields->priority = priority;
    mFields->numReturnSequences = samplingConfig.getNumReturnSequences().value_or(numReturnSequences);
    mFields->allottedTimeMs = allottedTimeMs;
    mFields->cacheSaltID = cacheSaltID;
}

Request::Request(Request const& other) : mFields(std::make_unique<Fields>(*other.mFields)) {}
Request::Request(Request&& other) noexcept = default;
Request& Request::operator=(Request const& other) {
    mFields = std::make_unique<Fields>(*other.mFields);
    return *this;
}
Request& Request::operator=(Request&& other) noexcept = default;
Request::~Request() = default;

void Request::setOutputConfig(OutputConfig const& outputConfig) { mFields->outputConfig = outputConfig; }
void Request::setEndId(SizeType32 endId) { mFields->endId = endId; }
void Request::setPadId(SizeType32 padId) { mFields->padId = padId; }
void Request::setClientId(IdType clientId) { mFields->clientId = clientId; }
void Request::setPriority(PriorityType priority) { mFields->priority = priority; }
void Request::setReturnAllGeneratedTokens(bool all) { mFields->returnAllGeneratedTokens = all; }
void Request::setStopWords(std::list<VecTokens> const& stopWords) { mFields->stopWords = stopWords; }
void Request::setBadWords(std::list<VecTokens> const& badWords) { mFields->badWords = badWords; }
void Request::setExternalDraftTokensConfig(ExternalDraftTokensConfig const& externalDraftTokensConfig) {
    mFields->externalDraftTokensConfig = externalDraftTokensConfig;
}
void Request::setLoraConfig(LoraConfig const& loraConfig) { mFields->loraConfig = loraConfig; }
void Request::setAllottedTimeMs(MillisecondsType allottedTimeMs) { mFields->allottedTimeMs = allottedTimeMs; }

}  // namespace tensorrt_llm::executor
