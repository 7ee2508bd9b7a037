//! What the server says and nothing that runs has asked for: notices, notifications, errors of messages that
//! run nothing.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tollbook_exchange::{Action, ExchangeId, Masked, Outcome};
use tollbook_identity::Authenticate;
use tollbook_wire_postgres::{Field, Fields};

use super::{
    answer,
    from_server::{Broken, FromServer, says},
};
use crate::{Asked, Open, postgres::Uses};

/// What the gate notes of an error that belongs to nothing that runs.
pub(super) struct Failed {
    pub(super) method: &'static str,
    pub(super) action: Action,
    pub(super) document: Vec<u8>,
}

impl<A, C, S> FromServer<'_, A, C, S>
where
    A: Authenticate,
    C: AsyncRead + AsyncWrite + Unpin + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Notes an error that belongs to nothing that runs.
    pub(super) async fn note_failed(
        &mut self,
        failed: Failed,
        fields: &Fields<'_>,
    ) -> Result<(), Broken> {
        let (_, line) = self.results.error(fields, &Uses::default())?;
        let sqlstate = fields.field(Field::CODE).unwrap_or_default();
        let open = self.aside(failed, line).await?;
        let result = [("sqlstate".to_owned(), json!(sqlstate))];
        answer::note(
            &self.caller.masks.answers,
            &open,
            result.into_iter().collect(),
        );
        open.exchange().conclude(Outcome::UpstreamError);
        Ok(())
    }

    /// Notes what the server says on its own: with what runs, or with what ran last, or as an exchange.
    pub(super) async fn beside(
        &mut self,
        method: &'static str,
        line: Masked<Bytes>,
        error: Option<&Fields<'_>>,
    ) -> Result<(), Broken> {
        {
            let mut state = self.lock();
            let state = &mut *state;
            let run = state.queue.first().and_then(|first| first.of.run.as_mut());
            if let Some(run) = run.or(state.last.as_mut()) {
                match error {
                    Some(error) => drop(run.failed(error)?),
                    None => run.said(line),
                }
                says(&mut self.unsent, &run.open);
                return Ok(());
            }
        }
        let failed = Failed {
            method,
            action: Action::new("sql.notice"),
            document: b"{}".to_vec(),
        };
        let open = self.aside(failed, line).await?;
        open.exchange().conclude(Outcome::Complete);
        Ok(())
    }

    /// An exchange for something that the server says and that nothing which runs has asked for.
    async fn aside(&mut self, failed: Failed, line: Masked<Bytes>) -> Result<Arc<Open>, Broken> {
        let asked = Asked {
            method: failed.method,
            target: self.database.to_owned(),
            action: failed.action,
            document: failed.document,
        };
        let id = ExchangeId::generate();
        let open = self.gate.open(id, Some(self.caller), asked).await?;
        let open = Arc::new(open);
        open.answered(line);
        says(&mut self.unsent, &open);
        Ok(open)
    }
}
