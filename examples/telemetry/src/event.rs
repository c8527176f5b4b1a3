//! What the fleet measures: events as a pure function of their sequence, straight into bytes.
//!
//! Why by hand: the generator must be much faster than what it measures. All that belongs to a
//! device (its id, site, labels and place) is encoded once, when the fleet is made; an event
//! copies those bytes and writes the few fields that change. No event allocates.
//!
//! Invariant: the bytes are what prost writes for [`Fleet::event`], up to the order of the labels;
//! a test decodes them and compares.
//!
//! Next: `codec.rs` puts the bytes into a gRPC frame.

use bytes::{BufMut, Bytes};
use headwater_proto::telemetry::{Event, Location, Status};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

/// The sites the devices stand at; a request's `filter` names one of them.
pub const SITES: [&str; 8] =
    ["aachen", "bremen", "cadiz", "delft", "evora", "fulda", "ghent", "havre"];

/// The largest `payload_bytes` a request may ask for.
pub const PAYLOAD_BYTES_MAX: u32 = 64 << 20;

const DEVICES: usize = 256;
const SAMPLES: usize = 6;
const SAMPLE_MIN: i32 = 20_000;

/// The devices and all that can be encoded before the first event.
#[derive(Debug)]
pub struct Fleet {
    devices: Vec<Device>,
}

/// What is the same in every event of a device.
#[derive(Debug)]
struct Device {
    site: usize,
    constant: Event,
    /// Fields 3 and 4: the id and the site.
    name_bytes: Vec<u8>,
    /// Field 9: the labels.
    label_bytes: Vec<u8>,
    /// Field 11: the place.
    place_bytes: Vec<u8>,
}

/// What changes from event to event.
struct Reading {
    temperature: f64,
    humidity: f64,
    alarm: bool,
    status: Status,
    samples: [i32; SAMPLES],
}

impl Default for Fleet {
    fn default() -> Self {
        Fleet { devices: (0..DEVICES).map(Device::new).collect() }
    }
}

impl Fleet {
    /// The place in [`SITES`] of the site that event `sequence` comes from.
    pub fn site(&self, sequence: u64) -> usize {
        self.device(mix(sequence)).site
    }

    /// Event `sequence` as a message.
    pub fn event(&self, sequence: u64, emitted_ns: i64, payload: &Bytes) -> Event {
        let noise = mix(sequence);
        let reading = Reading::new(noise);
        Event {
            sequence,
            emitted_ns,
            temperature: reading.temperature,
            humidity: reading.humidity,
            alarm: reading.alarm,
            status: reading.status.into(),
            samples: reading.samples.to_vec(),
            payload: payload.to_vec(),
            ..self.device(noise).constant.clone()
        }
    }

    /// Appends event `sequence` to `out` as protobuf.
    pub fn encode(&self, sequence: u64, emitted_ns: i64, payload: &[u8], out: &mut impl BufMut) {
        let noise = mix(sequence);
        let device = self.device(noise);
        put_varint(1, sequence, out);
        put_varint(2, emitted_ns.cast_unsigned(), out);
        out.put_slice(&device.name_bytes);
        Reading::new(noise).encode(&device.label_bytes, out);
        out.put_slice(&device.place_bytes);
        if !payload.is_empty() {
            encode_key(12, WireType::LengthDelimited, out);
            encode_varint(payload.len() as u64, out);
            out.put_slice(payload);
        }
    }

    fn device(&self, noise: u64) -> &Device {
        &self.devices[(noise >> 56) as usize]
    }
}

/// A payload of `size_bytes`: the same bytes for the same size.
pub fn payload(size_bytes: u32) -> Bytes {
    (0..size_bytes).map(|at| (mix(u64::from(at)) >> 32) as u8).collect()
}

impl Device {
    fn new(number: usize) -> Device {
        let site = number % SITES.len();
        let degrees = number as f64 / 64.0;
        let labels =
            [("firmware", "4.2.1"), ("model", "hx-7100-eu"), ("rack", RACKS[number % RACKS.len()])];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let name = Event {
            device_id: format!("sensor-{}-{number:04}", SITES[site]),
            site: SITES[site].to_owned(),
            ..Event::default()
        };
        let place = Event {
            location: Some(Location { lat: 48.25 + degrees, lon: 7.5 + degrees }),
            ..Event::default()
        };
        Device {
            site,
            name_bytes: name.encode_to_vec(),
            label_bytes: labels.iter().flat_map(label_bytes).collect(),
            place_bytes: place.encode_to_vec(),
            constant: Event { labels: labels.into(), location: place.location, ..name },
        }
    }
}

/// One label alone: a map of several has no order, and the bytes must repeat.
fn label_bytes(label: &(String, String)) -> Vec<u8> {
    let event = Event { labels: [label.clone()].into(), ..Event::default() };
    event.encode_to_vec()
}

const RACKS: [&str; 4] = ["hall-1/r01", "hall-1/r02", "hall-2/r01", "hall-2/r02"];

impl Reading {
    /// Values stand on a coarse grid, as sensors report them: 0.25 degrees, 0.5 percent.
    fn new(noise: u64) -> Reading {
        let quarter_degrees = (noise & 0x7f) as f64;
        let half_percents = ((noise >> 8) & 0x7f) as f64;
        let alarm = (noise >> 16) & 0x3f == 0;
        Reading {
            temperature: 4.25 + quarter_degrees / 4.0,
            humidity: 20.5 + half_percents / 2.0,
            alarm,
            status: if alarm { Status::Warn } else { Status::Ok },
            samples: std::array::from_fn(|at| SAMPLE_MIN + ((noise >> (8 * at)) & 0xffff) as i32),
        }
    }

    /// Fields 5 to 10, with the labels of field 9 in their place.
    fn encode(&self, label_bytes: &[u8], out: &mut impl BufMut) {
        encode_key(5, WireType::SixtyFourBit, out);
        out.put_f64_le(self.temperature);
        encode_key(6, WireType::SixtyFourBit, out);
        out.put_f64_le(self.humidity);
        if self.alarm {
            put_varint(7, 1, out);
        }
        put_varint(8, self.status as u64, out);
        out.put_slice(label_bytes);
        encode_key(10, WireType::LengthDelimited, out);
        let packed_bytes: usize = self.samples.iter().map(|it| sample_bytes(*it)).sum();
        encode_varint(packed_bytes as u64, out);
        for sample in self.samples {
            encode_varint(u64::from(sample.cast_unsigned()), out);
        }
    }
}

fn sample_bytes(sample: i32) -> usize {
    prost::encoding::encoded_len_varint(u64::from(sample.cast_unsigned()))
}

fn put_varint(field: u32, value: u64, out: &mut impl BufMut) {
    encode_key(field, WireType::Varint, out);
    encode_varint(value, out);
}

/// Spreads a number over all 64 bits (the finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut it = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMITTED_NS: i64 = 1_764_000_000_123_456_789;

    fn encoded(fleet: &Fleet, sequence: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        fleet.encode(sequence, EMITTED_NS, payload, &mut bytes);
        bytes
    }

    #[test]
    fn the_bytes_are_those_of_the_message() {
        let fleet = Fleet::default();
        for sequence in (1..5_000).chain([u64::from(u32::MAX), u64::MAX]) {
            let payload = payload((sequence % 3) as u32 * 100);
            let bytes = encoded(&fleet, sequence, &payload);
            let expected = fleet.event(sequence, EMITTED_NS, &payload);
            assert_eq!(Event::decode(bytes.as_slice()), Ok(expected.clone()));
            assert_eq!(bytes.len(), expected.encoded_len(), "no byte more than prost writes");
        }
    }

    #[test]
    fn an_event_is_a_function_of_its_sequence() {
        let (one, other) = (Fleet::default(), Fleet::default());
        for sequence in 1..1_000 {
            let again = encoded(&other, sequence, &[]);
            assert_eq!(encoded(&one, sequence, &[])[..again.len()], again);
        }
        assert_ne!(one.event(1, 0, &Bytes::new()).samples, one.event(2, 0, &Bytes::new()).samples);
    }

    #[test]
    fn an_event_is_about_160_bytes() {
        let fleet = Fleet::default();
        let total: usize = (1..=10_000).map(|it| encoded(&fleet, it, &[]).len()).sum();
        let mean = total / 10_000;
        assert!((155..=165).contains(&mean), "{mean} bytes");
    }

    #[test]
    fn every_site_has_events_and_some_raise_an_alarm() {
        let fleet = Fleet::default();
        let events: Vec<Event> = (1..2_000).map(|it| fleet.event(it, 0, &Bytes::new())).collect();
        for (at, site) in SITES.iter().enumerate() {
            let found = events.iter().find(|it| it.site == *site).expect("a site of the fleet");
            assert_eq!(fleet.site(found.sequence), at);
        }
        assert!(events.iter().any(|it| it.alarm) && events.iter().any(|it| !it.alarm));
    }
}
