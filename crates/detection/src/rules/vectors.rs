//! The test vectors of detectors, run before the detectors are used.

use std::collections::HashMap;

use crate::{
    engine::{Engine, Memory},
    place::Places,
    rules::{error::RuleError, source::Checked},
};

/// Compiles the detectors, and checks them against each other and against their vectors.
pub(crate) fn check_all(checked: Vec<Checked>, mistakes: &mut Vec<RuleError>) -> Option<Engine> {
    let mut detectors = Vec::with_capacity(checked.len());
    let mut vectors = Vec::with_capacity(checked.len());
    let mut known: HashMap<String, String> = HashMap::new();
    for Checked {
        detector,
        file,
        line,
        positive,
        negative,
    } in checked
    {
        let id = detector.id.to_string();
        let here = format!("{file}:{line}");
        let vector = Vectors {
            id: id.clone(),
            file,
            line,
            positive,
            negative,
        };
        if let Some(there) = known.insert(id, here) {
            let reason = format!("a detector of this id is already at {there}");
            mistakes.push(vector.wrong(reason));
        }
        detectors.push(detector);
        vectors.push(vector);
    }
    let engine = match Engine::new(detectors) {
        Ok(engine) => engine,
        Err(_) => {
            mistakes.push(RuleError {
                file: "all".to_owned(),
                line: None,
                rule: None,
                reason: "too many literals to search for together".to_owned(),
            });
            return None;
        }
    };
    let mut memory = Memory::default();
    for (index, vectors) in vectors.iter().enumerate() {
        let places = engine.detectors[index].places;
        let mut hits = |text: &str| hits(&engine, &mut memory, index, places, text);
        for (number, text) in vectors.positive.iter().enumerate() {
            if !hits(text) {
                let reason = format!("positive vector {} is not found", number + 1);
                mistakes.push(vectors.wrong(reason));
            }
        }
        for (number, text) in vectors.negative.iter().enumerate() {
            if hits(text) {
                let reason = format!("negative vector {} is found", number + 1);
                mistakes.push(vectors.wrong(reason));
            }
        }
    }
    Some(engine)
}

/// Whether a detector hits in a text, in the places where it looks.
fn hits(engine: &Engine, memory: &mut Memory, index: usize, places: Places, text: &str) -> bool {
    let mut hit = false;
    engine.run(memory, places, text, |found| hit |= found.detector == index);
    hit
}

struct Vectors {
    id: String,
    file: String,
    line: usize,
    positive: Vec<String>,
    negative: Vec<String>,
}

impl Vectors {
    fn wrong(&self, reason: String) -> RuleError {
        RuleError {
            file: self.file.clone(),
            line: Some(self.line),
            rule: Some(self.id.clone()),
            reason,
        }
    }
}
