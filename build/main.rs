//! Build script: compiles the bridge with our simulated executor and, with feature `trtllm`, the engine against
//! TensorRT-LLM; stamps the build with its revision.

mod fingerprint;
mod installation;
mod library;
mod library_version;
mod simulated;
mod stamp;
mod trtllm;
mod version;

fn main() {
    simulated::build();
    if std::env::var_os("CARGO_FEATURE_TRTLLM").is_some()
        && let Err(why) = trtllm::build()
    {
        for line in why.to_string().lines() {
            println!("cargo::error={line}");
        }
    }
    stamp::stamp();
}
