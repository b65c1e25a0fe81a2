// Responses of the executor API: a result, or an error.
#include "tensorrt_llm/executor/response.h"

#include <stdexcept>
#include <variant>

namespace tensorrt_llm::executor {

struct Response::Content {
    IdType requestId;
    std::optional<IdType> clientId;
    std::variant<Result, std::string> outcome;
};

Response::Response(IdType requestId, std::string errorMsg, std::optional<IdType> clientId)
    : mContent(new Content{requestId, clientId, std::move(errorMsg)}) {}

Response::Response(IdType requestId, Result result, std::optional<IdType> clientId)
    : mContent(new Content{requestId, clientId, std::move(result)}) {}

Response::Response(Response const& other) : mContent(new Content(*other.mContent)) {}
Response::Response(Response&& other) noexcept = default;
Response& Response::operator=(Response const& other) {
    mContent = std::make_unique<Content>(*other.mContent);
    return *this;
}
Response& Response::operator=(Response&& other) noexcept = default;
Response::~Response() = default;

IdType Response::getRequestId() const { return mContent->requestId; }

std::optional<IdType> Response::getClientId() const { return mContent->clientId; }

bool Response::hasError() const { return std::holds_alternative<std::string>(mContent->outcome); }

std::string const& Response::getErrorMsg() const {
    if (!hasError()) {
        throw std::runtime_error("getErrorMsg of a response without an error: ask hasError first");
    }
    return std::get<std::string>(mContent->outcome);
}

Result const& Response::getResult() const {
    if (hasError()) {
        throw std::runtime_error("getResult of a response with an error: ask hasError first");
    }
    return std::get<Result>(mContent->outcome);
}

}  // namespace tensorrt_llm::executor
