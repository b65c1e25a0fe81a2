// Plain types of the executor API: aliases, enumerations and the structs of statistics.
//
// Our own declarations, for the simulated executor, of TensorRT-LLM's executor API as of release 1.2: the
// same names, parameter lists and member names, so that a wrapper compiled against either needs the same
// symbols.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensorrt_llm/runtime/common.h"

namespace tensorrt_llm::executor {

using SizeType32 = std::int32_t;
using TokenIdType = std::int32_t;
using FloatType = float;
using IdType = std::uint64_t;
using IterationType = std::uint64_t;
using RandomSeedType = std::uint64_t;
using PriorityType = float;
using CacheSaltIDType = std::uint64_t;
using RetentionPriority = SizeType32;
using MillisecondsType = std::chrono::milliseconds;

using VecTokens = std::vector<TokenIdType>;
using BeamTokens = std::vector<VecTokens>;
using VecLogProbs = std::vector<FloatType>;
using VecTokenExtraIds = std::vector<std::uint64_t>;
using MedusaChoices = std::vector<std::vector<SizeType32>>;
using EagleChoices = std::vector<std::vector<SizeType32>>;
using StreamPtr = std::shared_ptr<runtime::CudaStream>;

class Tensor;
using LogitsPostProcessor =
    std::function<void(IdType, Tensor&, BeamTokens const&, StreamPtr const&, std::optional<IdType>)>;

enum class DataType { kBOOL, kUINT8, kINT8, kINT32, kINT64, kBF16, kFP8, kFP16, kFP32, kUNKNOWN };
enum class MemoryType { kCPU, kCPU_PINNED, kCPU_PINNEDPOOL, kGPU, kUVM, kUNKNOWN };
enum class ModelType { kDECODER_ONLY = 0, kENCODER_ONLY = 1, kENCODER_DECODER = 2 };
enum class BatchingType { kSTATIC = 0, kINFLIGHT = 1 };
enum class CapacitySchedulerPolicy { kMAX_UTILIZATION = 0, kGUARANTEED_NO_EVICT = 1, kSTATIC_BATCH = 2 };
enum class ContextChunkingPolicy { kFIRST_COME_FIRST_SERVED = 0, kEQUAL_PROGRESS = 1 };
enum class CommunicationType { kMPI = 0 };
enum class CommunicationMode { kLEADER, kORCHESTRATOR };
enum class RequestType {
    REQUEST_TYPE_CONTEXT_AND_GENERATION = 0,
    REQUEST_TYPE_CONTEXT_ONLY = 1,
    REQUEST_TYPE_GENERATION_ONLY = 2
};
enum class FinishReason {
    kNOT_FINISHED = 0,
    kEND_ID = 1,
    kSTOP_WORDS = 2,
    kLENGTH = 3,
    kTIMED_OUT = 4,
    kCANCELLED = 5
};
enum class RequestStage {
    kQUEUED,
    kENCODER_IN_PROGRESS,
    kCONTEXT_IN_PROGRESS,
    kGENERATION_IN_PROGRESS,
    kGENERATION_COMPLETE
};

/// Block counts of the KV cache; `alloc*`, `reused` and `missed` grow from the executor's start.
struct KvCacheStats {
    SizeType32 maxNumBlocks{};
    SizeType32 freeNumBlocks{};
    SizeType32 usedNumBlocks{};
    SizeType32 tokensPerBlock{};
    SizeType32 allocTotalBlocks{};
    SizeType32 allocNewBlocks{};
    SizeType32 reusedBlocks{};
    SizeType32 missedBlocks{};
    float cacheHitRate{};
};

struct StaticBatchingStats {
    SizeType32 numScheduledRequests{};
    SizeType32 numContextRequests{};
    SizeType32 numCtxTokens{};
    SizeType32 numGenTokens{};
    SizeType32 emptyGenSlots{};
};

/// Counts of one iteration of in-flight batching.
struct InflightBatchingStats {
    SizeType32 numScheduledRequests{};
    SizeType32 numContextRequests{};
    SizeType32 numGenRequests{};
    SizeType32 numPausedRequests{};
    SizeType32 numCtxTokens{};
    SizeType32 microBatchId{};
    float avgNumDecodedTokensPerIter{};
};

struct SpecDecodingStats {
    std::int64_t numDraftTokens{};
    std::int64_t numAcceptedTokens{};
    std::int64_t numRequestsWithDraftTokens{};
    double acceptanceLength{};
    double iterLatencyMS{};
    double draftOverhead{};
};

/// One iteration of the execution loop; sizes in bytes, latencies in milliseconds.
struct IterationStats {
    std::string timestamp;
    IterationType iter{};
    double iterLatencyMS{};
    double newActiveRequestsQueueLatencyMS{};
    SizeType32 numNewActiveRequests{};
    SizeType32 numActiveRequests{};
    SizeType32 numQueuedRequests{};
    SizeType32 numCompletedRequests{};
    SizeType32 maxNumActiveRequests{};
    SizeType32 maxBatchSizeStatic{};
    SizeType32 maxBatchSizeTunerRecommended{};
    SizeType32 maxBatchSizeRuntime{};
    SizeType32 maxNumTokensStatic{};
    SizeType32 maxNumTokensTunerRecommended{};
    SizeType32 maxNumTokensRuntime{};
    std::size_t gpuMemUsage{};
    std::size_t cpuMemUsage{};
    std::size_t pinnedMemUsage{};
    std::optional<KvCacheStats> kvCacheStats;
    std::optional<KvCacheStats> crossKvCacheStats;
    std::optional<StaticBatchingStats> staticBatchingStats;
    std::optional<InflightBatchingStats> inflightBatchingStats;
    std::optional<SpecDecodingStats> specDecodingStats;
};

struct DisServingRequestStats {
    double kvCacheTransferMS{};
    std::size_t kvCacheSize{};
};

struct RequestStats {
    IdType id{};
    RequestStage stage{};
    SizeType32 contextPrefillPosition{};
    SizeType32 numGeneratedTokens{};
    float avgNumDecodedTokensPerIter{};
    bool scheduled{};
    bool paused{};
    std::optional<DisServingRequestStats> disServingStats;
    SizeType32 allocTotalBlocksPerRequest{};
    SizeType32 allocNewBlocksPerRequest{};
    SizeType32 reusedBlocksPerRequest{};
    SizeType32 missedBlocksPerRequest{};
    FloatType kvCacheHitRatePerRequest{};
};

struct RequestStatsPerIteration {
    IterationType iter{};
    std::vector<RequestStats> requestStats;
};

/// The executor's own stamps of one request, on the steady clock; a stamp at the epoch was not set.
struct RequestPerfMetrics {
    using TimePoint = std::chrono::time_point<std::chrono::steady_clock>;

    struct TimingMetrics {
        /// When the execution loop fetched the request, which is after its time in the queue.
        TimePoint arrivalTime;
        TimePoint firstScheduledTime;
        TimePoint firstTokenTime;
        TimePoint lastTokenTime;
        TimePoint kvCacheTransferStart;
        TimePoint kvCacheTransferEnd;
        std::size_t kvCacheSize = 0;
    };
    struct KvCacheMetrics {
        SizeType32 numTotalAllocatedBlocks{};
        SizeType32 numNewAllocatedBlocks{};
        SizeType32 numReusedBlocks{};
        SizeType32 numMissedBlocks{};
        FloatType kvCacheHitRate{};
    };
    struct SpeculativeDecodingMetrics {
        FloatType acceptanceRate{};
        SizeType32 totalAcceptedDraftTokens{};
        SizeType32 totalDraftTokens{};
    };

    TimingMetrics timingMetrics;
    KvCacheMetrics kvCacheMetrics;
    SpeculativeDecodingMetrics speculativeDecoding;
    std::optional<IterationType> firstIter;
    std::optional<IterationType> lastIter;
    std::optional<IterationType> iter;
};

}  // namespace tensorrt_llm::executor
