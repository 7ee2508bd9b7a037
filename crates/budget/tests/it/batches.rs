//! Batches count by the most that they may take.

use std::collections::BTreeSet;

use tollbook_budget::{Ask, Bill, Budget, Budgets, Per, Refused, Usage};
use tollbook_exchange::{Action, Refusal, Retry};

use crate::{MINUTE, Manual, batch, caller, one, per_caller};

/// Sends it, and it is accepted.
fn send(budgets: &Budgets, action: &Action) -> Result<(), Refused> {
    let me = caller("me");
    let ask = Ask::new(&me, "claude").action(action);
    budgets.check(&ask).map(drop)
}

fn message() -> Action {
    Action::new("messages.create").with("max_tokens", 1_i64)
}

#[test]
fn each_request_of_a_batch_counts_or_none() {
    let (budgets, clock) = one(per_caller().requests(10));
    assert_eq!(send(&budgets, &batch(4, 1)), Ok(()));
    clock.set(10);
    assert_eq!(send(&budgets, &batch(5, 1)), Ok(()));
    clock.set(20);
    let refused = send(&budgets, &batch(2, 1)).unwrap_err();
    assert_eq!(
        (refused.reason, refused.retry_after),
        ("budget_requests", 41)
    );
    assert_eq!(send(&budgets, &batch(7, 1)).unwrap_err().retry_after, 51);
    assert_eq!(budgets.standing(1)[0].spent.requests, 9, "all or nothing");
    assert_eq!(send(&budgets, &message()), Ok(()), "one is left");
    assert!(send(&budgets, &message()).is_err());
    clock.set(61);
    assert_eq!(send(&budgets, &batch(4, 1)), Ok(()));
}

#[test]
fn a_batch_is_billed_by_what_it_may_take_of_its_dearest_model() {
    let models = ["claude-haiku-4-5", "claude-opus-5"].map(str::to_owned);
    let action = batch(10_000, 4_000)
        .with("models", BTreeSet::from(models))
        .with("body_bytes", 4_000_000_usize);
    let limits = per_caller().requests(20_000).tokens(u64::MAX / 2);
    let (budgets, _) = one(limits.cost(2_000_000_000));
    send(&budgets, &action).unwrap();
    let spent = budgets.standing(1)[0].spent;
    assert_eq!(spent.requests, 10_000);
    assert_eq!(spent.tokens, 1_000_000 + 40_000_000);
    assert_eq!(spent.cost, 5_000_000 + 40 * 25_000_000);
    assert_eq!(send(&budgets, &action).unwrap_err().reason, "budget_cost");
}

#[test]
fn a_name_that_nobody_knows_makes_no_batch_cheap() {
    let cost = |model: &str| {
        let (budgets, _) = one(per_caller().cost(u64::MAX / 2));
        let models = BTreeSet::from(["claude-3-haiku-1".to_owned(), model.to_owned()]);
        send(&budgets, &batch(1000, 1000).with("models", models)).unwrap();
        budgets.standing(1)[0].spent.cost
    };
    assert_eq!(cost("claude-3-haiku-2"), 1_250_000);
    assert_eq!(cost("claude-opus-4-1"), 75_000_000);
    assert_eq!(cost("something-else"), 75_000_000);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_was_spent() {
    for (budget, reason) in [
        (per_caller().requests(99), "budget_requests"),
        (per_caller().tokens(999), "budget_tokens"),
        (per_caller().cost(4_999), "budget_cost"),
        (per_caller().tokens(999).reserving(), "budget_tokens"),
    ] {
        let (budgets, _) = one(budget);
        let refused = send(&budgets, &batch(100, 10)).unwrap_err();
        assert_eq!(refused.reason, reason);
        assert_eq!(refused.retry_after, 61, "a window, as it will never fit");
        assert_eq!(budgets.standing(1), [], "{reason}");
        assert_eq!(send(&budgets, &message()), Ok(()), "{reason}");
    }
    let (budgets, _) = one(per_caller().requests(100).tokens(1000).cost(5_000));
    assert_eq!(send(&budgets, &batch(100, 10)), Ok(()), "to the last token");
}

#[test]
fn who_is_refused_is_told_how_batches_count() {
    let (budgets, _) = one(per_caller().requests(5).reason("ask the platform team"));
    let counts = "; a batch counts with all its requests and the most they may use";
    let message = send(&budgets, &batch(6, 1)).unwrap_err().message;
    let never = ", and this one is too large ever to pass";
    assert_eq!(message, format!("ask the platform team{counts}{never}"));
    send(&budgets, &batch(4, 1)).unwrap();
    let refusal = Refusal::from(send(&budgets, &batch(2, 1)).unwrap_err());
    assert_eq!(refusal.code.status(), 429);
    assert_eq!(refusal.retry, Retry::After(61));
    let told = format!("tollbook_budget_exceeded: b: ask the platform team{counts}");
    assert_eq!(refusal.message, told);
}

#[test]
fn without_max_tokens_a_batch_fits_into_no_limit_on_tokens_or_cost() {
    let action = Action::new("batches.create").with("requests", 3_i64);
    for budget in [per_caller().tokens(u64::MAX / 2), per_caller().cost(9)] {
        assert!(send(&one(budget).0, &action).is_err());
    }
    let (budgets, _) = one(per_caller().requests(3));
    assert_eq!(send(&budgets, &action), Ok(()));
    let spent = budgets.standing(1)[0].spent;
    assert_eq!((spent.requests, spent.tokens), (3, 0));
}

#[test]
fn what_is_left_is_what_others_did_not_take() {
    let (budgets, clock) = one(per_caller().tokens(1000));
    let me = caller("me");
    let admission = budgets.check(&Ask::new(&me, "claude")).unwrap();
    admission.settle(&Bill::new("claude-opus-5", Usage::tokens(0, 900)));
    clock.set(30);
    let refused = send(&budgets, &batch(10, 11)).unwrap_err();
    assert_eq!((refused.reason, refused.retry_after), ("budget_tokens", 31));
    assert_eq!(send(&budgets, &batch(10, 10)), Ok(()));
    assert!(send(&budgets, &message()).is_err());
}

#[test]
fn of_several_budgets_a_batch_is_counted_in_all_or_none() {
    let budgets = Budgets::builder()
        .budget(Budget::new("wide", Per::Group, MINUTE).requests(50))
        .budget(per_caller().requests(10))
        .clock(Manual::default())
        .build()
        .unwrap();
    assert_eq!(send(&budgets, &batch(11, 1)).unwrap_err().id, "b");
    assert_eq!(budgets.standing(9), []);
    let me = caller("me");
    let action = batch(10, 1);
    let ask = Ask::new(&me, "claude").action(&action);
    budgets.check(&ask).unwrap().withdraw();
    assert_eq!(budgets.standing(9), [], "all ten are given back");
    assert!(budgets.check(&ask).is_ok());
}
