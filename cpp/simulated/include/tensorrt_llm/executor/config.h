// Configuration of an executor: one class per group of settings, default constructors and setters.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tensorrt_llm/executor/decoding.h"
#include "tensorrt_llm/executor/types.h"
#include "tensorrt_llm/runtime/runtimeDefaults.h"

namespace tensorrt_llm::executor {

class DynamicBatchConfig {
  public:
    explicit DynamicBatchConfig(bool enableBatchSizeTuning = false, bool enableMaxNumTokensTuning = false)
        : mEnableBatchSizeTuning(enableBatchSizeTuning),
          mEnableMaxNumTokensTuning(enableMaxNumTokensTuning) {}
    bool getEnableBatchSizeTuning() const { return mEnableBatchSizeTuning; }
    bool getEnableMaxNumTokensTuning() const { return mEnableMaxNumTokensTuning; }

  private:
    bool mEnableBatchSizeTuning;
    bool mEnableMaxNumTokensTuning;
};

class SchedulerConfig {
  public:
    explicit SchedulerConfig(
        CapacitySchedulerPolicy capacitySchedulerPolicy = CapacitySchedulerPolicy::kGUARANTEED_NO_EVICT,
        std::optional<ContextChunkingPolicy> contextChunkingPolicy = std::nullopt,
        std::optional<DynamicBatchConfig> dynamicBatchConfig = std::nullopt);
    CapacitySchedulerPolicy getCapacitySchedulerPolicy() const { return mCapacitySchedulerPolicy; }
    std::optional<ContextChunkingPolicy> getContextChunkingPolicy() const { return mContextChunkingPolicy; }

  private:
    CapacitySchedulerPolicy mCapacitySchedulerPolicy;
    std::optional<ContextChunkingPolicy> mContextChunkingPolicy;
    std::optional<DynamicBatchConfig> mDynamicBatchConfig;
};

class KvCacheConfig {
  public:
    explicit KvCacheConfig(bool enableBlockReuse = true,
                           std::optional<SizeType32> const& maxTokens = std::nullopt,
                           std::optional<std::vector<SizeType32>> const& maxAttentionWindowVec = std::nullopt,
                           std::optional<SizeType32> const& sinkTokenLength = std::nullopt,
                           std::optional<FloatType> const& freeGpuMemoryFraction = std::nullopt,
                           std::optional<std::size_t> const& hostCacheSize = std::nullopt,
                           bool onboardBlocks = true,
                           std::optional<FloatType> const& crossKvCacheFraction = std::nullopt,
                           std::optional<RetentionPriority> secondaryOffloadMinPriority = std::nullopt,
                           std::size_t eventBufferMaxSize = 0, bool enablePartialReuse = true,
                           bool copyOnPartialReuse = true, bool useUvm = false,
                           SizeType32 attentionDpEventsGatherPeriodMs = 5,
                           std::optional<runtime::RuntimeDefaults> const& runtimeDefaults = std::nullopt,
                           std::uint64_t const& maxGpuTotalBytes = 0);

    bool getEnableBlockReuse() const { return mEnableBlockReuse; }
    bool getEnablePartialReuse() const { return mEnablePartialReuse; }
    std::optional<SizeType32> getMaxTokens() const { return mMaxTokens; }
    std::optional<FloatType> getFreeGpuMemoryFraction() const { return mFreeGpuMemoryFraction; }
    std::optional<std::size_t> getHostCacheSize() const { return mHostCacheSize; }
    std::optional<std::vector<SizeType32>> getMaxAttentionWindowVec() const { return mMaxAttentionWindowVec; }
    std::optional<SizeType32> getSinkTokenLength() const { return mSinkTokenLength; }
    std::size_t getEventBufferMaxSize() const { return mEventBufferMaxSize; }

    void setEnableBlockReuse(bool enableBlockReuse);
    void setEnablePartialReuse(bool enablePartialReuse);
    /// Throws unless positive.
    void setMaxTokens(std::optional<SizeType32> maxTokens);
    /// Throws unless in (0, 1).
    void setFreeGpuMemoryFraction(FloatType freeGpuMemoryFraction);
    void setHostCacheSize(std::size_t hostCacheSize);
    /// Throws when a window is not positive.
    void setMaxAttentionWindowVec(std::vector<SizeType32> maxAttentionWindowVec);
    /// Throws unless positive.
    void setSinkTokenLength(SizeType32 sinkTokenLength);
    void setEventBufferMaxSize(std::size_t eventBufferMaxSize);

  private:
    bool mEnableBlockReuse;
    bool mEnablePartialReuse;
    std::optional<SizeType32> mMaxTokens;
    std::optional<std::vector<SizeType32>> mMaxAttentionWindowVec;
    std::optional<SizeType32> mSinkTokenLength;
    std::optional<FloatType> mFreeGpuMemoryFraction;
    std::optional<std::size_t> mHostCacheSize;
    std::size_t mEventBufferMaxSize;
};

/// Accepted and without effect here: the profile's costs stand for whatever knobs its figures were taken
/// with.
class ExtendedRuntimePerfKnobConfig {
  public:
    explicit ExtendedRuntimePerfKnobConfig(bool multiBlockMode = true, bool enableContextFMHAFP32Acc = false,
                                           bool cudaGraphMode = false, SizeType32 cudaGraphCacheSize = 0);
    bool getMultiBlockMode() const { return mMultiBlockMode; }
    bool getEnableContextFMHAFP32Acc() const { return mEnableContextFMHAFP32Acc; }
    bool getCudaGraphMode() const { return mCudaGraphMode; }
    SizeType32 getCudaGraphCacheSize() const { return mCudaGraphCacheSize; }

    void setMultiBlockMode(bool multiBlockMode);
    void setEnableContextFMHAFP32Acc(bool enableContextFMHAFP32Acc);
    void setCudaGraphMode(bool cudaGraphMode);
    void setCudaGraphCacheSize(SizeType32 cacheSize);

  private:
    bool mMultiBlockMode;
    bool mEnableContextFMHAFP32Acc;
    bool mCudaGraphMode;
    SizeType32 mCudaGraphCacheSize;
};

class OrchestratorConfig {
  public:
    explicit OrchestratorConfig(bool isOrchestrator = true, std::string workerExecutablePath = "",
                                std::shared_ptr<mpi::MpiComm> orchLeaderComm = nullptr,
                                bool spawnProcesses = true);
    bool getIsOrchestrator() const { return mIsOrchestrator; }
    std::string getWorkerExecutablePath() const { return mWorkerExecutablePath; }
    bool getSpawnProcesses() const { return mSpawnProcesses; }

  private:
    bool mIsOrchestrator;
    std::string mWorkerExecutablePath;
    std::shared_ptr<mpi::MpiComm> mOrchLeaderComm;
    bool mSpawnProcesses;
};

class ParallelConfig {
  public:
    explicit ParallelConfig(CommunicationType commType = CommunicationType::kMPI,
                            CommunicationMode commMode = CommunicationMode::kLEADER,
                            std::optional<std::vector<SizeType32>> deviceIds = std::nullopt,
                            std::optional<std::vector<SizeType32>> participantIds = std::nullopt,
                            std::optional<OrchestratorConfig> const& orchestratorConfig = std::nullopt,
                            std::optional<SizeType32> numNodes = std::nullopt);
    CommunicationType getCommunicationType() const { return mCommType; }
    CommunicationMode getCommunicationMode() const { return mCommMode; }
    std::optional<std::vector<SizeType32>> getDeviceIds() const { return mDeviceIds; }
    std::optional<std::vector<SizeType32>> getParticipantIds() const { return mParticipantIds; }
    std::optional<OrchestratorConfig> getOrchestratorConfig() const { return mOrchestratorConfig; }

    void setCommunicationType(CommunicationType type);
    void setCommunicationMode(CommunicationMode mode);
    void setDeviceIds(std::vector<SizeType32> const& deviceIds);
    void setParticipantIds(std::vector<SizeType32> const& participantIds);
    void setOrchestratorConfig(OrchestratorConfig const& orchestratorConfig);

  private:
    CommunicationType mCommType;
    CommunicationMode mCommMode;
    std::optional<std::vector<SizeType32>> mDeviceIds;
    std::optional<std::vector<SizeType32>> mParticipantIds;
    std::optional<OrchestratorConfig> mOrchestratorConfig;
    std::optional<SizeType32> mNumNodes;
};

/// Sizes of the caches of LoRA adapters. Accepted and without effect here: an adapter costs nothing once it
/// is known.
class PeftCacheConfig {
  public:
    explicit PeftCacheConfig(SizeType32 numHostModuleLayer = 0, SizeType32 numDeviceModuleLayer = 0,
                             SizeType32 optimalAdapterSize = 8, SizeType32 maxAdapterSize = 64,
                             SizeType32 numPutWorkers = 1, SizeType32 numEnsureWorkers = 1,
                             SizeType32 numCopyStreams = 1, SizeType32 maxPagesPerBlockHost = 24,
                             SizeType32 maxPagesPerBlockDevice = 8,
                             std::optional<float> const& deviceCachePercent = std::nullopt,
                             std::optional<std::size_t> const& hostCacheSize = std::nullopt,
                             std::optional<std::string> const& loraPrefetchDir = std::nullopt);
    SizeType32 getMaxAdapterSize() const { return mMaxAdapterSize; }
    std::optional<float> getDeviceCachePercent() const { return mDeviceCachePercent; }
    std::optional<std::size_t> getHostCacheSize() const { return mHostCacheSize; }
    std::optional<std::string> getLoraPrefetchDir() const { return mLoraPrefetchDir; }

  private:
    SizeType32 mMaxAdapterSize;
    std::optional<float> mDeviceCachePercent;
    std::optional<std::size_t> mHostCacheSize;
    std::optional<std::string> mLoraPrefetchDir;
};

/// Names that a wrapper passes through; the simulated executor has nothing to set up behind them.
class LogitsPostProcessorConfig {};
class DebugConfig {};
class SpeculativeDecodingConfig {};
class GuidedDecodingConfig {};
class CacheTransceiverConfig {};

class ExecutorConfig {
  public:
    static constexpr SizeType32 kDefaultIterStatsMaxIterations = 1000;

    explicit ExecutorConfig(
        SizeType32 maxBeamWidth = 1, SchedulerConfig schedulerConfig = SchedulerConfig(),
        KvCacheConfig kvCacheConfig = KvCacheConfig(), bool enableChunkedContext = true,
        bool normalizeLogProbs = true, SizeType32 iterStatsMaxIterations = kDefaultIterStatsMaxIterations,
        SizeType32 requestStatsMaxIterations = 0, BatchingType batchingType = BatchingType::kINFLIGHT,
        std::optional<SizeType32> maxBatchSize = std::nullopt,
        std::optional<SizeType32> maxNumTokens = std::nullopt,
        std::optional<ParallelConfig> parallelConfig = std::nullopt,
        std::optional<PeftCacheConfig> const& peftCacheConfig = std::nullopt,
        std::optional<LogitsPostProcessorConfig> logitsPostProcessorConfig = std::nullopt,
        std::optional<DecodingConfig> decodingConfig = std::nullopt, bool useGpuDirectStorage = false,
        float gpuWeightsPercent = 1, std::optional<SizeType32> maxQueueSize = std::nullopt,
        ExtendedRuntimePerfKnobConfig const& extendedRuntimePerfKnobConfig = ExtendedRuntimePerfKnobConfig(),
        std::optional<DebugConfig> debugConfig = std::nullopt, SizeType32 recvPollPeriodMs = 0,
        std::uint64_t maxSeqIdleMicroseconds = 180'000'000,
        std::optional<SpeculativeDecodingConfig> specDecConfig = std::nullopt,
        std::optional<GuidedDecodingConfig> guidedDecodingConfig = std::nullopt,
        std::optional<std::vector<AdditionalModelOutput>> additionalModelOutputs = std::nullopt,
        std::optional<CacheTransceiverConfig> cacheTransceiverConfig = std::nullopt,
        bool gatherGenerationLogits = false, bool promptTableOffloading = false,
        bool enableTrtOverlap = false, bool failFastOnAttentionWindowTooLarge = false);

    SizeType32 getMaxBeamWidth() const { return mMaxBeamWidth; }
    SchedulerConfig getSchedulerConfig() const { return mSchedulerConfig; }
    KvCacheConfig getKvCacheConfig() const { return mKvCacheConfig; }
    bool getEnableChunkedContext() const { return mEnableChunkedContext; }
    bool getNormalizeLogProbs() const { return mNormalizeLogProbs; }
    SizeType32 getIterStatsMaxIterations() const { return mIterStatsMaxIterations; }
    SizeType32 getRequestStatsMaxIterations() const { return mRequestStatsMaxIterations; }
    BatchingType getBatchingType() const { return mBatchingType; }
    std::optional<SizeType32> getMaxBatchSize() const { return mMaxBatchSize; }
    std::optional<SizeType32> getMaxNumTokens() const { return mMaxNumTokens; }
    std::optional<ParallelConfig> getParallelConfig() const { return mParallelConfig; }
    std::optional<DecodingConfig> getDecodingConfig() const { return mDecodingConfig; }
    std::optional<PeftCacheConfig> getPeftCacheConfig() const { return mPeftCacheConfig; }
    float getGpuWeightsPercent() const { return mGpuWeightsPercent; }
    std::optional<SizeType32> getMaxQueueSize() const { return mMaxQueueSize; }
    ExtendedRuntimePerfKnobConfig getExtendedRuntimePerfKnobConfig() const { return mPerfKnobConfig; }
    SizeType32 getRecvPollPeriodMs() const { return mRecvPollPeriodMs; }
    bool getGatherGenerationLogits() const { return mGatherGenerationLogits; }

    void setSchedulerConfig(SchedulerConfig const& schedulerConfig);
    void setKvCacheConfig(KvCacheConfig const& kvCacheConfig);
    void setEnableChunkedContext(bool enableChunkedContext);
    void setNormalizeLogProbs(bool normalizeLogProbs);
    /// Throws when negative.
    void setIterStatsMaxIterations(SizeType32 iterStatsMaxIterations);
    /// Throws when negative.
    void setRequestStatsMaxIterations(SizeType32 requestStatsMaxIterations);
    void setBatchingType(BatchingType batchingType);
    /// Throws unless positive.
    void setMaxBatchSize(SizeType32 maxBatchSize);
    /// Throws unless positive.
    void setMaxNumTokens(SizeType32 maxNumTokens);
    void setParallelConfig(ParallelConfig const& parallelConfig);
    void setDecodingConfig(DecodingConfig const& decodingConfig);
    void setPeftCacheConfig(PeftCacheConfig const& peftCacheConfig);
    void setGpuWeightsPercent(float const& gpuWeightsPercent);
    void setMaxQueueSize(std::optional<SizeType32> const& maxQueueSize);
    void setExtendedRuntimePerfKnobConfig(ExtendedRuntimePerfKnobConfig const& config);
    void setRecvPollPeriodMs(SizeType32 const& recvPollPeriodMs);
    void setGatherGenerationLogits(bool gatherGenerationLogits);

  private:
    SizeType32 mMaxBeamWidth;
    SchedulerConfig mSchedulerConfig;
    KvCacheConfig mKvCacheConfig;
    bool mEnableChunkedContext;
    bool mNormalizeLogProbs;
    SizeType32 mIterStatsMaxIterations;
    SizeType32 mRequestStatsMaxIterations;
    BatchingType mBatchingType;
    std::optional<SizeType32> mMaxBatchSize;
    std::optional<SizeType32> mMaxNumTokens;
    std::optional<ParallelConfig> mParallelConfig;
    std::optional<PeftCacheConfig> mPeftCacheConfig;
    std::optional<DecodingConfig> mDecodingConfig;
    float mGpuWeightsPercent;
    std::optional<SizeType32> mMaxQueueSize;
    ExtendedRuntimePerfKnobConfig mPerfKnobConfig;
    SizeType32 mRecvPollPeriodMs;
    bool mGatherGenerationLogits;
};

}  // namespace tensorrt_llm::executor
