// Processes that run one executor together: one alone, the ranks of an MPI job, or an orchestrator's workers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace tensorrt_llm::simulation {

/// This process' part. The base is a process alone: it leads, and nobody follows.
class Ranks {
  public:
    virtual ~Ranks() = default;
    /// Whether requests are taken here.
    virtual bool leads() const { return true; }
    /// The leader, in each iteration: returns when every other rank has done its share, and never after a
    /// rank has died.
    virtual void iterate() {}
    /// The leader, at its end: lets the others end too.
    virtual void dismiss() {}
    /// The others: do their share until they are dismissed.
    virtual void follow() {}
};

/// Joins `wanted` ranks; with the path of a `worker` program, starts that many of it. Throws
/// std::runtime_error when the job has another size, or the worker cannot be started.
std::unique_ptr<Ranks> join_ranks(std::int32_t wanted, std::string const& worker);

}  // namespace tensorrt_llm::simulation
