//! Texts with nothing in them that must not be seen.

use super::{form::fill, random::Random, secrets::base64};

/// A text and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it is, such as `python`.
    pub name: &'static str,
    /// The text.
    pub text: String,
}

/// Agent traffic of this many bytes at least, in documents of a few KiB, without anything that must
/// not be seen.
pub fn clean(seed: u64, bytes: usize) -> Vec<Document> {
    let mut random = Random::new(seed);
    let mut documents: Vec<Document> = Vec::new();
    let mut length = 0;
    for (name, lines) in SORTS.iter().cycle() {
        if length >= bytes {
            break;
        }
        let mut text = String::new();
        let wanted = random.within(1 << 10, 6 << 10);
        while text.len() < wanted {
            let line = lines[random.below(lines.len())];
            text.push_str(&words(line, &mut random));
            text.push('\n');
        }
        length += text.len();
        documents.push(Document { name, text });
    }
    documents
}

/// Fills in words, names and numbers, then the parts of a form. `[w]` a word, `[s]` a name in snake
/// case, `[c]` in camel case, `[P]` a type, `[p]` a path, `[S]` a sentence, `[n]` a number, `[64]`
/// base64 of random bytes.
fn words(line: &str, random: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('[') {
        out.push_str(before);
        let Some((part, behind)) = behind.split_once(']') else {
            out.push('[');
            rest = behind;
            continue;
        };
        match part {
            "w" => out.push_str(random.pick(WORDS)),
            "s" => out.push_str(&format!("{}_{}", random.pick(WORDS), random.pick(WORDS))),
            "c" => out.push_str(&format!(
                "{}{}",
                random.pick(WORDS),
                capital(random.pick(WORDS))
            )),
            "P" => out.push_str(&format!(
                "{}{}",
                capital(random.pick(WORDS)),
                capital(random.pick(WORDS))
            )),
            "p" => out.push_str(&format!(
                "{}/{}/{}",
                random.pick(WORDS),
                random.pick(WORDS),
                random.pick(WORDS)
            )),
            "n" => out.push_str(&random.below(9000).to_string()),
            "S" => {
                let count = random.within(6, 18);
                let all: Vec<&str> = (0..count).map(|_| random.pick(PROSE)).collect();
                out.push_str(&capital(&all.join(" ")));
                out.push('.');
            }
            "64" => {
                let bytes: Vec<u8> = (0..random.within(48, 1200))
                    .map(|_| random.bits().to_le_bytes()[0])
                    .collect();
                out.push_str(&base64(&bytes));
            }
            other => {
                out.push('[');
                out.push_str(other);
                out.push(']');
            }
        }
        rest = behind;
    }
    out.push_str(rest);
    braces(&out, random)
}

/// Fills in the parts of a form where `~{` begins one; other braces are code.
pub(super) fn braces(line: &str, random: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("~{") {
        out.push_str(before);
        let (part, behind) = behind.split_once('}').unwrap_or((behind, ""));
        out.push_str(&fill(&format!("{{{part}}}"), random));
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    format!("{}{rest}", first.to_uppercase())
}

const WORDS: &[&str] = &[
    "account", "action", "agent", "batch", "branch", "buffer", "cache", "client", "column",
    "config", "context", "cursor", "device", "driver", "engine", "entry", "event", "export",
    "field", "filter", "folder", "format", "gateway", "handle", "header", "import", "index",
    "input", "invoice", "item", "journal", "key", "label", "layer", "ledger", "limit", "list",
    "message", "metric", "model", "module", "node", "offset", "option", "order", "output",
    "packet", "parser", "password", "payload", "policy", "process", "query", "queue", "record",
    "region", "render", "report", "request", "result", "route", "schema", "secret", "server",
    "session", "signal", "stream", "string", "table", "target", "task", "thread", "token",
    "upload", "user", "value", "vector", "version", "widget", "window", "worker",
];

const PROSE: &[&str] = &[
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "it",
    "that",
    "was",
    "for",
    "on",
    "with",
    "as",
    "are",
    "this",
    "be",
    "at",
    "have",
    "from",
    "or",
    "had",
    "by",
    "but",
    "some",
    "what",
    "there",
    "we",
    "can",
    "other",
    "were",
    "all",
    "your",
    "when",
    "up",
    "use",
    "word",
    "how",
    "said",
    "each",
    "she",
    "which",
    "do",
    "their",
    "time",
    "if",
    "will",
    "way",
    "about",
    "many",
    "then",
    "them",
    "would",
    "like",
    "so",
    "these",
    "her",
    "long",
    "make",
    "thing",
    "see",
    "him",
    "two",
    "has",
    "look",
    "more",
    "day",
    "could",
    "go",
    "come",
    "did",
    "my",
    "sound",
    "no",
    "most",
    "number",
    "who",
    "over",
    "know",
    "water",
    "than",
    "call",
    "first",
    "people",
    "may",
    "down",
    "side",
    "been",
    "now",
    "find",
    "password",
    "token",
    "secret",
    "key",
    "API",
    "credentials",
    "request",
    "retry",
    "deployment",
    "build",
    "branch",
    "review",
    "don't",
    "it's",
    "they're",
];

/// Each sort of document by the lines it is made of.
const SORTS: &[(&str, &[&str])] = &[
    (
        "prose",
        &[
            "[S] [S]",
            "[S] [S] [S]",
            "",
            "## [S]",
            "- [S]",
            "- [ ] [S]",
            "> [S]",
            "1. [S] See [docs](https://docs.acme.dev/[p]#[w]).",
            "Never put a password into the repository; keep it in the vault and reference it as `${DB_PASSWORD}`.",
            "The token: it is read once and never logged. Your API key: see the console.",
            "Set `api_key` to your key (it begins with `sk-ant-...`), or `AKIA...` for AWS. GitHub tokens look like `ghp_xxxxxxxxxxxxxxxxxxxx`.",
            "Passwords must have at least 12 characters, e.g. one digit and one letter.",
            "Released 2026-0[n]-1[n], version ~{d1}.~{d2}.~{d1}-rc.~{d1}, commit ~{h40} (was ~{h7}).",
            "Write to the support desk or call extension [n]; ticket ~{u3}-~{d4}.",
            "The password was reset by the administrator on Monday, and the secret is out: password policy is on page [n].",
        ],
    ),
    (
        "rust",
        &[
            "use crate::[w]::{[P], [P]};",
            "pub struct [P] {",
            "    [s]: Option<String>,",
            "    token: String,",
            "    password: &'a str,",
            "}",
            "pub fn [s](&self, [w]: &str, token: &Token) -> Result<[P], Error> {",
            "    let token = self.tokens.next().ok_or(Error::NoToken)?;",
            "    let password = config.password.as_deref().unwrap_or_default();",
            "    let secret = SecretString::from(env::var(\"APP_SECRET\")?);",
            "    if [w].[w]() == Some([n]) && !self.[s].is_empty() {",
            "        return Err([P]::[P](format!(\"cannot [w] {[w]}: {error}\")));",
            "    }",
            "    assert_eq!(hash, \"~{h64}\");",
            "    let id = Uuid::parse_str(\"~{uuid}\")?;",
            "    let key = format!(\"{}:{}\", [w].id, [w].[s]);",
            "const MAX_TOKENS: usize = [n];",
            "#[serde(rename = \"[c]\", skip_serializing_if = \"Option::is_none\")]",
            "    secret_key: SecretKey::generate(&mut rng),",
            "    api_key: ApiKey::from_env(\"ANTHROPIC_API_KEY\")?,",
            "/// [S]",
            "// [S]",
            "    let masked = mask(\"sk-ant-...\");",
            "    0x~{h16}, 0x~{h16}, 0x~{h16},",
            "    assert_eq!(encode(b\"[w]\"), \"~{a12}==\");",
            "impl<T: [P]> From<[P]<T>> for [P]Handle<T> {",
        ],
    ),
    (
        "python",
        &[
            "from [w].[w] import [P]",
            "import [w]",
            "",
            "def [s](self, password: str, *, token: str | None = None) -> [P]:",
            "    \"\"\"[S]\"\"\"",
            "    password = getpass.getpass(\"Password: \")",
            "    api_key = os.environ[\"OPENAI_API_KEY\"]",
            "    token = request.headers.get(\"Authorization\")",
            "    secret = settings.SECRET_KEY",
            "    if not secrets.compare_digest(token, self._token):",
            "        raise ValueError(f\"bad [w]: {[w]!r}\")",
            "    access_key=access_key, secret_key=secret_key,",
            "    client = Client(api_key=api_key, password=password)",
            "@app.route(\"/[w]/<token>\")",
            "@dataclass(frozen=True)",
            "    max_tokens: int = [n]",
            "    tokens = tokenizer.encode([w], add_special_tokens=False)",
            "    password=None,",
            "    assert digest == \"~{h64}\"",
            "    [s] = {[w]: [n] for [w] in range([n])}",
            "    parser.add_argument(\"--password\", help=\"[w] [w]\")",
            "    passwords = [row.password for row in rows]",
            "    self.secret_name = \"projects/[w]/secrets/[w]-[w]/versions/latest\"",
            "PASSWORD_RESET_TIMEOUT = 60 * 60",
            "AUTH_TOKEN_HEADER = \"x-auth-token\"",
        ],
    ),
    (
        "typescript",
        &[
            "import { [P], [P] } from './[p]';",
            "export interface [P]Options {",
            "  accessToken: string;",
            "  password?: string;",
            "  refreshToken: string | null;",
            "}",
            "const [c] = await [w].[c]({ token: session.accessToken, [w]: [n] });",
            "export const [c] = (password: string): Promise<[P]> => {",
            "  const { apiKey = process.env.API_KEY } = options;",
            "  return [w]?.[c] ?? [w].[c]([n]);",
            "  if (!token) throw new Error('token is required');",
            "  headers: { Authorization: `Bearer ${token}` },",
            "  secretKeyRef: secret.metadata.name,",
            "  // [S]",
            "const CLIENT_SECRET = process.env.CLIENT_SECRET!;",
            "type TokenKind = 'access' | 'refresh' | 'id';",
            "  password: z.string().min(8).max(128),",
            "  <input type=\"password\" name=\"password\" placeholder=\"Password\" />",
            "  integrity: \"sha512-~{b86}==\",",
            "  key={`${[w].id}-${index}`}",
            "  color: '#~{h6}', backgroundColor: 'rgba(~{d2}, ~{d2}, ~{d2}, 0.5)',",
        ],
    ),
    (
        "go",
        &[
            "package [w]",
            "import (",
            "\t\"github.com/acme/[w]/v2\"",
            ")",
            "func (s *[P]) [P](ctx context.Context, token string) (*[P], error) {",
            "\tpassword := os.Getenv(\"DB_PASSWORD\")",
            "\tif err != nil {",
            "\t\treturn nil, fmt.Errorf(\"[w] [w]: %w\", err)",
            "\t}",
            "\tsecret, err := s.client.CoreV1().Secrets(ns).Get(ctx, name, metav1.GetOptions{})",
            "\tToken:    cfg.Token,",
            "\tPassword string `json:\"password,omitempty\"`",
            "\tAPIKey   string `yaml:\"api_key\"`",
            "\tfor _, [w] := range s.[w] {",
            "\ttoken, _ := lexer.Next()",
            "\tcase token.IDENT, token.STRING:",
            "// [P] [S]",
            "github.com/acme/[w] v1.~{d2}.~{d1} h1:~{b43}=",
            "github.com/acme/[w] v0.0.0-20260~{d1}1~{d1}1~{d1}2~{d1}3~{d1}-~{h12}/go.mod h1:~{b43}=",
        ],
    ),
    (
        "java",
        &[
            "package dev.acme.[w].[w];",
            "import java.util.[P];",
            "public class [P]Service extends Abstract[P]<[P], Long> {",
            "    private final String password;",
            "    private String apiKey = config.getApiKey();",
            "    public void setToken(String token) { this.token = token; }",
            "    @Value(\"${app.secret}\")",
            "    private static final long serialVersionUID = -~{d19}L;",
            "    String accessToken = response.getAccessToken();",
            "    logger.info(\"[w] {} of {}\", [w], [c]);",
            "        throw new IllegalStateException(\"password must not be null\");",
            "    }",
            "    // [S]",
            "    return passwordEncoder.matches(rawPassword, user.getPassword());",
        ],
    ),
    (
        "c",
        &[
            "#include <[w].h>",
            "static int [s](struct [w] *[w], const char *password, size_t len)",
            "{",
            "\tif (![w] || [w]->[w] < 0x~{h8})",
            "\t\treturn -EINVAL;",
            "\ttoken = strtok(buf, \" \\t\\n\");",
            "}",
            "/* [S] */",
            "#define [w]_KEY_LEN 32",
            "\tchar *secret = NULL; size_t secret_len = 0;",
            "\t0x~{h2}, 0x~{h2}, 0x~{h2}, 0x~{h2}, 0x~{h2}, 0x~{h2}, 0x~{h2}, 0x~{h2},",
            "\t.password = password, .key = key,",
            "\tstd::vector<uint8_t> token; my::ns::[P]::[w](a::b::[w]);",
        ],
    ),
    (
        "sql",
        &[
            "SELECT u.id, u.email, u.password_hash FROM users u WHERE u.id = [n];",
            "CREATE TABLE [s] (id BIGINT PRIMARY KEY, token VARCHAR(64) NOT NULL, password TEXT, created TIMESTAMPTZ DEFAULT now());",
            "UPDATE [s] SET password = $1 WHERE token = $2;",
            "INSERT INTO [s] (id, [w], total, at) VALUES (~{d6}, '[w]', ~{d3}.~{d2}, '2026-01-1~{d1} 1~{d1}:2~{d1}:3~{d1}');",
            "-- [S]",
            "ALTER TABLE [s] ADD COLUMN api_key TEXT;",
            "SELECT count(*) FROM [s] WHERE [s] BETWEEN ~{d8} AND ~{d8};",
        ],
    ),
    (
        "shell",
        &[
            "#!/usr/bin/env bash",
            "set -euo pipefail",
            "export TOKEN=\"$(cat /run/secrets/token)\"",
            "PASSWORD=${PASSWORD:?set it}",
            "read -r -s -p 'Password: ' password",
            "curl -fsSL \"https://get.acme.dev/[w]-~{d1}.~{d2}.tar.gz\" | tar xz",
            "docker run --rm -e API_KEY=\"$API_KEY\" -e DB_PASSWORD app:1.~{d2}@sha256:~{h64}",
            "kubectl create secret generic [w] --from-literal=password=\"$PASSWORD\"",
            "git checkout ~{h40} -- [p]",
            "# [S]",
            "ssh git@github.com:acme/[w].git",
            "echo \"~{h64}  [w].tar.gz\" | sha256sum -c -",
            "mysql --user=app --password=\"$MYSQL_PASSWORD\" [w]",
            "aws secretsmanager get-secret-value --secret-id arn:aws:secretsmanager:eu-west-1:~{d12}:secret:[w]-[w]-~{a6}",
        ],
    ),
    (
        "yaml",
        &[
            "apiVersion: apps/v1",
            "kind: Deployment",
            "metadata:",
            "  name: [w]-[w]",
            "  uid: ~{uuid}",
            "  resourceVersion: \"~{d9}\"",
            "spec:",
            "  image: registry.acme.dev/[w]@sha256:~{h64}",
            "    - name: DB_PASSWORD",
            "      valueFrom:",
            "        secretKeyRef: {name: [w], key: password}",
            "  password: ${DB_PASSWORD}",
            "  token: ${{ secrets.GITHUB_TOKEN }}",
            "  api_key: \"{{ .Values.apiKey }}\"",
            "  secretName: [w]-tls",
            "  tokenExpiration: 3600",
            "  existingSecret: [w]-credentials",
            "  - uses: actions/checkout@~{h40} # v4",
            "  schedule: \"*/15 * * * *\"",
            "  password: changeme",
            "  secret: null",
            "  passwordPolicy: strong",
            "  automountServiceAccountToken: false",
            "  pod: [w]-~{h10}-~{L5}",
            "  key: [w]-~{d8}",
            "  # [S]",
            "  terms: {max_tokens: [n], temperature: 0.~{d1}}",
        ],
    ),
    (
        "env-example",
        &[
            "API_KEY=",
            "API_KEY=your-api-key-here",
            "DB_PASSWORD=changeme",
            "SECRET_KEY=<your secret>",
            "AWS_ACCESS_KEY_ID=AKIAXXXXXXXXXXXXXXXX",
            "TOKEN=${TOKEN}",
            "STRIPE_KEY=sk_test_...",
            "PASSWORD=********",
            "OPENAI_API_KEY=sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "PORT=80~{d2}",
            "LOG_LEVEL=info",
            "# [S]",
            "GITHUB_TOKEN=ghp_your_token_here",
            "REGION=eu-west-1",
            "MAX_TOKENS=4096",
            "TOKEN_TTL=3600",
            "AUTH_SECRET=replace-me-with-a-long-random-string",
            "HOST=127.0.0.1:54~{d2}",
        ],
    ),
    (
        "log",
        &[
            "2026-0~{1|2|3}-1~{d1}T1~{d1}:2~{d1}:3~{d1}.~{d3}Z INFO [w]: request_id=~{uuid} trace=~{h32} span=~{h16} status=200 took=~{d2}ms",
            "2026-0~{1|2|3}-1~{d1} 1~{d1}:2~{d1}:3~{d1},~{d3} WARN  [~{d5}] [w].[w]: [S]",
            "192.168.1.~{d2} - - [1~{d1}/Jan/2026:1~{d1}:2~{d1}:3~{d1} +0000] \"GET /[p]?page=~{d2} HTTP/1.1\" 200 ~{d4} \"-\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/1~{d2}.0.~{d4}.~{d2} Safari/537.36\"",
            "[    ~{d1}.~{d6}] usb 1-~{d1}: new device idVendor=~{h4}, idProduct=~{h4}",
            "time=17~{d8} level=info msg=\"token refreshed\" user_id=~{d7} expires_in=3600",
            "17~{d11} DEBUG password check passed for user ~{d6}",
            "ERROR: token expired at 17~{d8}; secret version: ~{d2}",
            "   Compiling [w] v~{d1}.~{d2}.~{d1} (/home/build/[p])",
            "    at [P].[c] ([p].js:~{d3}:~{d2})",
            "#~{d2} sha256:~{h64} 12.~{d1}MB / 31.~{d1}MB",
            "Finished in ~{d2}.~{d3} seconds, exit code 0, 0x~{h16}",
            "thread 'main' panicked at src/[w].rs:~{d3}:~{d2}: index out of bounds: the len is ~{d2} but the index is ~{d3}",
            "inference: prompt_tokens=~{d4} completion_tokens=~{d3} total_tokens=~{d5}",
            "job ~{d10} queued, shard ~{d2}/~{d2}, order ~{d9}, sku ~{d12}",
        ],
    ),
    (
        "json",
        &[
            "{\"id\":\"msg_~{a24}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-opus-4-6\",\"usage\":{\"input_tokens\":~{d4},\"output_tokens\":~{d3}}}",
            "{\"id\": \"~{uuid}\", \"[c]\": ~{d5}, \"createdAt\": \"2026-01-1~{d1}T1~{d1}:2~{d1}:3~{d1}Z\", \"etag\": \"W/\\\"~{h32}\\\"\"}",
            "{\"type\":\"tool_use\",\"id\":\"toolu_~{a24}\",\"name\":\"bash\",\"input\":{\"command\":\"ls -la [p]\"}}",
            "{\"token\":null,\"password\":\"\",\"apiKey\":false,\"secret\":\"none\"}",
            "{\"name\":\"password\",\"type\":\"string\",\"description\":\"[S]\"}",
            "{\"max_tokens\":~{d4},\"stop_sequences\":[],\"temperature\":0.~{d2},\"seed\":~{d9}}",
            "{\"commit\":\"~{h40}\",\"tree\":\"~{h40}\",\"parents\":[\"~{h40}\"],\"ref\":\"refs/heads/[w]\"}",
            "{\"lat\":~{d2}.~{d6},\"lng\":-~{d2}.~{d7},\"ts\":17~{d11},\"hash\":\"~{h64}\"}",
            "{\"nextPageToken\":\"\",\"continuation\":null,\"tokenType\":\"bearer\",\"keyId\":~{d4}}",
            "{\"title\":\"[S]\",\"body\":\"[S]\\n\\n[S]\",\"labels\":[\"[w]\",\"[w]\"]}",
        ],
    ),
    (
        "lock-file",
        &[
            "name = \"[w]-[w]\"",
            "version = \"~{d1}.~{d2}.~{d1}\"",
            "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
            "checksum = \"~{h64}\"",
            "",
            "[[package]]",
            "      \"resolved\": \"https://registry.npmjs.org/[w]/-/[w]-~{d1}.~{d2}.~{d1}.tgz\",",
            "      \"integrity\": \"sha512-~{b86}==\",",
            "      \"integrity\": \"sha1-~{b27}=\",",
            "    --hash=sha256:~{h64} \\",
            "    {file = \"[w]-~{d1}.~{d1}.~{d1}-py3-none-any.whl\", hash = \"sha256:~{h64}\"},",
            "  resolution: \"[w]@npm:^~{d1}.~{d1}.~{d1}\"",
            "  checksum: 10c0/~{h128}",
            "  /@types/[w]@~{d2}.~{d1}.~{d1}(typescript@5.~{d1}.~{d1}):",
            "    specifier: ^~{d1}.~{d1}.~{d1}",
        ],
    ),
    (
        "diff",
        &[
            "diff --git a/[p].rs b/[p].rs",
            "index ~{h7}..~{h7} 100644",
            "--- a/[p].rs",
            "+++ b/[p].rs",
            "@@ -~{d2},~{d1} +~{d2},~{d1} @@ fn [s]()",
            "-    let token = [w].[s]();",
            "+    let token = [w].[s](password);",
            "     [w].[w]([n]);",
            "+    api_key: config.api_key.clone(),",
            "-Subproject commit ~{h40}",
            "+Subproject commit ~{h40}",
            "+// [S]",
        ],
    ),
    (
        "terminal",
        &[
            "$ git log --oneline",
            "~{h7} [S]",
            "commit ~{h40} (HEAD -> main, origin/main)",
            "Author: Build Bot",
            "Date:   Mon Jan 1~{d1} 1~{d1}:2~{d1}:3~{d1} 2026 +0100",
            "drwxr-xr-x  ~{d1} build build  ~{d4} Nov 2~{d1} 1~{d1}:4~{d1} lib[w]-~{h16}.rlib",
            "-rw-r--r--  1 build build ~{d6} Nov 2~{d1} 1~{d1}:4~{d1} [w]_~{d8}.csv",
            "CONTAINER ID   IMAGE",
            "~{h12}   [w]:1.~{d2}   \"/docker-entrypoint.…\"   ~{d1} hours ago   Up ~{d1} hours   0.0.0.0:80~{d2}->80~{d2}/tcp",
            "NAME                      READY   STATUS    AGE",
            "[w]-~{h10}-~{L5}   1/1     Running   ~{d2}d",
            "  ~{d5} root      20   0  ~{d7}  ~{d6}  ~{d5} S   ~{d1}.~{d1}   0.~{d1}   ~{d1}:~{d2}.~{d2} [w]",
            "Password for 'https://github.com': ",
            "sudo: a password is required",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI~{b43} build@host",
            "SHA256:~{b43} build@host (ED25519)",
            "inet 10.0.~{d1}.~{d2}/24 brd 10.0.~{d1}.255 scope global",
        ],
    ),
    (
        "image",
        &[
            "<img src=\"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA[64]\"/>",
            "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/jpeg\",\"data\":\"/9j/4AAQSkZJRgABAQ[64]\"}}",
            "src: url(data:font/woff2;base64,d09GMgABAAAA[64]) format('woff2');",
            "//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpb[64]",
            "[S]",
        ],
    ),
    (
        "minified",
        &[
            "!function(e,t){\"use strict\";var n=t(~{d3}),r=e.token=function(e){return e&&e.__esModule?e.default:e};for(var a=0,o=n.length;a<o;a++)r(n[a],{key:a,password:!0,value:function(){return this._[w]}})}(window,function(e){return __webpack_require__(~{d4})});",
            "var a=\"[c]\",s={apiKey:e.apiKey,token:t.token,secret:void 0},l=~{d5},u=e=>e.map((e=>({key:e.key,[w]:e[s]||l}))),c=[~{d3},~{d4},~{d5}];",
            ".[w]-~{a5}{color:#~{h6};margin:0 ~{d2}px;background:url(/static/[w].~{h20}.svg)}.[w]__[w]--[w]>a:hover{opacity:.~{d1}}",
            "(self.webpackChunk=self.webpackChunk||[]).push([[~{d3}],{~{d5}:(e,t,n)=>{n.d(t,{A:()=>r});const r=\"~{h20}\"}}]);",
        ],
    ),
    (
        "table",
        &[
            "| [w] | [n] | 2026-01-1~{d1} | ~{h8} | ~{d1}.~{d2} |",
            "|---|---|---|---|---|",
            "~{d5},[w],[w],~{d3}.~{d2},2026-01-1~{d1}T1~{d1}:2~{d1}:3~{d1}Z,~{uuid}",
            "[w]\t~{d7}\t~{d2}.~{d4}\t~{h40}\ttrue",
            "~{d4} ~{d4} ~{d4} ~{d3} ~{d5}",
            "0.~{d8} -1.~{d9}e-0~{d1} ~{d2}.~{d6}",
            "id,name,password_set,token_count",
        ],
    ),
];
