//! `tollbook erase`.

use std::{path::Path, process::ExitCode};

use clap::Args;
use serde_json::Value;
use tollbook_budget::Prices;
use tollbook_gateway::control::{Of, Order, View, ViewAction};
use tollbook_recording::{Reader, Retention, Whom};
use tollbook_search::Index;

use crate::{
    command::{Book, Form, order::Whose},
    exit::Failure,
    print::{self, field, inert, local},
};

/// Erase what somebody did, or a session, from the book.
///
/// The keys under which it is sealed are destroyed, so that nobody can read it any more, and what of
/// it stands elsewhere in the folder is taken out. A tombstone in the log says how much, who asked
/// and on what ground, and not whose it was; the log still verifies. It works on a running gateway
/// and on a book at rest.
///
/// Copies of the folder keep what they have: delete them, or let their keys end by
/// `tollbook keys rotate`. What is exported is not erased. What the gate itself did stays in the
/// book, such as the steps of an approval.
///
/// Exit code 1: a legal hold forbids it, which is recorded, or it has to be kept for longer; or there
/// is nothing to erase.
#[derive(Debug, Args)]
pub(crate) struct Erase {
    #[command(flatten)]
    whose: Whose,
    /// On what ground, such as the number of the request. No names and no secrets: it stays in the
    /// log.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    basis: Option<String>,
    /// Erase although the retention has a minimum that is not over, for this reason, which is
    /// recorded. A hold is not overridden.
    #[arg(long, value_name = "REASON")]
    override_minimum: Option<String>,
    /// Tell what would be erased, and erase nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    book: Book,
    #[command(flatten)]
    form: Form,
}

impl Erase {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let of = self.whose.of()?;
        for (name, text) in [
            ("--basis", &self.basis),
            ("--override-minimum", &self.override_minimum),
        ] {
            if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
                return Err(Failure::usage(format!("{name} is empty")));
            }
        }
        self.book.tell_of_epochs()?;
        let told = if self.dry_run {
            self.would(&of)?
        } else {
            let order = Order::Erase {
                of,
                basis: self.basis.clone().unwrap_or_default(),
                override_minimum: self.override_minimum.clone(),
            };
            let told = self.book.order(&order)?;
            self.book.forget()?;
            told
        };
        if self.form.json {
            print::json(&told)?;
        } else {
            print::page(&page(&told, self.dry_run))?;
        }
        let refused = self.dry_run
            && (!told["holds"].as_array().is_none_or(Vec::is_empty)
                || (!told["kept_until"].is_null() && self.override_minimum.is_none()));
        let nothing = told["exchanges"] == 0;
        Ok(match refused || nothing {
            true => ExitCode::from(1),
            false => ExitCode::SUCCESS,
        })
    }

    fn would(&self, of: &Of) -> Result<Value, Failure> {
        let whom: Whom = of.clone().into();
        let retention = match self.book.retention() {
            Err(_) if self.override_minimum.is_some() => Retention::default(),
            retention => retention?,
        };
        let would = self.book.open()?.would_erase(&whom, &retention);
        let would = would.map_err(|error| Failure::unknown("cannot look into the book", error))?;
        // Whose it would be is not told there: it would outlive the erasure.
        self.book.noted(&View::new(ViewAction::Survey))?;
        serde_json::to_value(would)
            .map_err(|error| Failure::unknown("cannot tell what would be erased", error))
    }
}

impl Book {
    /// Takes out of the index what is not in the book any more. Without an index there is nothing to
    /// do.
    pub(crate) fn forget(&self) -> Result<(), Failure> {
        let folder = self.folder()?;
        if !folder.join("search.db").exists() {
            return Ok(());
        }
        let still = format!(
            "it is gone from the book, but the search index still has its words: delete search.db, \
             search.db-wal and search.db-shm in {}",
            folder.display()
        );
        match self.forgotten(&folder) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Unknown(still)),
            Err(error) => Err(Failure::unknown(&still, error)),
        }
    }

    /// Whether the index of this folder has nothing any more of what was erased from the book.
    fn forgotten(&self, folder: &Path) -> Result<bool, tollbook_search::Error> {
        let prices = match self.prices() {
            Ok(prices) => prices,
            Err(_) => Prices::built_in().map_err(|_| tollbook_search::ErrorKind::Index)?,
        };
        let index = Index::open(folder, prices)?;
        let index = index.retaining(self.retention().unwrap_or_default());
        if !index.is_kept() {
            // It is a temporary one, and the file is as it was.
            return Ok(false);
        }
        if let Some(Ok(caught)) = self.open().ok().map(|book| index.catch_up(&book)) {
            return Ok(!caught.left);
        }
        // To forget takes no keys.
        index.forget_erased(&Reader::open(folder)?)
    }

    /// Says so where books were put aside in the folder: nothing is erased from those.
    fn tell_of_epochs(&self) -> Result<(), Failure> {
        let folder = self.folder()?;
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let aside = files.filter(|file| {
            let name = file.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("epoch-"));
            number.is_some_and(|number| number.parse::<u64>().is_ok())
        });
        match aside.count() {
            0 => {}
            count => print::aside(&format!(
                "{count} books that `tollbook recover` put aside are in epoch-… of {}: nothing is \
                 erased from them; delete those that are not needed any more",
                folder.display()
            )),
        }
        Ok(())
    }
}

fn page(told: &Value, would: bool) -> Vec<String> {
    let number = |key: &str| told[key].as_u64().unwrap_or_default();
    let mut page = Vec::new();
    match number("exchanges") {
        0 => page.push("there is nothing of it in the book".to_owned()),
        exchanges => {
            let name = if would { "would erase" } else { "erased" };
            let sessions = number("sessions");
            page.push(field(
                name,
                &format!("{exchanges} exchanges in {sessions} sessions"),
            ));
            let time = |key: &str| told[key].as_str().map(local).unwrap_or_default();
            page.push(field(
                "between",
                &format!("{} and {}", time("from"), time("to")),
            ));
        }
    }
    if number("kept") > 0 {
        let kept = format!("{} exchanges of the gate itself", number("kept"));
        page.push(field("stays", &kept));
    }
    let list = |key: &str| {
        let numbers = told[key].as_array().into_iter().flatten();
        let numbers: Vec<String> = numbers.map(Value::to_string).collect();
        numbers.join(", ")
    };
    if !list("holds").is_empty() {
        page.push(field("held by", &inert(&list("holds"))));
    }
    if let Some(until) = told["kept_until"].as_str() {
        page.push(field("to be kept until", &local(until)));
    }
    if !list("tombstones").is_empty() {
        page.push(field(
            "in the log",
            &format!("entry {}", list("tombstones")),
        ));
    }
    page
}
