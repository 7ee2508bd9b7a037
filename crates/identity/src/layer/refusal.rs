//! The one 401.

use http::{HeaderValue, Response, header::WWW_AUTHENTICATE};
use tollbook_exchange::{
    Code, Refusal,
    http::{Refusable, refuse},
};

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
