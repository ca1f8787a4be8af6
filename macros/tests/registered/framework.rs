//! The least that the attribute's expansion names: what a registration looks like without the framework behind it.
//! For tests and the manual's examples.

/// What a body gets.
pub struct Run;

impl Run {
    /// Stands for a fluent method.
    pub fn expect_consensus_liveness(&mut self) -> &mut Self {
        self
    }

    /// Stands for the drive.
    pub async fn drive(&mut self) -> Result {
        std::future::ready(Ok(())).await
    }
}

/// What a body may return.
pub type Result<T = (), E = String> = std::result::Result<T, E>;

/// What is changed by `topology`.
pub struct TopologyBuilder;

/// What the expansion names.
pub mod __private {
    pub use std::time::Duration;

    pub use inventory;

    use super::{Run, TopologyBuilder};

    pub struct CaseDef {
        pub function: &'static str,
        pub module: &'static str,
        pub package: &'static str,
        pub file: &'static str,
        pub line: u32,
        pub column: u32,
        pub ignore: Option<&'static str>,
        pub args: CaseArgs,
        pub body: for<'a> fn(&'a mut Run) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>,
    }

    inventory::collect!(CaseDef);

    #[derive(Debug)]
    pub struct CaseArgs {
        pub validators: &'static [usize],
        pub executors: &'static [usize],
        pub matrix: bool,
        pub backends: &'static [&'static str],
        pub window: Window,
        pub layout: Layout,
        pub slot: Duration,
        pub active_slot_coeff: f64,
        pub security_param: u32,
        pub topology: Option<fn(TopologyBuilder) -> TopologyBuilder>,
        pub seed: Option<u64>,
        pub timeout: Option<Duration>,
        pub should_fail: Option<&'static str>,
        pub tags: &'static [&'static str],
    }

    impl CaseArgs {
        pub const DEFAULT: Self = Self {
            validators: &[1],
            executors: &[0],
            matrix: false,
            backends: &["local"],
            window: Window::Time(Duration::from_secs(60)),
            layout: Layout::Star,
            slot: Duration::from_secs(2),
            active_slot_coeff: 0.9,
            security_param: 10,
            topology: None,
            seed: None,
            timeout: None,
            should_fail: None,
            tags: &[],
        };
    }

    #[derive(Debug, PartialEq)]
    pub enum Window {
        Time(Duration),
        Blocks(u64),
    }

    #[derive(Debug, PartialEq)]
    pub enum Layout {
        Star,
        Chain,
        Full,
    }

    pub trait Body<Marker> {
        fn run<'a>(self, run: &'a mut Run) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;
    }

    pub struct WithRun<R>(std::marker::PhantomData<R>);
    pub struct WithoutRun<R>(std::marker::PhantomData<R>);

    impl<R, F: AsyncFn(&mut Run) -> R + 'static> Body<WithRun<R>> for F {
        fn run<'a>(self, run: &'a mut Run) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
            Box::pin(async move { drop(self(run).await) })
        }
    }

    impl<R, F: AsyncFn() -> R + 'static> Body<WithoutRun<R>> for F {
        fn run<'a>(self, _: &'a mut Run) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
            Box::pin(async move { drop(self().await) })
        }
    }

    pub fn call<'a, Marker>(
        body: impl Body<Marker>,
        run: &'a mut Run,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
        body.run(run)
    }
}
