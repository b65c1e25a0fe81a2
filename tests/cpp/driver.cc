// Do all claims hold? Prints a line per claim; exits non-zero when one does not. An argument selects by
// substring.
#include <chrono>
#include <cstdio>
#include <cstring>

#include "claims.h"

int main(int argc, char** argv) {
    char const* const wanted = argc > 1 ? argv[1] : "";
    int passed = 0;
    int failed = 0;
    for (auto const& claim : claims::all()) {
        if (std::strstr(claim.sentence, wanted) == nullptr) {
            continue;
        }
        auto const begin = std::chrono::steady_clock::now();
        std::string failure;
        try {
            claim.body();
        } catch (std::exception const& error) {
            failure = error.what();
        }
        auto const ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin);
        std::printf("%s  %s (%.0f ms)%s%s\n", failure.empty() ? "ok  " : "FAIL", claim.sentence, ms.count(),
                    failure.empty() ? "" : "\n      ", failure.c_str());
        std::fflush(stdout);
        ++(failure.empty() ? passed : failed);
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
