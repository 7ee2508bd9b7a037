//! What servers answer: which packet comes next.

use std::fmt;

use crate::{
    Capabilities, Column, Command, Done, Error, Failure, Format, MAX_PACKET, Packet, Row, Shape,
    cursor::Cursor,
    done::{END, EOF_LENGTH},
    failure::ERR,
};

/// Reads the answer to one command, packet by packet.
///
/// What a packet is depends on what was asked, on what was agreed on and on what came before; so
/// this is a state of its own for each command. It holds nothing of what passes but the types of
/// the columns of the present result.
///
/// ```
/// use tollbook_wire_mysql::{Answer, Asked, Capabilities, Packet, Said};
///
/// let mut answer = Answer::to(Asked::Statement, Capabilities::OFFERED);
/// let packet = Packet::new(&b"\0\x03\0\x02\0\0\0"[..]);
/// let Said::Done(done) = answer.read(&packet)? else { panic!("not done") };
/// assert_eq!(done.changed, 3);
/// assert!(answer.is_over());
/// # Ok::<(), tollbook_wire_mysql::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Answer {
    asked: Asked,
    agreed: Capabilities,
    state: State,
    shapes: Vec<Shape>,
}

/// What an answer is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A text that is run. Its rows are texts.
    Statement,
    /// A prepared statement that is run. Its rows are binary.
    Execution,
    /// A statement that is made.
    Preparation,
    /// Rows of a cursor, whose columns are known: see [`Answer::to_fetch`].
    Rows,
    /// The columns of a table.
    Columns,
    /// How the server is.
    Statistics,
    /// Anything that is done or fails.
    Command,
}

/// What a packet of an answer is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Said<'a> {
    /// A statement that gives no rows, or another command, is done.
    Done(Done<'a>),
    /// It failed. Nothing more comes.
    Failed(Failure<'a>),
    /// The server asks for a file of the client's. It never has a right to: an empty packet tells it
    /// that there is nothing, and the answer goes on.
    File(&'a [u8]),
    /// A result begins, with so many columns.
    Columns(u16),
    /// A column of it, or of a statement that is made, or of a table.
    Column(Column<'a>),
    /// Its columns end. This comes unless [`Capabilities::DEPRECATE_EOF`] holds.
    EndOfColumns(Done<'a>),
    /// A row.
    Row(Row<'a>),
    /// The result ends; so does a list of columns that no rows follow, also because they are to be
    /// fetched ([`Status::CURSOR`](crate::Status::CURSOR)).
    EndOfRows(Done<'a>),
    /// A statement was made.
    Prepared(Prepared),
    /// A parameter of it.
    Parameter(Column<'a>),
    /// Its parameters end, as columns do.
    EndOfParameters(Done<'a>),
    /// How the server is, in words.
    Statistics(&'a [u8]),
}

/// A statement that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Its number, by which it is run.
    pub statement: u32,
    /// The columns of what it gives.
    pub columns: u16,
    /// The parameters that it takes.
    pub parameters: u16,
    /// How many warnings there are.
    pub warnings: u16,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    First,
    /// So many parameters, and then so many columns.
    Parameters(u16, u16),
    EndOfParameters(u16),
    Columns(u16),
    EndOfColumns,
    Rows,
    /// As many columns as there are.
    Listed,
    Over,
}

impl Asked {
    /// What answer a command has; none for one that has no answer, or one that is no session's to
    /// ask ([`Command::ChangeUser`], [`Command::BulkExecute`], replication, administration).
    pub const fn by(command: &Command<'_>) -> Option<Self> {
        Some(match command {
            Command::Query { .. } | Command::Processes => Self::Statement,
            Command::Execute(_) => Self::Execution,
            Command::Prepare { .. } => Self::Preparation,
            Command::Fetch { .. } => Self::Rows,
            Command::FieldList { .. } => Self::Columns,
            Command::Statistics => Self::Statistics,
            Command::UseDatabase { .. }
            | Command::Reset { .. }
            | Command::SetMultiStatements(_)
            | Command::ResetConnection
            | Command::Kill { .. }
            | Command::Ping => Self::Command,
            Command::LongData { .. }
            | Command::Close { .. }
            | Command::Quit
            | Command::BulkExecute { .. }
            | Command::ChangeUser
            | Command::Replication(_)
            | Command::Administration(_) => return None,
        })
    }
}

impl Answer {
    /// The answer to a command. `agreed` is what holds with the server.
    pub fn to(asked: Asked, agreed: Capabilities) -> Self {
        let state = match asked {
            Asked::Rows => State::Rows,
            Asked::Columns => State::Listed,
            _ => State::First,
        };
        Self {
            asked,
            agreed,
            state,
            shapes: Vec::new(),
        }
    }

    /// The answer to [`Command::Fetch`], of a cursor on columns of these types.
    pub fn to_fetch(shapes: Vec<Shape>, agreed: Capabilities) -> Self {
        Self {
            shapes,
            ..Self::to(Asked::Rows, agreed)
        }
    }

    /// Reads the next packet of the answer.
    ///
    /// # Errors
    ///
    /// When it is none that can come here. The connection is out of step then and can only be
    /// closed.
    pub fn read<'a>(&mut self, packet: &'a Packet) -> Result<Said<'a>, Error> {
        let first = packet.body.first().copied();
        if self.state != State::Over && first == Some(ERR) {
            let failure = Failure::read(packet)?;
            self.state = State::Over;
            return Ok(Said::Failed(failure));
        }
        match self.state {
            State::First => self.first(packet),
            State::Parameters(left, columns) => {
                let column = Column::read(packet)?;
                self.state = match left.saturating_sub(1) {
                    0 if self.has_ends() => State::EndOfParameters(columns),
                    0 => Self::columns(columns),
                    left => State::Parameters(left, columns),
                };
                Ok(Said::Parameter(column))
            }
            State::EndOfParameters(columns) => {
                let done = self.end(packet)?;
                self.state = Self::columns(columns);
                Ok(Said::EndOfParameters(done))
            }
            State::Columns(left) => {
                let column = Column::read(packet)?;
                self.shapes.push(column.shape());
                self.state = match left.saturating_sub(1) {
                    0 if self.has_ends() => State::EndOfColumns,
                    0 => self.behind_columns(),
                    left => State::Columns(left),
                };
                Ok(Said::Column(column))
            }
            State::EndOfColumns => {
                let done = self.end(packet)?;
                if done.status.has(crate::Status::CURSOR) {
                    self.over(&done);
                    return Ok(Said::EndOfRows(done));
                }
                self.state = self.behind_columns();
                Ok(Said::EndOfColumns(done))
            }
            State::Rows => {
                if self.is_end(packet) {
                    let done = Done::read(packet, self.agreed)?;
                    self.over(&done);
                    return Ok(Said::EndOfRows(done));
                }
                Row::new(self.format(), &packet.body).map(Said::Row)
            }
            State::Listed => {
                if self.is_end(packet) {
                    let done = Done::read(packet, self.agreed)?;
                    self.over(&done);
                    return Ok(Said::EndOfRows(done));
                }
                Column::read(packet).map(Said::Column)
            }
            State::Over => Err(Error::Unexpected(first.unwrap_or_default())),
        }
    }

    /// Whether all has come.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether a row can come next, so that a message that is too long to be held can only be one:
    /// whatever begins with another byte than 0xff and goes on in another packet. To this state it
    /// makes no difference whether a row is read here.
    pub fn expects_row(&self) -> bool {
        self.state == State::Rows
    }

    /// How the rows are written.
    pub const fn format(&self) -> Format {
        match self.asked {
            Asked::Execution | Asked::Rows => Format::Binary,
            _ => Format::Text,
        }
    }

    /// The types of the columns, as far as they have come: what cells are read by.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    fn first<'a>(&mut self, packet: &'a Packet) -> Result<Said<'a>, Error> {
        let mut cursor = Cursor::new(&packet.body);
        if self.asked == Asked::Statistics {
            self.state = State::Over;
            return Ok(Said::Statistics(cursor.take_rest()));
        }
        let byte = cursor.byte()?;
        match (byte, self.asked) {
            (0, Asked::Preparation) => {
                let prepared = Prepared {
                    statement: cursor.u32()?,
                    columns: cursor.u16()?,
                    parameters: cursor.u16()?,
                    warnings: {
                        cursor.byte()?;
                        cursor.u16()?
                    },
                };
                cursor.end()?;
                self.state = match prepared.parameters {
                    0 => Self::columns(prepared.columns),
                    left => State::Parameters(left, prepared.columns),
                };
                Ok(Said::Prepared(prepared))
            }
            (0, _) | (END, Asked::Command) => {
                let done = Done::read(packet, self.agreed)?;
                self.over(&done);
                Ok(Said::Done(done))
            }
            // The state stays: what is done or failed comes behind the file.
            (FILE, Asked::Statement) => Ok(Said::File(cursor.take_rest())),
            (_, Asked::Statement | Asked::Execution) => {
                let mut cursor = Cursor::new(&packet.body);
                let count = u16::try_from(cursor.number()?).map_err(|_| Error::Length)?;
                cursor.end()?;
                self.shapes.clear();
                self.state = State::Columns(count);
                Ok(Said::Columns(count))
            }
            (other, _) => Err(Error::Unexpected(other)),
        }
    }

    /// The end of columns or parameters.
    fn end<'a>(&self, packet: &'a Packet) -> Result<Done<'a>, Error> {
        match self.is_end(packet) {
            true => Done::read(packet, self.agreed),
            false => Err(Error::Unexpected(
                packet.body.first().copied().unwrap_or_default(),
            )),
        }
    }

    /// A row can begin with the same byte, where its first value is of 16 MiB or more.
    fn is_end(&self, packet: &Packet) -> bool {
        let length = packet.body.len();
        let short = match self.has_ends() {
            true => length == EOF_LENGTH,
            false => length < MAX_PACKET,
        };
        short && packet.body.first() == Some(&END)
    }

    /// Whether columns have an end of their own.
    const fn has_ends(&self) -> bool {
        !self.agreed.has(Capabilities::DEPRECATE_EOF)
    }

    const fn columns(count: u16) -> State {
        match count {
            0 => State::Over,
            count => State::Columns(count),
        }
    }

    fn behind_columns(&self) -> State {
        match self.asked {
            Asked::Preparation => State::Over,
            _ => State::Rows,
        }
    }

    fn over(&mut self, done: &Done<'_>) {
        let more = done.status.has(crate::Status::MORE_RESULTS)
            && matches!(self.asked, Asked::Statement | Asked::Execution);
        self.state = if more { State::First } else { State::Over };
    }
}

/// What it is, and nothing of what it holds.
impl fmt::Debug for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_) => f.write_str("Done"),
            Self::Failed(failure) => failure.fmt(f),
            Self::File(_) => f.write_str("File"),
            Self::Columns(count) => write!(f, "Columns({count})"),
            Self::Column(_) => f.write_str("Column"),
            Self::EndOfColumns(_) => f.write_str("EndOfColumns"),
            Self::Row(_) => f.write_str("Row"),
            Self::EndOfRows(_) => f.write_str("EndOfRows"),
            Self::Prepared(prepared) => prepared.fmt(f),
            Self::Parameter(_) => f.write_str("Parameter"),
            Self::EndOfParameters(_) => f.write_str("EndOfParameters"),
            Self::Statistics(_) => f.write_str("Statistics"),
        }
    }
}

/// Asks for a file of the client's.
const FILE: u8 = 0xfb;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Status, column::tests::description};

    const NEW: Capabilities = Capabilities::OFFERED;

    fn old() -> Capabilities {
        NEW.without(Capabilities::DEPRECATE_EOF)
    }

    fn column(kind: Kind) -> Packet {
        description(["shop", "orders", "orders", "n", "n"], kind, 0)
    }

    fn ok(status: Status) -> Packet {
        Packet::new(Done::new(status).write(NEW))
    }

    fn end(agreed: Capabilities, status: Status) -> Packet {
        Packet::new(Done::new(status).write_end_of_rows(agreed))
    }

    fn raw(body: &'static [u8]) -> Packet {
        Packet::new(body)
    }

    /// What the packets are, and whether they are all.
    fn told(mut answer: Answer, packets: &[Packet]) -> (Vec<String>, bool) {
        let told = packets.iter().map(|packet| match answer.read(packet) {
            Ok(said) => format!("{said:?}"),
            Err(error) => error.to_string(),
        });
        (told.collect(), answer.is_over())
    }

    #[test]
    fn results_follow_one_another() {
        let more = Status::MORE_RESULTS;
        let rows = [raw(b"\x01a"), raw(b"\xfb"), raw(b"\0")];
        let mut packets = vec![raw(b"\x01"), column(Kind::VAR_STRING)];
        packets.extend(rows);
        packets.push(end(NEW, more));
        packets.push(ok(more));
        packets.push(raw(b"\x01"));
        packets.push(column(Kind::LONG));
        packets.push(raw(b"\xff\x25\x05#70100killed"));
        let (said, over) = told(Answer::to(Asked::Statement, NEW), &packets);
        let failure = "Failure { number: 1317, state: Some(\"70100\"), .. }";
        assert_eq!(
            said,
            [
                "Columns(1)",
                "Column",
                "Row",
                "Row",
                "Row",
                "EndOfRows",
                "Done",
                "Columns(1)",
                "Column",
                failure
            ]
        );
        assert!(over);
    }

    #[test]
    fn columns_end_where_that_was_agreed_on() {
        let packets = [
            raw(b"\x02"),
            column(Kind::LONG),
            column(Kind::BLOB),
            end(old(), Status::default()),
            raw(b"\0\0\x01\0\0\0\x01x"),
            end(old(), Status::default()),
        ];
        let mut answer = Answer::to(Asked::Execution, old());
        let mut said = Vec::new();
        for packet in &packets {
            assert!(!answer.is_over());
            said.push(format!("{:?}", answer.read(packet).unwrap()));
        }
        assert_eq!(
            said,
            [
                "Columns(2)",
                "Column",
                "Column",
                "EndOfColumns",
                "Row",
                "EndOfRows"
            ]
        );
        assert!(answer.is_over());
        let kinds: Vec<_> = answer.shapes().iter().map(|shape| shape.kind).collect();
        assert_eq!(kinds, [Kind::LONG, Kind::BLOB]);

        // Where none is agreed on, the next is a row.
        let (said, _) = told(Answer::to(Asked::Execution, NEW), &packets[..4]);
        assert_ne!(said[3], "EndOfColumns");
        let packets = [&packets[..3], &packets[4..5]].concat();
        let (said, _) = told(Answer::to(Asked::Execution, old()), &packets);
        assert_eq!(said[3], "unexpected message of type 0x00");
    }

    #[test]
    fn rows_of_a_cursor_are_fetched() {
        for agreed in [NEW, old()] {
            let opened = end(agreed, Status::CURSOR);
            let packets = [raw(b"\x01"), column(Kind::TINY), opened];
            let (said, over) = told(Answer::to(Asked::Execution, agreed), &packets);
            assert_eq!(said, ["Columns(1)", "Column", "EndOfRows"]);
            assert!(over);
            let shape = column(Kind::TINY);
            let shapes = vec![Column::read(&shape).unwrap().shape()];
            let packets = [raw(b"\0\0\x07"), end(agreed, Status::LAST_ROW)];
            let (said, over) = told(Answer::to_fetch(shapes, agreed), &packets);
            assert_eq!(
                (&said[..], over),
                (&["Row", "EndOfRows"].map(str::to_owned)[..], true)
            );
        }
    }

    #[test]
    fn a_prepared_statement_tells_parameters_and_columns() {
        for agreed in [NEW, old()] {
            for (parameters, columns) in [(0u16, 0u16), (2, 0), (0, 1), (1, 2)] {
                let body = [
                    &b"\0\x07\0\0\0"[..],
                    &columns.to_le_bytes(),
                    &parameters.to_le_bytes(),
                    b"\0\x01\0",
                ];
                let mut packets = vec![Packet::new(body.concat())];
                for count in [parameters, columns] {
                    packets.extend((0..count).map(|_| column(Kind::LONG)));
                    if count > 0 && !agreed.has(Capabilities::DEPRECATE_EOF) {
                        packets.push(end(agreed, Status::default()));
                    }
                }
                let mut answer = Answer::to(Asked::Preparation, agreed);
                for packet in &packets {
                    assert!(!answer.is_over());
                    let said = answer.read(packet).unwrap();
                    if let Said::Prepared(prepared) = said {
                        assert_eq!((prepared.statement, prepared.warnings), (7, 1));
                    }
                }
                assert!(answer.is_over(), "{parameters} and {columns}");
                assert!(answer.read(&packets[0]).is_err());
            }
        }
    }

    #[test]
    fn a_file_that_is_asked_for_is_no_end() {
        let packets = [raw(b"\xfb/etc/passwd"), ok(Status::default())];
        let (said, over) = told(Answer::to(Asked::Statement, NEW), &packets);
        assert_eq!(
            (&said[..], over),
            (&["File", "Done"].map(str::to_owned)[..], true)
        );
        let (said, _) = told(Answer::to(Asked::Execution, NEW), &packets[..1]);
        assert_eq!(
            said,
            ["a code in a message stands for nothing that is known"]
        );
    }

    #[test]
    fn the_rest_is_done_or_fails() {
        let done = |asked, packet: Packet| told(Answer::to(asked, NEW), &[packet]).0.concat();
        assert_eq!(done(Asked::Command, ok(Status::default())), "Done");
        // SET_OPTION is answered by an EOF.
        assert_eq!(done(Asked::Command, raw(b"\xfe\0\0\x02\0")), "Done");
        assert_eq!(done(Asked::Statistics, raw(b"Uptime: 3")), "Statistics");
        assert_eq!(done(Asked::Columns, column(Kind::LONG)), "Column");
        assert_eq!(
            done(Asked::Columns, end(NEW, Status::default())),
            "EndOfRows"
        );
        for (asked, body) in [
            (Asked::Command, &b"\x01"[..]),
            (Asked::Command, b""),
            (Asked::Statement, b"\xfe\0\0\0\0\x01\0\0\0"),
            (Asked::Statement, b"\xfc\0\0\0"),
            (Asked::Preparation, b"\0\x07\0\0\0\x01\0"),
            (Asked::Preparation, b"\x01"),
            (Asked::Rows, b"\x01"),
        ] {
            let mut answer = Answer::to(asked, NEW);
            assert!(answer.read(&Packet::new(body)).is_err(), "{asked:?}");
            assert!(!answer.is_over());
        }
    }

    #[test]
    fn a_row_of_sixteen_mebibytes_is_no_end() {
        let mut body = vec![END];
        body.extend((MAX_PACKET as u64).to_le_bytes());
        body.resize(9 + MAX_PACKET, b'x');
        let long = Packet::new(body);
        for agreed in [NEW, old()] {
            let mut answer = Answer::to(Asked::Statement, agreed);
            answer.read(&raw(b"\x01")).unwrap();
            answer.read(&column(Kind::LONG_BLOB)).unwrap();
            if !agreed.has(Capabilities::DEPRECATE_EOF) {
                answer.read(&end(agreed, Status::default())).unwrap();
            }
            assert!(answer.expects_row());
            let Ok(Said::Row(row)) = answer.read(&long) else {
                panic!("no row");
            };
            let cells = row.cells(answer.shapes()).unwrap();
            let lengths: Vec<_> = cells.iter().map(|cell| cell.map(<[u8]>::len)).collect();
            assert_eq!(lengths, [Some(MAX_PACKET)]);
        }
    }
}
