// How does the driver state a claim? A sentence, a body that throws when it does not hold, a line when it has
// run.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace claims {

struct Claim {
    char const* sentence;
    void (*body)();
};

inline std::vector<Claim>& all() {
    static std::vector<Claim> claims;
    return claims;
}

struct Registration {
    Registration(char const* sentence, void (*body)()) { all().push_back({sentence, body}); }
};

inline void holds(bool condition, std::string const& what) {
    if (!condition) {
        throw std::runtime_error(what);
    }
}

template <typename Left, typename Right>
void same(Left const& left, Right const& right, char const* what) {
    if (!(left == right)) {
        std::ostringstream text;
        text << what << " is " << left << ", not " << right;
        throw std::runtime_error(text.str());
    }
}

template <typename Value>
void within(Value value, Value least, Value most, char const* what) {
    if (value < least || value > most) {
        std::ostringstream text;
        text << what << " is " << value << ", not from " << least << " to " << most;
        throw std::runtime_error(text.str());
    }
}

/// The text of what `body` throws; a body that throws nothing breaks the claim.
template <typename Body>
std::string thrown_by(Body body) {
    try {
        body();
    } catch (std::exception const& error) {
        return error.what();
    }
    throw std::runtime_error("nothing was thrown");
}

inline void contains(std::string const& text, std::string const& part) {
    holds(text.find(part) != std::string::npos, "'" + text + "' does not contain '" + part + "'");
}

}  // namespace claims

#define CLAIM_JOIN(a, b) a##b
#define CLAIM_NAME(a, b) CLAIM_JOIN(a, b)
#define CLAIM(sentence)                                                                                \
    static void CLAIM_NAME(claim_, __LINE__)();                                                        \
    static claims::Registration const CLAIM_NAME(registered_, __LINE__)(sentence,                      \
                                                                        CLAIM_NAME(claim_, __LINE__)); \
    static void CLAIM_NAME(claim_, __LINE__)()
