//! What can happen, as random numbers.

use super::{OWNERS, RESERVE};
use crate::case::Sharing;
use crate::pool::ledger::KEPT;

/// One thing that happens; a number chooses among those to whom it can happen.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Attach {
        owner: u32,
        key: usize,
        sharing: Sharing,
        reserve: Option<usize>,
    },
    Draw(usize, usize),
    Release(usize, bool),
    Die(usize),
    Deploy(usize, bool),
    Gate(usize, bool),
    TearDown(usize),
    Plan {
        owner: u32,
        key: usize,
        users: usize,
    },
    PlannerDies(u32),
    Pass(u64),
    RoomWanted(bool),
    OwnerGone(u32),
    KeeperDies,
    Keep(usize),
    LacksRoom(usize, bool),
    /// Somebody who has no lease says that it ended.
    Resign(usize),
    AttachTooMuch(u32),
}

impl Step {
    /// The step that a random number stands for. Numbers are made a hundred times faster than steps would be.
    pub(super) fn of(number: u64) -> Self {
        let mut rest = number;
        let mut below = |count: u64| {
            let digit = rest % count;
            rest /= count;
            digit as usize
        };
        let (kind, which, well) = (below(96), below(64), below(5) > 0);
        let owner = below(OWNERS.len() as u64) as u32;
        match kind {
            0..16 => Self::Attach {
                owner,
                key: below(3),
                sharing: [Sharing::Shared, Sharing::Exclusive, Sharing::Shared, Sharing::Fresh][below(4)],
                reserve: Some(below(RESERVE as u64)).filter(|accounts| *accounts > 0 && well),
            },
            16..20 => Self::Draw(which, 1 + below(8)),
            20..30 => Self::Release(which, well),
            30..34 => Self::Die(which),
            34..44 => Self::Deploy(which, well),
            44..56 => Self::Gate(which, well),
            56..64 => Self::TearDown(which),
            64..68 => Self::Plan { owner, key: below(3), users: below(3) },
            68..70 => Self::PlannerDies(owner),
            70..76 => Self::Pass(below(40) as u64),
            76..78 | 91..95 => Self::RoomWanted(well),
            78..83 => Self::OwnerGone(owner),
            83..84 => Self::KeeperDies,
            84..87 => Self::Keep(which),
            87..89 => Self::LacksRoom(which, well),
            89 => Self::Resign(which),
            90 => Self::AttachTooMuch(owner),
            _ => Self::Pass(KEPT.as_secs()),
        }
    }
}
