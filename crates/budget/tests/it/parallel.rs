//! Many at once.

use std::{
    sync::{Barrier, Mutex},
    thread,
};

use tollbook_budget::{Ask, Bill, Budget, Budgets, Per, Usage};
use tollbook_exchange::{Action, Groups};

use crate::{MINUTE, batch, caller, one, per_caller};

/// Lets a hundred threads ask at the same moment; how many pass.
fn hundred(budgets: &Budgets, then: impl Fn(tollbook_budget::Admission) + Sync) -> usize {
    hundred_of(budgets, &Action::new("messages.create"), then)
}

fn hundred_of(
    budgets: &Budgets,
    action: &Action,
    then: impl Fn(tollbook_budget::Admission) + Sync,
) -> usize {
    let start = Barrier::new(100);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    let me = caller("me");
                    start.wait();
                    let ask = Ask::new(&me, "claude").action(action);
                    budgets.check(&ask).map(&then).is_ok()
                })
            })
            .collect();
        let passed = asking.into_iter().map(|it| it.join().unwrap());
        passed.filter(|passed| *passed).count()
    })
}

#[test]
fn of_a_hundred_requests_at_once_exactly_as_many_pass_as_the_budget_says() {
    for _ in 0..20 {
        let (budgets, _) = one(per_caller().requests(10));
        assert_eq!(hundred(&budgets, drop), 10);
        let standing = budgets.standing(9);
        assert_eq!(
            standing[0].spent.requests, 10,
            "the refused are not counted"
        );
    }
}

#[test]
fn of_a_hundred_batches_at_once_as_many_pass_as_fit_whole() {
    for _ in 0..20 {
        let (budgets, _) = one(per_caller().requests(50));
        assert_eq!(hundred_of(&budgets, &batch(7, 1), drop), 7);
        assert_eq!(budgets.standing(9)[0].spent.requests, 49);
        assert_eq!(hundred(&budgets, drop), 1, "one is left for one request");

        let (budgets, _) = one(per_caller().tokens(500));
        let open = Mutex::new(Vec::new());
        let keep = |admission| open.lock().unwrap().push(admission);
        assert_eq!(hundred_of(&budgets, &batch(10, 7), keep), 7);
        assert_eq!(budgets.standing(9)[0].held.tokens, 490);
        drop(open);
        assert_eq!(hundred_of(&budgets, &batch(1, 11), drop), 0);
        let standing = &budgets.standing(9)[0];
        assert_eq!((standing.spent.tokens, standing.held.tokens), (490, 0));
    }
}

#[test]
fn several_budgets_are_taken_together_or_not_at_all() {
    let wide = Budget::new("wide", Per::Group, MINUTE).requests(50);
    let budgets = Budgets::builder()
        .budget(wide)
        .budget(per_caller().requests(10))
        .build()
        .unwrap();
    assert_eq!(hundred(&budgets, drop), 10);
    let spent: Vec<u64> = (budgets.standing(9).iter())
        .map(|it| it.spent.requests)
        .collect();
    assert_eq!(
        spent,
        [10, 10],
        "the narrow one's refusals cost the wide one nothing"
    );
}

#[test]
fn what_is_settled_at_once_is_all_there() {
    let (budgets, _) = one(per_caller().requests(100).tokens(1_000_000));
    let bill = Bill::new("claude-haiku-4-5", Usage::tokens(70, 7));
    assert_eq!(hundred(&budgets, |it| it.settle(&bill)), 100);
    assert_eq!(budgets.standing(9)[0].spent.tokens, 7700);
}

#[test]
fn withdrawals_at_once_leave_nothing_behind() {
    let (budgets, _) = one(per_caller().requests(100));
    assert_eq!(hundred(&budgets, tollbook_budget::Admission::withdraw), 100);
    assert_eq!(budgets.standing(9), []);
    let unknown = caller("other").with_groups(Groups::Unknown);
    assert!(budgets.check(&Ask::new(&unknown, "claude")).is_ok());
}
