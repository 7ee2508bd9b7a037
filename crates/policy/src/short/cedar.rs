//! From what a rule says to Cedar's text.

use crate::{
    names::Names,
    short::read::{Lined, ShortRule},
    source::Source,
};

/// The actions whose requests name models.
const WITH_MODELS: [&str; 2] = ["messages", "batches.create"];
/// The actions whose requests name the most tokens an answer may have.
const WITH_TOKENS: [&str; 2] = ["messages.create", "batches.create"];
/// The actions whose requests name tools.
const WITH_TOOLS: [&str; 3] = ["messages", "batches.create", "tools"];

/// Cedar text, and which line of the short form each piece of it stands for.
#[derive(Default)]
pub(super) struct Writer {
    text: String,
    made_of: Vec<(usize, usize)>,
}

impl Writer {
    pub(super) fn into_source(self, name: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: self.text,
            made_of: self.made_of,
        }
    }

    /// Writes the policies that `rule` stands for.
    pub(super) fn rule(&mut self, rule: &ShortRule, names: &Names) {
        let reason = rule.notes.reason.as_deref();
        if rule.permit {
            self.begin(rule, "", &[]);
            self.scope("permit", rule, names);
            self.limits(rule, names);
            self.end();
        }
        if let Some(approval) = &rule.approval {
            let reason = ("reason", reason.unwrap_or("needs approval"));
            self.begin(rule, ".approval", &[reason, ("approval", &approval.value)]);
            self.scope("forbid", rule, names);
            self.limits(rule, names);
            self.end();
        }
        let denials = [
            ("tools", "a tool is not permitted", &rule.denials.tools),
            (
                "labels",
                "the request is of a kind that is not permitted",
                &rule.denials.labels,
            ),
            (
                "findings",
                "the request holds what must not leave",
                &rule.denials.findings,
            ),
        ];
        for (list, why, patterns) in denials {
            if let Some(patterns) = patterns {
                let reason = ("reason", reason.unwrap_or(why));
                self.begin(rule, &format!(".{list}"), &[reason]);
                self.scope("forbid", rule, names);
                let condition = matched("some", list, &patterns.value);
                self.when(patterns.line, &condition);
                self.end();
            }
        }
    }

    /// The annotations.
    fn begin(&mut self, rule: &ShortRule, of: &str, annotations: &[(&str, &str)]) {
        self.push(
            rule.line,
            &format!("@id({})\n", quoted(&format!("{}{of}", rule.id))),
        );
        let notes = [("expires", &rule.notes.expires), ("mode", &rule.notes.mode)];
        let notes = notes
            .iter()
            .filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        for (name, value) in annotations.iter().copied().chain(notes) {
            self.push(rule.line, &format!("@{name}({})\n", quoted(value)));
        }
    }

    /// The scope, and behind it what a scope has no room for.
    fn scope(&mut self, effect: &str, rule: &ShortRule, names: &Names) {
        let groups: Vec<String> = rule
            .groups
            .value
            .iter()
            .map(|name| names.group(name).to_string())
            .collect();
        let of = |names: &[String], of: &dyn Fn(&str) -> String| -> Vec<String> {
            names.iter().map(|name| of(name)).collect()
        };
        let actions = rule.actions.as_ref().map(|actions| Lined {
            value: of(&actions.value, &|name| names.action(name).to_string()),
            line: actions.line,
        });
        let connections = rule.connections.as_ref().map(|connections| Lined {
            value: of(&connections.value, &|name| {
                names.connection(name).to_string()
            }),
            line: connections.line,
        });
        self.push(rule.line, &format!("{effect} (\n"));
        let line = rule.groups.line;
        match groups.as_slice() {
            [group] => self.push(line, &format!("  principal in {group},\n")),
            _ => self.push(line, "  principal,\n"),
        }
        match &actions {
            Some(actions) => {
                let text = format!("  action in [{}],\n", actions.value.join(", "));
                self.push(actions.line, &text);
            }
            None => self.push(rule.line, "  action,\n"),
        }
        match connections
            .as_ref()
            .map(|all| (all.line, all.value.as_slice()))
        {
            Some((line, [one])) => self.push(line, &format!("  resource == {one}\n)\n")),
            _ => self.push(rule.line, "  resource\n)\n"),
        }
        if groups.len() > 1 {
            self.when(line, &format!("principal in [{}]", groups.join(", ")));
        }
        if let Some(connections) = connections.filter(|all| all.value.len() > 1) {
            let condition = format!("resource in [{}]", connections.value.join(", "));
            self.when(connections.line, &condition);
        }
    }

    fn limits(&mut self, rule: &ShortRule, names: &Names) {
        let unless = |actions: &[&str]| {
            let actions: Vec<String> = (actions.iter())
                .map(|name| names.action(name).to_string())
                .collect();
            format!("!(action in [{}])", actions.join(", "))
        };
        let limits = &rule.limits;
        if let Some(models) = &limits.models {
            let matched = matched("every", "models", &models.value);
            self.when(
                models.line,
                &format!("{} || {matched}", unless(&WITH_MODELS)),
            );
        }
        if let Some(tools) = &limits.tools {
            let matched = matched("every", "tools", &tools.value);
            self.when(tools.line, &format!("{} || {matched}", unless(&WITH_TOOLS)));
        }
        if let Some(most) = &limits.max_tokens {
            let within = format!(
                "(context has max_tokens && context.max_tokens <= {})",
                most.value
            );
            self.when(most.line, &format!("{} || {within}", unless(&WITH_TOKENS)));
        }
        if let Some(window) = &limits.window {
            let open = format!("context.windows.contains({})", quoted(&window.value));
            self.when(window.line, &open);
        }
    }

    fn when(&mut self, line: usize, condition: &str) {
        self.push(line, &format!("when {{ {condition} }}\n"));
    }

    fn end(&mut self) {
        // Without the line break before it: a policy ends with its last condition.
        self.text.truncate(self.text.trim_end().len());
        self.text.push_str(";\n\n");
    }

    fn push(&mut self, line: usize, text: &str) {
        self.made_of.push((self.text.len(), line));
        self.text.push_str(text);
    }
}

fn matched(how: &str, list: &str, patterns: &[String]) -> String {
    let literal = format!("{list}: {}", patterns.join(" "));
    format!("context.{how}.contains({})", quoted(&literal))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}
