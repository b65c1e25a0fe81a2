// Configuration classes of the executor API: their members and the values that they refuse.
#include <stdexcept>
#include <string>

#include "tensorrt_llm/executor/executor.h"

namespace tensorrt_llm::executor {

namespace {

template <typename T>
T required(bool valid, T value, char const* name, char const* rule) {
    if (!valid) {
        throw std::invalid_argument(std::string(name) + " must be " + rule + ", not " +
                                    std::to_string(value));
    }
    return value;
}

SizeType32 positive(SizeType32 value, char const* name) {
    return required(value > 0, value, name, "greater than 0");
}

SizeType32 notNegative(SizeType32 value, char const* name) {
    return required(value >= 0, value, name, "0 or more");
}

std::optional<SizeType32> positiveIfSet(std::optional<SizeType32> value, char const* name) {
    if (value) {
        positive(*value, name);
    }
    return value;
}

FloatType openFraction(FloatType value, char const* name) {
    return required(value > 0.0F && value < 1.0F, value, name, "between 0 and 1");
}

}  // namespace

SchedulerConfig::SchedulerConfig(CapacitySchedulerPolicy capacitySchedulerPolicy,
                                 std::optional<ContextChunkingPolicy> contextChunkingPolicy,
                                 std::optional<DynamicBatchConfig> dynamicBatchConfig)
    : mCapacitySchedulerPolicy(capacitySchedulerPolicy),
      mContextChunkingPolicy(contextChunkingPolicy),
      mDynamicBatchConfig(dynamicBatchConfig) {}

KvCacheConfig::KvCacheConfig(bool enableBlockReuse, std::optional<SizeType32> const& maxTokens,
                             std::optional<std::vector<SizeType32>> const& maxAttentionWindowVec,
                             std::optional<SizeType32> const& sinkTokenLength,
                             std::optional<FloatType> const& freeGpuMemoryFraction,
                             std::optional<std::size_t> const& hostCacheSize, bool,
                             std::optional<FloatType> const&, std::optional<RetentionPriority>,
                             std::size_t eventBufferMaxSize, bool enablePartialReuse, bool, bool, SizeType32,
                             std::optional<runtime::RuntimeDefaults> const&, std::uint64_t const&)
    : mEnableBlockReuse(enableBlockReuse),
      mEnablePartialReuse(enablePartialReuse),
      mMaxTokens(positiveIfSet(maxTokens, "maxTokens of the KV cache")),
      mMaxAttentionWindowVec(maxAttentionWindowVec),
      mSinkTokenLength(positiveIfSet(sinkTokenLength, "sinkTokenLength")),
      mFreeGpuMemoryFraction(freeGpuMemoryFraction),
      mHostCacheSize(hostCacheSize),
      mEventBufferMaxSize(eventBufferMaxSize) {
    if (mFreeGpuMemoryFraction) {
        openFraction(*mFreeGpuMemoryFraction, "freeGpuMemoryFraction");
    }
}

void KvCacheConfig::setEnableBlockReuse(bool enableBlockReuse) { mEnableBlockReuse = enableBlockReuse; }

void KvCacheConfig::setEnablePartialReuse(bool enablePartialReuse) {
    mEnablePartialReuse = enablePartialReuse;
}

void KvCacheConfig::setMaxTokens(std::optional<SizeType32> maxTokens) {
    mMaxTokens = positiveIfSet(maxTokens, "maxTokens of the KV cache");
}

void KvCacheConfig::setFreeGpuMemoryFraction(FloatType freeGpuMemoryFraction) {
    mFreeGpuMemoryFraction = openFraction(freeGpuMemoryFraction, "freeGpuMemoryFraction");
}

void KvCacheConfig::setHostCacheSize(std::size_t hostCacheSize) { mHostCacheSize = hostCacheSize; }

void KvCacheConfig::setMaxAttentionWindowVec(std::vector<SizeType32> maxAttentionWindowVec) {
    for (auto const window : maxAttentionWindowVec) {
        positive(window, "each of maxAttentionWindowVec");
    }
    mMaxAttentionWindowVec = std::move(maxAttentionWindowVec);
}

void KvCacheConfig::setSinkTokenLength(SizeType32 sinkTokenLength) {
    mSinkTokenLength = positive(sinkTokenLength, "sinkTokenLength");
}

void KvCacheConfig::setEventBufferMaxSize(std::size_t eventBufferMaxSize) {
    mEventBufferMaxSize = eventBufferMaxSize;
}

ExtendedRuntimePerfKnobConfig::ExtendedRuntimePerfKnobConfig(bool multiBlockMode,
                                                             bool enableContextFMHAFP32Acc,
                                                             bool cudaGraphMode,
                                                             SizeType32 cudaGraphCacheSize)
    : mMultiBlockMode(multiBlockMode),
      mEnableContextFMHAFP32Acc(enableContextFMHAFP32Acc),
      mCudaGraphMode(cudaGraphMode),
      mCudaGraphCacheSize(cudaGraphCacheSize) {}

void ExtendedRuntimePerfKnobConfig::setMultiBlockMode(bool multiBlockMode) {
    mMultiBlockMode = multiBlockMode;
}

void ExtendedRuntimePerfKnobConfig::setEnableContextFMHAFP32Acc(bool enableContextFMHAFP32Acc) {
    mEnableContextFMHAFP32Acc = enableContextFMHAFP32Acc;
}

void ExtendedRuntimePerfKnobConfig::setCudaGraphMode(bool cudaGraphMode) { mCudaGraphMode = cudaGraphMode; }

void ExtendedRuntimePerfKnobConfig::setCudaGraphCacheSize(SizeType32 cacheSize) {
    mCudaGraphCacheSize = cacheSize;
}

PeftCacheConfig::PeftCacheConfig(SizeType32, SizeType32, SizeType32, SizeType32 maxAdapterSize, SizeType32,
                                 SizeType32, SizeType32, SizeType32, SizeType32,
                                 std::optional<float> const& deviceCachePercent,
                                 std::optional<std::size_t> const& hostCacheSize,
                                 std::optional<std::string> const& loraPrefetchDir)
    : mMaxAdapterSize(positive(maxAdapterSize, "maxAdapterSize")),
      mDeviceCachePercent(deviceCachePercent),
      mHostCacheSize(hostCacheSize),
      mLoraPrefetchDir(loraPrefetchDir) {}

OrchestratorConfig::OrchestratorConfig(bool isOrchestrator, std::string workerExecutablePath,
                                       std::shared_ptr<mpi::MpiComm> orchLeaderComm, bool spawnProcesses)
    : mIsOrchestrator(isOrchestrator),
      mWorkerExecutablePath(std::move(workerExecutablePath)),
      mOrchLeaderComm(std::move(orchLeaderComm)),
      mSpawnProcesses(spawnProcesses) {}

ParallelConfig::ParallelConfig(CommunicationType commType, CommunicationMode commMode,
                               std::optional<std::vector<SizeType32>> deviceIds,
                               std::optional<std::vector<SizeType32>> participantIds,
                               std::optional<OrchestratorConfig> const& orchestratorConfig,
                               std::optional<SizeType32> numNodes)
    : mCommType(commType),
      mCommMode(commMode),
      mDeviceIds(std::move(deviceIds)),
      mParticipantIds(std::move(participantIds)),
      mOrchestratorConfig(orchestratorConfig),
      mNumNodes(numNodes) {}

void ParallelConfig::setCommunicationType(CommunicationType type) { mCommType = type; }

void ParallelConfig::setCommunicationMode(CommunicationMode mode) { mCommMode = mode; }

void ParallelConfig::setDeviceIds(std::vector<SizeType32> const& deviceIds) { mDeviceIds = deviceIds; }

void ParallelConfig::setParticipantIds(std::vector<SizeType32> const& participantIds) {
    mParticipantIds = participantIds;
}

void ParallelConfig::setOrchestratorConfig(OrchestratorConfig const& orchestratorConfig) {
    mOrchestratorConfig = orchestratorConfig;
}

ExecutorConfig::ExecutorConfig(
    SizeType32 maxBeamWidth, SchedulerConfig schedulerConfig, KvCacheConfig kvCacheConfig,
    bool enableChunkedContext, bool normalizeLogProbs, SizeType32 iterStatsMaxIterations,
    SizeType32 requestStatsMaxIterations, BatchingType batchingType, std::optional<SizeType32> maxBatchSize,
    std::optional<SizeType32> maxNumTokens, std::optional<ParallelConfig> parallelConfig,
    std::optional<PeftCacheConfig> const& peftCacheConfig, std::optional<LogitsPostProcessorConfig>,
    std::optional<DecodingConfig> decodingConfig, bool, float gpuWeightsPercent,
    std::optional<SizeType32> maxQueueSize,
    ExtendedRuntimePerfKnobConfig const& extendedRuntimePerfKnobConfig, std::optional<DebugConfig>,
    SizeType32 recvPollPeriodMs, std::uint64_t, std::optional<SpeculativeDecodingConfig>,
    std::optional<GuidedDecodingConfig>, std::optional<std::vector<AdditionalModelOutput>>,
    std::optional<CacheTransceiverConfig>, bool gatherGenerationLogits, bool, bool, bool)
    : mMaxBeamWidth(positive(maxBeamWidth, "maxBeamWidth")),
      mSchedulerConfig(schedulerConfig),
      mKvCacheConfig(std::move(kvCacheConfig)),
      mEnableChunkedContext(enableChunkedContext),
      mNormalizeLogProbs(normalizeLogProbs),
      mIterStatsMaxIterations(notNegative(iterStatsMaxIterations, "iterStatsMaxIterations")),
      mRequestStatsMaxIterations(notNegative(requestStatsMaxIterations, "requestStatsMaxIterations")),
      mBatchingType(batchingType),
      mMaxBatchSize(positiveIfSet(maxBatchSize, "maxBatchSize")),
      mMaxNumTokens(positiveIfSet(maxNumTokens, "maxNumTokens")),
      mParallelConfig(std::move(parallelConfig)),
      mPeftCacheConfig(peftCacheConfig),
      mDecodingConfig(std::move(decodingConfig)),
      mGpuWeightsPercent(gpuWeightsPercent),
      mMaxQueueSize(maxQueueSize),
      mPerfKnobConfig(extendedRuntimePerfKnobConfig),
      mRecvPollPeriodMs(recvPollPeriodMs),
      mGatherGenerationLogits(gatherGenerationLogits) {}

void ExecutorConfig::setSchedulerConfig(SchedulerConfig const& schedulerConfig) {
    mSchedulerConfig = schedulerConfig;
}

void ExecutorConfig::setKvCacheConfig(KvCacheConfig const& kvCacheConfig) { mKvCacheConfig = kvCacheConfig; }

void ExecutorConfig::setEnableChunkedContext(bool enableChunkedContext) {
    mEnableChunkedContext = enableChunkedContext;
}

void ExecutorConfig::setNormalizeLogProbs(bool normalizeLogProbs) { mNormalizeLogProbs = normalizeLogProbs; }

void ExecutorConfig::setIterStatsMaxIterations(SizeType32 iterStatsMaxIterations) {
    mIterStatsMaxIterations = notNegative(iterStatsMaxIterations, "iterStatsMaxIterations");
}

void ExecutorConfig::setRequestStatsMaxIterations(SizeType32 requestStatsMaxIterations) {
    mRequestStatsMaxIterations = notNegative(requestStatsMaxIterations, "requestStatsMaxIterations");
}

void ExecutorConfig::setBatchingType(BatchingType batchingType) { mBatchingType = batchingType; }

void ExecutorConfig::setMaxBatchSize(SizeType32 maxBatchSize) {
    mMaxBatchSize = positive(maxBatchSize, "maxBatchSize");
}

void ExecutorConfig::setMaxNumTokens(SizeType32 maxNumTokens) {
    mMaxNumTokens = positive(maxNumTokens, "maxNumTokens");
}

void ExecutorConfig::setParallelConfig(ParallelConfig const& parallelConfig) {
    mParallelConfig = parallelConfig;
}

void ExecutorConfig::setDecodingConfig(DecodingConfig const& decodingConfig) {
    mDecodingConfig = decodingConfig;
}

void ExecutorConfig::setPeftCacheConfig(PeftCacheConfig const& peftCacheConfig) {
    mPeftCacheConfig = peftCacheConfig;
}

void ExecutorConfig::setGpuWeightsPercent(float const& gpuWeightsPercent) {
    mGpuWeightsPercent = gpuWeightsPercent;
}

void ExecutorConfig::setMaxQueueSize(std::optional<SizeType32> const& maxQueueSize) {
    mMaxQueueSize = positiveIfSet(maxQueueSize, "maxQueueSize");
}

void ExecutorConfig::setExtendedRuntimePerfKnobConfig(ExtendedRuntimePerfKnobConfig const& config) {
    mPerfKnobConfig = config;
}

void ExecutorConfig::setRecvPollPeriodMs(SizeType32 const& recvPollPeriodMs) {
    mRecvPollPeriodMs = recvPollPeriodMs;
}

void ExecutorConfig::setGatherGenerationLogits(bool gatherGenerationLogits) {
    mGatherGenerationLogits = gatherGenerationLogits;
}

}  // namespace tensorrt_llm::executor
