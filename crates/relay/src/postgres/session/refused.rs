//! Refusing by letting the server fail.
//!
//! What is denied is replaced by a message of the same type that is certain to fail, and the error that the
//! server answers is replaced by the reason. So the server itself aborts the transaction, skips to the end of
//! the series and says what state it is in.

use bytes::{BufMut, BytesMut};
use tollbook_exchange::{Code, ExchangeId, Refusal};
use tollbook_wire_postgres::{Error, Field, Fields, Frame, Frontend, error, notice, parse, query};

/// Why something was not forwarded.
#[derive(Debug)]
pub(super) struct Denied {
    /// The exchange.
    pub(super) id: ExchangeId,
    /// Why.
    pub(super) why: Why,
    /// The approval that it waited for.
    pub(super) approval: Option<String>,
}

/// Why something was not forwarded.
#[derive(Debug)]
pub(super) enum Why {
    /// The gate refuses it.
    Refused(Refusal),
    /// The client cancelled it while it was held.
    Cancelled,
}

impl Denied {
    /// What is sent in place of `frame`.
    ///
    /// # Errors
    ///
    /// When nothing of its type can fail for certain.
    pub(super) fn instead(&self, frame: &Frame) -> Result<Frame, Error> {
        // A statement does not begin with a name in quotes. The server's log has it.
        let text = format!("\"tollbook refused exchange {}\"", self.id);
        match Frontend::read(frame)? {
            Frontend::Query { .. } => query(&text),
            Frontend::Parse { statement, .. } => parse(statement, &text),
            // No portal has this name: nobody knew the exchange's id before.
            Frontend::Execute { .. } => Ok(execute(&text)),
            // There is no function 0.
            Frontend::FunctionCall(_) => Ok(call_nothing()),
            _ => Err(Error::Unexpected(frame.tag)),
        }
    }

    /// What the client is told.
    ///
    /// # Errors
    ///
    /// When the reason cannot be written.
    pub(super) fn error(&self) -> Result<Frame, Error> {
        let detail = format!("tollbook exchange {}", self.id);
        let message = match &self.why {
            Why::Cancelled => "canceling statement due to user request",
            Why::Refused(refusal) => &refusal.message,
        };
        let hint = self.hint();
        let mut fields = vec![
            (Field::SEVERITY, "ERROR"),
            (Field::SEVERITY_PLAIN, "ERROR"),
            (Field::CODE, self.why.sqlstate()),
            (Field::MESSAGE, message),
            (Field::DETAIL, &*detail),
        ];
        if let Some(hint) = &hint {
            fields.push((Field::HINT, hint));
        }
        error(&Fields::new(fields))
    }

    fn hint(&self) -> Option<String> {
        let Why::Refused(refusal) = &self.why else {
            return None;
        };
        let approval = self.approval.as_deref().unwrap_or_default();
        Some(match refusal.code {
            Code::ApprovalPending => format!(
                "Send the same statement again when it is approved: tollbook approvals show {approval}"
            ),
            Code::ApprovalDenied | Code::ApprovalExpired => {
                format!("See: tollbook approvals show {approval}")
            }
            Code::NotRecordable => "Nothing was run. Try again later.".to_owned(),
            Code::BudgetExceeded | Code::LoopDetected | Code::TooManyApprovals => {
                "Nothing was run. Slow down, or ask for more.".to_owned()
            }
            _ => format!("Nothing was run. See: tollbook exchanges show {}", self.id),
        })
    }
}

impl Why {
    /// The code of SQL for it.
    pub(super) const fn sqlstate(&self) -> &'static str {
        match self {
            Self::Cancelled => "57014",
            Self::Refused(refusal) => sqlstate(refusal.code),
        }
    }
}

const fn sqlstate(code: Code) -> &'static str {
    match code {
        // insufficient_privilege
        Code::PolicyDenied
        | Code::PolicyError
        | Code::MaskingBlocked
        | Code::ApprovalDenied
        | Code::ApprovalExpired
        | Code::ApprovalPending => "42501",
        // configuration_limit_exceeded
        Code::BudgetExceeded | Code::LoopDetected | Code::TooManyApprovals => "53400",
        // disk_full
        Code::NotRecordable => "53100",
        // invalid_authorization_specification
        Code::AuthenticationFailed => "28000",
        // system_error
        _ => "58000",
    }
}

/// An error that ends the session.
///
/// # Errors
///
/// When the message cannot be written.
pub(super) fn fatal(code: &str, message: &str) -> Result<Frame, Error> {
    error(&Fields::new([
        (Field::SEVERITY, "FATAL"),
        (Field::SEVERITY_PLAIN, "FATAL"),
        (Field::CODE, code),
        (Field::MESSAGE, message),
    ]))
}

/// What a client is told while its statement waits for people.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn waits(approval: &str) -> Result<Frame, Error> {
    let message = format!("tollbook: this statement waits for an approval: {approval}");
    let hint = format!("To decide: tollbook approvals show {approval}");
    notice(&Fields::new([
        (Field::SEVERITY, "NOTICE"),
        (Field::SEVERITY_PLAIN, "NOTICE"),
        (Field::CODE, "00000"),
        (Field::MESSAGE, &message),
        (Field::HINT, &hint),
    ]))
}

/// Asks for the columns of a portal.
pub(super) fn describe_portal(name: &str) -> Frame {
    let mut body = BytesMut::with_capacity(name.len() + 2);
    body.put_u8(b'P');
    body.extend_from_slice(name.as_bytes());
    body.put_u8(0);
    Frame::new(b'D', body)
}

/// Asks for all answers so far.
pub(super) fn flush() -> Frame {
    Frame::new(b'H', BytesMut::new())
}

fn execute(portal: &str) -> Frame {
    let mut body = BytesMut::with_capacity(portal.len() + 5);
    body.extend_from_slice(portal.as_bytes());
    body.put_u8(0);
    body.put_i32(0);
    Frame::new(b'E', body)
}

fn call_nothing() -> Frame {
    // A function, no formats, no arguments, the result as text.
    Frame::new(b'F', vec![0; 10])
}
