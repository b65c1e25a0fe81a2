//! The harness's own threads: the name of each, and whether it sends or stamps. No other place makes a thread with a name
//! (`clippy.toml`), so that a new one says what it is.

use std::thread::Builder;

/// The names of all own threads begin with this; the main thread is the issuer.
pub const PREFIX: &str = "bf-";

/// What the time of a thread is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It sends requests or stamps deliveries: what it waits for a core is part of a latency.
    Hot,
    /// It does neither.
    Cold,
}

macro_rules! own_threads {
    ($($(#[$what:meta])* $thread:ident $name:literal $work:ident,)*) => {
        /// A thread of the harness.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Own {
            $($(#[$what])* $thread,)*
        }

        impl Own {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$thread),*];

            /// As the kernel shows it, where there is one of it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$thread => $name,)*
                }
            }

            /// What its time is part of.
            pub const fn work(self) -> Work {
                match self {
                    $(Self::$thread => Work::$work,)*
                }
            }
        }
    };
}

own_threads! {
    /// Pumps what a second engine drafts.
    Drafts "bf-drafts" Hot,
    /// Sends over HTTP and reads answers; several, with numbers.
    Net "bf-net" Hot,
    /// Answers for the null target.
    Null "bf-null" Hot,
    /// Pumps an executor's responses.
    Poller "bf-poller" Hot,
    /// Turns text into ids and ids into text.
    Text "bf-text" Hot,
    /// Sends over gRPC and reads answers; several, with numbers.
    Triton "bf-triton" Hot,
    /// Takes what Triton's core calls back with.
    TritonC "bf-triton-c" Hot,
    /// Asks an OpenAI-compatible server for its models.
    AskOpenai "bf-ask-openai" Cold,
    /// Asks a Triton server for its model.
    AskTriton "bf-ask-triton" Cold,
    /// Waits for the shutdown of an executor.
    Closing "bf-closing" Cold,
    /// Watches GPUs.
    Gpu "bf-gpu" Cold,
    /// Hears that the terminal has closed.
    Hangup "bf-hangup" Cold,
    /// Reads iterations of an engine.
    Iterations "bf-iterations" Cold,
    /// Reads events of an engine's KV cache.
    KvEvents "bf-kv-events" Cold,
    /// Waits for the end of a server that was started.
    Launch "bf-launch" Cold,
    /// Looks for waits for a core.
    LongWaits "bf-long-waits" Cold,
    /// Sends the probe before a load.
    OpenaiProbe "bf-openai-probe" Cold,
    /// Takes orders of the process that leads this worker.
    Orders "bf-orders" Cold,
    /// Pushes figures to a collector.
    Otlp "bf-otlp" Cold,
    /// Draws prompts ahead.
    Plan "bf-plan" Cold,
    /// Turns the driver's profiler on and off.
    Profiler "bf-profiler" Cold,
    /// Shows figures to Prometheus.
    Prometheus "bf-prometheus" Cold,
    /// Waits for a child to be ready.
    Ready "bf-ready" Cold,
    /// Adds events up to records.
    Recorder "bf-recorder" Cold,
    /// Reads a server's `/metrics`.
    Scrape "bf-scrape" Cold,
    /// Reads the log of a server that was started.
    ServerLog "bf-server-log" Cold,
    /// Hears Ctrl-C.
    Signals "bf-signals" Cold,
    /// Asks a program for its version.
    Version "bf-version" Cold,
    /// Reads what a worker sends; several, with numbers.
    Worker "bf-worker" Cold,
}

impl Own {
    /// To start it.
    #[allow(clippy::disallowed_methods)] // The one place of own threads.
    pub fn builder(self) -> Builder {
        Builder::new().name(self.name().to_owned())
    }

    /// To start one of several.
    #[allow(clippy::disallowed_methods)] // As above.
    pub fn numbered(self, number: impl std::fmt::Display) -> Builder {
        Builder::new().name(format!("{}-{number}", self.name()))
    }

    /// The one that has this name, with or without a number.
    pub fn named(name: &str) -> Option<Self> {
        let is_number = |rest: &str| {
            let number = rest.strip_prefix('-');
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let is_it = |own: &Self| {
            name.strip_prefix(own.name()).is_some_and(|rest| rest.is_empty() || is_number(rest))
        };
        Self::ALL.iter().copied().find(is_it)
    }
}

/// A thread that is none of the harness: what it does is no part of a measurement, or is counted as the engine's.
#[allow(clippy::disallowed_methods)] // Named by whoever starts it.
pub fn other(name: &str) -> Builder {
    Builder::new().name(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_own_thread_is_found_by_a_name_that_the_kernel_keeps_whole() {
        for own in Own::ALL {
            let name = own.name();
            assert!(name.starts_with(PREFIX) && name.len() <= 15, "{name}");
            assert_eq!(Own::named(name), Some(*own));
        }
        assert_eq!(Own::named("bf-triton-12"), Some(Own::Triton));
        for stranger in ["bf-", "bf-net-", "bf-nets", "bf-net-x", "bareflight-cpu", "tokio"] {
            assert_eq!(Own::named(stranger), None, "{stranger}");
        }
    }
}
