//! How a session that does not come about is told so.

use bytes::BytesMut;
use tollbook_exchange::{Code, ExchangeId, Refusal};
use tollbook_wire_postgres::{Field, Fields, error};

/// The SQLSTATE of a refusal while a session begins.
pub(super) fn state_of(refusal: &Refusal) -> &'static str {
    match refusal.code {
        Code::AuthenticationFailed => "28P01",
        Code::MalformedRequest if refusal.reason == "plain_text" => "28000",
        Code::MalformedRequest if refusal.reason == "startup_database" => "3D000",
        Code::MalformedRequest if refusal.reason == "startup_encoding" => "22023",
        Code::MalformedRequest if refusal.reason == "replication" => "0A000",
        Code::MalformedRequest => "08P01",
        Code::BudgetExceeded | Code::LoopDetected | Code::TooManyApprovals => "53400",
        Code::UpstreamUnreachable | Code::UpstreamInvalid | Code::UpstreamTimeout => "08006",
        Code::NotRecordable => "53100",
        Code::Misassembled => "XX000",
        _ => "42501",
    }
}

/// The last message of a session that does not come about.
pub(super) fn fatal(
    refusal: &Refusal,
    hint: Option<&str>,
    exchange: Option<ExchangeId>,
) -> BytesMut {
    let detail = exchange.map(|id| format!("Tollbook exchange {id}."));
    message(state_of(refusal), &refusal.message, detail.as_deref(), hint)
}

/// A message after which nothing comes.
pub(super) fn message(
    state: &str,
    message: &str,
    detail: Option<&str>,
    hint: Option<&str>,
) -> BytesMut {
    // A zero byte ends a text on this wire; nothing that the gate says has one.
    let clean = |text: &str| text.replace('\0', "");
    let (message, detail, hint) = (clean(message), detail.map(clean), hint.map(clean));
    let mut fields = vec![
        (Field::SEVERITY, "FATAL"),
        (Field::SEVERITY_PLAIN, "FATAL"),
        (Field::CODE, state),
        (Field::MESSAGE, &*message),
    ];
    fields.extend(detail.as_deref().map(|text| (Field::DETAIL, text)));
    fields.extend(hint.as_deref().map(|text| (Field::HINT, text)));
    let mut out = BytesMut::new();
    if let Ok(frame) = error(&Fields::new(fields)) {
        frame.write(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use tollbook_wire_postgres::{Backend, Frames};

    use super::*;

    #[test]
    fn each_refusal_has_a_code_that_clients_know() {
        let no = |code| Refusal::new(code, "no");
        let malformed = no(Code::MalformedRequest);
        for (refusal, state) in [
            (no(Code::AuthenticationFailed), "28P01"),
            (malformed.clone().because("plain_text"), "28000"),
            (malformed.clone().because("startup_database"), "3D000"),
            (malformed.clone().because("replication"), "0A000"),
            (malformed.because("startup_setting"), "08P01"),
            (no(Code::PolicyDenied), "42501"),
            (no(Code::ApprovalPending), "42501"),
            (no(Code::BudgetExceeded), "53400"),
            (no(Code::UpstreamUnreachable), "08006"),
            (no(Code::UpstreamTimeout), "08006"),
            (no(Code::NotRecordable), "53100"),
        ] {
            let id = ExchangeId::generate();
            let mut wire = fatal(&refusal, Some("ask\0"), Some(id));
            let frame = Frames::of_servers(1 << 10)
                .next(&mut wire)
                .unwrap()
                .unwrap();
            let Ok(Backend::Error(told)) = Backend::read(&frame) else {
                panic!("no error");
            };
            let severity = told.field(Field::SEVERITY_PLAIN);
            assert_eq!(
                (severity, told.field(Field::CODE)),
                (Some("FATAL"), Some(state))
            );
            assert!(told.field(Field::DETAIL).unwrap().contains(&id.to_string()));
            assert_eq!(told.field(Field::HINT), Some("ask"));
        }
    }
}
