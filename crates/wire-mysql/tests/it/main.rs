//! What holds for whatever comes over the wire.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod corpus;
mod laws;

use bytes::{Bytes, BytesMut};
use laws::{answers, asked, client, server, values};
use proptest::prelude::*;
use tollbook_wire_mysql::{MAX_PACKET, Packet, Packets, Sequence};

/// Payloads that are near enough to messages to be read for a while: texts, counts, lengths, values.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(laws::PIECES.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_message_makes_a_reader_fail_otherwise_than_by_an_error(
        body in body(),
        agreed in any::<u32>(),
    ) {
        client(&body).map_err(TestCaseError::fail)?;
        server(&body, agreed).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn no_answer_makes_a_reader_fail_otherwise_than_by_an_error(
        asked in asked(),
        agreed in any::<u32>(),
        bodies in prop::collection::vec(body(), 0..8),
    ) {
        answers(asked, agreed, &bodies).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn no_value_makes_its_text_fail(kind in any::<u8>(), unsigned in any::<bool>(), value in body()) {
        values(kind, unsigned, &value).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn packets_lose_nothing_however_they_are_cut(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
        first in any::<u8>(),
        cuts in prop::collection::vec(1usize..40, 1..6),
        hand_on in prop::collection::vec(any::<bool>(), 8),
    ) {
        let mut sequence = Packet { sequence: first, body: Bytes::new() }.next();
        let mut wire = BytesMut::new();
        let start = sequence;
        for body in &bodies {
            sequence.write(body, &mut wire);
        }
        let wire = wire.freeze();
        let mut packets = Packets::of_servers(1 << 20);
        let (mut come, mut again, mut rest) = (BytesMut::new(), BytesMut::new(), wire.clone());
        let (mut number, mut known) = (start, 0);
        for cut in cuts.iter().cycle() {
            come.extend_from_slice(&rest.split_to((*cut).min(rest.len())));
            loop {
                // Each message as a whole or in pieces.
                if hand_on[known % hand_on.len()] {
                    let Some(piece) = packets.piece(&mut come).unwrap() else { break };
                    number.write_piece(&piece, &mut again);
                } else {
                    let Some(packet) = packets.next(&mut come).unwrap() else { break };
                    prop_assert_eq!(&packet.body[..], &bodies[known][..]);
                    prop_assert_eq!(packet.sequence, number.number());
                    number.write(&packet.body, &mut again);
                }
                known += usize::from(packets.is_between());
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(known, bodies.len());
        prop_assert!(come.is_empty());
        prop_assert_eq!(again.freeze(), wire);
    }
}

#[test]
fn a_long_message_is_the_same_however_it_is_cut() {
    let body: Vec<u8> = (0..=u8::MAX).cycle().take(2 * MAX_PACKET + 5).collect();
    let mut wire = BytesMut::new();
    Sequence::new().write(&body, &mut wire);
    for cut in [1 << 12, MAX_PACKET - 1, MAX_PACKET, MAX_PACKET + 7] {
        let mut packets = Packets::of_servers(1 << 26);
        let (mut come, mut rest) = (BytesMut::new(), wire.clone());
        let mut got = None;
        while !rest.is_empty() {
            assert_eq!(got, None);
            come.extend_from_slice(&rest.split_to(cut.min(rest.len())));
            got = packets.next(&mut come).unwrap();
        }
        let got = got.unwrap();
        assert!(got.body == body, "cut at {cut}");
        assert_eq!(got.next().number(), 3);
    }
}
