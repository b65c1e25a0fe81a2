//! Count of lost engine statistics, from gaps in the numbers that the engine gives them.

/// Numbers that are missing between the last one before the window and the last one in it. `numbers` are all that were read, in
/// or out of the window, `before` the last before them, `inside` those in the window.
pub(super) fn of(
    numbers: impl Iterator<Item = u64>,
    before: Option<u64>,
    inside: impl Iterator<Item = u64>,
) -> u64 {
    let inside: Vec<u64> = inside.collect();
    let before = numbers.chain(before).filter(|it| inside.first() > Some(it)).max();
    let all: Vec<u64> = before.into_iter().chain(inside).collect();
    all.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).saturating_sub(1)).sum()
}
