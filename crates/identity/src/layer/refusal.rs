//! The one 401.

use http::{HeaderValue, Response, header::WWW_AUTHENTICATE};
use tollbook_exchange::{
    Code, Refusal,
    http::{Refusable, refuse},
};

use crate::{Reason, Rejection};

pub(super) fn refusal(rejection: &Rejection) -> Refusal {
    // The one fault that a caller may be told: it can see for itself what it sent, and nothing was
    // checked yet.
    if rejection.reason() == Reason::AmbiguousCredential.as_str() {
        Refusal::new(
            Code::MalformedRequest,
            "The request carries two different credentials; send one.",
        )
    } else {
        Refusal::new(
            Code::AuthenticationFailed,
            "The request carries no acceptable credential.",
        )
    }
    .because(rejection.reason())
}

pub(super) fn unauthorized<B>(refusal: Refusal) -> Response<Refusable<B>> {
    let challenges = refusal.code == Code::AuthenticationFailed;
    let mut response = refuse(refusal);
    if challenges {
        // RFC 9110 §15.5.2: a 401 names the scheme.
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
