//! The same work twice, once by the real pg-boss of a release and once by us: what is left in the tables has to be equal.

mod backoff;
mod claim;
mod complete;
mod dead_letter;
mod fail;
mod fence;
mod mixed;
mod pair;
mod peek;
mod plans;
mod policies;
mod statements;
mod straw;
mod sweep;

pub use pair::{Pair, differences, id, job};
use straw::Straw;

/// Makes of each function a test per release of pg-boss: of every one, or of those named.
macro_rules! on_releases {
    (every: $($work:ident),+ $(,)?) => {
        $(on_releases!($work: V10_4_2 v10_4_2, V11_1_2 v11_1_2, V12_24_0 v12_24_0, V12_27_0 v12_27_0, V12_38_0 v12_38_0);)+
    };
    (from_12: $($work:ident),+ $(,)?) => {
        $(on_releases!($work: V12_24_0 v12_24_0, V12_27_0 v12_27_0, V12_38_0 v12_38_0);)+
    };
    ($work:ident: $($release:ident $test:ident),+ $(,)?) => {
        mod $work {
            use crate::support::{Release, needs_node};

            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                needs_node!();
                super::$work(Release::$release).await;
            })+
        }
    };
}

pub(crate) use on_releases;
