//! Rows with other values.

use bytes::{BufMut, BytesMut};

use crate::{Error, Frame};

/// Writes a row cell by cell.
#[derive(Debug, Default)]
pub struct RowWriter {
    cells: u16,
    body: BytesMut,
}

impl RowWriter {
    /// A row without cells.
    pub fn new() -> Self {
        let mut body = BytesMut::new();
        body.put_u16(0);
        Self { cells: 0, body }
    }

    /// Appends a cell; none stands for NULL.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] beyond 65,535 cells or 2³¹ bytes.
    pub fn cell(&mut self, value: Option<&[u8]>) -> Result<(), Error> {
        self.cells = self.cells.checked_add(1).ok_or(Error::Length)?;
        let Some(value) = value else {
            self.body.put_i32(-1);
            return Ok(());
        };
        let length = i32::try_from(value.len()).map_err(|_| Error::Length)?;
        self.body.reserve(4 + value.len());
        self.body.put_i32(length);
        self.body.extend_from_slice(value);
        Ok(())
    }

    /// The row as a frame of a server.
    pub fn finish(mut self) -> Frame {
        self.body[..2].copy_from_slice(&self.cells.to_be_bytes());
        Frame::new(b'D', self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Backend;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let cells = [Some(&b"ann"[..]), None, Some(b"")];
        let mut row = RowWriter::new();
        for cell in cells {
            row.cell(cell).unwrap();
        }
        let frame = row.finish();
        let Ok(Backend::DataRow(read)) = Backend::read(&frame) else {
            panic!("no row");
        };
        assert_eq!(read.iter().collect::<Vec<_>>(), cells);
    }
}
