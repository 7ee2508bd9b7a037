//! Texts that are written line by line, with the words and names of the sources.

use super::{
    super::{Random, clean::braces},
    Sources,
};

/// Lines of these forms, in any order.
fn lines(forms: &[&str], least: usize, sources: &Sources, random: &mut Random) -> String {
    let wanted = random.within(least, 5 * least);
    let mut out = String::new();
    while out.len() < wanted {
        let form = forms[random.below(forms.len())];
        fill(form, sources, random, &mut out);
        out.push('\n');
    }
    out
}

/// Fills in `[i]` a name in snake case, `[c]` in camel case, `[P]` of a type, `[w]` a word, `[S]` a
/// sentence, `[p]` a path, `[n]` a number, and the parts of a form between `~{` and `}`.
fn fill(form: &str, sources: &Sources, random: &mut Random, out: &mut String) {
    let mut rest = form;
    let mut line = String::new();
    while let Some((before, behind)) = rest.split_once('[') {
        line.push_str(before);
        let Some((part, after)) = behind.split_once(']') else {
            line.push('[');
            rest = behind;
            continue;
        };
        rest = after;
        match part {
            "i" => line.push_str(sources.name(random)),
            "c" => line.push_str(&camel(
                &format!("{}_{}", sources.name(random), sources.name(random)),
                false,
            )),
            "P" => line.push_str(&camel(sources.name(random), true)),
            "w" => line.push_str(&sources.word(random)),
            "S" => line.push_str(&sources.sentence(random)),
            "p" => line.push_str(sources.path(random)),
            "n" => line.push_str(&random.below(2000).to_string()),
            other => {
                line.push('[');
                line.push_str(other);
                line.push(']');
            }
        }
    }
    line.push_str(rest);
    out.push_str(&braces(&line, random));
}

fn camel(name: &str, is_type: bool) -> String {
    let mut upper = is_type;
    let mut out = String::new();
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
        } else if upper {
            out.push(letter.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(letter);
        }
    }
    out
}

macro_rules! written {
    ($($name:ident $least:literal [$($line:literal,)*])*) => {
        $(pub(super) fn $name(sources: &Sources, random: &mut Random) -> String {
            lines(&[$($line,)*], $least, sources, random)
        })*
    };
}

written! {
    python 1200 [
        "import [i]\nfrom [i].[i] import [P], [i]\n",
        "class [P]([P]):\n    \"\"\"[S]\n\n    [S]\n    \"\"\"\n",
        "    def [i](self, [i]: [P], *, [i]: int = [n]) -> list[[P]]:\n        \"\"\"[S]\"\"\"",
        "        self.[i] = [i]\n        self._[i] = [i] or []",
        "        for [i], [i] in enumerate([i].[i]()):\n            if [i] is None:\n                continue\n            [i].append([i])",
        "        with open([i], encoding=\"utf-8\") as [i]:\n            return [i].read()",
        "        raise ValueError(f\"[w] [w]: {[i]!r}\")",
        "    # [S]\n    [i] = {\"[i]\": [n], \"[i]\": \"[w]\", \"[i]\": self.[i]}",
        "def test_[i]_[i](tmp_path, monkeypatch):\n    [i] = [P]([i]=[n])\n    assert [i].[i]([i]) == [n]",
        "@pytest.mark.parametrize(\"[i], [i]\", [([n], \"[w]\"), ([n], \"[w]\")])",
        "    try:\n        [i] = await self.[i].[i]([i], timeout=[n])\n    except ([P]Error, TimeoutError) as error:\n        logger.warning(\"[w] [w] %s\", error)\n        return None",
        "    return [[i].[i] for [i] in [i] if [i].[i] > [n]]",
    ]
    typescript 1200 [
        "import { [P], [c] } from '../[w]/[i]';\nimport type { [P] } from '@[w]/[w]';",
        "export interface [P]Props {\n  [c]: string;\n  [c]?: number;\n  on[P]: (value: [P]) => void;\n}",
        "export function [P]({ [c], [c] }: [P]Props) {\n  const [[c], set[P]] = useState<[P] | null>(null);\n  useEffect(() => {\n    void [c]([c]);\n  }, [[c]]);",
        "  return (\n    <div className=\"flex items-center gap-2 px-4 text-sm\">\n      <span>{[c].[c]}</span>\n      <Button onClick={() => set[P]([n])}>[w] [w]</Button>\n    </div>\n  );",
        "  const response = await fetch(`/api/[w]/${[c]}`, { method: 'POST', body: JSON.stringify({ [c] }) });\n  if (!response.ok) throw new [P]Error(response.status);",
        "// [S]\n/** [S] */\nexport const [c] = async ([c]: [P][]): Promise<Map<string, [P]>> => {",
        "  const { [c], [c] = [n] } = options;\n  return [c].filter((item) => item.[c] !== undefined).map(({ [c] }) => [c]);",
        "describe('[c]', () => {\n  it('[w] [w] [w]', () => {\n    expect([c]([n])).toEqual({ [c]: [n] });\n  });\n});",
        "}\n",
    ]
    go 1000 [
        "package [i]\n\nimport (\n\t\"context\"\n\t\"fmt\"\n\n\t\"github.com/[w]/[w]/internal/[i]\"\n)",
        "// [P] [S]\ntype [P] struct {\n\t[P] string `json:\"[i]\"`\n\t[P] int64  `json:\"[i],omitempty\"`\n\tmu sync.Mutex\n}",
        "func (s *[P]) [P](ctx context.Context, [c] *[P]) ([]*[P], error) {\n\tif err := s.[c](ctx, [c]); err != nil {\n\t\treturn nil, fmt.Errorf(\"[w] [w]: %w\", err)\n\t}",
        "\tfor _, [i] := range s.[i] {\n\t\tif [i].[P] == [n] {\n\t\t\tcontinue\n\t\t}\n\t\t[i] = append([i], [i])\n\t}\n\treturn [i], nil\n}",
        "\tcase <-ctx.Done():\n\t\treturn ctx.Err()",
        "\ttests := []struct{ name string; want int }{\n\t\t{name: \"[w] [w]\", want: [n]},\n\t}",
    ]
    sql 900 [
        "CREATE TABLE [i]_[i] (\n    id BIGSERIAL PRIMARY KEY,\n    [i] TEXT NOT NULL,\n    [i] INTEGER DEFAULT [n],\n    created_at TIMESTAMPTZ NOT NULL DEFAULT now()\n);",
        "CREATE INDEX [i]_[i]_idx ON [i]_[i] ([i], created_at DESC);",
        "SELECT o.id, o.[i], count(*) AS [i], sum(o.total) / 100.0 AS total\nFROM [i]_[i] o\nLEFT JOIN [i] c ON c.id = o.[i]_id AND c.[i] IS NOT NULL\nWHERE o.created_at >= '2026-0~{1|2|3}-1~{d1}' AND o.[i] = '[w]'\nGROUP BY o.id, o.[i] HAVING count(*) > [n]\nORDER BY total DESC LIMIT [n];",
        "-- [S]\nUPDATE [i] SET [i] = [i] + 1, updated_at = now() WHERE id IN (SELECT id FROM [i] WHERE [i] < [n] FOR UPDATE SKIP LOCKED);",
        "INSERT INTO [i] (id, [i], [i]) VALUES ([n], '[w] [w]', [n]), ([n], '[w]', [n]) ON CONFLICT (id) DO NOTHING;",
        " [n] | [w]      | [w] [w]  |     ~{d4}.~{d2} | 2026-01-1~{d1} 1~{d1}:2~{d1}:3~{d1}+00",
        "  ->  Index Scan using [i]_pkey on [i]  (cost=0.~{d2}..~{d4}.~{d2} rows=~{d4} width=~{d3}) (actual time=0.0~{d2}..~{d2}.~{d3} rows=[n] loops=1)",
    ]
    html 1200 [
        "<!doctype html>\n<html lang=\"en\">\n<head>\n  <meta charset=\"utf-8\">\n  <title>[w] [w]</title>\n  <link rel=\"stylesheet\" href=\"/static/[w].css\">\n</head>",
        "<section id=\"[w]\" class=\"[w]-[w]\">\n  <h2>[w] [w]</h2>\n  <p>[S] [S]</p>\n</section>",
        "<ul>\n  <li><a href=\"/[w]/[w].html\">[w] [w]</a></li>\n  <li><a href=\"https://www.[w].org/[w]/\">[w]</a></li>\n</ul>",
        "<p>[S] <code>[c]()</code> [S] <a href=\"#[w]\">[w]</a>.</p>",
        "<pre><code class=\"language-rust\">let [i] = [i].[i](&amp;[i])?;</code></pre>",
        "<form action=\"/[w]\" method=\"post\"><label for=\"[w]\">[w]</label><input type=\"text\" id=\"[w]\" name=\"[w]\" required></form>",
        "<table><tr><th>[w]</th><th>[w]</th></tr><tr><td>[n]</td><td>[w]</td></tr></table>",
        "<!-- [S] -->",
    ]
    yaml 1000 [
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: [w]-[w]\n  namespace: [w]\n  labels:\n    app.kubernetes.io/name: [w]\nspec:\n  replicas: ~{d1}",
        "      containers:\n        - name: [w]\n          image: registry.example.com/[w]/[w]:1.~{d2}.~{d1}\n          ports:\n            - containerPort: 80~{d2}\n          resources:\n            limits: {cpu: \"~{d1}\", memory: ~{d3}Mi}",
        "          env:\n            - name: LOG_LEVEL\n              value: info\n            - name: DATABASE_HOST\n              value: [w].[w].svc.cluster.local",
        "          readinessProbe:\n            httpGet:\n              path: /healthz\n              port: http\n            periodSeconds: ~{d2}",
        "jobs:\n  [w]:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - name: [S]\n        run: cargo test --package [w] --locked",
        "# [S]\n[i]:\n  [i]: [n]\n  [i]: \"[w] [w]\"\n  enabled: true",
        "---\n",
    ]
    log 1200 [
        "2026-0~{1|2|3}-1~{d1}T1~{d1}:2~{d1}:3~{d1}.~{d3}Z  INFO [i]::[i]: [w] [w] [i]=[n] took=~{d2}ms",
        "2026-0~{1|2|3}-1~{d1}T1~{d1}:2~{d1}:3~{d1}.~{d3}Z  WARN [i]::[i]: [S]",
        "[~{d5}] 1~{d1}:2~{d1}:3~{d1} [w].[w] - [S]",
        "{\"level\":\"info\",\"ts\":17~{d8}.~{d3},\"caller\":\"[i]/[i].go:~{d3}\",\"msg\":\"[w] [w] [w]\",\"[i]\":[n],\"[i]\":\"[w]\"}",
        "10.0.~{d1}.~{d2} - - [1~{d1}/Jan/2026:1~{d1}:2~{d1}:3~{d1} +0000] \"GET /[w]/[w]?page=~{d2} HTTP/1.1\" 200 ~{d4} \"-\" \"curl/8.5.0\"",
        "Traceback (most recent call last):\n  File \"/app/[w]/[i].py\", line ~{d3}, in [i]\n    return self.[i]([i])\n[P]Error: [w] [w] [w]",
        "    at [P].[c] (/app/src/[i].ts:~{d3}:~{d2})\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)",
        "thread 'main' panicked at [p]:~{d3}:~{d2}:\n[w] [w] [w]",
    ]
    table 800 [
        "| [w] | [n] | [w] [w] | ~{d1}.~{d2} |",
        "| `[i]` | [S] | [n] |",
        "~{d4},[w],[w] [w],~{d3}.~{d2},2026-01-1~{d1},[w]",
        "[w]\t[n]\t[w]\t~{d2}.~{d1}%\t[i]",
        "[w]-[w]-~{L5}   1/1   Running   0   ~{d2}d   10.0.~{d1}.~{d2}",
    ]
    json 1000 [
        "{\"id\": \"~{uuid}\", \"type\": \"[i]\", \"[i]\": [n], \"title\": \"[w] [w]\", \"updated_at\": \"2026-01-1~{d1}T1~{d1}:2~{d1}:3~{d1}Z\"}",
        "{\"path\": \"[p]\", \"line\": [n], \"message\": \"[S]\", \"severity\": \"warning\", \"rule\": \"[i]\"}",
        "{\"number\": [n], \"state\": \"open\", \"body\": \"[S]\\n\\n- [S]\\n- [S]\", \"labels\": [{\"name\": \"[w]\"}], \"comments\": [n]}",
        "{\"exitCode\": 0, \"stdout\": \"[w] [w]\\n[p]\\n\", \"stderr\": \"\", \"interrupted\": false}",
        "{\"results\": [{\"score\": 0.~{d3}, \"text\": \"[S] [S]\"}, {\"score\": 0.~{d3}, \"text\": \"[S]\"}]}",
    ]
    talk 700 [
        "[S] [S] [S]\n",
        "[S]\n",
        "## [w] [w]\n",
        "- **[w]**: [S]\n- **[w] [w]**: [S] See `[p]`.",
        "1. [S]\n2. [S]\n3. Run `cargo test -p [w]` and look at `[i]`.",
        "I looked at `[p]` and found that `[i]` calls `[i]` before `[c]` is set. [S]",
        "```rust\nlet [i] = self.[i].[i](&[i])?;\n```",
        "Can you [w] the [w] so that [i] does not [w]? [S]",
    ]
}
