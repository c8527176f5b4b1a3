//! Types from the server itself, by its reflection service.
//!
//! Why not while the file is checked: a check contacts nothing. It leaves an [`Inquiry`] open
//! instead; whoever may contact the server has it answered, puts what was [`Learned`] into the
//! file's values where `reflection: true` stood, and loads the file again. So the types pass the
//! same checks as those of a file, and every mistake is told at its place.
//!
//! | file | what |
//! |---|---|
//! | `inquiry` | which servers to ask for what, and again until one answers |
//! | `talk` | one conversation: questions in, answers out, both versions of the protocol |
//!
//! Invariants
//! 1. What a server gives is bounded by files, bytes and time.
//! 2. Nothing that was learned is kept beyond the process: the next start asks again
//!    (`docs/design/0015-types-are-asked-for-at-each-start.md`).
//!
//! Next: `inquiry.rs`.

mod inquiry;
mod talk;

pub(super) use inquiry::Peers;
pub use inquiry::{Away, Inquiry, InquiryError, Learned, NoAnswer, put_types};
