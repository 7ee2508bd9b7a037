//! What must hold for any bytes: for generated ones here, for changed ones in `tests/fuzz`.

#![allow(dead_code, reason = "two test binaries use some of it each")]

use proptest::prelude::*;
use tollbook_wire_mysql::{
    Answer, Asked, Authentication, Capabilities, Cells, Column, Command, Done, Failure, Format,
    Kind, Opened, Packet, Parameter, Reply, Row, RowWriter, Said, Shape, text_of,
};

/// What messages are made of.
pub(crate) const PIECES: &[&[u8]] = &[
    b"\0",
    b"\x01",
    b"\x02",
    b"\0\0",
    b"\x0c",
    b"\x0a8.4.6\0",
    b"\x03def",
    b"\x04shop\x06orders\x06orders\x01n\x01n",
    b"\x0c\x2d\0\x50\0\0\0\x03\x20\0\0\0\0",
    b"\x0c\x2d\0\x50\0\0\0\xfd\0\0\0\0\0",
    b"\xfb",
    b"\xfc\xff\xff",
    b"\xfd\xff\xff\xff",
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xfe\0\0\x02\0",
    b"\xfe\0\0\x0a\0",
    b"\0\0\0\x02\0\0\0",
    b"\0\0\0\x02\x40\0\0\0\x09\x01\x05\x04shop",
    b"\xff\x15\x04#28000no",
    b"\x17\x01\0\0\0\0\x01\0\0\0",
    b"\0\x01\x08\x80\xfd\0",
    b"\x0b\xe9\x07\x0b\x16\x17\x3b\x01\x20\xa1\x07\0",
    b"\x08\x01\x01\0\0\0\x02\x03\x04",
    b"\x03SELECT 1",
    b"\x16SELECT ?",
    b"\x05a\xff\xbfb\0",
    b"ann\0",
    b"caching_sha2_password\0",
    b"\xff\xa2\xff\x01\0\0\0\x01\x2d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\x15\0\0\0\0\0\0\0\0\0\0abcdefghijkl\0",
];

/// What a client could say.
pub(crate) fn client(body: &[u8]) -> Result<(), String> {
    let packet = Packet::new(body.to_vec());
    if let Ok(command) = Command::read(&packet) {
        shows_nothing(&format!("{command:?}"))?;
        if let Command::Execute(execute) = command {
            for count in [0, 1, 2, 9] {
                let Ok(read) = execute.parameters(count, &[], |index| index == 1) else {
                    continue;
                };
                law(read.values.len() == usize::from(count), "fewer parameters")?;
                law(read.shapes.len() == usize::from(count), "fewer types")?;
                for (shape, value) in read.shapes.iter().zip(&read.values) {
                    if let Parameter::Value(value) = value {
                        let _text = text_of(*shape, Format::Binary, value);
                    }
                }
            }
        }
    }
    if let Ok(reply) = Reply::read(&packet) {
        shows_nothing(&format!("{reply:?}"))?;
        if let Reply::SignIn(read) = reply {
            let again = Packet::new(read.write().map_err(|error| error.to_string())?);
            let Ok(Reply::SignIn(again)) = Reply::read(&again) else {
                return Err("what was read cannot be read again".to_owned());
            };
            let same = (&again.user, &again.proof, &again.plugin);
            law(same == (&read.user, &read.proof, &read.plugin), "changed")?;
        }
    }
    Ok(())
}

/// What a server could say outside of answers.
pub(crate) fn server(body: &[u8], agreed: u32) -> Result<(), String> {
    let packet = Packet::new(body.to_vec());
    let agreed = Capabilities(agreed);
    if let Ok(Opened::Greeting(read)) = Opened::read(&packet) {
        let again = Packet::new(read.write().map_err(|error| error.to_string())?);
        law(
            Opened::read(&again) == Ok(Opened::Greeting(read)),
            "another greeting",
        )?;
    }
    if let Ok(read) = Authentication::read(&packet, agreed) {
        let _shown = format!("{read:?}");
    }
    if let Ok(read) = Column::read(&packet) {
        shows_nothing(&format!("{read:?}"))?;
    }
    if let Ok(read) = Failure::read(&packet) {
        let again = Packet::new(read.write());
        law(
            read.message.len() > 512 || Failure::read(&again) == Ok(read),
            "another failure",
        )?;
    }
    if let Ok(read) = Done::read(&packet, agreed) {
        let changes = read.changes().count();
        // It is the same to a client that agreed on the same.
        let again = Packet::new(read.write(agreed));
        let Ok(again) = Done::read(&again, agreed) else {
            return Err("what was read cannot be read again".to_owned());
        };
        law(again.changes().count() == changes, "other changes")?;
        law(
            (again.changed, again.info) == (read.changed, read.info),
            "other",
        )?;
    }
    Ok(())
}

/// What a server could answer.
pub(crate) fn answers(asked: Asked, agreed: u32, bodies: &[Vec<u8>]) -> Result<(), String> {
    let mut answer = Answer::to(asked, Capabilities(agreed));
    for body in bodies {
        let packet = Packet::new(body.clone());
        let before = answer.is_over();
        let Ok(said) = answer.read(&packet) else {
            break;
        };
        law(!before, "something comes when all has come")?;
        // An SQLSTATE is shown.
        if !matches!(said, Said::Failed(_)) {
            shows_nothing(&format!("{said:?}"))?;
        }
        match said {
            Said::Row(row) => {
                if let Ok(cells) = row.cells(answer.shapes()) {
                    rewrite(row, cells, answer.shapes(), body)?;
                }
            }
            Said::Failed(_) => law(answer.is_over(), "a failure is no end")?,
            _ => {}
        }
    }
    Ok(())
}

/// A row that is written of the same cells is the same row, if its lengths were as short as can be.
fn rewrite(row: Row<'_>, cells: Cells<'_>, shapes: &[Shape], body: &[u8]) -> Result<(), String> {
    law(cells.iter().count() == cells.len(), "fewer cells")?;
    let mut writer = RowWriter::new(row.format, shapes);
    for cell in cells.iter() {
        writer.cell(cell).map_err(|error| error.to_string())?;
    }
    let again = writer.finish().map_err(|error| error.to_string())?;
    law(again.len() <= body.len(), "a row grows")?;
    let again = Packet::new(again);
    let mut answer = Answer::to_fetch(shapes.to_vec(), Capabilities::OFFERED);
    if row.format == Format::Binary {
        let Ok(Said::Row(again)) = answer.read(&again) else {
            return Err("a row is none".to_owned());
        };
        let again = again.cells(shapes).map_err(|error| error.to_string())?;
        law(again.iter().eq(cells.iter()), "other cells")?;
    }
    Ok(())
}

/// Values of any type.
pub(crate) fn values(kind: u8, unsigned: bool, value: &[u8]) -> Result<(), String> {
    let shape = Shape {
        kind: Kind(kind),
        unsigned,
    };
    for format in [Format::Text, Format::Binary] {
        let text = text_of(shape, format, value);
        // A float can have some hundred digits.
        law(
            text.is_none_or(|text| text.len() <= value.len() + 400),
            "a text is out of proportion",
        )?;
    }
    Ok(())
}

pub(crate) fn asked() -> impl Strategy<Value = Asked> {
    prop::sample::select(ASKED.to_vec())
}

pub(crate) const ASKED: [Asked; 7] = [
    Asked::Statement,
    Asked::Execution,
    Asked::Preparation,
    Asked::Rows,
    Asked::Columns,
    Asked::Statistics,
    Asked::Command,
];

/// None of these stands in what `Debug` says of anything but in a message.
fn shows_nothing(shown: &str) -> Result<(), String> {
    let secrets = ["SELECT", "ann", "shop", "orders"];
    law(
        !secrets.iter().any(|secret| shown.contains(secret)),
        "a message is shown",
    )
}

fn law(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
