//! A clock that is set while the book is written.

use serde_json::Value;
use tollbook_recording::Reader;

use crate::disk::Child;

const DAY: i64 = 24 * 3600;

#[test]
fn a_clock_that_is_set_changes_no_order_and_is_told() {
    for by in [-DAY, DAY] {
        // Five seconds of recording.
        let mut child = Child::new(1200)
            .set("DISK_CLOCK_AT", 2)
            .set("DISK_CLOCK_BY", by);
        child.run();
        assert!(child.said().starts_with("Healthy"), "{}", child.said());
        let reader = Reader::open(child.disk().join("book")).unwrap();
        let found = reader.verify(None).unwrap();
        assert!(found.is_verified(), "{by}: {:?}", found.faults);
        for id in child.acknowledged() {
            assert!(reader.exchange(&id).unwrap().is_some(), "{id}");
        }
        let jumps: Vec<i64> = crate::support::states(&child.disk().join("book"))
            .iter()
            .filter(|told| told["state"] == "clock_jump")
            .map(|told: &Value| told["by_ms"].as_i64().unwrap())
            .collect();
        assert_eq!(jumps.len(), 1, "{by}: {jumps:?}");
        assert!((jumps[0] - by * 1000).abs() < 1000, "{by}: {jumps:?}");
    }
}
