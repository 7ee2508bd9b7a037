//! What holds for whatever comes over the wire.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use tollbook_wire_postgres::{
    Backend, Format, Frame, Frames, Frontend, Opening, RowWriter, opening, text_of,
};

/// Bodies that are near enough to messages to be read for a while: texts, counts, lengths, values.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            &b"\0"[..], b"\0\0", b"\0\x01", b"\0\x02", b"\xff\xff", b"\0\0\0\x01", b"\0\0\0\x04",
            b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"S", b"P", b"SELECT 1\0",
            b"ann\0", b"M", b"C42501\0", b"\0\0\0\x17", b"\0\0\0\x0a",
        ]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Types that text is told of, and some that are not known.
fn kind() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![
        16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 600, 700, 701, 1007, 1009, 1042, 1082, 1083, 1114,
        1184, 1186, 1231, 1266, 1700, 2950, 2951, 3802, 3807,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_message_makes_a_reader_fail_otherwise_than_by_an_error(tag in any::<u8>(), body in body()) {
        let frame = Frame::new(tag, body);
        if let Ok(read) = Frontend::read(&frame) {
            if let Frontend::Bind(bind) = read {
                prop_assert_eq!(bind.parameters.iter().count(), bind.parameters.len());
            }
            let _shown = format!("{read:?}");
        }
        if let Ok(read) = Backend::read(&frame) {
            match &read {
                Backend::DataRow(cells) => {
                    prop_assert_eq!(cells.iter().count(), cells.len());
                    // A row that is written of the same cells is the same row.
                    let mut row = RowWriter::new();
                    for cell in cells.iter() {
                        row.cell(cell).unwrap();
                    }
                    prop_assert_eq!(row.finish(), frame.clone());
                }
                Backend::RowDescription(columns) => {
                    prop_assert_eq!(columns.iter().count(), columns.len());
                }
                _ => {}
            }
            let _shown = format!("{read:?}");
        }
    }

    #[test]
    fn no_value_makes_its_text_fail(kind in kind(), value in body()) {
        let _text = text_of(kind, Format::Binary, &value);
    }

    #[test]
    fn an_opening_is_read_or_refused_and_never_waits_for_more_than_its_length(
        wire in body(),
        length in 0u32..12_000,
        code in prop::sample::select(vec![196_608, 196_610, 80_877_102, 80_877_103, 80_877_104, 0]),
    ) {
        let wire = [&length.to_be_bytes()[..], &u32::to_be_bytes(code), &wire].concat();
        let known = wire.len();
        let mut wire = BytesMut::from(&wire[..]);
        match opening(&mut wire) {
            Ok(None) => prop_assert!(known < length as usize),
            Ok(Some(Opening::Tls | Opening::Gss)) => prop_assert!(wire.is_empty()),
            Ok(Some(_)) => prop_assert_eq!(wire.len(), known - length as usize),
            Err(_) => {}
        }
    }

    #[test]
    fn frames_lose_nothing_however_they_are_cut(
        bodies in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 1..8),
        cuts in prop::collection::vec(1usize..40, 1..6),
    ) {
        let sent: Vec<Frame> = bodies.into_iter().map(|(tag, body)| Frame::new(tag, body)).collect();
        let mut wire = BytesMut::new();
        for frame in &sent {
            frame.write(&mut wire);
        }
        let wire: Bytes = wire.freeze();
        let frames = Frames::of_servers(1 << 20);
        let (mut come, mut got, mut rest) = (BytesMut::new(), Vec::new(), wire.clone());
        for cut in cuts.iter().cycle() {
            come.extend_from_slice(&rest.split_to((*cut).min(rest.len())));
            while let Some(frame) = frames.next(&mut come).unwrap() {
                got.push(frame);
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&got, &sent);
        prop_assert!(come.is_empty());
        let mut again = BytesMut::new();
        for frame in &got {
            frame.write(&mut again);
        }
        prop_assert_eq!(again.freeze(), wire);
    }
}
