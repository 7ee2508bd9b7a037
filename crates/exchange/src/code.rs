//! The stable codes of refusals. They are API: people script against them.

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal;)*) => {
        /// Why the gate refused. The text form is stable and appears in answers and records.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code, in the order of this table.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as callers and records see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status that goes with the code.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The body is not what its content type says, or says one thing twice.
    MalformedBody = "malformed_body", 400;
    /// The content type is not one the action takes.
    UnsupportedContentType = "unsupported_content_type", 400;
    /// The body is encoded in a way the gate does not read.
    UnsupportedEncoding = "unsupported_encoding", 400;
    /// The request head cannot be read in one way only.
    MalformedRequest = "malformed_request", 400;
    /// No acceptable credential. One code for every cause; the record knows which.
    AuthenticationFailed = "authentication_failed", 401;
    /// No rule permits it, or a rule forbids it.
    PolicyDenied = "policy_denied", 403;
    /// A rule could not be evaluated, so nothing passes.
    PolicyError = "policy_error", 403;
    /// Masking found what a profile lets nothing pass for.
    MaskingBlocked = "masking_blocked", 403;
    /// People who had to approve it have said no.
    ApprovalDenied = "approval_denied", 403;
    /// Nobody approved it in time.
    ApprovalExpired = "approval_expired", 403;
    /// No connection is mounted at this path.
    UnknownConnection = "unknown_connection", 404;
    /// The connection has no such operation.
    UnknownRoute = "unknown_route", 404;
    /// The caller took too long to send its request.
    RequestTimeout = "request_timeout", 408;
    /// Nobody has approved it yet.
    ApprovalPending = "approval_pending", 409;
    /// The body is larger than the connection takes.
    BodyTooLarge = "body_too_large", 413;
    /// A budget of the caller is spent.
    BudgetExceeded = "budget_exceeded", 429;
    /// The agent makes the same call again and again.
    LoopDetected = "loop_detected", 429;
    /// The caller has too many requests waiting for approval.
    TooManyApprovals = "too_many_approvals", 429;
    /// The layers were put together wrongly, so nothing passes.
    Misassembled = "misassembled", 500;
    /// The upstream could not be reached.
    UpstreamUnreachable = "upstream_unreachable", 502;
    /// The upstream's answer cannot be read.
    UpstreamInvalid = "upstream_invalid", 502;
    /// The exchange cannot be recorded, so nothing passes.
    NotRecordable = "not_recordable", 503;
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout", 504;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is a promise to everyone who scripts against it: add to it, never change it.
    #[test]
    fn the_table_of_codes_is_stable() {
        let table: Vec<String> = Code::ALL
            .iter()
            .map(|code| format!("{} {}", code.status(), code.as_str()))
            .collect();
        assert_eq!(
            table,
            [
                "400 malformed_body",
                "400 unsupported_content_type",
                "400 unsupported_encoding",
                "400 malformed_request",
                "401 authentication_failed",
                "403 policy_denied",
                "403 policy_error",
                "403 masking_blocked",
                "403 approval_denied",
                "403 approval_expired",
                "404 unknown_connection",
                "404 unknown_route",
                "408 request_timeout",
                "409 approval_pending",
                "413 body_too_large",
                "429 budget_exceeded",
                "429 loop_detected",
                "429 too_many_approvals",
                "500 misassembled",
                "502 upstream_unreachable",
                "502 upstream_invalid",
                "503 not_recordable",
                "504 upstream_timeout",
            ]
        );
    }
}
