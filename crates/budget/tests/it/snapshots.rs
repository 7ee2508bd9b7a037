//! Counters that outlive a restart.

use std::time::Duration;

use tollbook_budget::{Ask, Bill, Budget, Budgets, Per, Usage};
use tollbook_exchange::Action;

use crate::{MINUTE, Manual, batch, caller, one, per_caller};

fn pass(budgets: &Budgets) -> bool {
    let me = caller("me");
    budgets.check(&Ask::new(&me, "claude")).is_ok()
}

/// The counters of `from` in a new engine at this second.
fn restarted(from: &Budgets, budget: Budget, seconds: i64) -> (Budgets, Manual) {
    let (budgets, clock) = one(budget);
    clock.set(seconds);
    budgets.restore(&from.snapshot()).unwrap();
    (budgets, clock)
}

#[test]
fn counters_stand_after_a_restart_as_before() {
    let budget = || per_caller().requests(2).tokens(1000).cost(1_000_000);
    let (before, clock) = one(budget());
    clock.set(100);
    let me = caller("me");
    let admission = before.check(&Ask::new(&me, "claude")).unwrap();
    admission.settle(&Bill::new("claude-opus-5", Usage::tokens(90, 9)));
    let (after, clock) = restarted(&before, budget(), 110);
    assert_eq!(after.standing(9), before.standing(9));
    assert!(pass(&after));
    assert!(!pass(&after));
    clock.set(161);
    assert!(
        pass(&after),
        "the first one's time is over as if nothing had happened"
    );
}

#[test]
fn what_was_under_way_counts_as_spent() {
    let (before, _) = one(per_caller().tokens(100).reserving());
    let me = caller("me");
    let action = Action::new("messages.create").with("max_tokens", 70_i64);
    let _open = before
        .check(&Ask::new(&me, "claude").action(&action))
        .unwrap();
    let (after, _) = restarted(&before, per_caller().tokens(100), 0);
    assert_eq!(after.standing(9)[0].spent.tokens, 70);
}

#[test]
fn a_batch_counts_after_a_restart_however_far_it_had_come() {
    let budget = || per_caller().requests(100).tokens(1000).cost(1_000_000);
    for ended in [false, true] {
        let (before, _) = one(budget());
        let (me, action) = (caller("me"), batch(20, 30));
        let admission = before.check(&Ask::new(&me, "claude").action(&action));
        let open = admission.ok().filter(|_| !ended);
        let (after, _) = restarted(&before, budget(), 0);
        let spent = after.standing(9)[0].spent;
        assert_eq!((spent.requests, spent.tokens, spent.cost), (20, 600, 3000));
        drop(open);
    }
}

#[test]
fn another_window_keeps_what_is_still_in_it() {
    let (before, clock) = one(per_caller().requests(9));
    for second in [100, 130, 150] {
        clock.set(second);
        assert!(pass(&before));
    }
    let spent = |window, now| {
        let budget = Budget::new("b", Per::Principal, Duration::from_secs(window)).requests(9);
        let (after, _) = restarted(&before, budget, now);
        after.standing(9).first().map_or(0, |it| it.spent.requests)
    };
    assert_eq!(spent(3600, 150), 3);
    assert_eq!(spent(30, 150), 2);
    assert_eq!(spent(10, 150), 1);
}

#[test]
fn a_budget_goes_by_its_id() {
    let (before, _) = one(per_caller().requests(1));
    assert!(pass(&before));
    let other = |id, per| restarted(&before, Budget::new(id, per, MINUTE).requests(1), 0).0;
    assert!(!pass(&other("b", Per::Principal)));
    assert!(pass(&other("c", Per::Principal)));
    assert!(pass(&other("b", Per::Group)));
}

#[test]
fn a_clock_that_was_set_back_locks_nobody_out_for_longer() {
    let (before, clock) = one(per_caller().requests(1));
    clock.set(1_000_000);
    assert!(pass(&before));
    let (after, clock) = restarted(&before, per_caller().requests(1), 500);
    assert!(!pass(&after));
    clock.set(562);
    assert!(pass(&after));
}

#[test]
fn what_is_no_snapshot_changes_nothing() {
    let (budgets, _) = one(per_caller().requests(1));
    assert!(pass(&budgets));
    for bytes in [
        &b""[..],
        b"{}",
        b"null",
        br#"{"version":2,"at":0,"budgets":[],"pauses":[]}"#,
    ] {
        assert!(budgets.restore(bytes).is_err());
        assert!(!pass(&budgets));
    }
}

#[test]
fn a_revision_tells_whether_there_is_anything_to_keep() {
    let (budgets, _) = one(per_caller().requests(1));
    let before = budgets.revision();
    assert!(pass(&budgets));
    let after = budgets.revision();
    assert_ne!(before, after);
    assert!(!pass(&budgets));
    assert_eq!(budgets.revision(), after, "a refusal spends nothing");
}
