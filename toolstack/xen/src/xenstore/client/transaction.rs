//! Transactions: changes that others see all at once, or not at all.

use std::time::Duration;

use super::Client;
use crate::xenstore::error::{Error, Result};
use crate::xenstore::op::Op;
use crate::xenstore::perms::Perms;
use crate::xenstore::wire::{self, Kind, NO_TRANSACTION};

/// How often a transaction is tried. C xenstored refuses one when anything it read or wrote, parents included, changed
/// meanwhile; with thirty-two others at work each of these attempts has a better chance than the last.
const ATTEMPTS: u32 = 32;
/// The longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// A transaction that was started. Dropping it without [`commit`](Self::commit) takes it back.
///
/// Changes are collected, and sent together before the next read or the commit.
#[derive(Debug)]
pub struct Transaction {
    client: Client,
    id: u32,
    ops: Vec<Op>,
    ended: bool,
}

impl Transaction {
    async fn start(client: &Client) -> Result<Transaction> {
        let payload = client.call(Kind::TransactionStart, NO_TRANSACTION, "", &[b"\0"]).await?;
        let id = wire::text(&payload);
        match id.parse() {
            Ok(id) if id != NO_TRANSACTION => {
                Ok(Transaction { client: client.clone(), id, ops: Vec::new(), ended: false })
            }
            _ => Err(Error::Protocol(format!("{id:?} is no transaction id"))),
        }
    }

    /// A node's value as this transaction sees it; `None` when there is no such node.
    ///
    /// # Errors
    /// As [`Client::read`], and a refusal of a change made before.
    pub async fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>> {
        self.send().await?;
        self.client.read_in(self.id, path).await
    }

    /// The values of several nodes as this transaction sees them, asked for at once.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_all(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        self.send().await?;
        self.client.read_all_in(self.id, paths).await
    }

    /// The names of a node's children as this transaction sees them.
    ///
    /// # Errors
    /// As [`Client::list`], and a refusal of a change made before.
    pub async fn list(&mut self, path: &str) -> Result<Vec<String>> {
        self.send().await?;
        self.client.list_in(self.id, path).await
    }

    /// Gives a node a value. Sent later; a refusal shows at the commit.
    pub fn write(&mut self, path: impl Into<String>, value: impl ToString) {
        self.ops.push(Op::write(path, value));
    }

    /// Makes a node. Sent later; a refusal shows at the commit.
    pub fn mkdir(&mut self, path: impl Into<String>) {
        self.ops.push(Op::mkdir(path));
    }

    /// Removes a node. Sent later; a refusal shows at the commit.
    pub fn rm(&mut self, path: impl Into<String>) {
        self.ops.push(Op::rm(path));
    }

    /// Sets a node's permissions. Sent later; a refusal shows at the commit.
    pub fn set_perms(&mut self, path: impl Into<String>, perms: Perms) {
        self.ops.push(Op::set_perms(path, perms));
    }

    /// Carries out changes in order. Sent later; a refusal shows at the commit.
    pub fn apply(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.ops.extend(ops);
    }

    /// Sends the changes collected so far, and waits until they are carried out in the transaction.
    ///
    /// # Errors
    /// The first refusal, naming its path.
    pub async fn flush(&mut self) -> Result<()> {
        self.send().await
    }

    async fn send(&mut self) -> Result<()> {
        let ops = std::mem::take(&mut self.ops);
        self.client.connection.submit(&ops, self.id)?.finish(&ops).await
    }

    /// Makes the changes real. Nothing is, when any of them was refused.
    ///
    /// # Errors
    /// The first refusal, naming its path; one for which [`Error::is_again`] holds when others were faster.
    pub async fn commit(mut self) -> Result<()> {
        // The end is sent when all the rest is known to be good: a daemon would commit what is left of a broken transaction.
        self.send().await?;
        self.ended = true;
        self.end("T")?.value(Kind::TransactionEnd, "").await.map(drop)
    }

    fn end(&self, how: &str) -> Result<super::connection::Submitted> {
        self.client.connection.submit_one(Kind::TransactionEnd, self.id, &[how.as_bytes(), b"\0"])
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended {
            self.client.connection.submit_and_forget(Kind::TransactionEnd, self.id, &[b"F\0"]);
        }
    }
}

impl Client {
    /// Starts a transaction. Mostly [`run_transaction`](Self::run_transaction) or [`commit`](Self::commit) is wanted.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub async fn transaction(&self) -> Result<Transaction> {
        Transaction::start(self).await
    }

    /// Runs `work` in a transaction and commits, again from the start while others are faster. `work` takes the transaction
    /// and gives it back, which lets a task of its own run it.
    ///
    /// # Errors
    /// What `work` returned (nothing is changed then), the first refusal, or [`Error::Conflict`].
    pub async fn run_transaction<T, F>(&self, mut work: impl FnMut(Transaction) -> F) -> Result<T>
    where
        F: Future<Output = Result<(Transaction, T)>>,
    {
        for attempt in 0..ATTEMPTS {
            let outcome = match work(self.transaction().await?).await {
                Ok((transaction, value)) => transaction.commit().await.map(|()| value),
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.is_again() => pause(attempt).await,
                outcome => return outcome,
            }
        }
        Err(Error::Conflict { attempts: ATTEMPTS })
    }

    /// Carries out changes in one transaction, again from the start while others are faster.
    ///
    /// # Errors
    /// The first refusal, naming its path (nothing is changed then), or [`Error::Conflict`].
    pub async fn commit(&self, ops: &[Op]) -> Result<()> {
        for attempt in 0..ATTEMPTS {
            let mut transaction = self.transaction().await?;
            let outcome = match self.connection.submit(ops, transaction.id)?.finish(ops).await {
                Ok(()) => {
                    transaction.ended = true;
                    transaction.end("T")?.value(Kind::TransactionEnd, "").await.map(drop)
                }
                refused => refused,
            };
            match outcome {
                Err(error) if error.is_again() => pause(attempt).await,
                outcome => return outcome,
            }
        }
        Err(Error::Conflict { attempts: ATTEMPTS })
    }
}

/// The first retry is at once: mostly whoever was faster is done. Then a random part of a growing pause, so that those who
/// collided do not collide again.
async fn pause(attempt: u32) {
    if attempt > 0 {
        let most = (Duration::from_millis(1) * 2u32.saturating_pow(attempt.min(8))).min(PAUSE_MAX);
        // Good enough for dice: a random source would be a dependency.
        let dice = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), attempt);
        tokio::time::sleep(most.mul_f64((dice % 1024) as f64 / 1024.0)).await;
    }
}
