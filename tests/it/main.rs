//! Integration tests.

mod handler;
// Not every helper has its room's tests yet.
#[allow(dead_code, unused_imports)]
mod support;
mod support_itself;
