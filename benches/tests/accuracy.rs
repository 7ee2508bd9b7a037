//! The goals of accuracy on a small corpus of a fixed seed. `cargo run --release --bin score -- --check`
//! has the large one.

use tollbook_benches::{
    corpus::{self, Kind, Sample},
    scoring,
};
use tollbook_masking::Masker;

/// Every so many samples are looked at, so that a debug build has the time.
const EVERY: usize = 12;

#[test]
fn the_goals_are_met_on_a_small_corpus() {
    let masker = Masker::builtin();
    let kinds = [Kind::secrets(), Kind::personal()].concat();
    let samples: Vec<Sample> = corpus::labelled(&kinds, 2026, 1)
        .into_iter()
        .step_by(EVERY)
        .collect();
    assert!(samples.len() > 1_000, "{}", samples.len());
    let report = scoring::score(&masker, &samples, 7);

    let documents = corpus::clean(2026, 1 << 20);
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    let found: Vec<_> = documents
        .iter()
        .flat_map(|document| {
            let found = masker.find(document.text.as_bytes()).into_iter();
            found.map(|one| format!("{} in {}", one.rule, document.name))
        })
        .collect();
    let mib = f64::from(u32::try_from(bytes).unwrap()) / f64::from(1 << 20);
    let code = f64::from(u32::try_from(found.len()).unwrap()) / mib;

    let missed: Vec<_> = scoring::goals(&report, code)
        .into_iter()
        .filter(|goal| !goal.is_met)
        .collect();
    let odd = |odds: &[scoring::Odd]| -> Vec<String> {
        odds.iter().map(|odd| odd.place.clone()).collect()
    };
    assert!(
        missed.is_empty(),
        "{missed:#?}\nmissed {:#?}\nleaked {:#?}\nfound in clean text {found:#?}",
        odd(&report.misses),
        odd(&report.leaks),
    );
}

/// A score that cannot go down tells nothing.
#[test]
fn a_masker_without_rules_meets_no_goal_of_recall() {
    let masker = Masker::builder().build().unwrap();
    let samples = corpus::labelled(&Kind::secrets()[..20], 1, 1);
    let report = scoring::score(&masker, &samples, 1);
    assert_eq!(report.all.found, 0);
    assert_eq!(report.misses.len(), samples.len());
    let goals = scoring::goals(&report, 0.0);
    assert!(
        goals
            .iter()
            .any(|goal| goal.name.starts_with("recall") && !goal.is_met)
    );
}

/// One that lets the ends of values through is told by the leak and not by recall.
#[test]
fn what_is_left_of_a_value_is_counted() {
    let rules = r#"
        [[rule]]
        id = "half"
        description = "The first twenty characters of a GitHub token"
        source = "https://docs.github.com"
        literals = ["ghp_"]
        body = { class = "alnum", min = 20, max = 60 }
        positive = [["ghp", "_a1B2c3D4e5F6g7H8i9J0k1"]]
        negative = ["ghp_"]
    "#;
    let masker = Masker::builder().rules("half.toml", rules).build().unwrap();
    let text = ["ghp", "_a1B2c3D4e5F6g7H8i9J0k1-tail"].concat();
    let labelled = scoring::Labelled {
        spans: vec![scoring::Label {
            start: 0,
            end: text.len(),
            kind: "token".to_owned(),
        }],
        text,
    };
    let report = scoring::score_labelled(&masker, &[labelled], 1);
    assert_eq!((report.all.found, report.all.leaked_bytes), (1, 5));
    assert_eq!(report.leaks.len(), 1);
}
