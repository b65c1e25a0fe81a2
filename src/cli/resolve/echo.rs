//! Resolved settings written back as typed ones, for `resolved.toml`.

use super::{executor, launch, terms, workload};
use crate::cli::typed::{ArrivalKind, PromptFormat, Settings};
use crate::cli::variables;
use crate::load::course::WindowKind;
use crate::load::{Arrivals, Load};
use crate::settings::Resolved;
use crate::settings::declared::KeyValue;
use crate::settings::human_duration::HumanDuration;
use crate::settings::load_rules::RequestCount;
use crate::settings::otlp_address::OtlpChoice;
use crate::settings::seed_choice::SeedChoice;
use crate::settings::server_metrics::ServerMetricsChoice;
use crate::settings::time_unit::TimeUnit;
use crate::settings::ui::Ui;
use crate::workload::PromptKind;
use crate::workload::prefixes::PrefixGroups;

fn has_steady_state(load: &Load) -> bool {
    WindowKind::Steady.of(load) == WindowKind::Steady
}

impl Resolved {
    /// As it would have to be typed: every value that has one, so that the file runs again as it ran.
    pub fn to_settings(&self) -> Settings {
        let target = match &self.launch {
            // Its port is another one each time.
            Some(launch) => launch.target.clone(),
            None => Some(self.target.clone()),
        };
        let mut settings = Settings {
            target,
            launch: launch::to_flags(self.launch.as_ref()),
            requests: self
                .requests_per_slot
                .map(RequestCount::PerSlot)
                .or(self.requests.map(RequestCount::Fixed)),
            duration: self.duration.map(HumanDuration),
            warmup: self.warmup,
            warmup_until: self.warmup_until,
            ramp: self.ramp.map(HumanDuration),
            window: self.loads.iter().all(has_steady_state).then_some(self.window),
            spawn_rate: self.spawn_rate,
            workers: self.workers,
            repeat: Some(self.repeat).filter(|runs| *runs > 1),
            measurement_interval: self.windows.map(|rule| HumanDuration(rule.interval)),
            stability_percentage: self.windows.map(|rule| rule.percent),
            stop_when_saturated: Some(true).filter(|_| self.stop_when_saturated),
            cool_down: self.cool_down.map(HumanDuration),
            between: self.between.clone(),
            timeout: Some(HumanDuration(self.timeout)),
            drain: Some(HumanDuration(self.drain)),
            slo: self.slo_text.clone(),
            gpu_telemetry: Some(self.gpu_telemetry.clone()),
            nvml_library: self.nvml_library.clone(),
            profile_window: self.profile_window,
            nvtx: Some(self.nvtx),
            cuda_library: self.cuda_library.clone(),
            out: Some(self.out.clone()),
            cells: Some(self.cells).filter(|cells| *cells),
            no_deliveries: Some(!self.keep_deliveries),
            export: (!self.export.is_empty()).then(|| self.export.clone()),
            plots: (!self.plots.is_empty()).then(|| self.plots.clone()),
            time_unit: (self.time_unit != TimeUnit::default()).then_some(self.time_unit),
            prometheus: self.prometheus,
            otlp: self.otlp.clone().map(OtlpChoice::Address),
            upload: self.upload.clone(),
            server_engine: self.declared.server.engine.clone(),
            server_version: self.declared.server.version.clone(),
            server_gpu_type: self.declared.server.gpu_type.clone(),
            server_gpu_count: self.declared.server.gpu_count,
            note: self.notes(),
            deny: (!self.deny.is_empty()).then(|| self.deny.clone()),
            allow: (!self.allow.is_empty()).then(|| self.allow.clone()),
            ui: (self.ui != Ui::default()).then_some(self.ui),
            quiet: Some(self.quiet),
            gpu: self.gpu.as_ref().map(|gpu| gpu.name.clone()),
            gpu_hour_price: self.gpu_hour_price,
            memory_bandwidth_gbps: self.memory_bandwidth_gbps,
            ..Settings::default()
        };
        match &self.stages {
            None => self.write_loads(&mut settings),
            Some(stages) => self.write_stages(&mut settings, stages),
        }
        self.write_workload(&mut settings);
        self.write_engine(&mut settings);
        self.write_served(&mut settings);
        settings
    }

    /// [`Self::to_settings`] as TOML.
    ///
    /// # Errors
    /// When a value has no form in TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(&self.to_settings()).map(|text| variables::escape(&text))
    }

    fn notes(&self) -> Option<Vec<KeyValue>> {
        let notes = self.declared.notes.iter();
        let notes: Vec<KeyValue> =
            notes.map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect();
        (!notes.is_empty()).then_some(notes)
    }

    pub(super) fn write_loads(&self, settings: &mut Settings) {
        for load in &self.loads {
            match *load {
                Load::Closed { concurrency } => {
                    settings.concurrency.get_or_insert_default().push(concurrency.into());
                }
                Load::Batch => settings.batch = Some(true),
                // Table `[workload]` says so.
                Load::Open { arrivals: Arrivals::Replay, max_in_flight, .. } => {
                    settings.max_in_flight = max_in_flight;
                }
                Load::Open { arrivals, rate, max_in_flight } => {
                    settings.rate.get_or_insert_default().push(rate);
                    settings.max_in_flight = max_in_flight;
                    settings.arrivals = Some(match arrivals {
                        Arrivals::Constant => ArrivalKind::Constant,
                        Arrivals::Poisson => ArrivalKind::Poisson,
                        Arrivals::Uniform | Arrivals::Replay => ArrivalKind::Uniform,
                        Arrivals::Gamma { burstiness } => {
                            settings.burstiness = Some(burstiness);
                            ArrivalKind::Gamma
                        }
                    });
                }
            }
        }
    }

    fn write_workload(&self, settings: &mut Settings) {
        let workload = &self.workload;
        settings.scenario = (!workload.has_entries()).then(|| self.scenarios.clone());
        settings.workload = workload::to_flags(workload, &self.batch_sizes);
        settings.prompts = match workload.prompts {
            // Whoever types them vouches for the vocabulary.
            PromptKind::Ids if self.served.ids_by_default => None,
            PromptKind::Ids => Some(PromptFormat::Ids),
            PromptKind::Text => Some(PromptFormat::Text),
        };
        settings.prefix_tokens = Some(workload.prefix_tokens);
        settings.prefix_groups = workload.prefix_groups.as_ref().map(PrefixGroups::count);
        let unequal = workload.prefix_groups.as_ref().filter(|groups| !groups.are_equal());
        settings.prefix_shares = unequal.map(|groups| groups.shares().to_vec());
        settings.stop_at_eos = Some(!workload.output.ignore_eos);
        settings.min_tokens = Some(workload.output.min_tokens);
        settings.temperature = workload.sampling.temperature;
        settings.top_p = workload.sampling.top_p;
        settings.top_k = workload.sampling.top_k;
        settings.no_streaming = Some(!workload.streaming);
        settings.request = terms::to_flags(workload);
        settings.seed = Some(SeedChoice::Number(workload.seed));
    }

    /// Headers stay out of files: their values may be secrets.
    fn write_served(&self, settings: &mut Settings) {
        let served = &self.served;
        settings.model.clone_from(&served.model);
        settings.endpoint = Some(served.endpoint);
        settings.api_key_env.clone_from(&served.api_key_env);
        settings.api_key_file.clone_from(&served.api_key_file);
        settings.extra_inputs.clone_from(&served.extra_inputs);
        settings.output_token_field = Some(served.output_token_field);
        settings.omit = Some(served.omit.clone()).filter(|fields| !fields.is_empty());
        settings.vocab_size = served.vocab_size;
        settings.no_proxy = Some(served.no_proxy);
        settings.server_metrics = Some(served.server_metrics.clone())
            .filter(|choice| *choice != ServerMetricsChoice::Auto);
        settings.connect_timeout = served.connect_timeout.map(HumanDuration);
        settings.first_token_timeout = served.first_token_timeout.map(HumanDuration);
        settings.idle_timeout = served.idle_timeout.map(HumanDuration);
        settings.client_threads = served.client_threads;
        settings.triton_streams = served.triton_streams;
        settings.triton_connections = served.triton_connections;
        settings.tokenizer.clone_from(&served.tokenizer);
        settings.fresh_connections = Some(served.fresh_connections);
        settings.http2 = Some(served.http2);
        settings.ca_file.clone_from(&served.ca_file);
        settings.insecure = Some(served.insecure);
        settings.triton_library.clone_from(&served.triton_library);
        settings.triton_backends.clone_from(&served.triton_backends);
    }

    fn write_engine(&self, settings: &mut Settings) {
        let engine = &self.engine;
        settings.max_batch_size = engine.max_batch_size;
        settings.max_num_tokens = engine.max_num_tokens;
        settings.max_queue_size = engine.max_queue_size;
        settings.capacity_policy = Some(engine.capacity_policy);
        settings.chunking_policy = Some(engine.chunking_policy);
        settings.no_chunked_context = Some(!engine.chunked_context);
        settings.kv_reuse = Some(engine.kv_reuse);
        settings.kv_tokens = engine.kv_tokens;
        settings.no_engine_stamps = Some(!engine.perf_metrics);
        settings.worker.clone_from(&engine.worker);
        settings.threads = engine.threads;
        settings.quantization = Some(engine.quantization);
        settings.engine = executor::to_flags(engine);
    }
}
