//! Resolution of tasks besides text: endpoint, batch sizes, images.

use super::SettingsError;
use crate::cli::typed::Settings;
use crate::settings::DEFAULT_TARGET;
use crate::settings::served::ServedEndpoint;
use crate::targets::registry::{self, ServerProtocol};
use crate::workload::images::{GivenImages, ImagesFrom, MOST_IMAGES};
use crate::workload::scenario::{Scenario, Task};

/// Most texts of one request.
const MOST_DOCUMENTS: u32 = 10_000;

/// The scenarios that were typed.
fn scenarios(typed: &Settings) -> &[Scenario] {
    typed.scenario.as_deref().unwrap_or_default()
}

/// The endpoint that was typed, or that the first scenario is asked of.
pub(super) fn endpoint(typed: &Settings) -> ServedEndpoint {
    let of_scenario = || scenarios(typed).first().map(|it| ServedEndpoint::of(it.task()));
    typed.endpoint.or_else(of_scenario).unwrap_or_default()
}

/// Texts of each request, where requests are batches: the first size of a sweep.
pub(super) fn documents(typed: &Settings) -> Result<Option<u32>, SettingsError> {
    match scenarios(typed) {
        [] => refuse_other_tasks(typed, None)?,
        several => several.iter().try_for_each(|it| refuse_other_tasks(typed, Some(*it)))?,
    }
    let sizes = typed.workload.batch_size.as_deref();
    if sizes == Some(&[]) {
        return Err(SettingsError::EmptyList("--batch-size"));
    }
    for size in sizes.into_iter().flatten() {
        if !(1..=MOST_DOCUMENTS).contains(size) {
            let (flag, given) = ("--batch-size", size.to_string());
            return Err(SettingsError::Range { flag, given, range: "texts from 1 to 10000" });
        }
    }
    let endpoint = endpoint(typed);
    if sizes.is_some() && endpoint.has_output() {
        let needed = "`--endpoint embeddings` or `rerank`, whose requests have several texts";
        return Err(SettingsError::Needs("--batch-size", needed));
    }
    let by_scenario = scenarios(typed).iter().any(|it| it.task() == Task::Embeddings);
    let first = sizes.and_then(|sizes| sizes.first().copied());
    let least = (by_scenario || endpoint == ServedEndpoint::Rerank).then_some(1);
    Ok(first.or(least))
}

/// What is asked must be what the endpoint and the target answer.
fn refuse_other_tasks(typed: &Settings, scenario: Option<Scenario>) -> Result<(), SettingsError> {
    let endpoint = endpoint(typed);
    let task = scenario.map_or(Task::Text, |it| it.task());
    let fits = match endpoint {
        ServedEndpoint::Chat => matches!(task, Task::Text | Task::ImageText),
        ServedEndpoint::Completions => task == Task::Text,
        ServedEndpoint::Embeddings => matches!(task, Task::Text | Task::Embeddings),
        ServedEndpoint::Rerank => task == Task::Rerank,
    };
    if !fits {
        let (scenario, needed) = match (endpoint, task) {
            (ServedEndpoint::Rerank, _) => {
                return Err(SettingsError::Needs("--endpoint rerank", "`--scenario R(doc,query)`"));
            }
            (_, Task::Embeddings) => ("--scenario E(n)", "`--endpoint embeddings`"),
            (_, Task::Rerank) => ("--scenario R(doc,query)", "`--endpoint rerank`"),
            (_, Task::ImageText | Task::Text) => ("--scenario I(w,h)", "`--endpoint chat`"),
        };
        return Err(SettingsError::Needs(scenario, needed));
    }
    let target = typed.target.as_deref().unwrap_or(DEFAULT_TARGET);
    let is_http = registry::abilities_of(target).server == Some(ServerProtocol::Http);
    let asks = task != Task::Text || images_flag(typed).is_some();
    if asks && !is_http {
        let flag = match (scenario, images_flag(typed)) {
            (Some(Scenario::Embedding { .. }), _) => "--scenario E(n)",
            (Some(Scenario::Rerank { .. }), _) => "--scenario R(doc,query)",
            (Some(Scenario::Images { .. }), _) => "--scenario I(w,h)",
            (_, Some(flag)) => flag,
            (_, None) => "--scenario",
        };
        return Err(SettingsError::Needs(flag, "a server that answers it: measure `openai:URL`"));
    }
    Ok(())
}

/// The first flag about images that was given.
fn images_flag(typed: &Settings) -> Option<&'static str> {
    let flags = &typed.workload;
    let given = [
        ("--image-folder", flags.image_folder.is_some()),
        ("--image-url", flags.image_url.is_some()),
        ("--image-column", flags.image_column.is_some()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
}

/// Images that were named.
pub(super) fn images(typed: &Settings) -> Result<Option<GivenImages>, SettingsError> {
    let flags = &typed.workload;
    if let (Some(flag), false) = (images_flag(typed), endpoint(typed) == ServedEndpoint::Chat) {
        return Err(SettingsError::Needs(flag, "`--endpoint chat`, which takes images"));
    }
    let made = scenarios(typed).iter().any(|it| matches!(it, Scenario::Images { .. }));
    if let (Some(flag), true) = (images_flag(typed), made) {
        let why = "images are made or given";
        return Err(SettingsError::Apart(flag, "`--scenario I(w,h)`", why));
    }
    let from = match (&flags.image_folder, &flags.image_url, &flags.image_column) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            let why = "images come from one place";
            return Err(SettingsError::Apart("--image-folder", "other images", why));
        }
        (_, Some(_), Some(_)) => {
            let why = "images come from one place";
            return Err(SettingsError::Apart("--image-url", "`--image-column`", why));
        }
        (Some(folder), None, None) => Some(ImagesFrom::Folder(folder.clone())),
        (None, Some(urls), None) => Some(ImagesFrom::Urls(urls.clone())),
        (None, None, _) => None,
    };
    if matches!(&from, Some(ImagesFrom::Urls(urls)) if urls.is_empty()) {
        return Err(SettingsError::EmptyList("--image-url"));
    }
    let Some(from) = from else {
        if flags.images_per_request.is_some() {
            let needed = "`--image-folder` or `--image-url`";
            return Err(SettingsError::Needs("--images-per-request", needed));
        }
        return Ok(None);
    };
    let each = flags.images_per_request.unwrap_or(1);
    if !(1..=MOST_IMAGES).contains(&each) {
        let (flag, given) = ("--images-per-request", each.to_string());
        return Err(SettingsError::Range { flag, given, range: "images from 1 to 64" });
    }
    Ok(Some(GivenImages { from, each }))
}
