// Small JSON reader: a recursive descent that keeps scalars by path.
#include "bareflight/cpp/simulated/json_reader.h"

#include <cctype>
#include <stdexcept>

namespace tensorrt_llm::simulation {

namespace {

constexpr int kDeepest = 64;

class Reader {
  public:
    explicit Reader(std::string const& text) : mText(text) {}

    std::map<std::string, std::string> read() {
        value("", 0);
        skip_space();
        if (mAt != mText.size()) {
            fail("nothing after the document");
        }
        return std::move(mScalars);
    }

  private:
    [[noreturn]] void fail(char const* expected) const {
        throw std::runtime_error("malformed JSON at offset " + std::to_string(mAt) + ": expected " +
                                 expected);
    }

    void skip_space() {
        while (mAt < mText.size() && std::isspace(static_cast<unsigned char>(mText[mAt])) != 0) {
            ++mAt;
        }
    }

    bool accept(char wanted) {
        skip_space();
        if (mAt < mText.size() && mText[mAt] == wanted) {
            ++mAt;
            return true;
        }
        return false;
    }

    void value(std::string const& path, int depth) {
        if (depth > kDeepest) {
            fail("less nesting");
        }
        if (accept('{')) {
            members(path, depth);
        } else if (accept('[')) {
            elements(path, depth);
        } else if (accept('"')) {
            mScalars[path] = string_rest();
        } else {
            mScalars[path] = bare();
        }
    }

    void members(std::string const& path, int depth) {
        if (accept('}')) {
            return;
        }
        do {
            if (!accept('"')) {
                fail("a quoted key");
            }
            auto const key = string_rest();
            if (!accept(':')) {
                fail("a colon");
            }
            value(path.empty() ? key : path + "." + key, depth + 1);
        } while (accept(','));
        if (!accept('}')) {
            fail("a comma or the object's end");
        }
    }

    void elements(std::string const& path, int depth) {
        if (accept(']')) {
            return;
        }
        do {
            value(path + "[]", depth + 1);
        } while (accept(','));
        if (!accept(']')) {
            fail("a comma or the array's end");
        }
    }

    std::string string_rest() {
        std::string text;
        while (mAt < mText.size() && mText[mAt] != '"') {
            if (mText[mAt] == '\\' && ++mAt == mText.size()) {
                break;
            }
            text += mText[mAt++];
        }
        if (mAt == mText.size()) {
            fail("the string's end");
        }
        ++mAt;
        return text;
    }

    std::string bare() {
        auto const from = mAt;
        while (mAt < mText.size() && (std::isalnum(static_cast<unsigned char>(mText[mAt])) != 0 ||
                                      mText[mAt] == '-' || mText[mAt] == '+' || mText[mAt] == '.')) {
            ++mAt;
        }
        if (mAt == from) {
            fail("a value");
        }
        return mText.substr(from, mAt - from);
    }

    std::string const& mText;
    std::size_t mAt = 0;
    std::map<std::string, std::string> mScalars;
};

}  // namespace

std::map<std::string, std::string> read_json_scalars(std::string const& text) { return Reader(text).read(); }

}  // namespace tensorrt_llm::simulation
