// A response of the executor: a result, or an error that ends its request.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensorrt_llm/executor/request.h"
#include "tensorrt_llm/executor/tensor.h"
#include "tensorrt_llm/executor/types.h"

namespace tensorrt_llm::executor {

struct SpeculativeDecodingFastLogitsInfo {
    std::uint64_t draftRequestId{};
    std::int32_t draftParticipantId{};
};

struct AdditionalOutput {
    std::string name;
    Tensor output;
};

struct Result {
    /// True on the last response of the request, whichever of its sequences that is.
    bool isFinal{};
    /// [returned beams][tokens]; a delta while streaming, unless all tokens were asked for.
    BeamTokens outputTokenIds;
    std::optional<VecLogProbs> cumLogProbs;
    std::optional<std::vector<VecLogProbs>> logProbs;
    std::optional<Tensor> contextLogits;
    std::optional<Tensor> generationLogits;
    std::optional<SpeculativeDecodingFastLogitsInfo> specDecFastLogitsInfo;
    std::optional<Tensor> encoderOutput;
    /// [returned beams]
    std::vector<FinishReason> finishReasons;
    std::optional<ContextPhaseParams> contextPhaseParams;
    SizeType32 decodingIter{0};
    float avgDecodedTokensPerIter{0.0F};
    SizeType32 sequenceIndex{0};
    bool isSequenceFinal{};
    std::optional<RequestPerfMetrics> requestPerfMetrics;
    std::vector<AdditionalOutput> additionalOutputs;
};

class Response {
  public:
    Response(IdType requestId, std::string errorMsg, std::optional<IdType> clientId = std::nullopt);
    Response(IdType requestId, Result result, std::optional<IdType> clientId = std::nullopt);
    Response(Response const& other);
    Response(Response&& other) noexcept;
    Response& operator=(Response const& other);
    Response& operator=(Response&& other) noexcept;
    ~Response();

    IdType getRequestId() const;
    std::optional<IdType> getClientId() const;
    bool hasError() const;
    /// Throws when there is no error.
    std::string const& getErrorMsg() const;
    /// Throws when there is an error; valid as long as this response.
    Result const& getResult() const;

  private:
    struct Content;
    std::unique_ptr<Content> mContent;
};

}  // namespace tensorrt_llm::executor
