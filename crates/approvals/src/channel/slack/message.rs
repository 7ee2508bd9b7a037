//! An event as a message of Slack's [Block Kit](https://docs.slack.dev/reference/block-kit).
//!
//! Everything that anybody else wrote stands in objects of the kind `plain_text`, which know no
//! formatting, with control characters shown and `&`, `<` and `>` as entities: nothing in it can
//! mention, link or look like a word of the gateway's.

use serde_json::{Value, json};
use tollbook_exchange::Timestamp;

use crate::{Event, EventKind, Grant, Subject, View, channel::inert::Renderer};

/// The message about an event, if it is one that people are told of. `button` is the value of the
/// buttons, where there are to be any.
pub(super) fn message(event: &Event, now: Timestamp, button: Option<&str>) -> Option<Value> {
    if !is_told(event) {
        return None;
    }
    let blocks = match &event.subject {
        Subject::Approval(approval) if is_question(event.kind) => {
            asked(&approval.view(), now, button)
        }
        Subject::Approval(approval) => vec![section(&told(event, &approval.view()))],
        Subject::Grant(grant) => vec![section(&granted(event, grant))],
    };
    Some(json!({
        // What notifications show; without formatting as well.
        "text": summary(event),
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    }))
}

/// Whether people are told of an event. That an approval was used is for the book.
pub(super) const fn is_told(event: &Event) -> bool {
    match event.kind {
        EventKind::Asked
        | EventKind::StillPending
        | EventKind::Voted
        | EventKind::Approved
        | EventKind::Denied
        | EventKind::Expired
        | EventKind::Cancelled
        | EventKind::Granted
        | EventKind::Revoked
        | EventKind::Reviewed => true,
        EventKind::GrantUsed => event.is_loud(),
        EventKind::Consumed | EventKind::Lapsed | EventKind::Superseded => false,
    }
}

/// Whether an event asks people to decide.
pub(super) const fn is_question(kind: EventKind) -> bool {
    matches!(kind, EventKind::Asked | EventKind::StillPending)
}

/// Action ids of the two buttons.
pub(super) const APPROVE: &str = "tollbook_approve";
pub(super) const DENY: &str = "tollbook_deny";

/// Slack takes 3,000 characters in a section and 150 in a header.
const SECTION: usize = 2_900;
const HEADER: usize = 150;
const VALUE: usize = 400;

fn asked(view: &View, now: Timestamp, button: Option<&str>) -> Vec<Value> {
    let title = format!("Approval needed: {} on {}", view.action, view.connection);
    let mut blocks = vec![
        json!({"type": "header", "text": plain(&line(&title, HEADER))}),
        section(&who(view)),
        section(&why(view)),
        section(&facts(view)),
        section(&format!(
            "Request:\n{}",
            block(&view.excerpt.head, SECTION - 16)
        )),
    ];
    if view.excerpt.omitted > 0 {
        let omitted = view.excerpt.omitted;
        blocks.push(section(&format!(
            "… {omitted} bytes not shown here …\n{}",
            block(&view.excerpt.tail, SECTION - 64)
        )));
    }
    let left = view.seconds_left(now);
    blocks.push(context(&format!(
        "{} · hash {} · ends in {} min {} s, at {}",
        view.id,
        view.hash,
        left / 60,
        left % 60,
        view.expires
    )));
    blocks.push(context(&format!(
        "tollbook approvals show {0}\ntollbook approvals approve {0} --hash {1}",
        view.id, view.hash
    )));
    if let Some(value) = button {
        blocks.push(json!({
            "type": "actions",
            "elements": [
                {
                    "type": "button", "style": "primary", "action_id": APPROVE, "value": value,
                    "text": plain("Approve"),
                    "confirm": {
                        "title": plain("Approve this request?"),
                        "text": plain(&format!("What was shown has the hash {}. It may run once.", view.hash)),
                        "confirm": plain("Approve"),
                        "deny": plain("Back"),
                    },
                },
                {
                    "type": "button", "style": "danger", "action_id": DENY, "value": value,
                    "text": plain("Deny"),
                },
            ],
        }));
    }
    blocks
}

fn who(view: &View) -> String {
    let mut lines = vec![format!("Who: {}", line(&view.requester, VALUE))];
    for (name, value) in &view.who {
        lines.push(format!("  {}: {}", line(name, VALUE), line(value, VALUE)));
    }
    within(&lines)
}

fn why(view: &View) -> String {
    let mut lines = vec![format!("Rule: {}", line(&view.rules.join(", "), VALUE))];
    if let Some(reason) = &view.reason {
        lines.push(format!("Reason: {}", line(reason, VALUE)));
    }
    for requirement in &view.requires {
        lines.push(format!(
            "Needs: {} of {} (rule {})",
            requirement.people,
            line(&requirement.group, VALUE),
            line(&requirement.rule, VALUE)
        ));
    }
    let labels: Vec<&str> = view.labels.iter().map(String::as_str).collect();
    lines.push(format!(
        "Risk: {} of 100 ({})",
        view.risk,
        line(&labels.join(", "), VALUE)
    ));
    within(&lines)
}

fn facts(view: &View) -> String {
    let mut lines = vec!["What:".to_owned()];
    for (name, value) in &view.facts {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        lines.push(format!("  {}: {}", line(name, VALUE), line(&value, VALUE)));
    }
    within(&lines)
}

fn granted(event: &Event, grant: &Grant) -> String {
    let kind = name(grant);
    let set = |names: &std::collections::BTreeSet<String>| match names.is_empty() {
        true => "all".to_owned(),
        false => line(&names.iter().cloned().collect::<Vec<_>>().join(", "), VALUE),
    };
    let lines = [
        format!("{kind}: {}", event.kind.as_str()),
        format!("  by: {}", line(grant.person.as_str(), VALUE)),
        format!("  reason: {}", line(&grant.reason, VALUE)),
        format!("  for: {}", line(&grant.scope.identity, VALUE)),
        format!("  on: {}", line(&grant.scope.connection, VALUE)),
        format!(
            "  rules: {}; actions: {}",
            set(&grant.scope.rules),
            set(&grant.scope.actions)
        ),
        format!("  until: {}", grant.until),
        format!("  id: {}", grant.id),
    ];
    within(&lines)
}

const fn name(grant: &Grant) -> &'static str {
    if grant.is_break_glass() {
        "BREAK GLASS"
    } else {
        "Grant"
    }
}

/// One line about a step of an approval.
fn told(event: &Event, view: &View) -> String {
    let by = event
        .by
        .as_ref()
        .map(|by| format!(" by {}", line(by.as_str(), VALUE)));
    let why = view
        .denied_by
        .as_ref()
        .and_then(|(_, reason)| reason.as_ref())
        .map(|reason| format!(": {}", line(reason, VALUE)));
    format!(
        "{}{}: {} on {} ({}){}",
        event.kind.as_str(),
        by.unwrap_or_default(),
        line(&view.action, VALUE),
        line(&view.connection, VALUE),
        view.id,
        why.unwrap_or_default()
    )
}

fn summary(event: &Event) -> String {
    match &event.subject {
        Subject::Approval(approval) => format!(
            "{}: {} on {} ({})",
            match event.kind {
                kind if is_question(kind) => "Approval needed",
                kind => kind.as_str(),
            },
            line(&approval.action, HEADER),
            line(&approval.connection, HEADER),
            approval.id
        ),
        Subject::Grant(grant) => format!("{}: {} ({})", name(grant), event.kind.as_str(), grant.id),
    }
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": plain(text)})
}

fn context(text: &str) -> Value {
    json!({"type": "context", "elements": [plain(text)]})
}

/// A text without formatting; `:name:` stays what it is.
fn plain(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": false})
}

pub(super) fn line(text: &str, max: usize) -> String {
    let renderer = Renderer {
        max,
        lines: false,
        entities: true,
    };
    renderer.render(text)
}

fn block(text: &str, max: usize) -> String {
    let renderer = Renderer {
        max,
        lines: true,
        entities: true,
    };
    // Slack takes no empty text.
    match renderer.render(text) {
        text if text.trim().is_empty() => "(empty)".to_owned(),
        text => text,
    }
}

/// As many of the lines, which are rendered already, as fit into a section.
fn within(lines: &[String]) -> String {
    let mut text = String::new();
    let mut room = SECTION - 32;
    for (index, line) in lines.iter().enumerate() {
        let length = line.chars().count() + 1;
        if length > room {
            text.push_str(&format!("… [{} more lines]", lines.len() - index));
            return text;
        }
        room -= length;
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::sample;

    fn texts(value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(object) => {
                if let (Some(Value::String(kind)), Some(Value::String(text))) =
                    (object.get("type"), object.get("text"))
                {
                    found.push((kind.clone(), text.clone()));
                }
                object.values().for_each(|value| texts(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| texts(value, found)),
            _ => {}
        }
    }

    /// What approvers read, line by line: a change here changes what they decide on.
    #[test]
    fn hostile_text_is_inert_in_every_part() {
        let message = message(&sample::asked(), sample::NOW, Some("value")).unwrap();
        let mut found = Vec::new();
        texts(&message, &mut found);
        assert!(
            found.iter().all(|(kind, _)| kind == "plain_text"),
            "{found:?}"
        );
        let shown: Vec<&str> = found.iter().flat_map(|(_, text)| text.lines()).collect();
        assert_eq!(
            shown,
            [
                "Approval needed: messages.create on claude",
                "Who: ci/repo:acme/pay&lt;!channel&gt;",
                "  kind: ci",
                "  issuer: ci",
                "  subject: repo:acme/pay&lt;!channel&gt;",
                "  environment: prod\\nrule: none",
                "Rule: prod-shell",
                "Reason: shell &lt;on&gt; production",
                "Needs: 2 of leads (rule prod-shell)",
                "Risk: 80 of 100 (destructive_shell)",
                "What:",
                "  model: claude-&lt;b&gt;",
                "  tools: [\"Bash\\u{202e}\"]",
                "  stream: true",
                "Request:",
                "ignore *this* &lt;https://evil.example|click&gt;\\u{202e}\\u{200b}\\u{1b}[2J &amp;amp; @channel",
                "apr_0123456789abcdef0123456789abcdef · hash 0a1b2c3d · ends in 15 min 0 s, at 2025-11-21T20:55:00.000000Z",
                "tollbook approvals show apr_0123456789abcdef0123456789abcdef",
                "tollbook approvals approve apr_0123456789abcdef0123456789abcdef --hash 0a1b2c3d",
                "Approve",
                "Approve this request?",
                "What was shown has the hash 0a1b2c3d. It may run once.",
                "Approve",
                "Back",
                "Deny",
            ]
        );
        for (name, value) in [
            ("unfurl_links", false),
            ("unfurl_media", false),
            ("link_names", false),
            ("mrkdwn", false),
        ] {
            assert_eq!(message[name], value, "{name}");
        }
        let all = message.to_string();
        assert!(!all.contains("canary") && !all.contains("<!"), "{all}");
    }

    #[test]
    fn however_much_there_is_to_show_it_fits() {
        let mut approval = sample::approval();
        approval.excerpt.head = "<".repeat(1 << 20);
        approval.excerpt.omitted = 77;
        approval.excerpt.tail = "\u{202e}".repeat(1 << 20);
        approval.reason = Some("&".repeat(1 << 20));
        approval.rules = vec!["r".repeat(1 << 20); 3];
        approval.action = "a".repeat(1 << 20);
        for number in 0..1_000 {
            approval
                .facts
                .insert(format!("fact {number}"), json!("x".repeat(10_000)));
        }
        let event = sample::event(EventKind::Asked, Subject::Approval(Box::new(approval)));
        let message = message(&event, sample::NOW, None).unwrap();
        let mut found = Vec::new();
        texts(&message, &mut found);
        for (_, text) in &found {
            assert!(
                (1..=3_000).contains(&text.chars().count()),
                "{}",
                text.chars().count()
            );
        }
        assert!(found[0].1.chars().count() <= HEADER);
        assert!(message["text"].as_str().unwrap().len() < 1_000);
        assert!(message.to_string().len() < 40_000);
        assert!(message.to_string().contains("77 bytes not shown here"));
        assert!(message.to_string().contains("more lines]"));
        // Without buttons there is none.
        assert!(!message.to_string().contains("actions"));
    }

    #[test]
    fn people_are_told_of_the_end_and_of_broken_glass() {
        let text = |event: &Event| {
            let message = message(event, sample::NOW, Some("value"))?;
            assert!(!message.to_string().contains("\"actions\""));
            Some(message["blocks"][0]["text"]["text"].as_str()?.to_owned())
        };
        assert_eq!(
            text(&sample::denied()).unwrap(),
            "denied by person:ann: messages.create on claude \
             (apr_0123456789abcdef0123456789abcdef): not &lt;!here&gt; on a Friday"
        );
        let glass = text(&sample::broken_glass()).unwrap();
        assert!(
            glass.starts_with("BREAK GLASS: granted\n  by: person:ann\n"),
            "{glass}"
        );
        assert!(glass.contains("site is down &lt;!channel&gt;"), "{glass}");
        for kind in [
            EventKind::Consumed,
            EventKind::Lapsed,
            EventKind::Superseded,
        ] {
            let subject = Subject::Approval(Box::new(sample::approval()));
            assert_eq!(text(&sample::event(kind, subject)), None);
        }
    }
}
