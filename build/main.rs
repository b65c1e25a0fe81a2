//! What is built beside the Rust code? The bridge with our simulated executor, TensorRT-LLM's side of it where the
//! feature asks for it, and a stamp.

mod fingerprint;
mod installation;
mod library;
mod simulated;
mod stamp;
mod trtllm;

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
