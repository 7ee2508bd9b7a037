//! The set of policies in force.

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tollbook_exchange::{Exchange, Principal};

use super::{Admin, No, action};

pub(super) async fn show(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
) -> Result<Json<Value>, No> {
    admin.note(&exchange, &action("policy.show", &[]));
    admin.roles().may_see(&principal)?;
    Ok(Json(admin.policies.summary()))
}

/// Loads the policies anew: all of them, or none.
pub(super) async fn reload(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
) -> Result<Response, No> {
    admin.note(&exchange, &action("policy.reload", &[]));
    admin.roles().may_operate(&principal)?;
    admin.commit(&exchange).await?;
    match admin.policies.reload(Some(&principal)).await {
        Ok(reloaded) => Ok(Json(json!({
            "before": reloaded.before,
            "after": reloaded.after,
        }))
        .into_response()),
        Err(mistakes) => {
            let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            let body = json!({
                "code": "policy_error",
                "message": "the policies were not loaded; those in force stay",
                "mistakes": mistakes,
            });
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response())
        }
    }
}
