// What does an orchestrator start? A process that holds one rank of the engine.
#include <exception>
#include <iostream>

#include "bareflight/cpp/simulated/ranks_worker.h"

int main() {
    try {
        tensorrt_llm::simulation::work_for_orchestrator();
    } catch (std::exception const& error) {
        std::cerr << "executorWorker: " << error.what() << '\n';
        return 1;
    }
}
