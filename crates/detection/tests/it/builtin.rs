//! The detectors that come with the engine.

use tollbook_detection::Detectors;

#[test]
fn the_builtin_detectors_compile() {
    if let Err(error) = Detectors::builder().builtin().build() {
        let mistakes: Vec<String> = error.mistakes().iter().map(ToString::to_string).collect();
        panic!("{} mistakes\n{}", mistakes.len(), mistakes.join("\n"));
    }
    assert!(Detectors::builtin().detectors().count() >= 60);
}
