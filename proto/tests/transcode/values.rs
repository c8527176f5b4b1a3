//! Goal: what is fast for the sake of common values is right for all of them.
//! Method: long packed lists, and texts of any length with every kind of letter at every place;
//! sound, and cut or changed in the middle.

use proptest::prelude::*;

use crate::property::damage::{Damage, damaged, damages};
use crate::property::property;
use crate::random::{TYPES, with_subject};
use crate::support::{Maker, field, varint};
use crate::{bytes, compare};

/// Index of `rich.Lists` in the types.
const LISTS: usize = 2;

fn compare_lists(wire: &[u8]) -> Result<Option<String>, String> {
    assert_eq!(TYPES[LISTS], "rich.Lists");
    with_subject(LISTS, |descriptor, transcoder| {
        compare(transcoder, descriptor, wire).map_err(|text| format!("{text}\n{wire:x?}"))
    })
}

/// Numbers of every length, so that varints and digits have every length too.
fn integers() -> impl Strategy<Value = Vec<u64>> {
    let integer = (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| bits >> shift);
    let negative =
        (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| (bits >> shift).wrapping_neg());
    prop::collection::vec(prop_oneof![4 => integer, 1 => negative], 0..120)
}

/// Measurements, halves and quarters, and doubles of any bits.
fn doubles() -> impl Strategy<Value = Vec<f64>> {
    let decimal = (any::<i64>(), 0..64_u32, 0..10)
        .prop_map(|(digits, shift, places)| (digits >> shift) as f64 / 10_f64.powi(places));
    let near = decimal.clone().prop_map(f64::next_up);
    let binary = (any::<i64>(), 0..64_u32, 0..10)
        .prop_map(|(digits, shift, places)| (digits >> shift) as f64 / 2_f64.powi(places));
    let any = any::<u64>().prop_map(f64::from_bits);
    prop::collection::vec(prop_oneof![3 => decimal, 1 => near, 2 => binary, 1 => any], 0..60)
}

#[test]
fn long_packed_lists_are_printed_alike() {
    let strategy = (integers(), doubles(), damages(2), any::<bool>());
    property!("transcode-packed", 1.0, 2).holds(
        &strategy,
        |(integers, doubles, damages, sound)| {
            let varints = bytes(|out| integers.iter().for_each(|&value| varint(value, out)));
            let fixed: Vec<u8> = doubles.iter().flat_map(|value| value.to_le_bytes()).collect();
            let wire = bytes(|out| {
                for number in [1, 2, 3, 7, 11] {
                    field(number, &varints, out);
                }
                field(5, &fixed, out);
                field(4, &fixed, out);
                field(6, &fixed, out);
            });
            let json = compare_lists(&if sound { wire } else { damaged(&wire, &damages) })?;
            match sound && json.is_none() {
                true => Err("a sound message was refused".to_owned()),
                false => Ok(()),
            }
        },
    );
}

/// Pieces of text, some of which are no UTF-8 by themselves, so that runs of them are mixed.
fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        8 => "[a-z ]{1,20}".prop_map(String::into_bytes),
        2 => "[\\x00-\\x7f]{1,3}".prop_map(String::into_bytes),
        2 => "[àéîõüßñ]{1,3}".prop_map(String::into_bytes),
        1 => "\\PC{1,4}".prop_map(String::into_bytes),
        1 => "[\"\\\\/\n\t]{1,4}".prop_map(String::into_bytes),
    ];
    let text = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    prop::collection::vec(text, 0..6)
}

#[test]
fn texts_of_every_kind_are_printed_alike() {
    property!("transcode-texts", 2.0, 2).holds(&texts(), |texts| {
        let wire = bytes(|out| texts.iter().for_each(|text| field(8, text, out)));
        compare_lists(&wire)?.map(drop).ok_or_else(|| "sound text was refused".to_owned())
    });
}

#[test]
fn damaged_texts_are_judged_alike() {
    property!("transcode-texts-damaged", 2.0, 2).holds(
        &(texts(), damages(2)),
        |(texts, damages)| {
            let wire = bytes(|out| {
                texts.iter().for_each(|text| field(8, &damaged(text, &damages), out));
            });
            compare_lists(&wire).map(drop)
        },
    );
}

type Half = (usize, Vec<u8>, prop::sample::Index);

/// The front of one message and the back of another, of the same type or not.
#[test]
fn spliced_messages_are_judged_alike() {
    let entropy = prop::collection::vec(any::<u8>(), 0..200);
    let half = (0..TYPES.len(), entropy, any::<prop::sample::Index>());
    let damage = prop::option::of(damages(1));
    let strategy = (half.clone(), half, damage);
    property!("transcode-spliced", 4.0, 2).holds(&strategy, |(front, back, damages)| {
        let wire = spliced(&front, &back, damages.as_deref());
        [front.0, back.0].into_iter().try_for_each(|pick| {
            with_subject(pick, |descriptor, transcoder| {
                compare(transcoder, descriptor, &wire)
                    .map(drop)
                    .map_err(|text| format!("{}: {text}\n{wire:x?}", TYPES[pick]))
            })
        })
    });
}

fn spliced(front: &Half, back: &Half, damages: Option<&[Damage]>) -> Vec<u8> {
    let made = |half: &Half| {
        with_subject(half.0, |descriptor, _| Maker::new(&half.1, false).message(descriptor, 0))
    };
    let (front_wire, back_wire) = (made(front), made(back));
    let cut = |half: &Half, wire: &[u8]| half.2.index(wire.len() + 1);
    let wire =
        [&front_wire[..cut(front, &front_wire)], &back_wire[cut(back, &back_wire)..]].concat();
    damages.map_or_else(|| wire.clone(), |damages| damaged(&wire, damages))
}
