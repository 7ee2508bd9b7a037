//! What waits for people: through restarts, against changed requests and changed rules.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    federation,
    stage::{Scene, Stage, parsed, until, whole},
};

/// Everything that is asked of a model needs a lead.
const ASKS: &str = r#"
@id("look-first")
@approval("leads:1")
@reason("a lead looks at it first")
forbid (principal, action == Tollbook::Action::"messages.create", resource);
"#;

/// The caller is told at once.
const FAST: &str = r#"approvals = { mode = "fail_fast" }"#;

fn scene() -> Scene {
    let scene = Scene::default().policy("asks.cedar", ASKS);
    scene
        .connection(FAST)
        .more("[approvals]\nper_caller = 100\n")
}

fn prompt(text: &str) -> Value {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 64,
        "messages": [{ "role": "user", "content": text }],
    })
}

/// Has this person say so about the one approval that is pending.
async fn decide(stage: &Stage, vote: &str) -> Value {
    let pending = stage.approvals("pending", 1).await;
    let ana = stage.person("ana", &["leads"]);
    let (status, decided) = stage.vote(&ana, &pending[0], vote).await;
    assert_eq!(status, 200, "{decided}");
    decided
}

#[tokio::test(flavor = "multi_thread")]
async fn every_state_outlives_the_gateway() {
    let stage = scene().set().await;
    let token = stage.token();
    let ask = async |stage: &Stage, text: &str| {
        let (status, answer) = stage.ask(&token, &prompt(text)).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        (status, message.split(':').next().unwrap().to_owned())
    };
    let pending = (409, "tollbook_approval_pending".to_owned());
    let denied = (403, "tollbook_approval_denied".to_owned());

    assert_eq!(ask(&stage, "denied").await, pending);
    decide(&stage, "deny").await;
    assert_eq!(ask(&stage, "approved").await, pending);
    decide(&stage, "approve").await;
    assert_eq!(ask(&stage, "used").await, pending);
    decide(&stage, "approve").await;
    assert_eq!(ask(&stage, "used").await.0, 200);
    assert_eq!(ask(&stage, "pending").await, pending);
    let before = stage.approvals("pending", 1).await;
    let stage = stage.restart().await;
    let after = stage.approvals("pending", 1).await;
    for fact in [
        "id",
        "hash",
        "view",
        "requires",
        "expires",
        "who",
        "policy_hash",
    ] {
        assert_eq!(before[0][fact], after[0][fact], "{fact}");
    }

    assert_eq!(ask(&stage, "denied").await, denied, "a no is remembered");
    assert_eq!(ask(&stage, "pending").await, pending, "it is still asked");
    stage.approvals("pending", 1).await;
    decide(&stage, "approve").await;
    let stage = stage.restart().await;
    assert_eq!(ask(&stage, "denied").await, denied);
    assert_eq!(ask(&stage, "pending").await.0, 200);
    assert_eq!(ask(&stage, "approved").await.0, 200);
    for used in ["pending", "approved", "used"] {
        assert_eq!(ask(&stage, used).await, pending, "{used}: it was for once");
    }
    assert_eq!(stage.forwarded(), 3);

    let records = stage.end().await;
    for (event, count) in [
        ("approval.asked", 7),
        ("approval.approved", 3),
        ("approval.denied", 1),
        ("approval.consumed", 3),
    ] {
        assert_eq!(records.events(event).len(), count, "{event}");
    }
    // Who said yes is found from the exchange that it let pass.
    let passed = (records.of("claude").into_iter()).filter(|record| record["status"] == 200);
    for record in passed {
        let approval = &record["decision"]["approval"];
        let yes = records.events("approval.approved");
        let yes = yes
            .iter()
            .find(|event| event["action"]["approval"] == *approval);
        assert_eq!(yes.unwrap()["action"]["person"], "account:corp/ana");
        let used = records.events("approval.consumed");
        let used = used
            .iter()
            .find(|event| event["action"]["approval"] == *approval);
        assert_eq!(used.unwrap()["action"]["exchange"], record["id"]);
    }
}

/// Changes the body or the head of a call.
type Changing = Box<dyn Fn(&mut Value, &mut Request<Full<Bytes>>)>;

/// What is changed, and how.
type Change = (&'static str, Changing);

fn body(change: impl Fn(&mut Value) + 'static) -> Changing {
    Box::new(move |body, _| change(body))
}

fn head(name: &'static str, value: &'static str) -> Changing {
    Box::new(move |_, request| {
        request.headers_mut().append(name, value.parse().unwrap());
    })
}

fn path(rest: &'static str) -> Changing {
    Box::new(move |_, request| {
        let uri = request.uri().to_string();
        *request.uri_mut() = uri.replace("/v1/messages", rest).parse().unwrap();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_and_nothing_else_passes() {
    let stage = scene().set().await;
    let token = stage.token();
    let approved = json!({
        "model": "claude-haiku-4-5", "max_tokens": 64, "temperature": 0.5,
        "system": "you delete rows",
        "tools": [{ "name": "Bash", "input_schema": { "type": "object" } }],
        "messages": [{ "role": "user", "content": "delete row 17" }],
    });
    let send = async |change: &Change| {
        let mut changed = approved.clone();
        let mut request = stage.call(&token, &changed);
        change.1(&mut changed, &mut request);
        *request.body_mut() = Full::new(changed.to_string().into());
        whole(stage.send(request).await).await.0
    };
    let nothing: Change = ("nothing", body(|_| {}));
    assert_eq!(send(&nothing).await, 409);
    decide(&stage, "approve").await;

    let changes: Vec<Change> = vec![
        (
            "another model",
            body(|it| it["model"] = json!("claude-opus-4-5")),
        ),
        ("more output", body(|it| it["max_tokens"] = json!(65))),
        (
            "other words",
            body(|it| it["messages"][0]["content"] = json!("delete row 18")),
        ),
        (
            "another role",
            body(|it| it["messages"][0]["role"] = json!("assistant")),
        ),
        (
            "more words",
            body(|it| it["messages"][0]["content"] = json!("delete row 17 ")),
        ),
        (
            "the same words as a block",
            body(|it| {
                it["messages"][0]["content"] = json!([{ "type": "text", "text": "delete row 17" }]);
            }),
        ),
        (
            "another message",
            body(|it| {
                let messages = it["messages"].as_array_mut().unwrap();
                messages.push(json!({ "role": "assistant", "content": "sure" }));
            }),
        ),
        (
            "other instructions",
            body(|it| it["system"] = json!("you delete tables")),
        ),
        (
            "no instructions",
            body(|it| {
                it.as_object_mut().unwrap().remove("system");
            }),
        ),
        (
            "another tool",
            body(|it| it["tools"][0]["name"] = json!("Shell")),
        ),
        (
            "another temperature",
            body(|it| it["temperature"] = json!(1.0)),
        ),
        (
            "a member nobody knows",
            body(|it| it["service_tier"] = json!("priority")),
        ),
        (
            "an MCP server",
            body(|it| {
                it["mcp_servers"] =
                    json!([{ "type": "url", "url": "https://mcp.example", "name": "m" }]);
            }),
        ),
        (
            "a stream with more output",
            body(|it| {
                it["stream"] = json!(true);
                it["max_tokens"] = json!(66);
            }),
        ),
        ("a query", path("/v1/messages?beta=true")),
        ("an empty query", path("/v1/messages?")),
        ("a beta", head("anthropic-beta", "context-1m-2025-08-07")),
    ];
    for (at, change) in changes.iter().enumerate() {
        assert_eq!(send(change).await, 409, "{}", change.0);
        stage.approvals("pending", at + 1).await;
        assert_eq!(stage.forwarded(), 0, "{}", change.0);
    }
    // Somebody else with the very same bytes.
    let other = stage.issuer.token("repo:acme/other").groups(["developers"]);
    let (status, _) = stage.ask(&other.sign().unwrap(), &approved).await;
    assert_eq!(status, 409);
    // Less output is approved with more, and how it is answered is not a part of what it does.
    let less: Change = ("less output", body(|it| it["max_tokens"] = json!(63)));
    assert_eq!(send(&less).await, 200);
    assert_eq!(send(&nothing).await, 409, "it was for once");
    assert_eq!(stage.forwarded(), 1);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_very_bytes_that_were_held_are_forwarded() {
    let stage = Scene::default()
        .policy("asks.cedar", ASKS)
        .connection(r#"approvals = { hold = "60s", quiet = "20ms", ping = "50ms" }"#)
        .set()
        .await;
    for stream in [false, true] {
        let text = format!(
            "{{ \"stream\" :{stream},\"model\":\"claude-haiku-4-5\",\r\n\t\"max_tokens\": 64,\
             \"messages\":[{{\"role\":\"user\",\"content\":\"caf\\u00e9 \u{e9}\"}}]  }}"
        );
        let mut request = stage.call(&stage.token(), &Value::Null);
        *request.body_mut() = Full::new(text.clone().into());
        let sent = stage.client.request(request);
        let sent = tokio::spawn(sent);
        decide(&stage, "approve").await;
        let (status, answer) = whole(sent.await.unwrap().unwrap()).await;
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        assert_eq!(status, 200, "{answer}");
        assert_eq!(stream, answer.contains("message_stop"), "{answer}");
        let received = stage.upstream.as_ref().unwrap().received();
        let received = received.last().unwrap();
        assert_eq!(received.body, text.as_bytes());
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_yes_lets_one_of_a_hundred_pass() {
    let stage = scene().set().await;
    let token = stage.token();
    assert_eq!(stage.ask(&token, &prompt("once")).await.0, 409);
    decide(&stage, "approve").await;
    let asks: Vec<_> = (0..100)
        .map(|_| tokio::spawn(stage.client.request(stage.call(&token, &prompt("once")))))
        .collect();
    let (mut passed, mut told) = (0, 0);
    for ask in asks {
        match ask.await.unwrap().unwrap().status().as_u16() {
            200 => passed += 1,
            409 => told += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((passed, told), (1, 99));
    assert_eq!(stage.forwarded(), 1);
    // All others join one request for another.
    stage.approvals("pending", 1).await;
    let records = stage.end().await;
    assert_eq!(records.events("approval.consumed").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_changed_since_have_the_last_word() {
    const FORBIDS: &str = r#"
        @id("not-any-more") @reason("not today")
        forbid (principal, action, resource);
    "#;
    // Approved, and used when it is forbidden.
    let stage = scene().set().await;
    let token = stage.token();
    assert_eq!(stage.ask(&token, &prompt("one")).await.0, 409);
    decide(&stage, "approve").await;
    stage.write_policy("more.cedar", FORBIDS);
    assert_eq!(stage.reload().await.0, 200);
    let (status, answer) = stage.ask(&token, &prompt("one")).await;
    assert_eq!(status, 403);
    assert!(answer.to_string().contains("not-any-more"), "{answer}");
    // Approved, and used when more people are needed.
    let more = ASKS.replace("leads:1", "leads:2");
    stage.write_policy("more.cedar", "");
    stage.write_policy("asks.cedar", &more);
    assert_eq!(stage.reload().await.0, 200);
    assert_eq!(stage.ask(&token, &prompt("one")).await.0, 409);
    assert_eq!(stage.forwarded(), 0);
    // When the first rule is back, so is what was approved by it.
    stage.write_policy("asks.cedar", ASKS);
    assert_eq!(stage.reload().await.0, 200);
    assert_eq!(stage.ask(&token, &prompt("one")).await.0, 200);
    stage.end().await;

    // Held when it is forbidden, and approved after that.
    for streams in [false, true] {
        let stage = Scene::default()
            .policy("asks.cedar", ASKS)
            .connection(r#"approvals = { hold = "60s", quiet = "20ms", ping = "50ms" }"#)
            .set()
            .await;
        let mut body = prompt("two");
        body["stream"] = json!(streams);
        let held = tokio::spawn(stage.client.request(stage.call(&stage.token(), &body)));
        stage.approvals("pending", 1).await;
        stage.write_policy("more.cedar", FORBIDS);
        assert_eq!(stage.reload().await.0, 200);
        decide(&stage, "approve").await;
        let (status, answer) = whole(held.await.unwrap().unwrap()).await;
        let answer = String::from_utf8(answer.to_vec()).unwrap();
        assert_eq!(status, if streams { 200 } else { 403 }, "{answer}");
        assert!(
            answer.contains("not-any-more") && answer.contains("permission_error"),
            "{answer}"
        );
        assert_eq!(answer.contains("event: error"), streams, "{answer}");
        assert_eq!(stage.forwarded(), 0);
        let records = stage.end().await;
        let record = records.of("claude")[0];
        assert_eq!(record["outcome"], "denied", "{record:#}");
        assert_eq!(record["refusal"]["reason"], "denied_at_execution");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_people_decide() {
    let stage = scene()
        .more(
            "[[person]]\nname = \"ben\"\naccounts = [\"corp/ben\", \"corp/ben-admin\"]\n\
             [[person]]\nname = \"dan\"\naccounts = [\"corp/dan\", \"ci/repo:acme/payments\"]\n\
             [[federation]]\nid = \"people\"\nissuer = \"corp\"\nsubject = \"eve\"\n",
        )
        .set()
        .await;
    stage.write_policy(
        "asks.cedar",
        &ASKS.replace("leads:1", "leads:1, security:1"),
    );
    assert_eq!(stage.reload().await.0, 200);
    assert_eq!(
        stage.ask(&stage.token(), &prompt("two people")).await.0,
        409
    );
    let pending = stage.approvals("pending", 1).await.remove(0);
    let agent = stage
        .issuer
        .token("repo:acme/other")
        .groups(["leads", "platform"]);
    let stale = (stage.people.token("eve").groups(["leads"]))
        .claim("auth_time", 1_700_000_000)
        .sign()
        .unwrap();
    // What a person's agent is given to work with.
    let eve = stage.person("eve", &["leads"]);
    let request = federation::json_exchange_by(&stage, &eve, "people");
    let (status, exchanged) = whole(stage.send(request).await).await;
    assert_eq!(status, 200);
    let exchanged = parsed(&exchanged)["access_token"].clone();
    let exchanged = exchanged.as_str().unwrap().to_owned();
    for (who, token, status, word) in [
        ("an agent", agent.sign().unwrap(), 403, "for people"),
        ("the requester", stage.token(), 403, "for people"),
        ("a person's agent", exchanged, 403, "for agents"),
        // Whoever cannot decide it is not even told that it is there.
        (
            "nobody in particular",
            stage.person("eve", &[]),
            404,
            "no such approval",
        ),
        (
            "an operator",
            stage.person("eve", &["platform"]),
            403,
            "none of the groups",
        ),
        (
            "a viewer",
            stage.person("eve", &["viewers"]),
            403,
            "none of the groups",
        ),
        (
            "whoever is behind the job",
            stage.person("dan", &["leads"]),
            403,
            "own request",
        ),
        ("who signed in long ago", stale, 403, "sign in again"),
    ] {
        let (got, answer) = stage.vote(&token, &pending, "approve").await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert_eq!(got, status, "{who}: {answer}");
        assert!(message.contains(word), "{who}: {answer}");
    }
    let mut wrong = pending.clone();
    wrong["hash"] = json!("00000000");
    let ben = stage.person("ben", &["leads", "security"]);
    let (status, answer) = stage.vote(&ben, &wrong, "approve").await;
    assert_eq!(status, 403);
    assert!(
        answer["message"].as_str().unwrap().contains("hash"),
        "{answer}"
    );

    // One person in two groups and with two accounts is one person.
    let (status, answer) = stage.vote(&ben, &pending, "approve").await;
    assert_eq!((status, &answer["state"]), (200, &json!("pending")));
    for ben in ["ben", "ben-admin"] {
        let ben = stage.person(ben, &["leads", "security"]);
        let (status, answer) = stage.vote(&ben, &pending, "approve").await;
        assert_eq!(status, 403, "{answer}");
    }
    assert_eq!(
        stage.ask(&stage.token(), &prompt("two people")).await.0,
        409
    );
    let ana = stage.person("ana", &["leads"]);
    let (status, answer) = stage.vote(&ana, &pending, "approve").await;
    assert_eq!((status, &answer["state"]), (200, &json!("approved")));
    assert_eq!(
        stage.ask(&stage.token(), &prompt("two people")).await.0,
        200
    );

    // A no is final.
    assert_eq!(stage.ask(&stage.token(), &prompt("another")).await.0, 409);
    let pending = stage.approvals("pending", 1).await.remove(0);
    assert_eq!(stage.vote(&ana, &pending, "approve").await.0, 200);
    assert_eq!(
        stage.vote(&ben, &pending, "deny").await.1["state"],
        "denied"
    );
    assert_eq!(stage.vote(&ben, &pending, "approve").await.0, 403);
    assert_eq!(stage.ask(&stage.token(), &prompt("another")).await.0, 403);
    assert_eq!(stage.forwarded(), 1);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_uses_or_wants_comes_to_an_end() {
    let limits = "[approvals]\nper_caller = 2\nexpires = \"3s\"\nuse_within = \"1s\"\n";
    let stage = scene().more(limits).set().await;
    let token = stage.token();
    let ask = async |text: &str| {
        let response = stage.send(stage.call(&token, &prompt(text))).await;
        response.status().as_u16()
    };
    let until_is = async |state: &str, count: usize| {
        stage.approvals(state, count).await;
    };
    assert_eq!(ask("late").await, 409);
    until_is("expired", 1).await;
    assert_eq!(ask("late").await, 403, "and the caller is told");

    assert_eq!(ask("unused").await, 409);
    decide(&stage, "approve").await;
    until_is("lapsed", 1).await;
    assert_eq!(ask("unused").await, 409, "it is asked for anew");
    let ops = stage.person("olga", &["platform"]);
    let pending = stage.approvals("pending", 1).await.remove(0);
    let path = format!("/approvals/{}/cancel", pending["id"].as_str().unwrap());
    let why = Some(json!({ "reason": "it is not wanted" }));
    let (status, answer) = stage.admin(&ops, Method::POST, &path, why).await;
    assert_eq!((status, &answer["state"]), (200, &json!("cancelled")));

    // No caller fills the list.
    assert_eq!((ask("one").await, ask("two").await), (409, 409));
    assert_eq!(ask("three").await, 429);
    assert_eq!(ask("one").await, 409, "equal requests are one");
    assert_eq!(stage.forwarded(), 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_speak_for_people_within_their_bounds() {
    let stage = scene()
        .more("[approvals]\nbreak_glass = [\"oncall\"]\n")
        .set()
        .await;
    let token = stage.token();
    let ana = stage.person("ana", &["leads"]);
    let oncall = stage.person("otto", &["oncall"]);
    let wish = |kind: &str, minutes: u64| {
        json!({
            "kind": kind, "identity": "ci/repo:acme/payments", "connection": "claude",
            "rules": ["look-first"], "group": "leads", "minutes": minutes,
            "reason": "the release of today",
        })
    };
    let grant =
        async |who: &str, wish: Value| stage.admin(who, Method::POST, "/grants", Some(wish)).await;
    let with = |mut wish: Value, name: &str, value: Value| {
        wish[name] = value;
        wish
    };
    let good = || wish("standing", 240);
    for (what, who, wish, expected) in [
        ("longer than four hours", &ana, wish("standing", 241), 403),
        ("no time at all", &ana, wish("standing", 0), 403),
        (
            "for everything",
            &ana,
            with(good(), "rules", json!([])),
            403,
        ),
        ("by somebody else", &oncall, good(), 403),
        ("by an agent", &token, good(), 403),
        (
            "without a reason",
            &ana,
            with(good(), "reason", json!(" ")),
            403,
        ),
        (
            "for oneself",
            &ana,
            with(good(), "identity", json!("corp/ana")),
            403,
        ),
        (
            "a glass that is not hers",
            &ana,
            wish("break_glass", 10),
            403,
        ),
        ("a glass for long", &oncall, wish("break_glass", 16), 403),
        (
            "an unknown word",
            &ana,
            with(good(), "forever", json!(true)),
            400,
        ),
    ] {
        let (status, answer) = grant(who, wish).await;
        assert_eq!(status, expected, "{what}: {answer}");
    }
    assert_eq!(
        stage.ask(&token, &prompt("one")).await.0,
        409,
        "none was made"
    );

    let (status, made) = grant(&ana, good()).await;
    assert_eq!((status, &made["state"]), (200, &json!("active")), "{made}");
    for text in ["one", "two"] {
        assert_eq!(stage.ask(&token, &prompt(text)).await.0, 200);
    }
    let other = stage.issuer.token("repo:acme/other").groups(["developers"]);
    let (status, _) = stage.ask(&other.sign().unwrap(), &prompt("one")).await;
    assert_eq!(status, 409, "it is for one caller");
    let stage = stage.restart().await;
    assert_eq!(stage.ask(&token, &prompt("three")).await.0, 200);
    let path =
        |grant: &Value, step: &str| format!("/grants/{}/{step}", grant["id"].as_str().unwrap());
    let why = || Some(json!({ "reason": "it is out" }));
    let (status, _) = stage
        .admin(&ana, Method::POST, &path(&made, "revoke"), why())
        .await;
    assert_eq!(status, 200);
    assert_eq!(stage.ask(&token, &prompt("four")).await.0, 409);

    let (status, glass) = stage
        .admin(
            &oncall,
            Method::POST,
            "/grants",
            Some(wish("break_glass", 15)),
        )
        .await;
    assert_eq!((status, &glass["review"]), (200, &json!("open")), "{glass}");
    assert_eq!(stage.ask(&token, &prompt("five")).await.0, 200);
    let review = path(&glass, "review");
    let (status, _) = stage.admin(&oncall, Method::POST, &review, why()).await;
    assert_eq!(status, 403, "not by whoever broke it");
    let second = stage.person("omar", &["oncall"]);
    let (status, closed) = stage.admin(&second, Method::POST, &review, why()).await;
    assert_eq!(
        (status, &closed["review"]),
        (200, &json!("none")),
        "{closed}"
    );
    assert_eq!(stage.forwarded(), 4);

    let records = stage.end().await;
    for (event, count) in [
        ("grant.granted", 2),
        ("grant.grant_used", 4),
        ("grant.revoked", 1),
        ("grant.reviewed", 1),
    ] {
        assert_eq!(records.events(event).len(), count, "{event}");
    }
    let passed = (records.of("claude").into_iter()).filter(|record| record["status"] == 200);
    let by: Vec<&Value> = passed
        .map(|record| &record["decision"]["approval"])
        .collect();
    assert_eq!(by, [&made["id"], &made["id"], &made["id"], &glass["id"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_that_cannot_be_recorded() {
    let stage = scene().set().await;
    let token = stage.token();
    assert_eq!(stage.ask(&token, &prompt("one")).await.0, 409);
    let pending = stage.approvals("pending", 1).await.remove(0);
    let ana = stage.person("ana", &["leads"]);
    let locked = stage.lock_journal();
    let (status, answer) = stage.vote(&ana, &pending, "approve").await;
    assert_eq!(status, 503, "{answer}");
    // Nor is anything asked for.
    let (status, answer) = stage.ask(&token, &prompt("two")).await;
    assert_eq!(status, 503, "{answer}");
    assert_eq!(stage.forwarded(), 0);
    drop(locked);
    until("writes again, or none for good", async || {
        use tollbook_recording::Health;
        !matches!(stage.gateway.recorder().health(), Health::Stalled)
    })
    .await;
    let (stage, _) = stage.restart_after(|config| config).await;
    let after = stage.approvals("pending", 1).await;
    assert_eq!(after[0]["id"], pending["id"]);
    assert_eq!(after[0]["votes"], json!([]));
    assert_eq!(stage.ask(&token, &prompt("one")).await.0, 409);
    let (status, _) = stage.vote(&ana, &pending, "approve").await;
    assert_eq!(status, 200);
    assert_eq!(stage.ask(&token, &prompt("one")).await.0, 200);
    let records = stage.end().await;
    let happened = |name: &str| {
        let mut events = records.events(name);
        // What was written too late says of itself that it did not happen.
        events.retain(|event| event["refusal"]["code"] != "not_recordable");
        events.len()
    };
    assert_eq!(happened("approval.asked"), 1);
    assert_eq!(happened("approval.approved"), 1);
}
