//! Where hosts are by their names, for who connects again and again to what may not be there yet: nodes to their peers,
//! and the relay between them.
//!
//! While a cluster starts its name server has much to do, and an answer can take seconds. Who asked for each attempt
//! would ask ever more of it, and hear ever less.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;

/// For how many times as long as it took an answer counts, so that names take little of a server's time however slow it
/// is;
const TIMES: u32 = 10;
/// but for no less than this,
const LEAST: Duration = Duration::from_secs(1);
/// and for no more, since what is started again has another address.
const MOST: Duration = Duration::from_secs(10);

type Lookup = dyn Fn(String) -> BoxFuture<'static, io::Result<IpAddr>> + Send + Sync;

/// Addresses of hosts. Each is looked up once at a time, whoever asks meanwhile, and its answer counts for a while: for a
/// second, or where it is slow to come for up to ten, also if it is that there is none.
///
/// ```
/// # use logos_scenario_runtime as logos_scenario;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use logos_scenario::names::Names;
/// let names = Names::default();
/// assert_eq!(names.find("127.1.2.10:3000").await, Ok(([127, 1, 2, 10], 3000).into()));
/// assert!(names.find("localhost:3000").await.unwrap().ip().is_loopback());
/// # });
/// ```
pub struct Names {
    lookup: Box<Lookup>,
    known: Mutex<HashMap<String, Shared<BoxFuture<'static, Answer>>>>,
}

#[derive(Clone)]
struct Answer {
    found: Result<IpAddr, String>,
    counts_until: Instant,
}

impl Names {
    /// Addresses that are found by `lookup` in place of the system's own.
    pub fn by(
        lookup: impl Fn(String) -> BoxFuture<'static, io::Result<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { lookup: Box::new(lookup), known: Mutex::default() }
    }

    /// The address of `host:port`.
    ///
    /// # Errors
    ///
    /// The host is not known, or the text is no such address.
    pub async fn find(&self, address: &str) -> Result<SocketAddr, String> {
        if let Ok(address) = address.parse() {
            return Ok(address);
        }
        let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = parts.ok_or_else(|| format!("{address} is not `host:port`"))?;
        let ip = self.answer(host).await.found?;
        Ok(SocketAddr::new(ip, port))
    }

    fn answer(&self, host: &str) -> Shared<BoxFuture<'static, Answer>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = |answer: &&Shared<_>| {
            let answer: Option<&Answer> = answer.peek();
            answer.is_none_or(|answer| Instant::now() < answer.counts_until)
        };
        if let Some(answer) = known.get(host).filter(counts) {
            return answer.clone();
        }
        let (began, found, host) = (Instant::now(), (self.lookup)(host.to_owned()), host.to_owned());
        let name = host.clone();
        let answer = async move {
            let found = found.await.map_err(|error| format!("{name}: {error}"));
            let kept = (began.elapsed() * TIMES).clamp(LEAST, MOST);
            Answer { found, counts_until: Instant::now() + kept }
        };
        let answer = answer.boxed().shared();
        known.insert(host, answer.clone());
        answer
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::by(|host| {
            let found = async move {
                let mut found = tokio::net::lookup_host((host, 0)).await?;
                let none = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
                found.next().map(|address| address.ip()).ok_or_else(none)
            };
            found.boxed()
        })
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;
    use tokio::time::{advance, timeout};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    /// Names of a server that answers when it may, and how often it was asked.
    fn names(found: fn() -> io::Result<IpAddr>) -> (Names, Arc<Semaphore>, Arc<AtomicUsize>) {
        let (may, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (answers, counts) = (Arc::clone(&may), Arc::clone(&asked));
        let names = Names::by(move |_| {
            counts.fetch_add(1, Ordering::Relaxed);
            let answers = Arc::clone(&answers);
            async move {
                answers.acquire().await.unwrap().forget();
                found()
            }
            .boxed()
        });
        (names, may, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_looked_up_once_for_all_who_ask_meanwhile() {
        let (names, may, asked) = names(|| Ok(HERE));
        let second = Duration::from_secs(1);
        for _ in 0..100 {
            let gave_up = timeout(
                second,
                join_all((1..5).map(async |port| names.find(&format!("relay:{port}")).await)),
            );
            assert!(gave_up.await.is_err());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1, "also for who gave up");
        may.add_permits(1);
        for port in 1..5 {
            assert_eq!(names.find(&format!("relay:{port}")).await, Ok((HERE, port).into()));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        may.add_permits(1);
        names.find("other:1").await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 2, "each host by itself");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_longer_the_slower_it_came() {
        for (took, kept) in [(0, 1_000), (300, 3_000), (5_000, 10_000)]
            .map(|(took, kept)| (Duration::from_millis(took), Duration::from_millis(kept)))
        {
            for found in [|| Ok(HERE), || Err(io::Error::other("no such host"))] {
                let (names, may, asked) = names(found);
                let find = names.find("relay:1");
                let (found, ()) = tokio::join!(find, async {
                    advance(took).await;
                    may.add_permits(2);
                });
                advance(kept - Duration::from_millis(1)).await;
                assert_eq!((names.find("relay:1").await, asked.load(Ordering::Relaxed)), (found.clone(), 1));
                advance(Duration::from_millis(1)).await;
                assert_eq!((names.find("relay:1").await, asked.load(Ordering::Relaxed)), (found, 2));
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_address_is_told() {
        for text in ["", "relay", "relay:", "relay:70000"] {
            let told = Names::default().find(text).await;
            assert_eq!(told, Err(format!("{text} is not `host:port`")));
        }
    }
}
