//! A made-up kind of target, for tests: its entry in the registry is all that the rest of the program needs.

use crate::clock::MonoNs;
use crate::load::plan::Shot;
use crate::record::sink::Sink;
use crate::request::{Failure, Limits, RequestId};
use crate::targets::named::{Named, Tokens};
use crate::targets::null::NullTarget;
use crate::targets::registry::{Abilities, Kind};
use crate::targets::{Drain, Session, Target, TargetError, TargetInfo};

/// `made-up:NAME`.
pub const KIND: Kind = Kind {
    name: "made-up",
    help: "`made-up:NAME` (for tests)",
    has_argument: true,
    describe: |name, _, _| {
        let inner = NullTarget::default();
        let info = TargetInfo {
            name: name.whole.to_owned(),
            kind: "made-up".into(),
            title: "a made-up target".into(),
            limits: Limits { max_prompt_tokens: Some(64), ..inner.describe().limits },
            ..inner.describe().clone()
        };
        Ok(Named::new(MadeUp { inner, info }, Vec::new(), Tokens::Ids))
    },
    abilities: Abilities {
        in_process: true,
        engine: true,
        scheduler_settings: true,
        priorities: true,
        ..Abilities::NONE
    },
};

struct MadeUp {
    inner: NullTarget,
    info: TargetInfo,
}

impl Target for MadeUp {
    fn describe(&self) -> &TargetInfo {
        &self.info
    }

    fn open(self: Box<Self>, sink: Sink) -> Result<Box<dyn Session>, TargetError> {
        Ok(Box::new(MadeUpSession(Box::new(self.inner).open(sink)?)))
    }
}

struct MadeUpSession(Box<dyn Session>);

impl Session for MadeUpSession {
    fn submit(&mut self, shot: &Shot) -> Result<(), Failure> {
        self.0.submit(shot)
    }

    fn cancel(&mut self, id: RequestId) {
        self.0.cancel(id);
    }

    fn finish(self: Box<Self>, by: MonoNs) -> Drain {
        self.0.finish(by)
    }
}

mod tests {
    use crate::cli::resolve::resolve;
    use crate::cli::typed::Settings;
    use crate::experiment::preflight;
    use crate::serve::check_kind;
    use crate::settings::engine::EngineSettings;
    use crate::settings::served::ServedSettings;
    use crate::targets::registry::{describe, help};

    fn settings(text: &str) -> crate::settings::Resolved {
        let typed: Settings = toml::from_str(text).expect(text);
        resolve(&typed).expect(text)
    }

    #[test]
    fn one_entry_makes_a_kind_known_to_help_preflight_refusals_server_and_tokenizer() {
        let (engine, served) = (EngineSettings::default(), ServedSettings::default());
        let unknown = describe("no-such:x", &engine, &served).err().expect("no such kind");
        assert!(help().contains("made-up:NAME") && unknown.to_string().contains("made-up:NAME"));
        let missing = describe("made-up:", &engine, &served).err().expect("no argument");
        assert!(missing.to_string().contains("write `made-up:NAME`"), "{missing}");

        let mut asked =
            settings("target = 'made-up:x'\nconcurrency = [1]\nrequests = 2\nscenario = 'D(8,2)'");
        let ready = preflight::prepare(&mut asked).map_err(|error| error.to_string());
        assert_eq!(ready.map(|ready| ready.plans.len()), Ok(1));
        let mut long = settings("target = 'made-up:x'\nconcurrency = [1]\nscenario = 'D(65,2)'");
        let refused = preflight::prepare(&mut long).err().expect("longer than its limit");
        assert!(refused.to_string().contains("64"), "{refused}");

        let mut beams = settings("target = 'made-up:x'\n[request]\nbeam_width = 2");
        let refused = preflight::prepare(&mut beams).err().expect("it has no beams").to_string();
        assert!(refused.contains("--beam-width"), "{refused}");
        let mut urgent =
            settings("target = 'made-up:x'\nscenario = 'D(8,2)'\n[request]\npriority = '0.9'");
        assert!(preflight::prepare(&mut urgent).is_ok(), "its entry says that it knows priorities");

        assert!(check_kind("made-up:x").is_ok(), "its entry says that it is in this process");
        let behind = describe("text:made-up:x", &engine, &served)
            .map(|it| it.target.describe().name.clone());
        assert_eq!(behind.map_err(|error| error.to_string()), Ok("text:made-up:x".to_owned()));
    }
}
