//! What is spent, by whom, and what is told to who has nothing left.

use tollbook_budget::{Ask, Bill, Budget, Budgets, Per, Refused, Usage};
use tollbook_exchange::{Action, Code, Groups, Refusal, Retry, SessionId};

use crate::{MINUTE, Manual, caller, one, per_caller};

/// Asks and says at once that nothing was taken.
fn ask(budgets: &Budgets, subject: &str) -> Result<(), Refused> {
    let me = caller(subject);
    budgets.check(&Ask::new(&me, "claude")).map(drop)
}

#[test]
fn requests_are_refused_until_enough_of_them_are_a_window_old() {
    let (budgets, clock) = one(per_caller().requests(2));
    assert_eq!(ask(&budgets, "me"), Ok(()));
    clock.set(10);
    assert_eq!(ask(&budgets, "me"), Ok(()));
    clock.set(30);
    let refused = ask(&budgets, "me").unwrap_err();
    assert_eq!(refused.code, Code::BudgetExceeded);
    assert_eq!(refused.reason, "budget_requests");
    assert_eq!(refused.retry_after, 31);
    assert_eq!(ask(&budgets, "other"), Ok(()), "a budget of their own");
    clock.set(60);
    assert!(ask(&budgets, "me").is_err());
    clock.set(61);
    assert_eq!(ask(&budgets, "me"), Ok(()));
    assert_eq!(ask(&budgets, "me").unwrap_err().retry_after, 10);
}

#[test]
fn a_refusal_names_budget_and_reason_and_when_to_come_again() {
    let (budgets, _) = one(per_caller().requests(1).reason("ask the platform team"));
    ask(&budgets, "me").unwrap();
    let refusal = Refusal::from(ask(&budgets, "me").unwrap_err());
    assert_eq!(
        refusal.message,
        "tollbook_budget_exceeded: b: ask the platform team"
    );
    assert_eq!(refusal.code.status(), 429);
    assert_eq!(refusal.retry, Retry::After(61));

    let day = std::time::Duration::from_secs(48 * 3600);
    let (budgets, _) = one(Budget::new("b", Per::Session, day).cost(1_500_000));
    let me = caller("me");
    let admission = budgets.check(&Ask::new(&me, "claude")).unwrap();
    admission.settle(&Bill::new("claude-opus-5", Usage::tokens(300_000, 0)));
    let refused = ask(&budgets, "me").unwrap_err();
    assert_eq!(
        refused.message,
        "no more than 1.50 US dollars in 2 d for each session"
    );
    assert_eq!(refused.reason, "budget_cost");
}

#[test]
fn tokens_count_when_they_are_known() {
    let (budgets, clock) = one(per_caller().tokens(100));
    let me = caller("me");
    let first = budgets.check(&Ask::new(&me, "claude")).unwrap();
    let second = budgets.check(&Ask::new(&me, "claude")).unwrap();
    clock.set(50);
    first.settle(&Bill::new("claude-opus-5", Usage::tokens(90, 9)));
    assert_eq!(ask(&budgets, "me"), Ok(()), "one token is left");
    second.settle(&Bill::new("claude-opus-5", Usage::tokens(0, 500)));
    let refused = ask(&budgets, "me").unwrap_err();
    assert_eq!(refused.reason, "budget_tokens");
    assert_eq!(
        refused.retry_after, 61,
        "from the second in which they were spent"
    );
}

#[test]
fn a_reserving_budget_holds_many_at_once_within_its_limit() {
    let (budgets, _) = one(per_caller().tokens(1000).reserving());
    let me = caller("me");
    let action = Action::new("messages.create")
        .with("max_tokens", 300_i64)
        .with("body_bytes", 400_usize);
    let ask = Ask::new(&me, "claude").action(&action);
    let first = budgets.check(&ask).unwrap();
    let _second = budgets.check(&ask).unwrap();
    let refused = budgets.check(&ask).unwrap_err();
    assert_eq!(refused.reason, "budget_tokens");
    assert_eq!(
        refused.retry_after, 5,
        "when a request ends, which nobody knows"
    );
    assert_eq!(budgets.standing(9)[0].held.tokens, 800);

    first.settle(&Bill::new("claude-opus-5", Usage::tokens(100, 20)));
    let _third = budgets.check(&ask).unwrap();
    assert_eq!(budgets.standing(9)[0].held.tokens, 800);
    assert_eq!(budgets.standing(9)[0].spent.tokens, 120);
}

#[test]
fn a_request_that_may_take_more_than_everything_waits_to_be_alone() {
    let (budgets, _) = one(per_caller().tokens(1000).reserving());
    let me = caller("me");
    let action = Action::new("messages.create").with("max_tokens", 32_000_i64);
    let ask = Ask::new(&me, "claude").action(&action);
    let alone = budgets.check(&ask).unwrap();
    assert!(budgets.check(&ask).is_err());
    drop(alone);
    assert!(budgets.check(&ask).is_ok());
}

#[test]
fn what_is_withdrawn_was_never_counted() {
    let (budgets, clock) = one(per_caller().requests(1));
    let me = caller("me");
    let admission = budgets.check(&Ask::new(&me, "claude")).unwrap();
    clock.set(30);
    admission.withdraw();
    assert_eq!(ask(&budgets, "me"), Ok(()));
    assert!(ask(&budgets, "me").is_err());
}

#[test]
fn a_withdrawal_after_its_window_takes_nothing_from_others() {
    let (budgets, clock) = one(per_caller().requests(1));
    let me = caller("me");
    let late = budgets.check(&Ask::new(&me, "claude")).unwrap();
    clock.set(100);
    ask(&budgets, "me").unwrap();
    late.withdraw();
    assert!(ask(&budgets, "me").is_err());
}

#[test]
fn a_group_spends_together_and_unknown_groups_spend_apart() {
    let group = Budget::new("g", Per::Group, MINUTE)
        .requests(2)
        .groups(["agents"]);
    let (budgets, _) = one(group);
    ask(&budgets, "a").unwrap();
    ask(&budgets, "b").unwrap();
    assert!(ask(&budgets, "c").is_err());

    let pass = |subject, groups| {
        let caller = caller(subject).with_groups(groups);
        budgets.check(&Ask::new(&caller, "claude")).is_ok()
    };
    let strangers = || Groups::from_iter(["strangers"]);
    assert!((0..9).all(|_| pass("d", strangers())), "not theirs");
    assert!(pass("e", Groups::Unknown));
    assert!(pass("f", Groups::Unknown));
    assert!(
        !pass("g", Groups::Unknown),
        "unknown is not a way around the limit"
    );
    let standing = budgets.standing(9);
    let who: Vec<_> = standing.iter().map(|it| it.who.as_str()).collect();
    assert_eq!(who, ["", "agents"]);
}

#[test]
fn sessions_spend_apart_and_one_without_a_name_is_its_callers() {
    let (budgets, _) = one(Budget::new("s", Per::Session, MINUTE).requests(1));
    let me = caller("me");
    let pass = |session| {
        let ask = Ask::new(&me, "claude").session(session);
        budgets.check(&ask).is_ok()
    };
    let session = |byte| Some(SessionId::derived([byte; 16]));
    assert!(pass(session(1)));
    assert!(!pass(session(1)));
    assert!(pass(session(2)));
    assert!(pass(None));
    assert!(
        !pass(None),
        "leaving the name out is not a new session each time"
    );
}

#[test]
fn a_budget_for_a_connection_counts_what_goes_through_it() {
    let (budgets, _) = one(per_caller().requests(1).connection("claude"));
    let me = caller("me");
    let pass = |connection| budgets.check(&Ask::new(&me, connection)).is_ok();
    assert!(pass("orders") && pass("orders"));
    assert!(pass("claude"));
    assert!(!pass("claude"));
}

#[test]
fn of_several_spent_budgets_the_one_that_takes_longest_is_told() {
    let hour = std::time::Duration::from_secs(3600);
    let clock = Manual::default();
    let budgets = Budgets::builder()
        .budget(per_caller().requests(1))
        .budget(Budget::new("hourly", Per::Principal, hour).requests(1))
        .clock(clock)
        .build()
        .unwrap();
    ask(&budgets, "me").unwrap();
    let refused = ask(&budgets, "me").unwrap_err();
    assert_eq!((refused.id.as_str(), refused.retry_after), ("hourly", 3660));
}

#[test]
fn counters_are_bounded_and_who_has_nothing_left_is_not_forgotten() {
    let clock = Manual::default();
    let budgets = Budgets::builder()
        .budget(per_caller().requests(2))
        .clock(clock.clone())
        .counters(50)
        .build()
        .unwrap();
    ask(&budgets, "spent").unwrap();
    ask(&budgets, "spent").unwrap();
    for flood in 0..1000 {
        clock.set_micros(flood);
        ask(&budgets, &format!("{flood}")).unwrap();
        assert!(budgets.standing(usize::MAX).len() <= 50);
    }
    assert!(
        ask(&budgets, "spent").is_err(),
        "a flood of names refills nothing"
    );
}

#[test]
fn with_no_counter_left_nobody_new_passes() {
    let (budgets, clock) = {
        let clock = Manual::default();
        let builder = Budgets::builder().budget(per_caller().requests(1));
        (
            builder.clock(clock.clone()).counters(3).build().unwrap(),
            clock,
        )
    };
    for name in ["a", "b", "c"] {
        ask(&budgets, name).unwrap();
    }
    assert_eq!(ask(&budgets, "d").unwrap_err().reason, "budget_counters");
    clock.set(61);
    assert_eq!(ask(&budgets, "d"), Ok(()));
}

#[test]
fn who_finds_no_counter_in_one_budget_is_counted_in_none() {
    let budgets = Budgets::builder()
        .budget(Budget::new("all", Per::Group, MINUTE).requests(9))
        .budget(per_caller().requests(1))
        .clock(Manual::default())
        .counters(1)
        .build()
        .unwrap();
    ask(&budgets, "a").unwrap();
    assert_eq!(ask(&budgets, "b").unwrap_err().reason, "budget_counters");
    assert_eq!(budgets.standing(1)[0].spent.requests, 1);
}

#[test]
fn a_clock_that_goes_back_refills_nothing() {
    let (budgets, clock) = one(per_caller().requests(1));
    clock.set(1000);
    ask(&budgets, "me").unwrap();
    clock.set(10);
    let refused = ask(&budgets, "me").unwrap_err();
    assert_eq!(
        refused.retry_after, 61,
        "time stands still, and does not go back"
    );
    clock.set(1061);
    assert_eq!(ask(&budgets, "me"), Ok(()));
}
