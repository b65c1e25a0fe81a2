//! Turns of targets of which one alone is open: closed before another one opens, for engines that do not fit side by side.

use crate::experiment::calibrate;
use crate::experiment::interleave::{self, Common, LEAD_IN, OfSide, Side, Unopened};
use crate::experiment::launch::server::LaunchedServer;
use crate::experiment::point_runner::{PausedRunner, PointRunner, Room};
use crate::experiment::preflight::{self, PreflightError};
use crate::experiment::sweep::{ExperimentError, Watch, keep_engine_log};
use crate::issue::stop::Stop;
use crate::load::plan::Plan;
use crate::settings::Resolved;
use crate::store::measured_run::MeasuredRun;
use crate::store::run_directory::RunDirectory;
use crate::targets::{Target, registry};

/// A side between and during its turns.
enum Player<'a> {
    Unopened(Box<Unopened<'a>>),
    Open(Box<PointRunner<'a>>),
    Paused(Box<PausedRunner<'a>>),
}

/// Who plays in which order: as side by side, but that the lead-in, which is not compared, begins with the last side, whose server
/// is still there from the preflight.
pub fn order(block: usize, sides: usize) -> Vec<usize> {
    match block.checked_sub(LEAD_IN) {
        Some(block) => interleave::order(block, sides),
        None => (0..sides).rev().collect(),
    }
}

/// Plays every block on every side as [`interleave::play`] does, but with one side open at a time: it is closed when another one has its
/// turn, and the launched server runs only for the sides that ask it.
///
/// # Errors
/// When a target cannot be opened, a server not be started again, or a file not be written.
pub fn play(
    sides: Vec<Side<'_>>,
    plans: &[Plan],
    directory: &RunDirectory,
    stop: &Stop,
    watch: &mut dyn Watch,
    mut server: Option<&mut LaunchedServer>,
) -> Result<Vec<MeasuredRun>, ExperimentError> {
    keep_engine_log(directory)?;
    let run = Common { plans, directory, stop, null_rate: calibrate::null_rate()? };
    let names: Vec<String> = sides.iter().map(|side| side.name.clone()).collect();
    let resolved: Vec<&Resolved> = sides.iter().map(|side| side.resolved).collect();
    let mut players: Vec<Option<Player<'_>>> = interleave::unopened(sides, plans)
        .into_iter()
        .map(|side| Some(Player::Unopened(Box::new(side))))
        .collect();
    let mut last: Option<usize> = None;
    'blocks: for (block, plan) in plans.iter().enumerate() {
        for side in order(block, players.len()) {
            if last != Some(side) {
                if let Some(last) = last {
                    players[last] = players[last].take().map(close);
                }
                keep_server(server.as_deref_mut(), resolved[side], stop)?;
                last = Some(side);
            }
            if stop.is_asked() || players.iter().flatten().any(|it| !can_go_on(it)) {
                break 'blocks;
            }
            let Some(player) = players[side].take() else { continue };
            let mut runner = open(player, resolved[side], &run, watch)?;
            let mut watch = OfSide { name: &names[side], watch: &mut *watch };
            runner.play(plan, interleave::label(block, plans.len()), &mut watch)?;
            players[side] = Some(Player::Open(Box::new(runner)));
        }
    }
    let mut runs = Vec::with_capacity(players.len());
    for player in players.into_iter().flatten() {
        match player {
            Player::Open(runner) => runs.push(runner.close()),
            Player::Paused(runner) => runs.push(runner.close()),
            // The end came before its first turn: it has a folder all the same.
            Player::Unopened(side) => runs.push(side.open(&run, watch)?.close()),
        }
    }
    Ok(runs)
}

fn can_go_on(player: &Player<'_>) -> bool {
    match player {
        Player::Unopened(_) => true,
        Player::Open(runner) => runner.can_go_on(),
        Player::Paused(runner) => runner.can_go_on(),
    }
}

fn close(player: Player<'_>) -> Player<'_> {
    match player {
        Player::Open(runner) => Player::Paused(Box::new(runner.pause())),
        closed @ (Player::Unopened(_) | Player::Paused(_)) => closed,
    }
}

fn open<'a>(
    player: Player<'a>,
    resolved: &Resolved,
    run: &Common<'a>,
    watch: &mut dyn Watch,
) -> Result<PointRunner<'a>, ExperimentError> {
    match player {
        Player::Open(runner) => Ok(*runner),
        Player::Unopened(side) => side.open(run, watch),
        Player::Paused(runner) => {
            let target = described_again(resolved, run.plans).map_err(Box::new)?;
            runner.resume(target, Room::of(run.plans))
        }
    }
}

/// What answers, once more: a server is new, and has to take the requests too.
fn described_again(resolved: &Resolved, plans: &[Plan]) -> Result<Box<dyn Target>, PreflightError> {
    let named = registry::describe(&resolved.target, &resolved.engine, &resolved.served)?;
    let mut target = named.target;
    preflight::probe(&mut *target, plans)?;
    Ok(target)
}

/// The server runs where the side asks it, and not otherwise.
fn keep_server(
    server: Option<&mut LaunchedServer>,
    side: &Resolved,
    stop: &Stop,
) -> Result<(), ExperimentError> {
    let Some(server) = server else { return Ok(()) };
    if side.launch.is_none() {
        server.stop();
    } else {
        server.restart(stop).map_err(Box::new)?;
        server.fail_at_death(stop);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lead_in_begins_with_the_last_side_and_the_rest_is_as_side_by_side() {
        assert_eq!(order(0, 3), [2, 1, 0]);
        for block in 0..6 {
            assert_eq!(order(block + LEAD_IN, 3), interleave::order(block, 3));
        }
    }
}
