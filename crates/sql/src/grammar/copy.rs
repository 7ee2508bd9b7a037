//! In which form `COPY` writes.

use sqlparser::ast::{
    CopyLegacyCsvOption as Csv, CopyLegacyOption as Legacy, CopyOption, CopySource, Statement,
};

use super::names;
use crate::Copied;

/// The form of a `COPY` as its options say, and what PostgreSQL has where they say nothing.
pub(super) fn form(tree: &Statement) -> Copied {
    let mut form = Copied {
        columns: Vec::new(),
        csv: false,
        header: false,
        delimiter: '\t',
        null: None,
        quote: '"',
        escape: '"',
    };
    let Statement::Copy {
        source,
        options,
        legacy_options,
        ..
    } = tree
    else {
        return form;
    };
    if let CopySource::Table { columns, .. } = source {
        form.columns = columns.iter().map(names::ident).collect();
    }
    let (mut delimiter, mut quote, mut escape) = (None, None, None);
    for option in options {
        match option {
            CopyOption::Format(name) => form.csv = name.value.eq_ignore_ascii_case("csv"),
            CopyOption::Delimiter(sign) => delimiter = Some(*sign),
            CopyOption::Null(text) => form.null = Some(text.clone()),
            CopyOption::Header(header) => form.header = *header,
            CopyOption::Quote(sign) => quote = Some(*sign),
            CopyOption::Escape(sign) => escape = Some(*sign),
            _ => {}
        }
    }
    for option in legacy_options {
        match option {
            Legacy::Delimiter(sign) => delimiter = Some(*sign),
            Legacy::Null(text) => form.null = Some(text.clone()),
            Legacy::Header => form.header = true,
            Legacy::Csv(options) => {
                form.csv = true;
                for option in options {
                    match option {
                        Csv::Header => form.header = true,
                        Csv::Quote(sign) => quote = Some(*sign),
                        Csv::Escape(sign) => escape = Some(*sign),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    form.delimiter = delimiter.unwrap_or(if form.csv { ',' } else { '\t' });
    form.quote = quote.unwrap_or('"');
    form.escape = escape.unwrap_or(form.quote);
    form
}

#[cfg(test)]
mod tests {
    use crate::{Dialect, Settings, Statements};

    #[test]
    fn both_ways_to_write_options_are_read() {
        let copied = |text: &str| {
            let read = Statements::read(Dialect::Postgres, text, &Settings::default());
            let copied = read.iter().next().and_then(|one| one.copy.clone());
            copied.unwrap_or_else(|| panic!("no copy: {text}"))
        };
        let plain = copied("COPY app.users (id, \"Name\") TO STDOUT");
        assert_eq!(plain.columns, ["id", "\"Name\""]);
        assert_eq!(
            (plain.csv, plain.delimiter, plain.null),
            (false, '\t', None)
        );
        for text in [
            "COPY t TO STDOUT (FORMAT csv, HEADER, DELIMITER ';', NULL 'x', QUOTE '|')",
            "COPY t TO STDOUT WITH DELIMITER ';' NULL 'x' CSV HEADER QUOTE '|'",
        ] {
            let csv = copied(text);
            assert!(csv.csv && csv.header && csv.columns.is_empty(), "{text}");
            assert_eq!(
                (csv.delimiter, csv.quote, csv.escape),
                (';', '|', '|'),
                "{text}"
            );
            assert_eq!(csv.null.as_deref(), Some("x"), "{text}");
        }
    }
}
