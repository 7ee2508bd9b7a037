//! The loop breaker.

use std::time::Duration;

use tollbook_budget::{Ask, Budgets, RepeatLimit};
use tollbook_exchange::{Action, Code, Refusal, Retry, SessionId};

use crate::{Manual, caller, per_caller};

struct Loop {
    budgets: Budgets,
    clock: Manual,
}

impl Loop {
    /// More than three in a row mean a pause of a minute; ten requests a minute are granted.
    fn new() -> Self {
        let clock = Manual::at(1000);
        let budgets = Budgets::builder()
            .budget(per_caller().requests(10))
            .repeat(RepeatLimit::new(3).pause(Duration::from_secs(60)))
            .clock(clock.clone())
            .build()
            .unwrap();
        Self { budgets, clock }
    }

    /// The refusal of a request whose conversation ends with so many identical calls.
    fn at(&self, seconds: i64, session: Option<u8>, repeated: i64) -> Option<Refusal> {
        self.clock.set(1000 + seconds);
        let me = caller("me");
        let action = Action::new("messages.create").with("repeated_tool_calls", repeated);
        let session = session.map(|byte| SessionId::derived([byte; 16]));
        let ask = Ask::new(&me, "claude").session(session).action(&action);
        self.budgets.check(&ask).err().map(Refusal::from)
    }
}

#[test]
fn a_loop_is_slowed_down_to_one_request_a_pause() {
    let it = Loop::new();
    assert_eq!(it.at(0, Some(1), 3), None);
    let refusal = it.at(0, Some(1), 4).unwrap();
    assert_eq!(refusal.code, Code::LoopDetected);
    assert_eq!(refusal.reason, "loop_detected");
    assert_eq!(refusal.retry, Retry::After(60));
    assert_eq!(
        refusal.message,
        "tollbook_loop_detected: repeat: the same tool call was made 4 times in a row"
    );
    let refusal = it.at(45, Some(1), 4).unwrap();
    assert_eq!(
        refusal.retry,
        Retry::After(15),
        "asking does not make it longer"
    );
    assert_eq!(it.at(60, Some(1), 4), None, "as was promised");
    assert_eq!(it.at(61, Some(1), 5).unwrap().retry, Retry::After(59));
    assert_eq!(it.at(120, Some(1), 5), None);
}

#[test]
fn only_the_loop_pauses() {
    let it = Loop::new();
    assert!(it.at(0, Some(1), 9).is_some());
    assert_eq!(it.at(0, Some(2), 1), None, "another session");
    assert_eq!(it.at(0, Some(1), 1), None, "the agent does something else");
    assert!(it.at(0, None, 9).is_some());
    assert!(it.at(1, None, 9).is_some(), "no name is one session");
}

#[test]
fn a_pause_that_is_long_over_is_a_first_time_again() {
    let it = Loop::new();
    assert!(it.at(0, Some(1), 4).is_some());
    assert!(it.at(120, Some(1), 4).is_some());
}

#[test]
fn a_loop_spends_nothing() {
    let it = Loop::new();
    for _ in 0..50 {
        assert_eq!(it.at(0, Some(1), 4).unwrap().code, Code::LoopDetected);
    }
    assert_eq!(it.budgets.standing(9), []);
}

#[test]
fn a_pause_survives_a_restart() {
    let it = Loop::new();
    assert!(it.at(0, Some(1), 4).is_some());
    let again = Loop::new();
    again.budgets.restore(&it.budgets.snapshot()).unwrap();
    assert_eq!(again.at(20, Some(1), 4).unwrap().retry, Retry::After(40));
    assert_eq!(again.at(60, Some(1), 4), None);
}
