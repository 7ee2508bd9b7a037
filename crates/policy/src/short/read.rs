//! From a `[[rule]]` to what it says.

use crate::{
    document::{Notes, Placed, Section},
    short::{Allowed, meant},
    vocabulary::Vocabulary,
    window::Window,
};

/// A rule of the short form. Lists hold what they were written with; lines count from 1.
pub(super) struct ShortRule {
    pub(super) id: String,
    pub(super) line: usize,
    /// Everyone, where there are none; then it permits nothing.
    pub(super) groups: Lined<Vec<String>>,
    pub(super) connections: Option<Lined<Vec<String>>>,
    pub(super) actions: Option<Lined<Vec<String>>>,
    pub(super) permit: bool,
    pub(super) limits: Limits,
    pub(super) denials: Denials,
    pub(super) approval: Option<Lined<String>>,
    pub(super) notes: Annotated,
}

/// A value and the line it stands in.
pub(super) struct Lined<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// What a request must keep to for the rule to cover it.
#[derive(Default)]
pub(super) struct Limits {
    pub(super) models: Option<Lined<Vec<String>>>,
    pub(super) tools: Option<Lined<Vec<String>>>,
    pub(super) max_tokens: Option<Lined<i64>>,
    pub(super) window: Option<Lined<String>>,
}

/// What is forbidden to the rule's callers, whatever permits it.
#[derive(Default)]
pub(super) struct Denials {
    pub(super) tools: Option<Lined<Vec<String>>>,
    pub(super) labels: Option<Lined<Vec<String>>>,
    pub(super) findings: Option<Lined<Vec<String>>>,
}

/// What goes on with every policy that the rule is made into.
#[derive(Default)]
pub(super) struct Annotated {
    pub(super) reason: Option<String>,
    pub(super) expires: Option<String>,
    pub(super) mode: Option<String>,
}

impl Limits {
    /// The first limit there is.
    fn first(&self) -> Option<(&'static str, usize)> {
        let lists = [("models", &self.models), ("tools.allow", &self.tools)];
        let lists = lists
            .into_iter()
            .filter_map(|(name, list)| Some((name, list.as_ref()?.line)));
        let tokens = self.max_tokens.iter().map(|it| ("max_tokens", it.line));
        let window = self.window.iter().map(|it| ("hours", it.line));
        lists.chain(tokens).chain(window).next()
    }
}

impl Denials {
    const fn is_empty(&self) -> bool {
        self.tools.is_none() && self.labels.is_none() && self.findings.is_none()
    }
}

/// Reads one rule, if it has what every rule needs.
pub(super) fn rule(
    section: Section<'_>,
    notes: &Notes<'_>,
    allowed: &Allowed<'_>,
    vocabulary: &Vocabulary,
) -> Option<ShortRule> {
    let read = Reader { section, notes };
    let id = read.section.required("id");
    let groups = read.list("groups");
    let connections = read.list("connections");
    let actions = read.list("actions");
    let tools = read.section.section("tools");
    let (allow, deny) = tools.map_or((None, None), |section| {
        let read = Reader { section, notes };
        let tools = (read.patterns("allow"), read.patterns("deny"));
        read.section.finish();
        tools
    });
    let limits = Limits {
        models: read.patterns("models"),
        tools: allow,
        max_tokens: read.max_tokens(),
        window: read.window(allowed.zone),
    };
    let denials = Denials {
        tools: deny,
        labels: read.patterns("labels_deny"),
        findings: read.patterns("findings_deny"),
    };
    let text = |key| read.section.text(key).map(|text| text.value);
    let annotated = Annotated {
        reason: text("reason"),
        expires: text("expires"),
        mode: text("mode"),
    };
    let approval = read.section.text("approval").map(|text| read.lined(text));
    let permit = read.section.flag("permit");
    for action in actions.iter().flat_map(|actions| &actions.value) {
        if !vocabulary.action_names().any(|known| known == action) {
            let meant = meant(action, vocabulary.action_names());
            read.section
                .wrong(format!("there is no action `{action}`{meant}"));
        }
    }
    let line = notes.line(&read.section.span);
    let rule = ShortRule {
        id: id.map(|id| id.value).unwrap_or_default(),
        line,
        groups: groups.unwrap_or(Lined {
            value: Vec::new(),
            line,
        }),
        connections,
        actions,
        permit: permit.unwrap_or(true),
        limits,
        denials,
        approval,
        notes: annotated,
    };
    rule.check(permit, &read.section, allowed);
    read.section.finish();
    (!rule.id.is_empty()).then_some(rule)
}

impl ShortRule {
    /// Looks for what a rule says without effect, or leaves to a guess.
    fn check(&self, permit: Option<bool>, section: &Section<'_>, allowed: &Allowed<'_>) {
        let limit = self.limits.first();
        if self.groups.value.is_empty() && self.permit {
            section.wrong("`groups` is missing: a rule that permits says whom");
        }
        let only_denies = !self.denials.is_empty() && limit.is_none() && self.approval.is_none();
        if permit.is_none() && only_denies {
            section.wrong(
                "does this rule permit what it does not deny? write `permit = true` or `permit = false`",
            );
        }
        if !self.permit && self.denials.is_empty() && self.approval.is_none() {
            section.wrong("the rule permits nothing and denies nothing");
        }
        let Some((name, _)) = limit.filter(|_| self.approval.is_none()) else {
            return;
        };
        if !self.permit {
            section.wrong(format!("`{name}` limits nothing where `permit = false`"));
        }
        for (connection, groups) in allowed.connections {
            let here = self.connections.as_ref();
            let here = here.is_none_or(|these| these.value.contains(connection));
            let both = groups
                .iter()
                .find(|group| self.groups.value.contains(group));
            if let Some(group) = both.filter(|_| here) {
                section.wrong(format!(
                    "`{name}` limits nothing: connection `{connection}` allows `{group}` everything; \
                     leave the group to one of the two"
                ));
            }
        }
    }
}

struct Reader<'a> {
    section: Section<'a>,
    notes: &'a Notes<'a>,
}

impl Reader<'_> {
    fn lined<T>(&self, placed: Placed<T>) -> Lined<T> {
        Lined {
            line: self.notes.line(&placed.span),
            value: placed.value,
        }
    }

    /// The texts under `key`; an empty list is taken for a mistake.
    fn list(&self, key: &'static str) -> Option<Lined<Vec<String>>> {
        let span = self.section.value(key)?.span();
        let value = self.section.names(key)?;
        if value.is_empty() {
            self.notes.at(&span, format!("`{key}` is empty"));
            return None;
        }
        Some(self.lined(Placed { value, span }))
    }

    /// The patterns under `key`, which stand in one text with spaces between them.
    fn patterns(&self, key: &'static str) -> Option<Lined<Vec<String>>> {
        for text in self.section.texts(key).unwrap_or_default() {
            if text.value.is_empty() || text.value.contains(char::is_whitespace) {
                let message = format!("`{}` in `{key}` is no name or pattern", text.value);
                self.notes.at(&text.span, message);
            }
        }
        self.list(key)
    }

    fn max_tokens(&self) -> Option<Lined<i64>> {
        let number = self.section.number("max_tokens")?;
        if number.value < 1 {
            self.notes
                .at(&number.span, "`max_tokens` must be at least 1");
        }
        Some(self.lined(number))
    }

    /// The window of `hours = { from, to, days, zone }`, as policies name it.
    fn window(&self, default_zone: &str) -> Option<Lined<String>> {
        let section = self.section.section("hours")?;
        let span = section.span.clone();
        let text = |key| section.text(key).map(|text| text.value);
        let from = text("from").unwrap_or_else(|| "00:00".to_owned());
        let to = text("to").unwrap_or_else(|| "24:00".to_owned());
        let zone = text("zone").unwrap_or_else(|| default_zone.to_owned());
        let days = section.names("days");
        let days = days.map_or_else(|| "daily".to_owned(), |days| days.join(","));
        section.finish();
        let window = format!("{days} {from}-{to} {zone}");
        if let Err(message) = Window::parse(&window) {
            self.notes.at(&span, format!("`hours`: {message}"));
        }
        Some(self.lined(Placed {
            value: window,
            span,
        }))
    }
}
