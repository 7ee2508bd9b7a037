//! What callers are told.

use tollbook_exchange::{Code, Refusal, Retry};

use crate::{Approval, ApprovalId, Error, Mode};

pub(crate) fn pending(id: &ApprovalId, page: Option<&str>, mode: Mode) -> Refusal {
    let place = match page {
        Some(page) => format!("{page}{id}"),
        None => format!("tollbook approvals show {id}"),
    };
    let message = format!("tollbook_approval_pending: {id}: people have to approve this: {place}");
    let refusal = Refusal::new(Code::ApprovalPending, message);
    match mode {
        Mode::Hold => refusal.retry(Retry::After(1)),
        // Whoever asked to be told at once comes again when it is approved, and not before.
        Mode::FailFast => refusal.retry(Retry::Never),
    }
}

pub(crate) fn denied(approval: &Approval) -> Refusal {
    let reason = approval.denial().and_then(|vote| vote.reason.as_deref());
    let reason = reason.unwrap_or("no reason was given");
    let message = format!("tollbook_approval_denied: {}: {reason}", approval.id);
    Refusal::new(Code::ApprovalDenied, message)
}

pub(crate) fn expired(id: &ApprovalId) -> Refusal {
    let message = format!("tollbook_approval_expired: {id}: nobody approved this in time");
    Refusal::new(Code::ApprovalExpired, message)
}

/// The caller was let in with something that has ended since.
pub(crate) fn credential_ended(id: Option<&ApprovalId>) -> Refusal {
    let stands = id.map_or_else(String::new, |id| {
        format!(" (the approval {id} still stands)")
    });
    let message = format!(
        "the credential ended while the request waited; send it again with a new one{stands}"
    );
    Refusal::new(Code::AuthenticationFailed, message).because("expired_while_held")
}

pub(crate) fn too_many() -> Refusal {
    let message = "tollbook_too_many_approvals: too many of your requests wait for approval";
    Refusal::new(Code::TooManyApprovals, message).retry(Retry::After(30))
}

pub(crate) fn nothing_required() -> Refusal {
    let message = "the policy asks for an approval by nobody";
    Refusal::new(Code::Misassembled, message).because("nothing_required")
}

/// Many came in between, each with a step of its own; the next try may find its place.
pub(crate) fn contended() -> Refusal {
    failed(&Error::Contended)
}

pub(crate) fn failed(error: &Error) -> Refusal {
    tracing::warn!(%error, "an approval could not be asked for or used");
    let reason = match error {
        Error::Unwitnessed(_) => "approval_not_recordable",
        Error::Store(_) => "approval_store_failed",
        Error::Contended => "approval_contended",
        Error::Refused(_) => "approval_refused",
        Error::Id(_) | Error::Interrupted => "approval_failed",
    };
    let message = "the approval of this request cannot be recorded now";
    Refusal::new(Code::NotRecordable, message)
        .because(reason)
        .retry(Retry::After(1))
}
