//! What a request's last user message says, and how it steers the answer.

use serde_json::{Value, value::Index};

/// How much of a text is echoed.
const ECHO: usize = 4 << 10;

/// The most that `[[long:N]]` gives, in KiB.
const LONGEST: usize = 16 << 10;

/// What to answer, as read from a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Prompt {
    /// The text to send back.
    pub(super) echo: String,
    /// Calls to make: a tool's name and its input as JSON text.
    pub(super) calls: Vec<(String, String)>,
    /// The error to answer with.
    pub(super) status: Option<u16>,
    pub(super) thinking: bool,
    pub(super) refusal: bool,
    pub(super) error: bool,
    pub(super) cut: bool,
    pub(super) slow: bool,
    pub(super) gzip: bool,
    long: Option<usize>,
}

impl Prompt {
    /// Reads the last user message of a request.
    pub(super) fn of(request: &Value) -> Self {
        let mut prompt = Self::default();
        let content = list(request, "messages")
            .iter()
            .rfind(|message| message["role"] == "user")
            .map_or(&Value::Null, |message| &message["content"]);
        let blocks = content.as_array().map_or(&[][..], Vec::as_slice);
        let texts: Vec<&str> = match content {
            Value::String(text) => vec![text],
            _ => blocks
                .iter()
                .filter_map(|block| text_of(block, "text"))
                .collect(),
        };
        for text in texts {
            let text = prompt.steer(&without_reminders(text));
            if !text.trim().is_empty() {
                text.trim().clone_into(&mut prompt.echo);
            }
        }
        let result = blocks.iter().rfind(|block| block["type"] == "tool_result");
        if let Some(result) = result {
            // The call has been made; to make it again would never end.
            prompt.calls.clear();
            prompt.echo = format!("The tool answered: {}", result_text(&result["content"]));
        }
        let tools = list(request, "tools");
        prompt
            .calls
            .retain(|(name, _)| tools.iter().any(|tool| tool["name"] == name.as_str()));
        prompt.fit();
        prompt
    }

    /// Takes the steering words out of a text.
    fn steer(&mut self, mut text: &str) -> String {
        let mut kept = String::new();
        while let Some((before, from)) = text.split_once("[[") {
            kept += before;
            text = match self.word(from) {
                Some(rest) => rest,
                None => {
                    kept += "[[";
                    from
                }
            };
        }
        kept + text
    }

    /// Takes the word that `text` begins with. What follows it, unless it is no word.
    fn word<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        if let Some(call) = text.strip_prefix("tool:") {
            return self.call(call);
        }
        let (word, rest) = text.split_once("]]")?;
        match word {
            "thinking" => self.thinking = true,
            "refusal" => self.refusal = true,
            "error" => self.error = true,
            "cut" => self.cut = true,
            "slow" => self.slow = true,
            "gzip" => self.gzip = true,
            _ => match word.strip_prefix("long:") {
                Some(size) => self.long = Some(size.parse::<usize>().ok()?.min(LONGEST)),
                None => {
                    let status = word.parse().ok()?;
                    self.status = Some(status).filter(|status| (400..600).contains(status));
                    self.status?;
                }
            },
        }
        Some(rest)
    }

    /// Takes `NAME {json}]]`. The JSON ends where its value does, as it may hold brackets itself.
    fn call<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')?;
        let (name, rest) = text.split_at(end);
        let rest = rest.trim_start();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let (input, rest) = match rest.strip_prefix("]]") {
            Some(rest) => ("{}", rest),
            None => {
                values.next()?.ok().filter(Value::is_object)?;
                let (input, rest) = rest.split_at_checked(values.byte_offset())?;
                (input, rest.trim_start().strip_prefix("]]")?)
            }
        };
        if name.is_empty() {
            return None;
        }
        self.calls.push((name.to_owned(), input.to_owned()));
        Some(rest)
    }

    /// Brings the echo to its length.
    fn fit(&mut self) {
        if self.echo.is_empty() && self.calls.is_empty() {
            "OK.".clone_into(&mut self.echo);
        }
        let end = match self.long {
            Some(size) => {
                let bytes = size << 10;
                self.echo.push(' ');
                self.echo = self.echo.repeat(bytes.div_ceil(self.echo.len()));
                bytes
            }
            None => ECHO,
        };
        self.echo.truncate(self.echo.floor_char_boundary(end));
    }
}

/// A list inside of a value, or an empty one.
fn list(value: &Value, name: impl Index) -> &[Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The text of a block of this type.
fn text_of<'v>(block: &'v Value, kind: &str) -> Option<&'v str> {
    block["text"].as_str().filter(|_| block["type"] == kind)
}

/// The text of a tool's result.
fn result_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks
                .iter()
                .filter_map(|block| text_of(block, "text"))
                .collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

/// A text without what a client put in for the model alone.
fn without_reminders(mut text: &str) -> String {
    let mut kept = String::new();
    while let Some((before, from)) = text.split_once("<system-reminder>") {
        kept += before;
        text = from
            .split_once("</system-reminder>")
            .map_or("", |(_, rest)| rest);
    }
    kept + text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of_text(text: &str) -> Prompt {
        Prompt::of(&json!({
            "messages": [{"role":"user","content":text}],
            "tools": [{"name":"Bash"}, {"name":"Read"}],
        }))
    }

    #[test]
    fn words_steer_and_are_not_echoed() {
        let prompt = of_text("[[thinking]] say [[gzip]][[slow]]hi [[529]]");
        assert!(prompt.thinking && prompt.gzip && prompt.slow && !prompt.cut);
        assert_eq!((prompt.echo.as_str(), prompt.status), ("say hi", Some(529)));
    }

    #[test]
    fn what_is_no_word_is_text() {
        for text in [
            "[[",
            "[[]]",
            "a [[b]] c",
            "[[200]]",
            "[[tool:]]",
            "[[tool:Bash {]]",
            "[[long:x]]",
            "[[tool:Bash [1]]]",
        ] {
            let prompt = of_text(text);
            assert_eq!(
                prompt,
                Prompt {
                    echo: text.to_owned(),
                    ..Prompt::default()
                }
            );
        }
    }

    #[test]
    fn a_call_may_hold_brackets_and_needs_its_tool() {
        let prompt = of_text(
            "run [[tool:Bash {\"command\":\"[[ -n x ]] && echo ]]\"}]][[tool:Read]][[tool:Nope {}]]",
        );
        let calls = [
            (
                "Bash".to_owned(),
                "{\"command\":\"[[ -n x ]] && echo ]]\"}".to_owned(),
            ),
            ("Read".to_owned(), "{}".to_owned()),
        ];
        assert_eq!(prompt.calls, calls);
        assert_eq!(prompt.echo, "run");
    }

    #[test]
    fn only_the_last_text_of_the_last_user_message_counts() {
        let prompt = Prompt::of(&json!({"messages": [
            {"role":"user","content":"[[529]] old"},
            {"role":"assistant","content":"[[529]]"},
            {"role":"user","content":[
                {"type":"text","text":"<system-reminder>[[529]]</system-reminder>"},
                {"type":"text","text":"context [[cut]]"},
                {"type":"image","source":{}},
                {"type":"text","text":"a<system-reminder>[[500]]</system-reminder>b"},
                {"type":"text","text":"<system-reminder>never closed [[500]]"}]},
            {"role":"system","content":"[[529]]"}]}));
        assert_eq!(
            (prompt.echo.as_str(), prompt.status, prompt.cut),
            ("ab", None, true)
        );
    }

    #[test]
    fn a_tools_result_is_answered_with_text() {
        for content in [
            json!("done"),
            json!([{"type":"text","text":"done"},{"type":"image"}]),
        ] {
            let prompt = Prompt::of(&json!({
                "tools": [{"name":"Bash"}],
                "messages": [{"role":"user","content":[
                    {"type":"tool_result","tool_use_id":"t","content":content},
                    {"type":"text","text":"[[tool:Bash {}]]"}]}]}));
            assert_eq!(prompt.echo, "The tool answered: done");
            assert!(prompt.calls.is_empty());
        }
    }

    #[test]
    fn an_echo_has_its_length() {
        assert_eq!(of_text("").echo, "OK.");
        assert_eq!(of_text("[[long:8]]x").echo.len(), 8192);
        assert!(of_text("[[long:99999999]]\u{e9}").echo.len() <= LONGEST << 10);
        let cut = of_text(&format!("x{}", "\u{e9}".repeat(4000))).echo;
        assert!(cut.ends_with('\u{e9}') && cut.len() == ECHO - 1);
    }

    #[test]
    fn odd_requests_are_answered_too() {
        for request in [
            json!(null),
            json!([]),
            json!({"messages":7}),
            json!({"messages":[7]}),
            json!({"messages":[{"role":"user"}],"tools":{"a":1}}),
            json!({"messages":[{"role":"user","content":[7,{"type":"text","text":1}]}]}),
        ] {
            assert_eq!(Prompt::of(&request).echo, "OK.");
        }
    }
}
