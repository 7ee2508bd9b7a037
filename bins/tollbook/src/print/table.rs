//! Aligned columns.

use super::{Tone, heading, tone};

/// Rows of short texts in aligned columns.
#[derive(Debug)]
pub(crate) struct Table {
    widths: Vec<usize>,
    rows: Vec<Vec<(String, Tone)>>,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Self {
        let rows = vec![
            columns
                .iter()
                .map(|name| ((*name).to_owned(), Tone::Plain))
                .collect(),
        ];
        Self {
            widths: columns.iter().map(|name| name.chars().count()).collect(),
            rows,
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<(String, Tone)>) {
        for (width, (text, _)) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(text.chars().count());
        }
        self.rows.push(cells);
    }

    /// The lines, the head first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.rows.iter().enumerate().map(|(index, row)| {
            let mut line = String::new();
            for (column, (text, meant)) in row.iter().enumerate() {
                let text = if index == 0 {
                    heading(text)
                } else {
                    tone(text, *meant)
                };
                line.push_str(&text);
                if column + 1 < row.len() {
                    let gap = self.widths[column] - row[column].0.chars().count() + 2;
                    line.push_str(&" ".repeat(gap));
                }
            }
            line
        });
        lines.collect()
    }
}
