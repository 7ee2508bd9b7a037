//! What other masking rules would find in what is recorded.

use tollbook_exchange::Finding;
use tollbook_masking::{
    Masker,
    view::{BodyMasker, ViewError},
};

use crate::{Error, ErrorKind, RecordedExchange};

/// What a masker finds in an exchange as it is recorded: in target, headers and bodies.
///
/// The record is masked already. What the rules of then masked is gone, so these findings are the
/// ones in addition; a rule that would find *less* than those of then cannot be told from this.
///
/// # Errors
///
/// [`ErrorKind::Stream`] for an answer that says it is a stream of events and is none.
pub fn findings(recorded: &RecordedExchange, masker: &Masker) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    Finding::merge(
        &mut found,
        masker
            .mask(recorded.target().as_bytes())
            .findings("request.target"),
    );
    for side in ["request", "response"] {
        let headers = recorded.record()[side]["headers"].as_object();
        for (name, value) in headers.into_iter().flatten() {
            let values = value
                .as_array()
                .map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
            for value in values.iter().filter_map(serde_json::Value::as_str) {
                let place = format!("{side}.header:{name}");
                Finding::merge(&mut found, masker.mask(value.as_bytes()).findings(&place));
            }
        }
    }
    let asked = BodyMasker::new(
        masker,
        recorded.request_header("content-type"),
        "request.body",
    );
    let body = std::slice::from_ref(recorded.body());
    Finding::merge(&mut found, scan(asked, body.iter())?);
    let answered = BodyMasker::new(
        masker,
        recorded.response_header("content-type"),
        "response.body",
    );
    let parts = recorded.parts().iter().map(|(_, part)| part);
    Finding::merge(&mut found, scan(answered, parts)?);
    Ok(found)
}

fn scan<'a>(
    mut body: BodyMasker,
    parts: impl Iterator<Item = &'a bytes::Bytes>,
) -> Result<Vec<Finding>, Error> {
    let unreadable = |error: ViewError| Error::because(ErrorKind::Stream, error);
    for part in parts {
        body.push(part).map_err(unreadable)?;
    }
    body.finish().map_err(unreadable)?;
    Ok(body.found())
}
