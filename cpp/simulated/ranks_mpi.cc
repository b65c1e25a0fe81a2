// Ranks with MPI: those of a job, or workers that an orchestrator spawns.
//
// As in TensorRT-LLM, every rank takes part in every iteration, so that the death of one stops the leader
// until mpirun ends the job.
#ifdef SIMULATED_MPI
#define OMPI_SKIP_MPICXX
#include <mpi.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "bareflight/cpp/simulated/ranks.h"
#include "bareflight/cpp/simulated/ranks_worker.h"

namespace tensorrt_llm::simulation {

namespace {

constexpr int kTag = 17;
enum Word : int { kIterate = 1, kDone = 2, kDismissed = 3 };

void start_mpi() {
    int started = 0;
    MPI_Initialized(&started);
    if (started != 0) {
        return;
    }
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
    if (provided < MPI_THREAD_MULTIPLE) {
        throw std::runtime_error("this MPI has no MPI_THREAD_MULTIPLE");
    }
    // As TensorRT-LLM does.
    std::atexit([] { MPI_Finalize(); });
}

void send(int word, int to, MPI_Comm comm) { MPI_Send(&word, 1, MPI_INT, to, kTag, comm); }

/// Looks for the message instead of waiting in MPI, which would take a whole core.
int receive(int from, MPI_Comm comm) {
    int there = 0;
    MPI_Iprobe(from, kTag, comm, &there, MPI_STATUS_IGNORE);
    while (there == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        MPI_Iprobe(from, kTag, comm, &there, MPI_STATUS_IGNORE);
    }
    int word = 0;
    MPI_Recv(&word, 1, MPI_INT, from, kTag, comm, MPI_STATUS_IGNORE);
    return word;
}

void follow_leader(MPI_Comm comm) {
    while (receive(0, comm) == kIterate) {
        send(kDone, 0, comm);
    }
}

class Leader final : public Ranks {
  public:
    Leader(MPI_Comm comm, std::vector<int> others) : mComm(comm), mOthers(std::move(others)) {}
    void iterate() override {
        tell(kIterate);
        for (int const other : mOthers) {
            receive(other, mComm);
        }
    }
    void dismiss() override { tell(kDismissed); }

  private:
    void tell(Word word) {
        for (int const other : mOthers) {
            send(word, other, mComm);
        }
    }

    MPI_Comm mComm;
    std::vector<int> mOthers;
};

class Follower final : public Ranks {
  public:
    bool leads() const override { return false; }
    void follow() override { follow_leader(MPI_COMM_WORLD); }
};

std::vector<int> numbers(int from, int to) {
    std::vector<int> ranks;
    for (int rank = from; rank < to; ++rank) {
        ranks.push_back(rank);
    }
    return ranks;
}

std::unique_ptr<Ranks> spawn(std::int32_t wanted, std::string const& worker) {
    start_mpi();
    MPI_Comm workers = MPI_COMM_NULL;
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    int const status = MPI_Comm_spawn(worker.c_str(), MPI_ARGV_NULL, wanted, MPI_INFO_NULL, 0, MPI_COMM_SELF,
                                      &workers, MPI_ERRCODES_IGNORE);
    if (status != MPI_SUCCESS) {
        throw std::runtime_error("the orchestrator could not start " + std::to_string(wanted) +
                                 " of its worker " + worker);
    }
    return std::make_unique<Leader>(workers, numbers(0, wanted));
}

}  // namespace

std::unique_ptr<Ranks> join_ranks(std::int32_t wanted, std::string const& worker) {
    if (!worker.empty()) {
        return spawn(wanted, worker);
    }
    int size = 1;
    int rank = 0;
    // TensorRT-LLM starts MPI in a process alone, too; the simulation spares it that.
    if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) {
        start_mpi();
        MPI_Comm_size(MPI_COMM_WORLD, &size);
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    }
    if (size != wanted) {
        throw std::runtime_error("MPI size (" + std::to_string(size) +
                                 ") must be equal to the engine's world size (" + std::to_string(wanted) +
                                 ")");
    }
    if (rank > 0) {
        return std::make_unique<Follower>();
    }
    return std::make_unique<Leader>(MPI_COMM_WORLD, numbers(1, size));
}

void work_for_orchestrator() {
    start_mpi();
    MPI_Comm orchestrator = MPI_COMM_NULL;
    MPI_Comm_get_parent(&orchestrator);
    if (orchestrator == MPI_COMM_NULL) {
        throw std::runtime_error("a worker is started by an orchestrator, not by hand");
    }
    follow_leader(orchestrator);
}

}  // namespace tensorrt_llm::simulation
#endif
