//! The allocator of the program, and of librdkafka in it: jemalloc.
//!
//! What is received and not durable swings between nothing and the credit, on threads of four
//! kinds. glibc keeps an arena for each and gives next to nothing back, so that a process settles
//! at the sum of all that its threads ever held. jemalloc's arena is shared, and a thread of its
//! own gives back what has lain unused for a tenth of a second.
//!
//! How it is set up stands in `.cargo/config.toml`, which its build reads; where that is not read,
//! as when another folder is the current one, it keeps its own defaults: more arenas, slower to
//! give back. `MALLOC_CONF` in the environment of a process overrides both.
//!
//! Invariant: no code depends on it; where it is not Linux, the system's allocator serves.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
