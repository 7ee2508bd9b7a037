//! The fate of records: erasures, holds and retention, as the commands have them.
//!
//! Whom an erasure or a hold of a subject is about is not told in the record of the call: it would
//! outlive the erasure.

use axum::{
    Extension, Json,
    extract::{Path, Query, State, rejection::JsonRejection},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tollbook_exchange::{Exchange, Principal};
use tollbook_recording::{Error, ErrorKind, Recorder};

use super::{Admin, No, action};
use crate::{
    control::{Of, Order},
    index,
};

/// Whose records are meant: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Erase {
    session: Option<String>,
    subject: Option<String>,
    basis: String,
    override_minimum: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// Erases what somebody did, or a session, or tells what would be erased.
pub(super) async fn erase(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    body: Result<Json<Erase>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(erase) = body.map_err(|error| admin.unreadable(&error))?;
    let of = whose(erase.session.as_deref(), erase.subject.as_deref())?;
    if erase.dry_run {
        admin.note(&exchange, &action("book.survey", &[]));
        admin.roles().may_operate(&principal)?;
        let retention = admin.book.retention.clone();
        let would = admin.look(move |book| book.would_erase(&of.into(), &retention));
        return Ok(Json(json!(would.await?)));
    }
    needed("basis", Some(&erase.basis))?;
    needed("override_minimum", erase.override_minimum.as_deref())?;
    let order = Order::Erase {
        of,
        basis: erase.basis,
        override_minimum: erase.override_minimum,
    };
    admin.order(&principal, &exchange, order).await
}

#[derive(Deserialize)]
pub(super) struct Page {
    all: Option<bool>,
}

/// The holds that are in force, oldest first; with `all` those that have ended as well.
pub(super) async fn holds(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, No> {
    admin.note(&exchange, &action("book.survey", &[]));
    admin.roles().may_see(&principal)?;
    let mut holds = admin.look(Recorder::holds).await?;
    let all = page.all.unwrap_or_default();
    holds.retain(|hold| all || hold.released.is_none());
    Ok(Json(json!({ "holds": holds })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    session: Option<String>,
    subject: Option<String>,
    reason: String,
}

/// Puts a hold on a session or a subject.
pub(super) async fn hold(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    body: Result<Json<Hold>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(hold) = body.map_err(|error| admin.unreadable(&error))?;
    let of = whose(hold.session.as_deref(), hold.subject.as_deref())?;
    needed("reason", Some(&hold.reason))?;
    let reason = hold.reason;
    let order = Order::Hold { of, reason };
    admin.order(&principal, &exchange, order).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    reason: String,
}

/// Ends a hold. What it told has the erasures that it forbade, to be asked for again.
pub(super) async fn release(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Path(hold): Path<String>,
    body: Result<Json<Release>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(Release { reason }) = body.map_err(|error| admin.unreadable(&error))?;
    needed("reason", Some(&reason))?;
    let hold = hold
        .parse()
        .map_err(|_| No::missing("there is no such hold"))?;
    let order = Order::Release { hold, reason };
    admin.order(&principal, &exchange, order).await
}

/// What would be destroyed now because it was kept for long enough.
pub(super) async fn plan(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
) -> Result<Json<Value>, No> {
    admin.note(&exchange, &action("book.survey", &[]));
    admin.roles().may_see(&principal)?;
    let retention = admin.book.retention.clone();
    let would = admin.look(move |book| book.would_expire(&retention));
    Ok(Json(json!(would.await?)))
}

/// Destroys that.
pub(super) async fn apply(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
) -> Result<Json<Value>, No> {
    admin.order(&principal, &exchange, Order::Retain {}).await
}

impl Admin {
    /// Carries out an order of an operator, once it is in the book.
    async fn order(
        &self,
        who: &Principal,
        exchange: &Exchange,
        order: Order,
    ) -> Result<Json<Value>, No> {
        let order = order.masked(&self.masker);
        self.note(exchange, &order.action());
        self.roles().may_operate(who)?;
        self.commit(exchange).await?;
        let (retention, who) = (self.book.retention.clone(), who.clone());
        let done = self.look(move |book| order.carry_out(book, &retention, &who));
        let told = done.await?;
        if let Some((folder, prices)) = self.book.unfollowed.clone() {
            let (retention, stop) = (self.book.retention.clone(), self.stop.clone());
            let forget = async move {
                let forget = index::forget(folder, prices, retention);
                stop.run_until_cancelled(forget).await;
            };
            self.replies.spawn(forget);
        }
        Ok(Json(told))
    }

    /// Asks the book for something that blocks.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Recorder) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, No> {
        let recorder = self.recorder.clone();
        let looked = tokio::task::spawn_blocking(move || look(&recorder)).await;
        let Ok(looked) = looked else {
            return Err(No::failed("it was broken off", "failed"));
        };
        looked.map_err(|error| {
            let message = error.to_string();
            match error.kind() {
                ErrorKind::Held(_) => No::denied(message, "held"),
                ErrorKind::KeptUntil(_) => No::denied(message, "kept"),
                ErrorKind::NoHold => No::missing(message),
                _ => {
                    tracing::warn!(%error, "an order over records was not carried out");
                    No::failed(message, "failed")
                }
            }
        })
    }
}

fn whose(session: Option<&str>, subject: Option<&str>) -> Result<Of, No> {
    match (session, subject) {
        (Some(session), None) => session
            .parse()
            .map(Of::Session)
            .map_err(|_| No::wrong("`session` takes the whole id")),
        (None, Some(subject)) => match subject.split_once('/') {
            Some((issuer, subject)) if !issuer.is_empty() && !subject.is_empty() => {
                Ok(Of::Subject {
                    issuer: issuer.to_owned(),
                    subject: subject.to_owned(),
                })
            }
            _ => Err(No::wrong("`subject` is written issuer/subject")),
        },
        _ => Err(No::wrong("name one of `session` and `subject`")),
    }
}

fn needed(name: &str, text: Option<&str>) -> Result<(), No> {
    match text {
        Some(text) if text.trim().is_empty() => Err(No::wrong(format!("`{name}` is empty"))),
        _ => Ok(()),
    }
}
