//! `score`: how much of what must not be seen the masking engine finds. See the crate's
//! documentation, and `score --help`.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;
use tollbook_benches::{
    corpus::{self, Kind},
    scoring::{self, Goal, Odd, Report, Tally},
};
use tollbook_masking::{Found, Masker};

const HELP: &str = "\
Measures the masking engine on labelled texts and on clean ones.

Usage: score [--seed N] [--each N] [--only NAME] [--json] [--check] [--misses N]
       score --held-out N       another seed, for texts that nobody has looked at
       score --labels FILE      texts of others: {\"text\", \"spans\": [{\"start\", \"end\", \"kind\"}]} a line
       score --clean DIR        findings per MiB in the files of a folder, by rule
       score --write DIR        write the texts of this seed: labelled.jsonl, clean/, dense.txt,
                                traffic.txt, requests.jsonl

  --seed N      what the texts are made up from (1 unless told)
  --each N      so many values of a kind in each context (1 unless told)
  --only NAME   only kinds, families and classes with this in their names
  --misses N    show so many misses and false findings of each kind, with their texts
  --by-kind     a line for each kind
  --json        print JSON
  --check       exit code 1 if a goal is missed
";

fn main() -> ExitCode {
    match Arguments::read().and_then(|arguments| arguments.run()) {
        Ok(code) => code,
        Err(error) => {
            say_error(&error.to_string());
            ExitCode::from(2)
        }
    }
}

#[derive(Debug, Default)]
struct Arguments {
    seed: u64,
    each: usize,
    only: String,
    misses: usize,
    by_kind: bool,
    json: bool,
    check: bool,
    labels: Option<PathBuf>,
    clean: Vec<PathBuf>,
    write: Option<PathBuf>,
}

impl Arguments {
    fn read() -> io::Result<Self> {
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let mut read = Self {
            seed: 1,
            each: 1,
            ..Self::default()
        };
        let mut arguments = env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut next = || {
                arguments
                    .next()
                    .ok_or_else(|| wrong(format!("{name} what?\n{HELP}")))
            };
            let number = |text: String| {
                text.parse::<u64>()
                    .map_err(|_| wrong(format!("`{text}` is no number")))
            };
            let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            match name.as_str() {
                "--seed" => read.seed = number(next()?)?,
                // Apart from every seed that is used in development.
                "--held-out" => read.seed = number(next()?)?.wrapping_add(0x6865_6c64_6f75_7400),
                "--each" => read.each = count(number(next()?)?),
                "--only" => read.only = next()?,
                "--misses" => read.misses = count(number(next()?)?),
                "--by-kind" => read.by_kind = true,
                "--json" => read.json = true,
                "--check" => read.check = true,
                "--labels" => read.labels = Some(next()?.into()),
                "--clean" => read.clean.push(next()?.into()),
                "--write" => read.write = Some(next()?.into()),
                "--help" | "-h" => {
                    say(HELP);
                    std::process::exit(0);
                }
                _ => return Err(wrong(format!("`{name}` is not known\n{HELP}"))),
            }
        }
        Ok(read)
    }

    fn run(&self) -> io::Result<ExitCode> {
        let masker = Masker::builtin();
        if let Some(folder) = &self.write {
            return self.write(folder);
        }
        if let Some(file) = &self.labels {
            let report = scoring::score_labelled(&masker, &scoring::read(file)?, self.seed);
            self.print(&report, &Clean::default(), &[]);
            return Ok(ExitCode::SUCCESS);
        }
        if !self.clean.is_empty() {
            let mut clean = Clean::default();
            for folder in &self.clean {
                clean.folder(&masker, folder, self.misses)?;
            }
            self.print_clean(&clean);
            return Ok(ExitCode::SUCCESS);
        }
        let report = scoring::score(&masker, &self.samples(), self.seed);
        let mut clean = Clean::default();
        for document in corpus::clean(self.seed, 8 << 20) {
            clean.text(
                &masker,
                document.name,
                document.text.as_bytes(),
                self.misses,
            );
        }
        let goals = scoring::goals(&report, clean.per_mib());
        self.print(&report, &clean, &goals);
        let is_met = goals.iter().all(|goal| goal.is_met);
        Ok(ExitCode::from(u8::from(self.check && !is_met)))
    }

    fn samples(&self) -> Vec<corpus::Sample> {
        let kinds: Vec<Kind> = [Kind::secrets(), Kind::personal()]
            .concat()
            .into_iter()
            .filter(|kind| {
                let names = [kind.name, kind.family, kind.class.name()];
                names.iter().any(|name| name.contains(&self.only))
            })
            .collect();
        corpus::labelled(&kinds, self.seed, self.each)
    }

    fn write(&self, folder: &Path) -> io::Result<ExitCode> {
        fs::create_dir_all(folder.join("clean"))?;
        let mut lines = String::new();
        for sample in self.samples() {
            let line = json!({
                "text": sample.text,
                "spans": [{ "start": sample.start, "end": sample.end, "kind": sample.kind.name }],
                "class": sample.kind.class.name(), "context": sample.context, "encoding": sample.encoding.name(),
            });
            lines.push_str(&format!("{line}\n"));
        }
        fs::write(folder.join("labelled.jsonl"), lines)?;
        for (number, document) in corpus::clean(self.seed, 4 << 20).into_iter().enumerate() {
            let file = folder.join(format!("clean/{number:04}-{}.txt", document.name));
            fs::write(file, document.text)?;
        }
        fs::write(folder.join("dense.txt"), corpus::dense(self.seed, 1 << 20))?;
        let sources = corpus::Sources::read()?;
        let texts = corpus::traffic(&sources, self.seed, 4 << 20);
        let texts: Vec<String> = texts.into_iter().map(|document| document.text).collect();
        fs::write(folder.join("traffic.txt"), texts.join("\n"))?;
        let requests = corpus::requests(&sources, self.seed, 4 << 20);
        fs::write(folder.join("requests.jsonl"), requests.join("\n"))?;
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, report: &Report, clean: &Clean, goals: &[Goal]) {
        if self.json {
            let groups = |groups: &BTreeMap<String, Tally>| -> serde_json::Value {
                let all = groups.iter();
                all.map(|(name, tally)| (name.clone(), tally_json(tally)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            let goals: Vec<_> = goals
                .iter()
                .map(|goal| json!({ "goal": goal.name, "wanted": goal.wanted, "reached": goal.reached, "met": goal.is_met }))
                .collect();
            let page = json!({
                "seed": self.seed, "all": tally_json(&report.all), "classes": groups(&report.classes),
                "families": groups(&report.families), "kinds": groups(&report.kinds),
                "contexts": groups(&report.contexts), "encodings": groups(&report.encodings),
                "clean": { "bytes": clean.bytes, "findings": clean.findings, "per_mib": clean.per_mib() },
                "goals": goals,
            });
            say(&format!("{page}\n"));
            return;
        }
        let mut page = format!(
            "{:<28} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9}\n",
            "", "labels", "recall", "precis", "F1", "leak", "open", "unstable", "json view"
        );
        for groups in [
            &report.classes,
            &report.families,
            &report.encodings,
            &report.contexts,
        ] {
            groups
                .iter()
                .for_each(|(name, tally)| page.push_str(&row(name, tally)));
            page.push('\n');
        }
        if self.by_kind || report.classes.is_empty() {
            report
                .kinds
                .iter()
                .for_each(|(name, tally)| page.push_str(&row(name, tally)));
            page.push('\n');
        }
        page.push_str(&row("all", &report.all));
        say(&page);
        self.odd("missed", &report.misses);
        self.odd("leaked", &report.leaks);
        self.odd("wrong", &report.wrong);
        if clean.bytes > 0 {
            self.print_clean(clean);
        }
        for goal in goals {
            let word = if goal.is_met { "met   " } else { "MISSED" };
            say(&format!(
                "{word} {:<42} {:.4} (wanted {})\n",
                goal.name, goal.reached, goal.wanted
            ));
        }
    }

    fn print_clean(&self, clean: &Clean) {
        say(&format!(
            "\nclean: {} bytes, {} findings, {:.2} per MiB\n",
            clean.bytes,
            clean.findings,
            clean.per_mib()
        ));
        let mut rules: Vec<_> = clean.rules.iter().collect();
        rules.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (rule, (count, shown)) in rules {
            say(&format!("  {count:>7}  {rule}\n"));
            shown
                .iter()
                .for_each(|line| say(&format!("             {line}\n")));
        }
    }

    fn odd(&self, word: &str, all: &[Odd]) {
        if self.misses == 0 {
            return;
        }
        let mut by_kind: BTreeMap<&str, Vec<&Odd>> = BTreeMap::new();
        for odd in all {
            by_kind.entry(&odd.what).or_default().push(odd);
        }
        for (what, odds) in by_kind {
            say(&format!("\n{word}: {what}, {} times\n", odds.len()));
            for odd in odds.iter().take(self.misses) {
                say(&format!(
                    "    {}: {}\n",
                    odd.place,
                    around(&odd.text, odd.start, odd.end)
                ));
            }
        }
    }
}

/// Findings where there should be none.
#[derive(Debug, Default)]
struct Clean {
    bytes: usize,
    findings: usize,
    rules: BTreeMap<String, (usize, Vec<String>)>,
}

impl Clean {
    fn text(&mut self, masker: &Masker, name: &str, text: &[u8], show: usize) {
        self.bytes += text.len();
        for Found {
            rule, start, end, ..
        } in masker.find(text)
        {
            self.findings += 1;
            let (count, shown) = self.rules.entry(rule.to_string()).or_default();
            *count += 1;
            if shown.len() < show {
                let index = |at: u64| usize::try_from(at).unwrap_or(text.len());
                let (from, to) = (
                    index(start).saturating_sub(40),
                    (index(end) + 10).min(text.len()),
                );
                let piece = String::from_utf8_lossy(&text[from..to]);
                let piece: String = piece.chars().take(220).collect();
                shown.push(format!("{name}: {}", piece.escape_debug()));
            }
        }
    }

    fn folder(&mut self, masker: &Masker, path: &Path, show: usize) -> io::Result<()> {
        if path.is_symlink() {
            return Ok(());
        }
        if path.is_dir() {
            let mut entries: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
            entries.sort_by_key(fs::DirEntry::path);
            return entries
                .iter()
                .try_for_each(|entry| self.folder(masker, &entry.path(), show));
        }
        let Ok(text) = fs::read(path) else {
            return Ok(());
        };
        // A file with zeros is no text.
        if !text.iter().take(1 << 13).any(|byte| *byte == 0) {
            self.text(masker, &path.display().to_string(), &text, show);
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a corpus is far below 2^52 bytes"
    )]
    fn per_mib(&self) -> f64 {
        self.findings as f64 / (self.bytes.max(1) as f64 / f64::from(1 << 20))
    }
}

fn row(name: &str, tally: &Tally) -> String {
    let json = if tally.documents == 0 {
        "-".to_owned()
    } else {
        format!("{}/{}", tally.documents_masked, tally.documents)
    };
    format!(
        "{name:<28} {:>7} {:>7.4} {:>7.4} {:>7.4} {:>9.6} {:>9.6} {:>9} {json:>9}\n",
        tally.labels,
        tally.recall(),
        tally.precision(),
        tally.f1(),
        tally.leak(),
        tally.open(),
        tally.unstable + tally.canaries,
    )
}

fn tally_json(tally: &Tally) -> serde_json::Value {
    json!({
        "labels": tally.labels, "found": tally.found, "findings": tally.findings, "right": tally.right,
        "recall": tally.recall(), "precision": tally.precision(), "f1": tally.f1(),
        "leak_of_found": tally.leak(), "leak_of_all": tally.open(), "unstable": tally.unstable,
        "canaries": tally.canaries, "documents": tally.documents, "documents_masked": tally.documents_masked,
    })
}

/// The text around a place, in a line.
fn around(text: &str, start: usize, end: usize) -> String {
    let bytes = text.as_bytes();
    let (from, to) = (start.saturating_sub(60), (end + 30).min(bytes.len()));
    let piece = |from: usize, to: usize| {
        String::from_utf8_lossy(&bytes[from..to])
            .escape_debug()
            .to_string()
    };
    let value = piece(start, end);
    let value: String = value.chars().take(200).collect();
    format!("{}⟦{value}⟧{}", piece(from, start), piece(end, to))
}

#[expect(clippy::print_stdout, reason = "a program's answer")]
fn say(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stderr, reason = "a program's complaint")]
fn say_error(text: &str) {
    eprintln!("score: {text}");
}
