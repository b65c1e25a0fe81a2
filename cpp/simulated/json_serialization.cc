// Serialisation of the statistics as JSON; keys equal the member names.
#include <cmath>
#include <cstdio>
#include <type_traits>

#include "tensorrt_llm/executor/executor.h"

namespace tensorrt_llm::executor {

namespace {

/// One object, written field by field.
class ObjectWriter {
  public:
    explicit ObjectWriter(std::string& out) : mOut(out) { mOut += '{'; }
    ~ObjectWriter() { mOut += '}'; }
    ObjectWriter(ObjectWriter const&) = delete;
    ObjectWriter& operator=(ObjectWriter const&) = delete;

    void field(char const* name, bool value) { raw(name, value ? "true" : "false"); }

    void field(char const* name, double value) {
        if (!std::isfinite(value)) {
            raw(name, "null");
            return;
        }
        char text[40];
        std::snprintf(text, sizeof text, "%.9g", value);
        raw(name, text);
    }

    template <typename Integer, std::enable_if_t<std::is_integral_v<Integer>, int> = 0>
    void field(char const* name, Integer value) {
        raw(name, std::to_string(value).c_str());
    }

    /// `value` must need no escape, as a time stamp does not.
    void text(char const* name, std::string const& value) { raw(name, ('"' + value + '"').c_str()); }

    template <typename Value, typename Write>
    void optional(char const* name, std::optional<Value> const& value, Write write) {
        if (!value) {
            raw(name, "null");
            return;
        }
        raw(name, "");
        write(*value, mOut);
    }

    void raw(char const* name, char const* value) {
        mOut += mFirst ? "\"" : ",\"";
        mFirst = false;
        mOut += name;
        mOut += "\":";
        mOut += value;
    }

  private:
    std::string& mOut;
    bool mFirst = true;
};

void writeKvCache(KvCacheStats const& stats, std::string& out) {
    ObjectWriter object(out);
    object.field("allocNewBlocks", stats.allocNewBlocks);
    object.field("allocTotalBlocks", stats.allocTotalBlocks);
    object.field("cacheHitRate", static_cast<double>(stats.cacheHitRate));
    object.field("freeNumBlocks", stats.freeNumBlocks);
    object.field("maxNumBlocks", stats.maxNumBlocks);
    object.field("missedBlocks", stats.missedBlocks);
    object.field("reusedBlocks", stats.reusedBlocks);
    object.field("tokensPerBlock", stats.tokensPerBlock);
    object.field("usedNumBlocks", stats.usedNumBlocks);
}

void writeInflight(InflightBatchingStats const& stats, std::string& out) {
    ObjectWriter object(out);
    object.field("avgNumDecodedTokensPerIter", static_cast<double>(stats.avgNumDecodedTokensPerIter));
    object.field("microBatchId", stats.microBatchId);
    object.field("numContextRequests", stats.numContextRequests);
    object.field("numCtxTokens", stats.numCtxTokens);
    object.field("numGenRequests", stats.numGenRequests);
    object.field("numPausedRequests", stats.numPausedRequests);
    object.field("numScheduledRequests", stats.numScheduledRequests);
}

void writeStatic(StaticBatchingStats const& stats, std::string& out) {
    ObjectWriter object(out);
    object.field("emptyGenSlots", stats.emptyGenSlots);
    object.field("numContextRequests", stats.numContextRequests);
    object.field("numCtxTokens", stats.numCtxTokens);
    object.field("numGenTokens", stats.numGenTokens);
    object.field("numScheduledRequests", stats.numScheduledRequests);
}

void writeSpeculation(SpecDecodingStats const& stats, std::string& out) {
    ObjectWriter object(out);
    object.field("acceptanceLength", stats.acceptanceLength);
    object.field("draftOverhead", stats.draftOverhead);
    object.field("iterLatencyMS", stats.iterLatencyMS);
    object.field("numAcceptedTokens", stats.numAcceptedTokens);
    object.field("numDraftTokens", stats.numDraftTokens);
    object.field("numRequestsWithDraftTokens", stats.numRequestsWithDraftTokens);
}

void writeDisServing(DisServingRequestStats const& stats, std::string& out) {
    ObjectWriter object(out);
    object.field("kvCacheSize", stats.kvCacheSize);
    object.field("kvCacheTransferMS", stats.kvCacheTransferMS);
}

char const* nameOf(RequestStage stage) {
    switch (stage) {
        case RequestStage::kQUEUED:
            return "QUEUED";
        case RequestStage::kENCODER_IN_PROGRESS:
            return "ENCODER_IN_PROGRESS";
        case RequestStage::kCONTEXT_IN_PROGRESS:
            return "CONTEXT_IN_PROGRESS";
        case RequestStage::kGENERATION_IN_PROGRESS:
            return "GENERATION_IN_PROGRESS";
        case RequestStage::kGENERATION_COMPLETE:
            return "GENERATION_COMPLETE";
    }
    return "UNKNOWN";
}

void writeRequest(RequestStats const& stats, std::string& out) {
    ObjectWriter object(out);
    object.field("allocNewBlocksPerRequest", stats.allocNewBlocksPerRequest);
    object.field("allocTotalBlocksPerRequest", stats.allocTotalBlocksPerRequest);
    object.field("avgNumDecodedTokensPerIter", static_cast<double>(stats.avgNumDecodedTokensPerIter));
    object.field("contextPrefillPosition", stats.contextPrefillPosition);
    object.optional("disServingStats", stats.disServingStats, writeDisServing);
    object.field("id", stats.id);
    object.field("kvCacheHitRatePerRequest", static_cast<double>(stats.kvCacheHitRatePerRequest));
    object.field("missedBlocksPerRequest", stats.missedBlocksPerRequest);
    object.field("numGeneratedTokens", stats.numGeneratedTokens);
    object.field("paused", stats.paused);
    object.field("reusedBlocksPerRequest", stats.reusedBlocksPerRequest);
    object.field("scheduled", stats.scheduled);
    object.text("stage", nameOf(stats.stage));
}

}  // namespace

std::string JsonSerialization::toJsonStr(IterationStats const& stats) {
    std::string out;
    {
        ObjectWriter object(out);
        object.field("cpuMemUsage", stats.cpuMemUsage);
        object.field("gpuMemUsage", stats.gpuMemUsage);
        object.optional("inflightBatchingStats", stats.inflightBatchingStats, writeInflight);
        object.field("iter", stats.iter);
        object.field("iterLatencyMS", stats.iterLatencyMS);
        object.optional("kvCacheStats", stats.kvCacheStats, writeKvCache);
        object.field("maxBatchSizeRuntime", stats.maxBatchSizeRuntime);
        object.field("maxBatchSizeStatic", stats.maxBatchSizeStatic);
        object.field("maxBatchSizeTunerRecommended", stats.maxBatchSizeTunerRecommended);
        object.field("maxNumActiveRequests", stats.maxNumActiveRequests);
        object.field("maxNumTokensRuntime", stats.maxNumTokensRuntime);
        object.field("maxNumTokensStatic", stats.maxNumTokensStatic);
        object.field("maxNumTokensTunerRecommended", stats.maxNumTokensTunerRecommended);
        object.field("newActiveRequestsQueueLatencyMS", stats.newActiveRequestsQueueLatencyMS);
        object.field("numActiveRequests", stats.numActiveRequests);
        object.field("numCompletedRequests", stats.numCompletedRequests);
        object.field("numNewActiveRequests", stats.numNewActiveRequests);
        object.field("numQueuedRequests", stats.numQueuedRequests);
        object.field("pinnedMemUsage", stats.pinnedMemUsage);
        object.optional("specDecodingStats", stats.specDecodingStats, writeSpeculation);
        object.optional("staticBatchingStats", stats.staticBatchingStats, writeStatic);
        object.text("timestamp", stats.timestamp);
    }
    return out;
}

std::string JsonSerialization::toJsonStr(RequestStats const& stats) {
    std::string out;
    writeRequest(stats, out);
    return out;
}

std::string JsonSerialization::toJsonStr(RequestStatsPerIteration const& stats) {
    std::string list = "[";
    for (auto const& request : stats.requestStats) {
        list += list.size() > 1 ? "," : "";
        writeRequest(request, list);
    }
    list += ']';
    std::string out;
    {
        ObjectWriter object(out);
        object.field("iter", stats.iter);
        object.raw("requestStats", list.c_str());
    }
    return out;
}

}  // namespace tensorrt_llm::executor
