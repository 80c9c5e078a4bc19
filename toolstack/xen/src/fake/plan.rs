//! Where a test wants things to go wrong.
//!
//! Fakes announce each step before they take it. A test runs once to learn the steps ([`FaultPlan::log`]), then once for
//! each of them with a failure there, and once with a crash.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is taken.
    Go,
    /// It fails, and the caller is told.
    Fail,
    /// The process dies before it: nothing is cleaned up, and nothing more happens until [`FaultPlan::restart`].
    Crash,
}

#[derive(Debug)]
enum Trigger {
    Number(usize),
    Name(String),
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<(Trigger, Step)>,
    log: Vec<String>,
    crashed: bool,
}

/// A plan of faults, shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan(Arc<Mutex<State>>);

impl FaultPlan {
    /// A plan by which nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// The `number`th step from now on (the first is 0) turns out as `step`, once.
    pub fn at(&self, number: usize, step: Step) -> &Self {
        let mut state = self.state();
        let number = state.log.len() + number;
        state.faults.push((Trigger::Number(number), step));
        drop(state);
        self
    }

    /// The next step of this name turns out as `step`, once. Called twice, the next two do.
    pub fn at_next(&self, name: &str, step: Step) -> &Self {
        self.state().faults.push((Trigger::Name(name.to_owned()), step));
        self
    }

    /// For fakes: announces a step and learns how it turns out.
    pub fn reach(&self, name: &str) -> Step {
        let mut state = self.state();
        if state.crashed {
            return Step::Crash;
        }
        let number = state.log.len();
        state.log.push(name.to_owned());
        let hit = state.faults.iter().position(|(trigger, _)| match trigger {
            Trigger::Number(planned) => *planned == number,
            Trigger::Name(planned) => planned == name,
        });
        let step = hit.map_or(Step::Go, |index| state.faults.remove(index).1);
        state.crashed = step == Step::Crash;
        step
    }

    /// All steps so far.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Whether the process has "died".
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// The process starts anew; planned faults that have not happened are forgotten.
    pub fn restart(&self) {
        let mut state = self.state();
        state.crashed = false;
        state.faults.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
