//! What people answer in Slack.

use axum::{Extension, body::Bytes, extract::State, http::HeaderMap};
use tollbook_approvals::{Ballot, Via, channel::Rejected};
use tollbook_exchange::{Code, Exchange, Refusal, Timestamp};

use super::{Admin, No, action};

/// A button was pressed.
///
/// The person is whoever has linked the account; a name or an address that Slack tells is never
/// believed. What came of it is told to them afterwards, for Slack wants its answer within three
/// seconds.
pub(super) async fn interaction(
    State(admin): State<Admin>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(), No> {
    let Some(slack) = admin.slack.clone() else {
        return Err(No::missing("no Slack app is configured"));
    };
    let now = Timestamp::now();
    let pressed = slack.decision(&headers, &body, now).map_err(rejected)?;
    let facts = [
        ("approval", pressed.approval.as_str()),
        ("account", &*pressed.account),
        ("hash", &*pressed.hash),
    ];
    admin.note(&exchange, &action("approvals.decide", &facts));
    let said = match admin.approvals.people().linked(&pressed.account) {
        None => "Nobody has linked your account here, so nothing was decided. Ask an operator to \
                 add it to your entry, or use `tollbook approvals`."
            .to_owned(),
        Some(voter) => {
            exchange.identified(&voter);
            admin.commit(&exchange).await?;
            let ballot = Ballot {
                voter,
                via: Via::Message { at: pressed.at },
                choice: pressed.choice,
                hash: Some(pressed.hash),
                reason: None,
            };
            match admin.approvals.decide(&pressed.approval, ballot).await {
                Ok(approval) => format!("{} is {} now.", approval.id, approval.state.as_str()),
                Err(error) => match error.refused() {
                    Some(refused) => format!("Nothing was decided: {refused}."),
                    None => {
                        tracing::warn!(%error, "a decision from Slack could not be taken");
                        "Nothing was decided: the gateway has met a fault.".to_owned()
                    }
                },
            }
        }
    };
    if let Some(reply) = pressed.reply {
        admin.replies.spawn(async move {
            if let Err(error) = slack.reply(&reply, &said).await {
                tracing::warn!(%error, "what came of a decision could not be told in Slack");
            }
        });
    }
    Ok(())
}

fn rejected(rejected: Rejected) -> No {
    let (code, message) = if rejected.is_authentic() {
        (Code::MalformedRequest, "this is no decision")
    } else {
        (Code::AuthenticationFailed, "this is not signed by Slack")
    };
    No(Refusal::new(code, message).because(rejected.as_str()))
}
