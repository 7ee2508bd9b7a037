//! What decides over the fate of records: erasures, holds, retention.
//!
//! Each order is an exchange in the book, asked for by the account that gives it, and durable there
//! before anything happens. Whom an erasure or a hold is about is not told there: it would outlive
//! the erasure.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollbook_exchange::{
    Action, Code, Exchange, ExchangeId, Outcome, Principal, Redact, Refusal, SessionId, Timestamp,
};
use tollbook_masking::Masker;
use tollbook_recording::{Config, Erasure, Error, ErrorKind, Recorder, Retention, Whom};

use super::{
    Answer, Client, Request, Unnoted, account,
    client::{Writing, writing},
    view::CONNECTION,
};

/// What somebody decides over the fate of records.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Order {
    /// That something be erased.
    Erase {
        /// Of whom.
        of: Of,
        /// On what ground.
        basis: String,
        /// Why it is done although something has to be kept for longer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        override_minimum: Option<String>,
    },
    /// That something must not be erased.
    Hold {
        /// Of whom.
        of: Of,
        /// Why.
        reason: String,
    },
    /// That a hold ends.
    Release {
        /// The hold.
        hold: u64,
        /// Why.
        reason: String,
    },
    /// That what was kept for long enough be destroyed now.
    Retain {},
}

/// Whose records are meant.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Of {
    /// Those of a session.
    Session(SessionId),
    /// Those of a subject of an issuer.
    Subject {
        /// The issuer's name.
        issuer: String,
        /// The subject.
        subject: String,
    },
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ordered {
    /// It was done; this tells what.
    Done(Value),
    /// It was not, for a reason that is an answer.
    Refused {
        /// A stable word: `held`, `kept`, `unknown_hold`.
        code: String,
        /// Why.
        message: String,
    },
}

/// Has an order carried out in the book of this folder, by the gateway that runs on it, and where
/// none does by this process. Blocks; not to be called from async code.
///
/// `retention` is how long records are kept, where that is known: it counts where no gateway runs.
///
/// # Errors
///
/// When it is not known whether it was done: the next start does the rest of what was begun.
/// [`Unnoted::Terms`] when nothing was, because it is not known how long records must be kept.
pub fn order(
    folder: &Path,
    config: Option<Config>,
    retention: Option<&Retention>,
    masker: impl FnOnce() -> Masker,
    order: &Order,
) -> Result<Ordered, Unnoted> {
    match writing(folder, config)? {
        Writing::Gateway(mut client) => given(&mut client, order),
        Writing::Here(recorder) => {
            let (_, principal) = account::own();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .map_err(Unnoted::System)?;
            let none = Retention::default();
            let retention = match (retention, order.needs_terms()) {
                (Some(retention), _) => retention,
                (None, false) => &none,
                (None, true) => {
                    recorder.close();
                    return Err(Unnoted::Terms);
                }
            };
            let masker = masker();
            let order = &order.masked(&masker);
            let begun = runtime.block_on(begin(&recorder, &masker, &principal, order));
            let (exchange, recording) = begun.map_err(Unnoted::Book)?;
            let done = order.carry_out(&recorder, retention, &principal);
            conclude(&exchange, &done);
            drop(recording);
            recorder.close();
            match done {
                Ok(told) => Ok(Ordered::Done(told)),
                Err(error) => match refusal(&error) {
                    Some(code) => Ok(Ordered::Refused {
                        code: code.to_owned(),
                        message: error.to_string(),
                    }),
                    None => Err(Unnoted::Book(error)),
                },
            }
        }
        Writing::Copy(why) => Err(Unnoted::Copy(why)),
    }
}

/// Gives an order to the gateway.
fn given(client: &mut Client, order: &Order) -> Result<Ordered, Unnoted> {
    // To destroy the keys of many sessions takes longer than a note.
    client.is_patient().map_err(Unnoted::Unreachable)?;
    match client.ask(&Request::Order(order.clone())) {
        Ok(Answer::Ordered { told }) => Ok(Ordered::Done(told)),
        Ok(_) => Err(Unnoted::Unreachable(std::io::ErrorKind::InvalidData.into())),
        Err(Unnoted::Refused { code, message }) if REFUSALS.contains(&&*code) => {
            Ok(Ordered::Refused { code, message })
        }
        Err(error) => Err(error),
    }
}

/// Carries out an order that somebody gave at the socket.
pub(super) async fn answer(
    recorder: &Recorder,
    masker: &Masker,
    retention: &Retention,
    who: &Principal,
    order: Order,
) -> Answer {
    let order = order.masked(masker);
    let (exchange, recording) = match begin(recorder, masker, who, &order).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!(%error, "an order could not be recorded");
            return Answer::refused("not_recordable", error.to_string());
        }
    };
    let (worker, terms, by) = (recorder.clone(), retention.clone(), who.clone());
    let done = tokio::task::spawn_blocking(move || order.carry_out(&worker, &terms, &by)).await;
    let Ok(done) = done else {
        return Answer::refused("failed", "the order was broken off");
    };
    conclude(&exchange, &done);
    drop(recording);
    match done {
        Ok(told) => Answer::Ordered { told },
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, source, "an order was not carried out");
            Answer::refused(refusal(&error).unwrap_or("failed"), error.to_string())
        }
    }
}

/// Writes the order into the book. It is durable when this returns.
async fn begin(
    recorder: &Recorder,
    masker: &Masker,
    who: &Principal,
    order: &Order,
) -> Result<(Exchange, tollbook_recording::Recording), Error> {
    let id = ExchangeId::generate();
    let exchange = Exchange::open(id, CONNECTION, "tollbook", Timestamp::now());
    let recording = recorder.begin(&exchange).await?;
    exchange.identified(who);
    let action = masker.action(&order.action());
    exchange.draft(|draft| draft.action = Some(action));
    if let Err(error) = recorder.commit(&exchange).await {
        let message = "it could not be recorded in time, so it did not happen";
        exchange.refused(&Refusal::new(Code::NotRecordable, message));
        return Err(error);
    }
    Ok((exchange, recording))
}

fn conclude(exchange: &Exchange, done: &Result<Value, Error>) {
    match done {
        Ok(_) => exchange.conclude(Outcome::Complete),
        Err(error) => {
            let reason = refusal(error).unwrap_or("failed");
            let refusal = Refusal::new(Code::PolicyDenied, error.to_string());
            exchange.refused(&refusal.because(reason));
        }
    }
}

/// The word for an error that is an answer.
fn refusal(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::Held(_) => Some(REFUSALS[0]),
        ErrorKind::KeptUntil(_) => Some(REFUSALS[1]),
        ErrorKind::NoHold => Some(REFUSALS[2]),
        _ => None,
    }
}

const REFUSALS: [&str; 3] = ["held", "kept", "unknown_hold"];

impl Order {
    /// Whether it may only be carried out by who knows how long records must be kept.
    const fn needs_terms(&self) -> bool {
        match self {
            Self::Erase {
                override_minimum, ..
            } => override_minimum.is_none(),
            Self::Retain {} => true,
            Self::Hold { .. } | Self::Release { .. } => false,
        }
    }

    /// Does it. Blocks.
    pub(crate) fn carry_out(
        &self,
        recorder: &Recorder,
        retention: &Retention,
        who: &Principal,
    ) -> Result<Value, Error> {
        let by = who.identity();
        match self {
            Self::Erase {
                of,
                basis,
                override_minimum,
            } => {
                let erasure = Erasure {
                    whom: of.clone().into(),
                    by: by.clone(),
                    basis: basis.clone(),
                    override_minimum: override_minimum.clone(),
                };
                Ok(json!(recorder.erase(&erasure, retention)?))
            }
            Self::Hold { of, reason } => {
                Ok(json!(recorder.hold(&of.clone().into(), &by, reason)?))
            }
            Self::Release { hold, reason } => {
                let released = recorder.release(*hold, &by, reason)?;
                Ok(json!(released.ok_or(ErrorKind::NoHold)?))
            }
            Self::Retain {} => Ok(json!(recorder.retain(retention, &by)?)),
        }
    }

    /// With its grounds and reasons masked: they stand in the log where nothing can be erased.
    pub(crate) fn masked(&self, masker: &Masker) -> Self {
        let redact = |text: &String| masker.redact("action", text).0.into_inner();
        let mut order = self.clone();
        match &mut order {
            Self::Erase {
                basis,
                override_minimum,
                ..
            } => {
                *basis = redact(basis);
                *override_minimum = override_minimum.as_ref().map(redact);
            }
            Self::Hold { reason, .. } | Self::Release { reason, .. } => *reason = redact(reason),
            Self::Retain {} => {}
        }
        order
    }

    /// What the book says that was asked for.
    pub(crate) fn action(&self) -> Action {
        let of = |action: Action, of: &Of| match of {
            Of::Session(session) => action.with("session", session.to_string()),
            // Who it is must not outlive the erasure.
            Of::Subject { .. } => action.with("of", "subject"),
        };
        match self {
            Self::Erase {
                of: whom,
                basis,
                override_minimum,
            } => {
                let action = of(Action::new("book.erase"), whom).with("basis", basis.as_str());
                match override_minimum {
                    Some(why) => action.with("override_minimum", why.as_str()),
                    None => action,
                }
            }
            Self::Hold { of: whom, reason } => {
                of(Action::new("book.hold"), whom).with("reason", reason.as_str())
            }
            Self::Release { hold, reason } => Action::new("book.release")
                .with("hold", hold.to_string())
                .with("reason", reason.as_str()),
            Self::Retain {} => Action::new("book.retain"),
        }
    }
}

impl From<Of> for Whom {
    fn from(of: Of) -> Self {
        match of {
            Of::Session(session) => Self::Session(session),
            Of::Subject { issuer, subject } => Self::Subject { issuer, subject },
        }
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Erase { .. } => "Erase(..)",
            Self::Hold { .. } => "Hold(..)",
            Self::Release { .. } => "Release(..)",
            Self::Retain {} => "Retain",
        })
    }
}

impl std::fmt::Debug for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Whom::from(self.clone()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grounds_and_reasons_are_masked_and_whose_it_is_stays() {
        let secret = ["ghp_", "0123456789abcdefghijABCDEFGHIJ012345"].concat();
        let text = format!("because of {secret}");
        let of = Of::Subject {
            issuer: "ci".to_owned(),
            subject: secret.clone(),
        };
        let orders = [
            Order::Erase {
                of: of.clone(),
                basis: text.clone(),
                override_minimum: Some(text.clone()),
            },
            Order::Hold {
                of: of.clone(),
                reason: text.clone(),
            },
            Order::Release {
                hold: 1,
                reason: text,
            },
        ];
        for order in orders {
            let mut masked = order.masked(&Masker::builtin());
            if let Order::Erase { of: whose, .. } | Order::Hold { of: whose, .. } = &mut masked {
                assert_eq!(*whose, of);
                *whose = Of::Session(SessionId::derived([1; 16]));
            }
            let told = serde_json::to_string(&masked).unwrap();
            assert!(
                told.contains("because of") && !told.contains(&secret),
                "{told}"
            );
        }
    }
}
