# Commands for developers; `just` lists them.
default:
    @just --list

# everything that CI checks
verify:
    bash tests/all.sh

# unit tests, floors and the contract of targets: an answer within a minute and a half
test-fast:
    bash tests/fast.sh

# writes what `verify` would complain about
fix:
    cargo fmt --all
    find cpp tests/cpp -name '*.cc' -o -name '*.h' | xargs clang-format -i

# the main job on the embedded engine
first-run *arguments:
    bash examples/first-run.sh {{arguments}}

# the C++ side under one sanitizer: plain, address, undefined or thread
sanitize which:
    bash tests/cpp/run.sh {{which}}

# makes the bindings of Triton's C API again from the header (needs bindgen and libclang)
bindings *arguments:
    bash ffi/triton/bindings.sh {{arguments}}

# what the bridge costs, side by side with the same loop in C++ alone
bench-bridge:
    cargo bench --bench ffi

# how long the summary of ten million deliveries takes
bench-summarise:
    cargo bench --bench summarise

# how exactly requests leave at 50 to 20 000 a second, and what that costs
bench-instants:
    cargo bench --bench instants

# what the HTTP client costs per token, beside a reader that throws the bytes away
bench-client *arguments:
    cargo bench --bench client_cost -- {{arguments}}

# short runs on simulated engines against runs twenty times as long
bench-steady *arguments:
    cargo build --release
    python3 benches/steady_state.py {{arguments}}

# how often `compare` is wrong of two equal engines, and finds a difference of 2 %
bench-compare *arguments:
    cargo build --release
    python3 benches/comparison_power.py {{arguments}}

# how often clean runs warn, and how often a CPU hog is caught; wants a machine on which nothing else runs
bench-false-alarms *arguments:
    cargo build --release
    python3 benches/false_alarms.py {{arguments}}

# how far the reported TTFT and ITL are from what a server with a known schedule did
bench-fidelity *arguments:
    cargo bench --bench fidelity -- {{arguments}}
