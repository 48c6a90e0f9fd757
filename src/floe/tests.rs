//! What only the inside can show: limits, positions, randomness.

use std::io::Write as _;
use std::thread;

use super::batch::Threads;
use super::layout::{Layout, MAX_BYTES, MAX_SEGMENTS, check_run};
use super::open::Opener;
use super::seal::Sealer;
use super::{Key, SegmentLength, Writer};
use crate::error::{AuthenticatedPart, Error, Limit, Malformed};

fn key() -> Key {
    Key::from_bytes([7; 32])
}

fn length(encrypted: u32) -> SegmentLength {
    SegmentLength::new(encrypted).unwrap()
}

fn too_long<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::LimitExceeded(Limit::StreamLength)))
}

#[test]
fn layouts_of_plaintexts_and_of_bodies_agree() {
    for encrypted in [33, 34, 64, 100] {
        let length = length(encrypted);
        for plaintext in 0..500 {
            let written = Layout::of_plaintext(length, plaintext).unwrap();
            let body = written.message() - 74;
            assert_eq!(Layout::of_body(length, body).unwrap(), written);
            assert_eq!(written.segments(), body.div_ceil(encrypted.into()));
            assert_eq!(written.plaintext(), plaintext);
            assert_eq!(
                written.offset(written.last()) + written.last_len(),
                written.message()
            );
        }
    }
}

#[test]
fn a_body_without_a_whole_last_segment_is_refused() {
    let length = length(64);
    for body in [0, 1, 31, 64 + 1, 64 + 31] {
        assert!(
            matches!(Layout::of_body(length, body), Err(Error::Truncated)),
            "{body}"
        );
    }
    for (body, plaintext) in [(32, 0), (64, 32), (64 + 32, 32), (64 + 33, 33)] {
        assert_eq!(
            Layout::of_body(length, body).unwrap().plaintext(),
            plaintext
        );
    }
}

#[test]
fn a_message_has_at_most_2_to_the_40_segments() {
    let length = length(64);
    let most = MAX_SEGMENTS * 32;
    let layout = Layout::of_plaintext(length, most).unwrap();
    assert_eq!(layout.segments(), MAX_SEGMENTS);
    assert_eq!(Layout::of_body(length, MAX_SEGMENTS * 64).unwrap(), layout);
    assert!(too_long(Layout::of_plaintext(length, most + 1)));
    assert!(too_long(Layout::of_body(length, MAX_SEGMENTS * 64 + 33)));
    assert!(too_long(Layout::of_plaintext(length, u64::MAX)));
}

#[test]
fn a_message_has_at_most_2_to_the_63_minus_1_bytes() {
    let length = length(u32::MAX - 1);
    let most = MAX_BYTES - 74;
    let layout = Layout::of_body(length, most).unwrap();
    assert_eq!(layout.message(), MAX_BYTES);
    assert!(too_long(Layout::of_body(length, most + 1)));
    assert_eq!(
        Layout::of_plaintext(length, layout.plaintext()).unwrap(),
        layout
    );
    assert!(too_long(Layout::of_plaintext(
        length,
        layout.plaintext() + 1
    )));
    assert!(too_long(Layout::of_body(length, u64::MAX)));
}

#[test]
fn a_run_leaves_room_for_the_segment_that_ends_the_message() {
    let short = length(64);
    assert!(check_run(short, MAX_SEGMENTS - 1, 1, 64, true).is_ok());
    assert!(check_run(short, MAX_SEGMENTS - 2, 1, 64, false).is_ok());
    assert!(too_long(check_run(short, MAX_SEGMENTS - 1, 1, 64, false)));
    assert!(too_long(check_run(short, MAX_SEGMENTS, 1, 32, true)));
    assert!(too_long(check_run(short, u64::MAX, 1, 32, true)));

    let long = length(u32::MAX - 1);
    let layout = Layout::of_body(long, MAX_BYTES - 74).unwrap();
    let last = usize::try_from(layout.last_len()).unwrap();
    assert!(check_run(long, layout.last(), 1, last, true).is_ok());
    assert!(too_long(check_run(long, layout.last(), 1, last + 1, true)));
    assert!(too_long(check_run(
        long,
        layout.last(),
        1,
        last - 31,
        false
    )));
}

#[test]
fn a_writer_ends_at_the_last_position_and_not_after_it() {
    let writer = || {
        Writer::new(Vec::new(), &key(), b"", length(64))
            .unwrap()
            .single_threaded()
    };
    let mut fits = writer().at_position(MAX_SEGMENTS - 2);
    fits.write_all(&[1; 64]).unwrap();
    let message = fits.finish().unwrap();
    let (header, body) = message.split_first_chunk().unwrap();
    let opener = Opener::new(&key(), b"", header).unwrap();
    let mut out = [0; 64];
    opener
        .open(MAX_SEGMENTS - 2, body, true, &mut out, Threads::One)
        .unwrap();
    assert_eq!(out, [1; 64]);

    let mut over = writer().at_position(MAX_SEGMENTS - 2);
    over.write_all(&[1; 65]).unwrap();
    assert!(too_long(over.finish()));
    let mut over = writer().at_position(MAX_SEGMENTS - 2);
    let error = over.write_all(&vec![1; 2 << 20]).unwrap_err();
    assert!(too_long::<()>(Err(error.into())));
    assert!(too_long(over.finish()));
}

#[test]
fn runs_seal_and_open_at_any_position_in_place_and_not() {
    let length = length(100);
    let sealer = Sealer::new(&key(), b"aad", length).unwrap();
    let opener = Opener::new(&key(), b"aad", sealer.header()).unwrap();
    let plaintext: Vec<u8> = (0..=255).cycle().take(68 * 40 + 5).collect();
    for threads in [Threads::One, Threads::All] {
        for position in [0, 1, (1 << 20) - 7, (1 << 39) + 3] {
            let mut sealed = vec![0; 100 * 40 + 37];
            sealer
                .seal(position, plaintext.chunks(68), true, &mut sealed, threads)
                .unwrap();
            let mut opened = vec![0; plaintext.len()];
            opener
                .open(position, &sealed, true, &mut opened, threads)
                .unwrap();
            assert_eq!(opened, plaintext);

            let mut in_place = sealed.clone();
            opener
                .open_in_place(position, &mut in_place, true, threads)
                .unwrap();
            for (segment, piece) in in_place.chunks(100).zip(plaintext.chunks(68)) {
                assert_eq!(&segment[16..16 + piece.len()], piece);
            }

            let elsewhere = opener.open(position + 1, &sealed, true, &mut opened, threads);
            let stopped = elsewhere.unwrap_err();
            assert_eq!(stopped.opened, 0);
            assert!(matches!(
                stopped.error,
                Error::AuthenticationFailed(AuthenticatedPart::Segment(at)) if at == position + 1
            ));
        }
    }
}

#[test]
fn a_bad_segment_stops_a_run_there_and_leaves_zeros() {
    let length = length(4096);
    let sealer = Sealer::new(&key(), b"", length).unwrap();
    let opener = Opener::new(&key(), b"", sealer.header()).unwrap();
    let plaintext = vec![9; 4064 * 64];
    let mut sealed = vec![0; 4096 * 64];
    sealer
        .seal(5, plaintext.chunks(4064), false, &mut sealed, Threads::All)
        .unwrap();
    for threads in [Threads::One, Threads::All] {
        for bad in [0, 1, 31, 63] {
            let mut sealed = sealed.clone();
            sealed[4096 * bad + 3000] ^= 1;
            sealed[4096 * 63 + 2000] ^= 1;
            let mut out = vec![1; plaintext.len()];
            let stopped = opener
                .open(5, &sealed, false, &mut out, threads)
                .unwrap_err();
            assert_eq!(stopped.opened, bad);
            assert!(out[..4064 * bad].iter().all(|byte| *byte == 9));
            assert!(out[4064 * bad..].iter().all(|byte| *byte == 0));
            let stopped = opener
                .open_in_place(5, &mut sealed, false, threads)
                .unwrap_err();
            assert_eq!(stopped.opened, bad);
            assert!(sealed[4096 * bad..].iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn a_length_word_is_checked_before_the_tag() {
    let sealer = Sealer::new(&key(), b"", length(64)).unwrap();
    let opener = Opener::new(&key(), b"", sealer.header()).unwrap();
    let mut sealed = [0; 64 + 40];
    sealer
        .seal(
            0,
            [&[1; 32][..], &[1; 8]].into_iter(),
            true,
            &mut sealed,
            Threads::One,
        )
        .unwrap();
    let with = |at: usize, word: u32| {
        let mut changed = sealed;
        changed[at..at + 4].copy_from_slice(&word.to_be_bytes());
        opener
            .open(0, &changed, true, &mut [0; 40], Threads::One)
            .unwrap_err()
            .error
    };
    let malformed = |error, rule| matches!(error, Error::Malformed(found) if found == rule);
    for at in [0, 64] {
        for word in [0, 31, 65, u32::MAX - 1] {
            assert!(malformed(with(at, word), Malformed::SegmentLengthWord));
        }
    }
    assert!(malformed(with(0, 64), Malformed::TrailingBytes));
    assert!(malformed(with(64, 39), Malformed::TrailingBytes));
    assert!(matches!(with(64, 41), Error::Truncated));
    assert!(matches!(with(64, u32::MAX), Error::Truncated));
}

#[test]
fn a_piece_of_the_wrong_length_is_refused() {
    let sealer = Sealer::new(&key(), b"", length(64)).unwrap();
    let seal = |pieces: &[&[u8]], ends, len| {
        let pieces = pieces.iter().copied();
        sealer.seal(0, pieces, ends, &mut vec![0; len], Threads::One)
    };
    assert!(seal(&[], true, 32).is_ok());
    assert!(seal(&[&[1; 32]], false, 64).is_ok());
    for refused in [
        seal(&[&[1; 31]], true, 64),
        seal(&[], true, 33),
        seal(&[&[1; 32]], true, 31),
        seal(&[&[1; 31]], false, 63),
    ] {
        assert!(matches!(refused, Err(Error::Misuse(_))));
    }
}

#[test]
fn many_threads_open_segments_of_many_groups() {
    let length = length(64);
    let sealer = Sealer::new(&key(), b"", length).unwrap();
    let opener = Opener::new(&key(), b"", sealer.header()).unwrap();
    let groups = 40_u64; // more than are kept
    let sealed: Vec<_> = (0..groups)
        .map(|group| {
            let mut out = [0; 64];
            let byte = u8::try_from(group).unwrap();
            let piece = [byte; 32];
            sealer
                .seal(
                    group << 20,
                    [&piece[..]].into_iter(),
                    false,
                    &mut out,
                    Threads::One,
                )
                .unwrap();
            out
        })
        .collect();
    thread::scope(|scope| {
        for start in 0..4 {
            let (opener, sealed) = (&opener, &sealed);
            scope.spawn(move || {
                for group in (0..groups).map(|group| (group * 7 + start * 13) % groups) {
                    let mut out = [0; 32];
                    let segment = &sealed[usize::try_from(group).unwrap()];
                    opener
                        .open(group << 20, segment, false, &mut out, Threads::One)
                        .unwrap();
                    assert_eq!(out, [u8::try_from(group).unwrap(); 32]);
                }
            });
        }
    });
}

#[test]
fn an_empty_run_opens_where_it_does_not_end_the_message() {
    let sealer = Sealer::new(&key(), b"", length(64)).unwrap();
    let opener = Opener::new(&key(), b"", sealer.header()).unwrap();
    for position in [0, 9] {
        let open = |ends| opener.open(position, &[], ends, &mut [], Threads::One);
        open(false).unwrap();
        assert!(matches!(open(true).unwrap_err().error, Error::Truncated));
    }
}

#[test]
fn debug_shows_the_segment_length_alone() {
    let sealer = Sealer::new(&key(), b"MRN-0042", length(64)).unwrap();
    let opener = Opener::new(&key(), b"MRN-0042", sealer.header()).unwrap();
    let message = format!("(Message {{ length: {:?}, .. }})", length(64));
    assert_eq!(format!("{sealer:?}"), format!("Sealer{message}"));
    assert_eq!(format!("{opener:?}"), format!("Opener{message}"));
}
