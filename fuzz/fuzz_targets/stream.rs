//! A stream whose parts were moved, cut, repeated and changed: what opens is the plaintext, and nothing else does.
#![no_main]

use std::io::Read as _;
use std::sync::LazyLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use phi_envelope::{Context, DecryptReader};
use phi_envelope_fuzz::{READER, sample};

const BLOCKS: usize = 8192;
const FLOE_HEADER: usize = 74;
const SEGMENT: usize = 4096;
const PLAIN: usize = 3 * (SEGMENT - 32) + 100;

static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut out = READER
        .encrypt_writer(Vec::new(), &Context::new())
        .expect("a stream");
    std::io::copy(&mut &sample(PLAIN)[..], &mut out).expect("room");
    out.finish().expect("an end")
});

#[derive(Arbitrary, Debug)]
enum Change {
    Exchange(u8, u8),
    Drop(u8),
    Repeat(u8),
    Word(u8, u32),
    Cut(u16),
    Append(Vec<u8>),
    Flip(u32),
    CopyBlock,
}

fuzz_target!(|input: (bool, Vec<Change>)| {
    let (detached, changes) = input;
    let (blocks, payload) = STREAM.split_at(BLOCKS);
    let (floe, body) = payload.split_at(FLOE_HEADER);
    let mut parts: Vec<Vec<u8>> = body.chunks(SEGMENT).map(<[u8]>::to_vec).collect();
    let mut head = [blocks, floe].concat();
    for change in &changes {
        apply(change, &mut head, &mut parts);
    }
    let stream = [head, parts.concat()].concat();
    let (plaintext, read) = (sample(PLAIN), |reader: DecryptReader<&[u8]>| {
        let mut out = Vec::new();
        let mut reader = if detached {
            reader.single_threaded()
        } else {
            reader
        };
        let whole = reader.read_to_end(&mut out).is_ok();
        (out, whole, reader.header_damage().is_some())
    });
    let Ok((out, whole, damaged)) = READER
        .decrypt_reader(&stream[..], &Context::new())
        .map(read)
    else {
        assert!(stream != *STREAM);
        return;
    };
    assert!(plaintext.starts_with(&out));
    assert_eq!(whole, stream[BLOCKS..] == STREAM[BLOCKS..]);
    assert_eq!(damaged, stream[..BLOCKS] != STREAM[..BLOCKS]);
    assert!(!whole || out == plaintext);
});

fn apply(change: &Change, head: &mut Vec<u8>, parts: &mut Vec<Vec<u8>>) {
    let index = |part: u8, len: usize| usize::from(part) % len.max(1);
    let len = parts.len();
    match change {
        Change::Exchange(a, b) if len > 0 => parts.swap(index(*a, len), index(*b, len)),
        Change::Drop(part) if len > 0 => drop(parts.remove(index(*part, len))),
        Change::Repeat(part) if (1..9).contains(&len) => {
            parts.push(parts[index(*part, len)].clone())
        }
        Change::Word(part, word) if len > 0 => {
            let part = &mut parts[index(*part, len)];
            if let Some(bytes) = part.get_mut(..4) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
        }
        Change::Cut(at) => match parts.last_mut() {
            Some(last) => last.truncate(usize::from(*at)),
            None => head.truncate(usize::from(*at)),
        },
        Change::Append(bytes) => parts.push(bytes.clone()),
        Change::Flip(bit) => {
            let at = (*bit as usize / 8) % (head.len() + 1);
            match head.get_mut(at) {
                Some(byte) => *byte ^= 1 << (bit % 8),
                None => parts
                    .iter_mut()
                    .flatten()
                    .take(1)
                    .for_each(|byte| *byte ^= 1),
            }
        }
        Change::CopyBlock if head.len() >= BLOCKS => head.copy_within(BLOCKS / 2..BLOCKS, 0),
        _ => {}
    }
}
