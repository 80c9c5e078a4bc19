//! Who hears what. Signals are sent to each who may hear them, one by one: nobody hears of what is not his.
//!
//! ```text
//!  signal --> those who called Subscribe --------------------------------> at once
//!        \--> those whose match rules ask for it, as last seen ----------> at once
//!         \-> recent --(a while later: the rules are looked at again)----> those who were not known to ask for it
//! ```
//!
//! The bus daemon does not say when a rule is added, but tells all of them to root. A rule that was there before a signal was sent is
//! seen before the signal is forgotten, so that `gdbus monitor` or a few lines of Python miss nothing and need not know of Subscribe.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use zbus::Message;
use zbus::names::{BusName, OwnedUniqueName};

use super::Service;
use super::rules::{Head, Rule};

/// From a signal to the look for new rules, and between two looks at least.
const PAUSE: Duration = Duration::from_millis(200);
/// A look that takes long, for there are many rules, comes more seldom: this share of the time at most.
const SHARE: u32 = 20;
/// Signals that are kept until the next look. What is older is not told to those whose rules are new.
const RECENT: usize = 1024;
/// How long the bus may take to tell the rules.
const ANSWER: Duration = Duration::from_secs(5);

/// A signal, made for one listener.
pub(super) type Make = Box<dyn Fn(&OwnedUniqueName) -> zbus::Result<Message> + Send + Sync>;

/// A signal that was sent to those who were known.
struct Recent {
    head: Head,
    owner_uid: u32,
    make: Make,
    told: Vec<OwnedUniqueName>,
}

/// A connection with rules that ask for signals of ours.
struct Reader {
    uid: u32,
    rules: Vec<Rule>,
}

impl Reader {
    fn hears(&self, head: &Head, owner_uid: u32) -> bool {
        may_hear(self.uid, owner_uid) && self.rules.iter().any(|r| r.matches(head))
    }
}

/// The owner of what is everybody's: the number that is no user's.
pub(super) const EVERYBODY: u32 = u32::MAX;

/// Root hears all, others what is theirs.
pub(super) fn may_hear(uid: u32, owner_uid: u32) -> bool {
    uid == 0 || uid == owner_uid || owner_uid == EVERYBODY
}

/// Those who hear, and what they may have missed.
pub(super) struct Listeners {
    readers: HashMap<OwnedUniqueName, Reader>,
    recent: VecDeque<Recent>,
    /// When the rules are to be looked at next, while something is recent.
    due: Instant,
    pause: Duration,
    /// The bus tells the rules.
    rules_are_told: bool,
}

impl Listeners {
    pub(super) fn new() -> Self {
        let readers = HashMap::new();
        Self { readers, recent: VecDeque::new(), due: Instant::now(), pause: PAUSE, rules_are_told: true }
    }

    /// Sends a signal about what belongs to a user.
    pub(super) async fn send(&mut self, service: &Service, head: Head, owner_uid: u32, make: Make) {
        let mut to = service.callers.listeners(owner_uid);
        for (name, reader) in &self.readers {
            if reader.hears(&head, owner_uid) && !to.contains(name) {
                to.push(name.clone());
            }
        }
        let mut messages: Vec<_> = to.iter().map(&make).collect();
        if messages.is_empty()
            && let Some(own) = service.bus.unique_name()
        {
            // A monitor of root's sees what goes over the bus: this must.
            messages.push(make(own));
        }
        transmit(service, head.member, messages).await;
        if self.rules_are_told {
            if self.recent.is_empty() {
                self.due = self.due.max(Instant::now() + PAUSE);
            }
            if self.recent.len() >= RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(Recent { head, owner_uid, make, told: to });
        }
    }

    /// Returns when it is time to look for new rules.
    pub(super) async fn due(&self) {
        if self.recent.is_empty() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep_until(self.due).await;
    }

    /// Looks for new rules, and sends what those who made them have missed.
    pub(super) async fn look(&mut self, service: &Service) {
        let began = Instant::now();
        let asked = tokio::time::timeout(ANSWER, rules(service)).await;
        self.pause = PAUSE.max(began.elapsed() * SHARE);
        self.due = Instant::now() + self.pause;
        match asked {
            Ok(Ok(rules)) => self.update(service, rules).await,
            Ok(Err(error)) => {
                tracing::info!(%error, "the bus does not tell its match rules: only those who call Subscribe hear signals");
                self.rules_are_told = false;
                self.readers.clear();
            }
            Err(_) => tracing::warn!("the bus does not tell its match rules in time"),
        }
        let recent = std::mem::take(&mut self.recent);
        let mut messages = Vec::new();
        for signal in recent {
            for (name, reader) in &self.readers {
                if !signal.told.contains(name) && reader.hears(&signal.head, signal.owner_uid) {
                    messages.push((signal.make)(name));
                }
            }
        }
        transmit(service, "of late", messages).await;
    }

    async fn update(&mut self, service: &Service, rules: HashMap<String, Vec<String>>) {
        let own = service.bus.unique_name().map(|n| n.as_str()).unwrap_or_default();
        let senders = [xenpod_api::ids::BUS_NAME, own];
        let mut readers = HashMap::new();
        for (name, rules) in rules.into_iter().filter(|(name, _)| name != own) {
            let rules: Vec<Rule> = rules.iter().filter_map(|r| Rule::parse(r, &name, &senders)).collect();
            let Ok(name) = OwnedUniqueName::try_from(name) else { continue };
            if rules.is_empty() {
                continue;
            }
            let uid = match self.readers.get(&name) {
                Some(known) => known.uid,
                // It may have gone by now.
                None => match service.callers.uid(BusName::Unique(name.as_ref())).await {
                    Ok(uid) => uid,
                    Err(_) => continue,
                },
            };
            readers.insert(name, Reader { uid, rules });
        }
        self.readers = readers;
    }
}

async fn rules(service: &Service) -> zbus::Result<HashMap<String, Vec<String>>> {
    let interface = "org.freedesktop.DBus.Debug.Stats";
    let path = "/org/freedesktop/DBus";
    let reply =
        service.bus.call_method(Some("org.freedesktop.DBus"), path, Some(interface), "GetAllMatchRules", &()).await?;
    reply.body().deserialize()
}

async fn transmit(service: &Service, signal: &str, messages: Vec<zbus::Result<Message>>) {
    let made: Vec<Message> = messages
        .into_iter()
        .filter_map(|m| m.inspect_err(|error| tracing::error!(signal, %error, "a signal could not be made")).ok())
        .collect();
    if let Err(error) = service.bus.send_all(&made).await {
        tracing::debug!(signal, %error, "a signal could not be sent");
    }
}
