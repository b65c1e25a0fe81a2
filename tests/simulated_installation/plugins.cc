// What does the plugin library have? One function, which says whether its plugins could be registered.
#include <cstdlib>
#include <cstring>

extern "C" bool initTrtLlmPlugins(void* /*logger*/, char const* libNamespace) {
    auto const* const refuse = std::getenv("SIMULATED_PLUGINS_REFUSE");
    return refuse == nullptr && std::strcmp(libNamespace, "tensorrt_llm") == 0;
}
