//! Goal: whatever a broker refuses, and however it says so, exactly the guilty records are found,
//! and the search ends.
//! Method: named cases, then seeded random epochs against a broker that refuses batches: naming the
//! guilty or not, one batch or several at once.

use super::*;
use RDKafkaErrorCode::{
    InvalidDifferentRecord, InvalidRecord, InvalidTimestamp, MessageSizeTooLarge,
};

const EPOCH: Epoch = Epoch(7);
const FACTS: Facts = Facts { bytes: 10, has_key: true, unix_ms: Some(0) };

fn failed(number: usize, partition: i32, code: RDKafkaErrorCode) -> FailedDelivery {
    let subject = Subject::Record(number);
    FailedDelivery { subject, code, topic: Arc::from("events"), partition, facts: FACTS }
}

fn nothing_known(_: &str) -> TopicRules {
    TopicRules::default()
}

fn guilty(refusals: &mut Refusals) -> Vec<usize> {
    refusals.of(EPOCH).guilty.keys().copied().collect()
}

#[test]
fn who_fails_alone_in_its_partition_is_guilty_and_who_fails_in_company_is_suspected() {
    let mut refusals = Refusals::default();
    let attempt = [
        failed(3, 0, MessageSizeTooLarge),
        failed(4, 1, MessageSizeTooLarge),
        failed(6, 1, MessageSizeTooLarge),
    ];
    let due = refusals.learn(EPOCH, &attempt, &nothing_known);
    assert_eq!(due.repair, Repair::Isolate);
    assert_eq!(guilty(&mut refusals), [3]);
    let known = refusals.of(EPOCH);
    let walls: Vec<usize> = known.walls.iter().copied().collect();
    assert_eq!(walls, [4, 5, 6, 7], "each suspect stands alone next time");
}

#[test]
fn the_same_failure_twice_teaches_nothing_and_counts_as_an_attempt() {
    let mut refusals = Refusals::default();
    let attempt = [failed(4, 1, InvalidTimestamp), failed(6, 1, InvalidTimestamp)];
    let due = [0, 1].map(|_| refusals.learn(EPOCH, &attempt, &nothing_known).repair);
    assert_eq!(due, [Repair::Isolate, Repair::Abort]);
}

#[test]
fn a_broker_that_names_the_guilty_is_believed_from_then_on_and_not_before() {
    let mut refusals = Refusals::default();
    let all = [failed(1, 0, InvalidRecord), failed(2, 0, InvalidRecord)];
    let _ = refusals.learn(EPOCH, &all, &nothing_known);
    assert!(guilty(&mut refusals).is_empty(), "the broker may have meant the batch");
    let named = [failed(8, 0, InvalidRecord), failed(9, 0, InvalidDifferentRecord)];
    let _ = refusals.learn(EPOCH, &named, &nothing_known);
    assert_eq!(guilty(&mut refusals), [8]);
    let _ = refusals.learn(EPOCH, &all, &nothing_known);
    assert_eq!(guilty(&mut refusals), [1, 2, 8]);
    // No broker names those of a batch that is too large.
    let large = [failed(10, 0, MessageSizeTooLarge), failed(11, 0, MessageSizeTooLarge)];
    let _ = refusals.learn(EPOCH, &large, &nothing_known);
    assert_eq!(guilty(&mut refusals), [1, 2, 8]);
}

#[test]
fn after_a_refusal_a_rule_of_the_topic_tells_the_guilty_at_once() {
    let mut refusals = Refusals::default();
    let rules = |_: &str| TopicRules { batch_bytes_max: Some(100), ..TopicRules::default() };
    let large = Facts { bytes: 101, ..FACTS };
    assert_eq!(refusals.of(EPOCH).breaks_rule("events", &large), None, "nothing was refused yet");
    let mut attempt = [failed(1, 0, MessageSizeTooLarge), failed(2, 0, MessageSizeTooLarge)];
    attempt[1].facts = large;
    let due = refusals.learn(EPOCH, &attempt, &rules);
    assert_eq!((due.repair, guilty(&mut refusals)), (Repair::Isolate, vec![2]));
    assert!(refusals.of(EPOCH).walls.is_empty(), "its neighbour is not even suspected");
    let next = |refusals: &mut Refusals, later| {
        refusals.begin(EPOCH.next(), Instant::now() + later);
        let known = refusals.of(EPOCH.next()).breaks_rule("events", &large);
        refusals.epochs.remove(&EPOCH.next());
        known
    };
    assert_eq!(next(&mut refusals, Duration::ZERO), Some(MessageSizeTooLarge));
    assert_eq!(next(&mut refusals, RULES_AGE_MAX), None, "a topic's settings may change");
    let of_another = refusals.of(EPOCH).breaks_rule("others", &large);
    assert_eq!(
        (refusals.of(EPOCH).breaks_rule("events", &large), of_another),
        (Some(MessageSizeTooLarge), None)
    );
}

#[test]
fn a_dead_letter_and_a_position_that_are_refused_stop_the_pipeline() {
    for (subject, words) in
        [(Subject::DeadLetter(4), "a dead letter of 10 bytes"), (Subject::None, "progress")]
    {
        let mut refusals = Refusals::default();
        let attempt = [FailedDelivery { subject, ..failed(0, 0, MessageSizeTooLarge) }];
        let due = refusals.learn(EPOCH, &attempt, &nothing_known);
        assert_eq!(due.repair, Repair::Stop);
        assert!(due.message.contains(words) && due.message.contains("events[0]"), "{due}");
    }
}

#[test]
fn what_is_no_fault_of_a_record_is_repaired_for_what_it_is() {
    use RDKafkaErrorCode::{MessageTimedOut, PurgeQueue, TopicAuthorizationFailed, UnknownTopic};
    let cases: [(&[RDKafkaErrorCode], Repair); 6] = [
        (&[PurgeQueue], Repair::Abort),
        (&[MessageTimedOut], Repair::Later),
        // What was queued behind a late record, or before it, says nothing more.
        (&[PurgeQueue, MessageTimedOut, PurgeQueue], Repair::Later),
        (&[UnknownTopic], Repair::Acquire),
        (&[TopicAuthorizationFailed], Repair::Stop),
        (&[MessageTimedOut, TopicAuthorizationFailed], Repair::Stop),
    ];
    for (codes, repair) in cases {
        let mut refusals = Refusals::default();
        let failed: Vec<_> = codes.iter().zip(1..).map(|(code, it)| failed(it, 0, *code)).collect();
        let due = refusals.learn(EPOCH, &failed, &nothing_known);
        assert_eq!(due.repair, repair, "{due}");
        assert!(refusals.of(EPOCH).is_blank());
    }
}

#[test]
fn without_transactions_only_what_failed_is_sent_again() {
    let mut known = Known::default();
    known.note_pending(&[failed(1, 0, RDKafkaErrorCode::MessageTimedOut)]);
    known.settle(3);
    let delivered = |known: &Known| (0..4).map(|it| known.is_delivered(it)).collect::<Vec<_>>();
    assert_eq!(delivered(&known), [true, false, true, false]);
    known.sent(1);
    assert_eq!(delivered(&known), [true, true, true, false]);
}

/// A broker that refuses every batch with a guilty record in it.
struct Broker {
    random: u64,
    partitions: usize,
    /// Partition and guilt, by number.
    records: Vec<(usize, bool)>,
    names_guilty: bool,
    is_transactional: bool,
}

impl Broker {
    fn new(seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let records = Vec::new();
        let (names_guilty, is_transactional) = (seed & 1 == 0, seed & 2 == 0);
        let mut broker = Broker { random, partitions: 1, records, names_guilty, is_transactional };
        broker.partitions = 1 + broker.below(3);
        // From one in two hundred to every second one.
        let one_in = 2 + broker.below(200);
        for _ in 0..1 + broker.below(400) {
            let record = (broker.below(broker.partitions), broker.below(one_in) == 0);
            broker.records.push(record);
        }
        broker
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound as u64) as usize
    }

    fn guilty(&self) -> Vec<usize> {
        (0..self.records.len()).filter(|it| self.records[*it].1).collect()
    }

    /// Sends the epoch once, as the outlet does; what failed, and how far it came.
    fn attempt(&mut self, known: &mut Known) -> (Vec<FailedDelivery>, usize, Vec<usize>) {
        let mut open: Vec<Vec<usize>> = vec![Vec::new(); self.partitions];
        let (mut failed, mut delivered) = (Vec::new(), Vec::new());
        for number in 0..self.records.len() {
            let is_wall = known.has_wall(number);
            for batch in &mut open {
                if is_wall || batch.len() > 1 + self.random as usize % 50 {
                    self.deliver(&std::mem::take(batch), &mut failed, &mut delivered);
                }
            }
            // A transaction that has failed is noticed now or a little later.
            let is_noticed = is_wall || self.is_transactional && self.below(10) == 0;
            if is_noticed && !failed.is_empty() {
                return (failed, number, delivered);
            }
            if known.guilt(number).is_some() || known.is_delivered(number) {
                continue;
            }
            known.sent(number);
            open[self.records[number].0].push(number);
        }
        for batch in open {
            self.deliver(&batch, &mut failed, &mut delivered);
        }
        (failed, self.records.len(), delivered)
    }

    fn deliver(
        &mut self,
        batch: &[usize],
        failed: &mut Vec<FailedDelivery>,
        delivered: &mut Vec<usize>,
    ) {
        let is_guilty = |number: &usize| self.records[*number].1;
        if !batch.iter().any(is_guilty) {
            return delivered.extend(batch);
        }
        failed.extend(batch.iter().map(|number| {
            let is_innocent = self.names_guilty && !is_guilty(number);
            let code = if is_innocent { InvalidDifferentRecord } else { InvalidRecord };
            self::failed(*number, self.records[*number].0 as i32, code)
        }));
    }
}

#[test]
fn exactly_the_guilty_are_found_and_without_transactions_nothing_is_sent_twice() {
    let mut attempts = 0;
    for seed in 1..=2_000_u64 {
        let mut broker = Broker::new(seed);
        let mut refusals = Refusals::default();
        let mut sent = BTreeMap::new();
        let expected = broker.guilty();
        // Each attempt finds one, or parts its suspects, of which there are as many as records.
        for attempt in 0.. {
            assert!(attempt <= 2 * broker.records.len(), "seed {seed}: it has an end");
            attempts += 1;
            let (failed, end, delivered) = broker.attempt(refusals.of(EPOCH));
            delivered.into_iter().for_each(|it| *sent.entry(it).or_insert(0) += 1);
            if failed.is_empty() {
                break;
            }
            if broker.is_transactional {
                sent.clear();
            } else {
                refusals.of(EPOCH).note_pending(&failed);
                refusals.of(EPOCH).settle(end);
            }
            let due = refusals.learn(EPOCH, &failed, &nothing_known);
            assert_eq!(due.repair, Repair::Isolate, "seed {seed}, attempt {attempt}");
        }
        assert_eq!(guilty(&mut refusals), expected, "seed {seed}");
        let innocent = (0..broker.records.len()).filter(|it| !expected.contains(it));
        assert!(innocent.eq(sent.keys().copied()), "seed {seed}: all others are written");
        assert!(sent.values().all(|copies| *copies == 1), "seed {seed}: and once");
    }
    println!("{attempts} attempts at 2,000 epochs");
}
