//! Asking a guest what it uses. One question at a time: a guest that does not answer must not fill the channel with them.

use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use xenpod_protocol::message::{GetStats, Stats, reply, request::Op};

use super::{Command, Guest, GuestError};

type Pending = oneshot::Receiver<Result<reply::Result, GuestError>>;

const WHAT: &str = "GetStats";

/// Does not keep the link.
#[derive(Debug)]
pub struct Figures {
    guest: mpsc::WeakUnboundedSender<Command>,
    asked: Mutex<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    /// Asked, and not answered when its asker's time was over.
    pending: Option<Pending>,
    /// The last answer, and when it came.
    last: Option<(Instant, Stats)>,
}

impl Guest {
    /// For samples.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { guest: self.commands.downgrade(), asked: Mutex::default() }
    }
}

impl Figures {
    /// What the guest uses now. Who asks while others do shares their answer, if it came after that.
    ///
    /// # Errors
    /// See [`GuestError`]; a timeout when it does not answer in time, as a guest that Xen has paused.
    pub async fn ask(&self, within: Duration) -> Result<Stats, GuestError> {
        let began = Instant::now();
        let end = began + within;
        let late = || GuestError::Timeout { what: WHAT, after: within };
        let gone = || GuestError::Lost("it is closed".into());
        let mut asked = timeout_at(end, self.asked.lock()).await.map_err(|_| late())?;
        if let Some((at, stats)) = &asked.last
            && *at > began
        {
            return Ok(stats.clone());
        }
        if let Some(pending) = &mut asked.pending {
            // An answer to an earlier question may be old: only that it is there counts.
            let _ = timeout_at(end, pending).await.map_err(|_| late())?;
            asked.pending = None;
        }
        let (answer, pending) = oneshot::channel();
        let guest = self.guest.upgrade().ok_or_else(gone)?;
        let request = Command::Request { op: Op::GetStats(GetStats {}), outputs: Vec::new(), answer };
        guest.send(request).map_err(|_| gone())?;
        drop(guest);
        // Kept where the next one finds it, should this asker go away meanwhile.
        let result = timeout_at(end, asked.pending.insert(pending)).await.map_err(|_| late())?;
        asked.pending = None;
        match result.map_err(|_| gone())?? {
            reply::Result::Stats(stats) => {
                asked.last = Some((Instant::now(), stats.clone()));
                Ok(stats)
            }
            reply::Result::Error(error) => Err(GuestError::Refused(error)),
            _ => Err(GuestError::Nonsense(WHAT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> (Figures, mpsc::UnboundedSender<Command>, mpsc::UnboundedReceiver<Command>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        (Figures { guest: commands.downgrade(), asked: Mutex::default() }, commands, inbox)
    }

    fn answer(command: Command, total: u64) {
        let Command::Request { op: Op::GetStats(_), answer, .. } = command else { panic!("another question") };
        let _ = answer.send(Ok(reply::Result::Stats(Stats { memory_total: total, ..Stats::default() })));
    }

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_guest_that_is_silent_is_asked_once() {
        let (figures, _link, mut inbox) = figures();
        for _ in 0..5 {
            let error = figures.ask(SHORT).await.unwrap_err();
            assert_eq!(error, GuestError::Timeout { what: "GetStats", after: SHORT });
        }
        let first = inbox.try_recv().unwrap();
        assert!(inbox.try_recv().is_err(), "one question is open");
        // Its late answer is old: it is asked again.
        answer(first, 1);
        let asked = async {
            answer(inbox.recv().await.unwrap(), 2);
        };
        let (said, ()) = tokio::join!(figures.ask(LONG), asked);
        assert_eq!(said.unwrap().memory_total, 2);
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_shares_the_answer() {
        let (figures, _link, mut inbox) = figures();
        let asked = async {
            tokio::time::sleep(SHORT).await;
            answer(inbox.recv().await.unwrap(), 7);
            inbox
        };
        let (a, b, mut inbox) = tokio::join!(figures.ask(LONG), figures.ask(LONG), asked);
        assert_eq!((a.unwrap().memory_total, b.unwrap().memory_total), (7, 7));
        assert!(inbox.try_recv().is_err());
    }

    #[tokio::test]
    async fn it_does_not_keep_the_link() {
        let (figures, link, _inbox) = figures();
        drop(link);
        assert_eq!(figures.ask(LONG).await, Err(GuestError::Lost("it is closed".into())));
    }
}
