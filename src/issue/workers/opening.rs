//! Opening of workers: each opens its target and says what it will play, and what it could send and read.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::message::{Calibration, FromWorker, Order, Report};
use super::remote_worker::{News, RemoteWorker};
use super::{LOOK, Role, Workers, WorkersError};
use crate::clock;
use crate::issue::stop::Stop;
use crate::load::plan::Slice;
use crate::observe::health::{ClientRate, NullRate};

/// What all workers could send and read together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkersRate {
    /// Against targets that reply at once; not known where that of one is not.
    pub null: Option<NullRate>,
    /// What their clients read; as above.
    pub client: Option<ClientRate>,
    /// Why something is not known.
    pub faults: Vec<String>,
}

impl Workers {
    /// Waits until every worker has opened its target; `plans` are the hashes of the plans to be played.
    ///
    /// # Errors
    /// When a worker refuses, is lost, or would play another plan.
    pub fn open(
        role: Role,
        all: Vec<RemoteWorker>,
        news: Receiver<News>,
        begin: impl Fn(Slice) -> Order,
        plans: &[String],
        stop: Stop,
    ) -> Result<Self, WorkersError> {
        let mut opened = Self {
            role,
            all,
            news,
            live: Arc::default(),
            in_flight: Arc::default(),
            stop,
            facts: None,
            iterations: None,
            broken: None,
        };
        let workers = opened.all.len() as u32;
        for (worker, remote) in (0..workers).zip(&mut opened.all) {
            remote.tell(&begin(Slice { worker, workers }));
        }
        opened.await_all(
            "it does not say that it is ready",
            |opened, number, report| match report {
                Report::Ready { plans: own, facts, has_statistics, process, host, cores } => {
                    if own != plans {
                        return Err(opened.other_plan(number));
                    }
                    if has_statistics {
                        opened.iterations.get_or_insert_default();
                    }
                    let worker = &mut opened.all[number];
                    (worker.pid, worker.host, worker.cores) = (process, host, cores);
                    opened.facts = opened.facts.take().or(facts);
                    Ok(true)
                }
                _ => Ok(false),
            },
        )?;
        Ok(opened)
    }

    /// Has all workers measure at one time what they could send and read, and adds it up.
    ///
    /// # Errors
    /// When a worker is lost or does not answer.
    pub fn calibrate(&mut self) -> Result<WorkersRate, WorkersError> {
        for worker in &mut self.all {
            worker.tell(&Order::Calibrate);
        }
        let mut of_each = vec![Calibration::default(); self.all.len()];
        self.await_all("it does not say what it can read", |_, number, report| match report {
            Report::Calibrated(calibration) => {
                of_each[number] = calibration;
                Ok(true)
            }
            _ => Ok(false),
        })?;
        let places = self.all.iter().map(|worker| (worker.host.as_str(), worker.cores));
        Ok(sum(places.zip(of_each).collect()))
    }

    /// Waits until every worker has said what is awaited of it.
    fn await_all(
        &mut self,
        silent: &str,
        mut take: impl FnMut(&mut Self, usize, Report) -> Result<bool, WorkersError>,
    ) -> Result<(), WorkersError> {
        let mut is_awaited = vec![true; self.all.len()];
        let give_up = clock::now() + self.role.opening();
        while let Some(first) = is_awaited.iter().position(|it| *it) {
            let Ok(News { number, what, .. }) = self.news.recv_timeout(LOOK) else {
                if self.stop.is_asked() {
                    return Err(self.refusal(first, "it was ended while it opened".to_owned()));
                }
                if clock::now() > give_up {
                    return Err(self.refusal(first, silent.to_owned()));
                }
                continue;
            };
            match what {
                Ok(FromWorker::Report(Report::Refused(words))) => {
                    return Err(self.refusal(number, words));
                }
                Ok(FromWorker::Report(report)) => {
                    if take(self, number, report)? {
                        is_awaited[number] = false;
                    }
                }
                Ok(FromWorker::Records(_)) => {}
                Err(error) => {
                    let worker = &mut self.all[number];
                    worker.lose(&error);
                    let words = worker.lost().unwrap_or_default().to_owned();
                    return Err(self.refusal(number, words));
                }
            }
        }
        Ok(())
    }

    fn other_plan(&self, number: usize) -> WorkersError {
        match &self.role {
            Role::Workers => WorkersError::OtherPlan(number + 1),
            Role::Child(who) => WorkersError::Child {
                who: who.clone(),
                words: "it draws another plan than this process: its bareflight must be this one"
                    .into(),
            },
        }
    }

    fn refusal(&self, number: usize, words: String) -> WorkersError {
        if let Role::Child(who) = &self.role {
            return WorkersError::Child { who: who.clone(), words };
        }
        WorkersError::Refused { number: number + 1, workers: self.all.len(), words }
    }
}

/// Rates of workers, each with its host and the cores that it may use. What clients read was taken from their CPU time: where
/// those of a host have more threads than it has cores, they take turns.
fn sum(of_each: Vec<((&str, u32), Calibration)>) -> WorkersRate {
    let threads_of = |host: &str| -> u32 {
        let own = of_each.iter().filter(|((its, _), _)| *its == host);
        own.map(|((_, cores), it)| it.client.map_or(0, |client| client.threads.min(*cores))).sum()
    };
    let mut client = Some(ClientRate { requests_per_s: 0.0, tokens_per_s: 0.0, threads: 0 });
    let mut null = Some(NullRate { requests_per_s: 0.0, tokens_per_s: 0.0 });
    for ((host, cores), it) in &of_each {
        let share = (f64::from(*cores) / f64::from(threads_of(host).max(1))).min(1.0);
        client = client.zip(it.client).map(|(all, its)| ClientRate {
            requests_per_s: all.requests_per_s + share * its.requests_per_s,
            tokens_per_s: all.tokens_per_s + share * its.tokens_per_s,
            threads: all.threads + its.threads,
        });
        null = null.zip(it.null).map(|(all, its)| NullRate {
            requests_per_s: all.requests_per_s + its.requests_per_s,
            tokens_per_s: all.tokens_per_s + its.tokens_per_s,
        });
    }
    let fault = |(place, (_, it)): (usize, &(_, Calibration))| {
        it.fault.as_ref().map(|words| {
            format!("what worker {} can send and read was not calibrated: {words}", place + 1)
        })
    };
    let faults = of_each.iter().enumerate().filter_map(fault).collect();
    WorkersRate { null, client, faults }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn client(requests_per_s: f64, tokens_per_s: f64, threads: u32) -> ClientRate {
        ClientRate { requests_per_s, tokens_per_s, threads }
    }

    const fn calibrated(threads: u32) -> Calibration {
        let null = NullRate { requests_per_s: 9.0, tokens_per_s: 90.0 };
        let client = client(100.0, 1_000.0, threads);
        Calibration { null: Some(null), client: Some(client), fault: None }
    }

    #[test]
    fn rates_of_workers_add_up_as_far_as_their_hosts_have_cores() {
        let two_hosts = sum(vec![(("a", 2), calibrated(2)), (("b", 2), calibrated(2))]);
        assert_eq!(two_hosts.client, Some(client(200.0, 2_000.0, 4)));
        let one_host = sum(vec![(("a", 2), calibrated(2)), (("a", 2), calibrated(2))]);
        assert_eq!(one_host.client, Some(client(100.0, 1_000.0, 4)));
        // They were measured at one time, so that they took turns then.
        assert_eq!(one_host.null, Some(NullRate { requests_per_s: 18.0, tokens_per_s: 180.0 }));
    }

    #[test]
    fn what_one_worker_does_not_know_is_not_known_of_all() {
        let silent = Calibration { fault: Some("no stub".to_owned()), ..Calibration::default() };
        let rate = sum(vec![(("a", 2), calibrated(1)), (("b", 2), silent)]);
        assert_eq!(rate.client, None);
        assert_eq!(rate.null, None);
        assert_eq!(rate.faults, ["what worker 2 can send and read was not calibrated: no stub"]);
    }
}
