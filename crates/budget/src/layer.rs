//! The tower layer.

use std::task::{Context, Poll};

use http::{Request, Response};
use tollbook_exchange::{
    Action, Code, Exchange, Principal, Refusal,
    http::{Refusable, RefusableFuture},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Ask, Budgets};

/// Lets a request pass only if its caller's budgets have something left.
///
/// It needs the [`Principal`], the [`Exchange`] and the [`Action`] of the request; without one of
/// them it refuses everything. What an answer took is read from the exchange when that is over.
#[derive(Clone, Debug)]
pub struct BudgetLayer {
    budgets: Budgets,
}

impl BudgetLayer {
    /// Keeps callers within these budgets.
    pub const fn new(budgets: Budgets) -> Self {
        Self { budgets }
    }
}

impl<S> Layer<S> for BudgetLayer {
    type Service = Budgeted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Budgeted {
            inner,
            budgets: self.budgets.clone(),
        }
    }
}

/// The service of [`BudgetLayer`].
#[derive(Clone, Debug)]
pub struct Budgeted<S> {
    inner: S,
    budgets: Budgets,
}

impl<S, B, R> Service<Request<B>> for Budgeted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<Refusable<R>>;
    type Error = S::Error;
    type Future = RefusableFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match admit(&self.budgets, &request) {
            Ok(()) => RefusableFuture::passed(self.inner.call(request)),
            Err(refusal) => {
                if let Some(exchange) = request.extensions().get::<Exchange>() {
                    exchange.refused(&refusal);
                }
                RefusableFuture::refused(refusal)
            }
        }
    }
}

/// Counts the request, and has it settled when its exchange is over.
fn admit<B>(budgets: &Budgets, request: &Request<B>) -> Result<(), Refusal> {
    let extensions = request.extensions();
    let (Some(principal), Some(exchange), Some(action)) = (
        extensions.get::<Principal>(),
        extensions.get::<Exchange>(),
        extensions.get::<Action>(),
    ) else {
        return Err(Refusal::new(
            Code::Misassembled,
            "the gate cannot keep a budget of a request that it does not know",
        )
        .because("no_budget"));
    };
    let session = exchange.draft(|draft| draft.session);
    let ask = Ask::new(principal, exchange.connection())
        .session(session)
        .action(action);
    let admission = budgets.check(&ask)?;
    exchange.afterwards(move |draft| admission.conclude(draft));
    Ok(())
}
