//! Where values stand.

use super::{
    Encoding,
    form::Value,
    kind::{Class, Kind, Need},
    random::Random,
    secrets::base64,
};

/// A place for a value.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Its name, such as `env`.
    pub name: &'static str,
    /// What stands beside the value in it.
    gives: Need,
    takes: Takes,
    form: &'static str,
}

/// What the value may consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// Whatever it is.
    Anything,
    /// One line.
    Line,
    /// No quotes and no line ends.
    Quoted,
    /// No white space, quotes or separators either.
    Word,
    /// It is written in base64.
    Base64,
    /// It is written with percent signs where an address needs them.
    Percent,
}

/// A text and where the value stands in it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The text.
    pub text: String,
    /// Where its secret part begins and ends.
    pub secret: (usize, usize),
}

impl Context {
    /// All of them.
    pub fn all() -> &'static [Self] {
        ALL
    }

    /// Whether values of this kind, and this one in particular, may stand here.
    pub fn fits(&self, kind: &Kind, value: &Value) -> bool {
        let text = &value.text;
        let quotes = |byte: u8| matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b'<');
        let takes = match self.takes {
            Takes::Anything => true,
            Takes::Line => !text.contains('\n'),
            Takes::Quoted => !text.contains('\n') && !text.bytes().any(quotes),
            Takes::Word => {
                let ends = |byte: u8| quotes(byte) || byte.is_ascii_whitespace();
                let ends = |byte: u8| {
                    ends(byte)
                        || matches!(byte, b';' | b',' | b'&' | b'|' | b'(' | b')' | b'#' | b'$')
                };
                !text.bytes().any(ends) && text.is_ascii()
            }
            // Something within a value has no name there.
            Takes::Base64 => {
                let is_secret = kind.class == Class::Structured;
                is_secret && kind.need == Need::Nothing && value.secret == (0, text.len())
            }
            Takes::Percent => value.secret == (0, text.len()) && text.is_ascii(),
        };
        let header = |text: &str| text.contains(": ");
        takes
            && self.gives >= kind.need
            && !(header(text) && self.gives == Need::Key && self.takes != Takes::Anything)
    }

    /// How the value is written here.
    pub fn encoding(&self) -> Encoding {
        match self.takes {
            Takes::Base64 => Encoding::Base64,
            _ => Encoding::Plain,
        }
    }

    /// Puts a value here. Its key is made of these words.
    pub fn place(&self, words: &str, value: &Value, random: &mut Random) -> Placed {
        let (text, secret) = match self.takes {
            Takes::Base64 => whole(base64(value.text.as_bytes())),
            Takes::Percent => whole(percent(&value.text)),
            _ => (value.text.clone(), value.secret),
        };
        let words: Vec<&str> = words.split([' ', '-']).collect();
        let mut out = String::new();
        let mut at = (0, 0);
        let mut rest = self.form;
        while let Some((before, behind)) = rest.split_once('<') {
            out.push_str(before);
            let (part, behind) = behind.split_once('>').unwrap_or((behind, ""));
            match part {
                "V" => {
                    at = (out.len() + secret.0, out.len() + secret.1);
                    out.push_str(&text);
                }
                "who" => out.push_str(random.pick(&["billing", "search", "checkout", "reports"])),
                "n" => out.push_str(&random.within(2, 97).to_string()),
                "t" => out.push_str(&format!(
                    "2026-0{}-{}T1{}:2{}:3{}.{}Z",
                    random.within(1, 9),
                    random.within(10, 28),
                    random.below(10),
                    random.below(10),
                    random.below(10),
                    random.within(100, 999)
                )),
                style => out.push_str(&written(&words, style)),
            }
            rest = behind;
        }
        out.push_str(rest);
        Placed {
            text: out,
            secret: at,
        }
    }
}

fn whole(text: String) -> (String, (usize, usize)) {
    let length = text.len();
    (text, (0, length))
}

/// A name in one of the styles of names.
fn written(words: &[&str], style: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_uppercase())
    };
    match style {
        "snake" => words.join("_"),
        "SCREAM" => words.join("_").to_uppercase(),
        "kebab" => words.join("-"),
        "dotted" => words.join("."),
        "words" => words.join(" "),
        "Words" => capital(&words.join(" ")),
        "Train" => words
            .iter()
            .map(|word| capital(word))
            .collect::<Vec<_>>()
            .join("-"),
        "Pascal" => words.iter().map(|word| capital(word)).collect(),
        "camel" => {
            let rest = words.iter().skip(1).map(|word| capital(word));
            words
                .first()
                .map(|word| (*word).to_owned())
                .into_iter()
                .chain(rest)
                .collect()
        }
        other => unreachable!("`{other}` is no part of a context"),
    }
}

fn percent(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes()
        .map(|byte| match byte {
            byte if keep(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

const fn context(name: &'static str, gives: Need, takes: Takes, form: &'static str) -> Context {
    Context {
        name,
        gives,
        takes,
        form,
    }
}

use Need::{Key, Nothing, Word};
use Takes::{Anything, Base64, Line, Percent, Quoted, Word as NoSpace};

const ALL: &[Context] = &[
    // Prose
    context(
        "prose",
        Word,
        Line,
        "I rotated it this morning. The <words> is <V> and it goes to <who>.\n",
    ),
    context(
        "prose-colon",
        Key,
        Line,
        "Here is what you asked for:\n\n<Words>: <V>\n\nTell me when <who> is back.\n",
    ),
    context(
        "prose-bare",
        Nothing,
        Line,
        "Why does <who> fail with <V>, could you have a look?",
    ),
    context(
        "prose-brackets",
        Nothing,
        Line,
        "It was still the old one (<V>) when <who> was deployed.",
    ),
    context(
        "prose-comma",
        Nothing,
        Line,
        "I tried <V>, then the other <n>, and neither of them worked.",
    ),
    context(
        "markdown-code",
        Word,
        Quoted,
        "Set the <words> to `<V>` before you start <who>.\n",
    ),
    context("whole-text", Nothing, Anything, "<V>"),
    context(
        "own-line",
        Nothing,
        Anything,
        "see below\n<V>\nthat is all\n",
    ),
    context(
        "slack-message",
        Word,
        Line,
        "anna [11:<n>]: hey, <words> for <who> = <V>\nbo [11:<n>]: thanks!\n",
    ),
    // Files
    context(
        "env",
        Key,
        NoSpace,
        "PORT=80<n>\n<SCREAM>=<V>\nLOG_LEVEL=info\n",
    ),
    context(
        "env-quoted",
        Key,
        Quoted,
        "PORT=80<n>\n<SCREAM>=\"<V>\"\nLOG_LEVEL=info\n",
    ),
    context(
        "shell-export",
        Key,
        Quoted,
        "#!/bin/sh\nexport <SCREAM>='<V>'\nexec ./<who> --port 80<n>\n",
    ),
    context(
        "yaml",
        Key,
        NoSpace,
        "<who>:\n  replicas: <n>\n  <snake>: <V>\n  region: eu-west-1\n",
    ),
    context(
        "yaml-quoted",
        Key,
        Quoted,
        "<who>:\n  replicas: <n>\n  <camel>: \"<V>\"\n  region: eu-west-1\n",
    ),
    context(
        "yaml-list",
        Nothing,
        NoSpace,
        "<who>:\n  allowed:\n    - <V>\n    - other\n",
    ),
    context(
        "docker-compose-map",
        Key,
        NoSpace,
        "services:\n  <who>:\n    image: app:1.<n>\n    environment:\n      <SCREAM>: <V>\n      PORT: 80<n>\n",
    ),
    context(
        "docker-compose-list",
        Key,
        NoSpace,
        "services:\n  <who>:\n    environment:\n      - <SCREAM>=<V>\n      - PORT=80<n>\n",
    ),
    context(
        "dockerfile",
        Key,
        NoSpace,
        "FROM alpine:3.<n>\nENV <SCREAM>=<V>\nCMD [\"/app\"]\n",
    ),
    context(
        "terraform",
        Key,
        Quoted,
        "resource \"app\" \"<who>\" {\n  <snake> = \"<V>\"\n  count = <n>\n}\n",
    ),
    context(
        "toml",
        Key,
        Quoted,
        "[<who>]\nport = 80<n>\n<snake> = \"<V>\"\n",
    ),
    context(
        "ini",
        Key,
        NoSpace,
        "[<who>]\nport = 80<n>\n<snake> = <V>\n",
    ),
    context(
        "properties",
        Key,
        NoSpace,
        "server.port=80<n>\napp.<dotted>=<V>\n",
    ),
    context(
        "kubernetes-secret",
        Nothing,
        Base64,
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: <who>\ndata:\n  <kebab>: <V>\n",
    ),
    context(
        "json",
        Key,
        Quoted,
        "{\"name\": \"<who>\", \"<camel>\": \"<V>\", \"port\": 80<n>}",
    ),
    context(
        "json-snake",
        Key,
        Quoted,
        "{\n  \"name\": \"<who>\",\n  \"<snake>\": \"<V>\",\n  \"port\": 80<n>\n}\n",
    ),
    context(
        "json-array",
        Nothing,
        Quoted,
        "{\"name\":\"<who>\",\"arguments\":[\"--fast\",\"<V>\",\"--n=<n>\"]}",
    ),
    // Code
    context(
        "python",
        Key,
        Quoted,
        "import os\n\n<SCREAM> = \"<V>\"\nRETRIES = <n>\n",
    ),
    context(
        "python-argument",
        Key,
        Quoted,
        "client = Client(\"<who>\", <snake>='<V>', retries=<n>)\n",
    ),
    context(
        "python-dict",
        Key,
        Quoted,
        "config = {'name': '<who>', '<snake>': '<V>', 'retries': <n>}\n",
    ),
    context(
        "javascript",
        Key,
        Quoted,
        "const <camel> = '<V>';\nconst retries = <n>;\n",
    ),
    context(
        "typescript",
        Key,
        Quoted,
        "export const config = {\n  name: '<who>',\n  <camel>: \"<V>\",\n  retries: <n>,\n};\n",
    ),
    context(
        "go",
        Key,
        Quoted,
        "func main() {\n\t<camel> := \"<V>\"\n\trun(<camel>, <n>)\n}\n",
    ),
    context(
        "rust",
        Key,
        Quoted,
        "fn main() {\n    let <snake> = \"<V>\";\n    run(<snake>, <n>);\n}\n",
    ),
    context(
        "rust-const",
        Key,
        Quoted,
        "const RETRIES: u32 = <n>;\nconst <SCREAM>: &str = \"<V>\";\n",
    ),
    context(
        "java",
        Key,
        Quoted,
        "class Config {\n    private static final String <SCREAM> = \"<V>\";\n    int retries = <n>;\n}\n",
    ),
    context(
        "ruby",
        Key,
        Quoted,
        "Client.configure do |config|\n  config.<snake> = '<V>'\n  config.retries = <n>\nend\n",
    ),
    context(
        "csharp",
        Key,
        Quoted,
        "var options = new Options { Name = \"<who>\", <Pascal> = \"<V>\", Retries = <n> };\n",
    ),
    context(
        "call",
        Nothing,
        Quoted,
        "client.connect(\"<who>\", \"<V>\", <n>);\n",
    ),
    context(
        "comment",
        Word,
        Quoted,
        "    // <words>: <V>\n    run(<n>);\n",
    ),
    // What goes over wires
    context(
        "url-query",
        Key,
        Percent,
        "GET https://api.acme.dev/v1/items?page=<n>&<snake>=<V>&sort=asc\n",
    ),
    context(
        "header",
        Key,
        NoSpace,
        "GET /v1/items HTTP/1.1\nHost: api.acme.dev\nX-<Train>: <V>\nAccept: */*\n",
    ),
    context(
        "bearer",
        Nothing,
        NoSpace,
        "GET /v1/items HTTP/1.1\nHost: api.acme.dev\nAuthorization: Bearer <V>\nAccept: */*\n",
    ),
    context(
        "curl-bearer",
        Nothing,
        NoSpace,
        "curl -s -H \"Authorization: Bearer <V>\" https://api.acme.dev/v1/items?page=<n>\n",
    ),
    context(
        "curl-header",
        Key,
        NoSpace,
        "curl -s -H 'X-<Train>: <V>' https://api.acme.dev/v1/items?page=<n>\n",
    ),
    context(
        "curl-json",
        Key,
        Quoted,
        "curl -X POST https://api.acme.dev/v1/login -d '{\"<snake>\":\"<V>\"}'\n",
    ),
    context(
        "flag",
        Key,
        NoSpace,
        "./deploy.sh --service <who> --<kebab> <V> --retries <n>\n",
    ),
    context(
        "flag-equals",
        Key,
        NoSpace,
        "./deploy.sh --service <who> --<kebab>=<V> --retries <n>\n",
    ),
    // Data and logs
    context(
        "sql-insert",
        Word,
        Quoted,
        "INSERT INTO settings (name, value) VALUES ('<snake>', '<V>');\n",
    ),
    context(
        "sql-update",
        Key,
        Quoted,
        "UPDATE services SET <snake> = '<V>' WHERE name = '<who>';\n",
    ),
    context(
        "log",
        Key,
        NoSpace,
        "<t> INFO <who>: request done <snake>=<V> status=200 took=<n>ms\n",
    ),
    context(
        "log-bare",
        Nothing,
        NoSpace,
        "<t> ERROR <who>: rejected <V> after <n> tries\n",
    ),
    context(
        "log-json",
        Key,
        Quoted,
        "{\"time\":\"<t>\",\"level\":\"info\",\"service\":\"<who>\",\"<snake>\":\"<V>\",\"ms\":<n>}\n",
    ),
    context("csv", Nothing, NoSpace, "id,name,value\n<n>,<who>,<V>\n"),
    context(
        "csv-quoted",
        Nothing,
        Quoted,
        "id,name,value\n<n>,\"<who>\",\"<V>\"\n",
    ),
    context(
        "markdown-table",
        Word,
        Quoted,
        "| service | name | value |\n|---|---|---|\n| <who> | <words> | <V> |\n",
    ),
    context(
        "diff",
        Key,
        Quoted,
        "@@ -1,2 +1,2 @@\n PORT=80<n>\n-<SCREAM>=\"\"\n+<SCREAM>=\"<V>\"\n",
    ),
    context(
        "grep",
        Key,
        Quoted,
        "src/<who>/settings.py:<n>:<SCREAM> = \"<V>\"\n",
    ),
    context("yaml-block", Nothing, Anything, "data: |\n<V>\nend: true\n"),
];
