//! Sessions of real clients with a real server: see `testdata/README.md`.

use std::{env, fmt::Write as _, fs, path::Path};

use bytes::BytesMut;
use tollbook_wire_mysql::{
    Answer, Asked, Authentication, Capabilities, Command, Format, Opened, Packet, Packets,
    Parameter, Prepared, Reply, RowWriter, Said, Sequence, Shape, text_of,
};

#[test]
fn mysql2() {
    reads("mysql2");
}

#[test]
fn pymysql() {
    reads("pymysql");
}

#[test]
fn mariadb() {
    reads("cli");
}

/// One session, as whoever stands between both sides reads it.
#[derive(Default)]
struct Session {
    told: String,
    agreed: Capabilities,
    offered: Capabilities,
    phase: Phase,
    statement: Option<Prepared>,
    shapes: Vec<Shape>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Greeting,
    SigningIn,
    Idle,
    Answering(Box<Answer>),
    File(Box<Answer>),
}

fn reads(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let hex = fs::read_to_string(folder.join(format!("{name}.hex"))).unwrap();
    let mut session = Session::default();
    let (mut client, mut server) = (Packets::of_clients(1 << 20), Packets::of_servers(1 << 20));
    let (mut from_client, mut from_server) = (BytesMut::new(), BytesMut::new());
    for line in hex.lines().filter(|line| !line.is_empty()) {
        let (who, digits) = line.split_once(' ').unwrap();
        let bytes: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        for part in bytes.chunks(7) {
            let (packets, wire) = match who {
                "C" => (&mut client, &mut from_client),
                _ => (&mut server, &mut from_server),
            };
            wire.extend_from_slice(part);
            while let Some(packet) = packets.next(wire).unwrap() {
                match who {
                    "C" => session.client(&packet),
                    _ => session.server(&packet),
                }
            }
        }
        assert!(from_client.is_empty() && from_server.is_empty());
    }
    let path = folder.join(format!("{name}.txt"));
    if env::var_os("TEST_BLESS").is_some() {
        fs::write(&path, &session.told).unwrap();
    }
    assert_eq!(session.told, fs::read_to_string(&path).unwrap());
}

impl Session {
    fn client(&mut self, packet: &Packet) {
        self.phase = match std::mem::take(&mut self.phase) {
            Phase::SigningIn if self.agreed == Capabilities::default() => {
                let Reply::SignIn(read) = Reply::read(packet).unwrap() else {
                    panic!("no sign-in");
                };
                self.agreed = read.capabilities.agreed(self.offered).unwrap();
                let (user, database) = (&read.user, &read.database);
                let plugin = &read.plugin;
                self.tell('C', &format!("SignIn {user} {database:?} {plugin}"));
                Phase::SigningIn
            }
            Phase::SigningIn => {
                self.tell('C', "(proof)");
                Phase::SigningIn
            }
            Phase::Idle => self.command(packet),
            Phase::File(answer) => {
                assert!(packet.body.is_empty());
                self.tell('C', "(no file)");
                Phase::Answering(answer)
            }
            _ => panic!("a client speaks out of turn"),
        };
    }

    fn command(&mut self, packet: &Packet) -> Phase {
        let command = Command::read(packet).unwrap();
        let mut told = format!("{command:?}");
        match command {
            Command::Query { text } | Command::Prepare { text } => {
                told += &format!(" {}", text.escape_ascii());
            }
            Command::UseDatabase { name } => told += &format!(" {name}"),
            Command::Execute(execute) => {
                let statement = self.statement.unwrap();
                assert_eq!(execute.statement, statement.statement);
                let read = execute.parameters(statement.parameters, &self.shapes, |_| false);
                let read = read.unwrap();
                for (shape, value) in read.shapes.iter().zip(&read.values) {
                    let text = match value {
                        Parameter::Value(value) => text_of(*shape, Format::Binary, value),
                        _ => None,
                    };
                    told += &format!(" {text:?}");
                }
                self.shapes = read.shapes;
            }
            _ => {}
        }
        self.tell('C', &told);
        match Asked::by(&command) {
            Some(asked) => Phase::Answering(Box::new(Answer::to(asked, self.agreed))),
            None if command == Command::ChangeUser => Phase::SigningIn,
            None => Phase::Idle,
        }
    }

    fn server(&mut self, packet: &Packet) {
        self.phase = match std::mem::take(&mut self.phase) {
            Phase::Greeting => {
                let Opened::Greeting(read) = Opened::read(packet).unwrap() else {
                    panic!("no greeting");
                };
                self.offered = read.capabilities;
                self.tell('S', &format!("Greeting {} {}", read.version, read.plugin));
                Phase::SigningIn
            }
            Phase::SigningIn => {
                let step = Authentication::read(packet, self.agreed).unwrap();
                self.tell('S', &format!("{step:?}"));
                match step {
                    Authentication::Done(_) => Phase::Idle,
                    _ => Phase::SigningIn,
                }
            }
            Phase::Answering(answer) => self.answer(answer, packet),
            _ => panic!("a server speaks out of turn"),
        };
    }

    fn answer(&mut self, mut answer: Box<Answer>, packet: &Packet) -> Phase {
        let said = answer.read(packet).unwrap_or_else(|error| {
            panic!("{error}: {:02x?} after\n{}", &packet.body[..], self.told)
        });
        let mut told = format!("{said:?}");
        let again = match &said {
            Said::Done(done) => {
                told += &format!(" {} {:?}", done.info.escape_ascii(), done.status);
                done.changes()
                    .for_each(|change| told += &format!(" {change:?}"));
                Some(done.write(self.agreed))
            }
            Said::EndOfRows(done) => Some(done.write_end_of_rows(self.agreed)),
            Said::EndOfColumns(done) | Said::EndOfParameters(done) => {
                done.write_end_of_columns(self.agreed)
            }
            Said::Failed(failure) => {
                told += &format!(" {}", failure.message);
                Some(failure.write())
            }
            Said::Column(column) | Said::Parameter(column) => {
                let (table, name) = (&column.origin_table, &column.origin_name);
                let shape = column.shape();
                let shown = &column.name;
                told += &format!(" {shown} of {}.{table}.{name} {shape:?}", column.database);
                None
            }
            Said::Row(row) => {
                let mut writer = RowWriter::new(row.format, answer.shapes());
                let cells = row.cells(answer.shapes()).unwrap();
                for (shape, cell) in answer.shapes().iter().zip(cells.iter()) {
                    writer.cell(cell).unwrap();
                    match cell {
                        None => told += " NULL",
                        Some(cell) => {
                            let text = text_of(*shape, row.format, cell);
                            told += &format!(" {}", text.as_deref().unwrap_or("?"));
                        }
                    }
                }
                Some(writer.finish().unwrap())
            }
            Said::Prepared(prepared) => {
                self.statement = Some(*prepared);
                self.shapes.clear();
                None
            }
            _ => None,
        };
        self.tell('S', &told);
        // What a gate writes of what it read is what the server wrote.
        if let Some(again) = again {
            assert_eq!(again, packet.body, "{told}");
            let mut wire = BytesMut::new();
            Sequence::new().write(&again, &mut wire);
            assert_eq!(wire.len(), 4 + packet.body.len());
        }
        match said {
            Said::File(_) => Phase::File(answer),
            _ if answer.is_over() => Phase::Idle,
            _ => Phase::Answering(answer),
        }
    }

    fn tell(&mut self, who: char, what: &str) {
        writeln!(self.told, "{who} {what}").unwrap();
    }
}
