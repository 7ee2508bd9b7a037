//! Nothing that is printed gives a token away.

use proptest::prelude::*;
use serde_json::json;
use tollbook_identity::{Credentials, GatewayToken, TokenExchange, TokenRequest, Watch};

use super::{Scene, call, deploy, json_of, post};

/// The longest run of characters of the secret that may stand anywhere. Shorter ones come by
/// chance.
const RUN: usize = 8;

fn betrays(text: &str, secret: &str) -> bool {
    let secret = secret.strip_prefix("gws_").unwrap_or(secret).as_bytes();
    secret
        .windows(RUN)
        .any(|run| text.as_bytes().windows(RUN).any(|other| other == run))
}

proptest! {
    #[test]
    fn a_gateway_token_is_in_nothing_that_is_printed(bytes in any::<[u8; 32]>()) {
        let token = GatewayToken::from_random(bytes);
        let secret = token.expose().to_owned();
        for text in [
            format!("{token:?}"),
            format!("{:?} {}", token.hash(), token.hash()),
            format!("{:?}", Credentials::new(secret.clone())),
            format!("{:?}", GatewayToken::hash_of(&secret)),
        ] {
            prop_assert!(!betrays(&text, &secret));
        }
    }
}

#[tokio::test]
async fn no_token_is_in_anything_that_the_exchange_prints() {
    let scene = Scene::new();
    let gate = scene.gate([deploy()]);
    let exchange = TokenExchange::new(gate.clone());
    let jwt = scene.jwt(json!({}));
    let answer = post(&exchange, &call(&jwt, None), None).await;
    let token = json_of(&answer)["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(betrays(&answer.body, &token), "the test can see it");

    let request = TokenRequest::from_json(call(&jwt, None).to_string().as_bytes()).unwrap();
    let issued = exchange.exchange(&request, None).await.unwrap();
    let second = issued.access_token.expose().to_owned();
    let forged = call(&format!("{jwt}x"), None).to_string();
    let forged = TokenRequest::from_json(forged.as_bytes()).unwrap();
    let refused = exchange.exchange(&forged, None).await.unwrap_err();
    let kept = gate.tokens(10).await.unwrap();
    for text in [
        format!("{answer:?} {:?}", answer.record),
        format!("{request:?} {issued:?} {:?}", issued.principal),
        format!("{refused:?} {refused} {:?}", refused.to_oauth()),
        format!("{kept:?} {}", serde_json::to_string(&kept).unwrap()),
        format!("{gate:?} {exchange:?} {:?}", Watch::never()),
    ] {
        for secret in [&token, &second, &jwt] {
            assert!(!betrays(&text, secret));
        }
    }
}
