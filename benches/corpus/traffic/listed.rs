//! The sources of the workspace as tools show them.

use super::{super::Random, Sources};

/// Appends a line.
macro_rules! line {
    ($out:ident, $($form:tt)*) => {{
        $out.push_str(&format!($($form)*));
        $out.push('\n');
    }};
}

/// Some lines in a row of these, of 1 to 8 KiB together.
fn excerpt<'a>(lines: &[&'a str], random: &mut Random) -> (usize, Vec<&'a str>) {
    let wanted = random.within(1 << 10, 8 << 10);
    let all: usize = lines.iter().map(|line| line.len() + 1).sum();
    let from = if all > wanted {
        random.below(lines.len() / 2 + 1)
    } else {
        0
    };
    let mut length = 0;
    let taken = lines[from..].iter().take_while(|line| {
        length += line.len() + 1;
        length <= wanted
    });
    (from, taken.copied().collect())
}

fn code<'a>(sources: &'a Sources, random: &mut Random) -> (&'a str, usize, Vec<&'a str>) {
    loop {
        let (path, lines) = sources.file(random);
        let (from, lines) = excerpt(&lines, random);
        if lines.len() > 8 {
            return (path, from, lines);
        }
    }
}

pub(super) fn file(sources: &Sources, random: &mut Random) -> String {
    code(sources, random).2.join("\n")
}

/// As agents read files: with the number of each line.
pub(super) fn numbered(sources: &Sources, random: &mut Random) -> String {
    let (_, from, lines) = code(sources, random);
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        line!(out, "{:>6}→{line}", from + number + 1);
    }
    out
}

pub(super) fn markdown(sources: &Sources, random: &mut Random) -> String {
    let text = &sources.markdown[random.below(sources.markdown.len())];
    let lines: Vec<&str> = text.lines().collect();
    let from = random.below(lines.len().saturating_sub(20) + 1);
    excerpt(&lines[from..], random).1.join("\n")
}

pub(super) fn manifest(sources: &Sources, random: &mut Random) -> String {
    let text = &sources.manifests[random.below(sources.manifests.len())];
    let lines: Vec<&str> = text.lines().collect();
    excerpt(&lines, random).1.join("\n")
}

pub(super) fn lock(sources: &Sources, random: &mut Random) -> String {
    let from = random.below(sources.lock.len().saturating_sub(20) + 1);
    let packages = sources.lock[from..].iter().take(random.within(4, 20));
    packages.map(|package| format!("{package}\n\n")).collect()
}

pub(super) fn diff(sources: &Sources, random: &mut Random) -> String {
    let mut out = String::new();
    for _ in 0..random.within(1, 3) {
        let (path, from, lines) = code(sources, random);
        let (old, new) = (random.hex(7), random.hex(7));
        line!(
            out,
            "diff --git a/{path} b/{path}\nindex {old}..{new} 100644\n--- a/{path}\n+++ b/{path}"
        );
        for (number, hunk) in lines.chunks(16).take(4).enumerate() {
            let at = from + 40 * number + 1;
            line!(
                out,
                "@@ -{at},{} +{at},{} @@ {}",
                hunk.len(),
                hunk.len(),
                hunk[0]
            );
            for line in hunk {
                match random.below(7) {
                    0 => {
                        let name = sources.name(random);
                        let changed = line.replacen("self", name, 1);
                        line!(out, "-{line}\n+{changed}");
                    }
                    1 => {
                        line!(out, "+{line}");
                    }
                    _ => {
                        line!(out, " {line}");
                    }
                }
            }
        }
    }
    out
}

pub(super) fn search(sources: &Sources, random: &mut Random) -> String {
    let mut out = String::new();
    let wanted = random.within(1 << 10, 4 << 10);
    while out.len() < wanted {
        let (path, lines) = sources.file(random);
        let name = sources.name(random);
        let hits = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.contains(name));
        for (number, line) in hits.take(6) {
            line!(out, "{path}:{}:{line}", number + 1);
        }
    }
    out
}

pub(super) fn listing(sources: &Sources, random: &mut Random) -> String {
    let mut out = format!("total {}\n", random.within(40, 900));
    for _ in 0..random.within(12, 60) {
        let path = sources.path(random);
        let (size, day) = (random.within(120, 90_000), random.within(1, 28));
        let (hour, minute) = (random.below(24), random.below(60));
        line!(
            out,
            "-rw-r--r-- 1 dev dev {size:>6} Nov {day:>2} {hour:02}:{minute:02} {path}"
        );
    }
    out
}

pub(super) fn build(sources: &Sources, random: &mut Random) -> String {
    let mut out = String::new();
    for package in sources
        .lock
        .iter()
        .skip(random.below(200))
        .take(random.within(5, 30))
    {
        let mut lines = package.lines().filter_map(|line| line.split('"').nth(1));
        if let (Some(name), Some(version)) = (lines.next(), lines.next()) {
            line!(out, "   Compiling {name} v{version}");
        }
    }
    for _ in 0..random.within(5, 40) {
        let path = sources.path(random).replace('/', "::").replace(".rs", "");
        line!(
            out,
            "test {path}::tests::{}_{} ... ok",
            sources.name(random),
            sources.name(random)
        );
    }
    let (path, from, lines) = code(sources, random);
    line!(
        out,
        "error[E0308]: mismatched types\n  --> {path}:{}:{}\n   |",
        from + 1,
        random.within(5, 60)
    );
    for (number, line) in lines.iter().take(6).enumerate() {
        line!(out, "{:<3}| {line}", from + number + 1);
    }
    let passed = random.within(5, 400);
    line!(
        out,
        "test result: FAILED. {passed} passed; 1 failed; 0 ignored; finished in {}.{:02}s",
        random.below(60),
        random.below(100)
    );
    out
}

pub(super) fn history(sources: &Sources, random: &mut Random) -> String {
    let mut out = String::new();
    for _ in 0..random.within(6, 30) {
        if random.once_in(3) {
            line!(
                out,
                "commit {}\nAuthor: Build Bot\nDate:   Mon Jan {} 12:{:02}:04 2026 +0100\n\n    {}\n\n {} | {} ++--\n",
                random.hex(40),
                random.within(1, 28),
                random.below(60),
                sources.sentence(random),
                sources.path(random),
                random.within(1, 99),
            );
        } else {
            line!(out, "{} {}", random.hex(7), sources.sentence(random));
        }
    }
    out
}

/// A list of packages as npm keeps it.
pub(super) fn packages(sources: &Sources, random: &mut Random) -> String {
    let mut out = String::from("{\n  \"lockfileVersion\": 3,\n  \"packages\": {\n");
    for _ in 0..random.within(4, 16) {
        let (name, part) = (sources.word(random), sources.word(random));
        let version = format!(
            "{}.{}.{}",
            random.below(9),
            random.below(40),
            random.below(12)
        );
        let bytes: Vec<u8> = (0..64).map(|_| random.bits().to_le_bytes()[0]).collect();
        let digest = super::super::secrets::base64(&bytes);
        line!(
            out,
            "    \"node_modules/{name}-{part}\": {{\n      \"version\": \"{version}\",\n      \"resolved\": \"https://registry.npmjs.org/{name}-{part}/-/{name}-{part}-{version}.tgz\",\n      \"integrity\": \"sha512-{digest}\",\n      \"license\": \"MIT\",\n      \"engines\": {{ \"node\": \">={}\" }}\n    }},",
            random.within(10, 22),
        );
    }
    out + "  }\n}\n"
}
