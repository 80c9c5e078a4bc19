//! `org.xenpod1` on the bus: who may see and ask what, and how it is written on the wire.
//!
//! ```text
//!  call --> caller (uid) --> object (path -> what, visible to the caller?) --> manager, pod, container, ... --> engine
//!                                   |                                                 |
//!                             properties, introspect                            access (polkit)
//!  engine's changes --> signals: PropertiesChanged, PodNew, JobRemoved, ... to those who may hear them
//! ```
//!
//! Calls are dispatched here and not by zbus's object server, because every answer depends on who asks: properties, lists and introspection
//! too. The interfaces are the XML files that are installed; what is served is made from them.

mod access;
mod caller;
mod container;
mod contents;
mod error;
mod exec;
mod image;
mod introspect;
mod job;
mod kernel;
mod listeners;
mod manager;
mod object;
mod options;
mod pod;
mod pod_change;
mod properties;
mod queue;
mod reply;
mod rules;
mod signals;
mod stats;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use xenpod_api::error::ErrorName;
use zbus::message::{Header, Type};
use zbus::{Connection, Message, MessageStream};

use crate::engine::{Change, Engine};
use crate::events::Events;
use caller::{Caller, Callers};
use error::BusError;
use object::Object;
use reply::Reply;

/// What the bus tells of the host.
pub trait HostFacts: Send + Sync {
    /// The hypervisor's version, or empty.
    fn xen_version(&self) -> String;
    /// `oxenstored`, `xenstored` or empty.
    fn xenstored(&self) -> String;
    /// `ready`, `degraded` or `no-xen`, and why.
    fn state(&self) -> (&'static str, String);
    /// Told when any of these is not what it was.
    fn changes(&self) -> watch::Receiver<()>;
    /// Looks at the host: what was checked, `ok`, `warn` or `fail`, what was found, what to do. May block.
    fn check(&self) -> Vec<(String, String, String, String)>;
}

/// What the service is made of.
pub struct Setup {
    /// The engine.
    pub engine: Arc<Engine>,
    /// What changes in it.
    pub changes: mpsc::UnboundedReceiver<Change>,
    /// The bus; the system bus when not given.
    pub address: Option<String>,
    /// The host.
    pub host: Arc<dyn HostFacts>,
    /// What has happened.
    pub events: Arc<Events>,
}

/// What every call has at hand.
struct Service {
    engine: Arc<Engine>,
    host: Arc<dyn HostFacts>,
    events: Arc<Events>,
    bus: Connection,
    callers: Callers,
    waits: Waits,
    streams: stats::Streams,
}

/// Calls of `Wait` that have not been answered, by user.
#[derive(Default)]
struct Waits(Mutex<HashMap<u32, usize>>);

/// The most calls of `Wait` at a time: each holds a task and a message.
const MAX_WAITING: usize = 10_000;
/// Those of a user who is not root.
const MAX_WAITING_PER_USER: usize = 1_000;

/// One of the calls that wait.
struct Waiting<'a>(&'a Waits, u32);

impl Waits {
    fn counts(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, uid: u32) -> Result<Waiting<'_>, BusError> {
        let refuse = |text: String| Err(BusError::new(ErrorName::LimitsExceeded, text));
        let mut counts = self.counts();
        if counts.values().sum::<usize>() >= MAX_WAITING {
            return refuse(format!("{MAX_WAITING} callers wait already; try again later"));
        }
        let own = counts.entry(uid).or_default();
        if uid != 0 && *own >= MAX_WAITING_PER_USER {
            return refuse(format!("user {uid} waits {MAX_WAITING_PER_USER} times already; try again later"));
        }
        *own += 1;
        Ok(Waiting(self, uid))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        if let Some(own) = counts.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

/// The service, until it is dropped.
pub struct Running {
    bus: Connection,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    #[cfg(test)]
    service: Arc<Service>,
}

impl Running {
    /// Gives the name back and ends.
    pub async fn stop(self) {
        if let Err(error) = self.bus.release_name(xenpod_api::ids::BUS_NAME).await {
            tracing::debug!(%error, "the name was not given back");
        }
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Connects, and serves from then on. The name is ours when this returns.
///
/// # Errors
/// No bus, or the name is somebody else's.
pub async fn serve(setup: Setup) -> zbus::Result<Running> {
    let builder = match &setup.address {
        Some(address) => zbus::connection::Builder::address(address.as_str()),
        None => zbus::connection::Builder::system(),
    };
    let bus = builder.build().await?;
    // Before the name is ours, so that no call is missed.
    let calls = MessageStream::from(&bus);
    let callers = Callers::new(&bus).await?;
    let service = Arc::new(Service {
        engine: setup.engine,
        host: setup.host,
        events: setup.events,
        bus: bus.clone(),
        callers,
        waits: Waits::default(),
        streams: stats::Streams::default(),
    });
    let tasks = vec![
        tokio::spawn(receive(service.clone(), calls)),
        tokio::spawn(caller::forget_the_gone(service.clone())),
        tokio::spawn(signals::publish(service.clone(), setup.changes)),
    ];
    bus.request_name(xenpod_api::ids::BUS_NAME).await?;
    Ok(Running {
        bus,
        tasks,
        #[cfg(test)]
        service,
    })
}

async fn receive(service: Arc<Service>, mut calls: MessageStream) {
    while let Some(message) = calls.next().await {
        match message {
            Ok(message) if message.message_type() == Type::MethodCall => {
                tokio::spawn(answer(service.clone(), message));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "the bus is gone; pods go on");
                return;
            }
        }
    }
}

async fn answer(service: Arc<Service>, call: Message) {
    let header = call.header();
    let (member, path) = (header.member().map(ToString::to_string), header.path().map(ToString::to_string));
    let result = dispatch(&service, &header, &call).await;
    let sent = match result {
        // Nobody waits for it.
        None => return,
        Some(Ok(reply)) => reply.send(&service.bus, &header).await,
        Some(Err(error)) => {
            tracing::debug!(?member, ?path, error = error.message, name = error.name, "call refused");
            service.bus.reply_error(&header, error.name, &error.message).await
        }
    };
    if let Err(error) = sent {
        tracing::debug!(?member, ?path, %error, "the answer could not be sent");
    }
}

/// Finds out who calls what, and has it done. `None` when the caller went away while waiting.
async fn dispatch(service: &Arc<Service>, header: &Header<'_>, call: &Message) -> Option<Result<Reply, BusError>> {
    let caller = match service.callers.of(header).await {
        Ok(caller) => caller,
        Err(error) => return Some(Err(error)),
    };
    let gone = caller.gone.clone();
    let work = perform(service, &caller, header, call);
    if header.member().is_some_and(|m| m == "Wait") {
        // The only calls that last. They must not outlive the one who waits.
        let _waiting = match service.waits.begin(caller.uid) {
            Ok(waiting) => waiting,
            Err(error) => return Some(Err(error)),
        };
        tokio::select! {
            done = work => Some(done),
            () = caller::is_gone(gone) => None,
        }
    } else {
        Some(work.await)
    }
}

async fn perform(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    call: &Message,
) -> Result<Reply, BusError> {
    let path = header.path().map(|p| p.as_str()).unwrap_or_default();
    let member = header.member().map(|m| m.as_str()).unwrap_or_default();
    let interface = header.interface().map(|i| i.as_str());
    let body = call.body();
    // A node that only leads to others has what every node has.
    let object = Object::at(service, caller, path);
    if object.is_none() && object::children(service, caller, path).is_empty() {
        return Err(BusError::unknown_object(path));
    }
    let is = |wanted: &str| interface.is_none_or(|i| i == wanted);
    match member {
        "Ping" if is("org.freedesktop.DBus.Peer") => return Reply::of(&()),
        "GetMachineId" if is("org.freedesktop.DBus.Peer") => {
            let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
            return Reply::with(id.trim().to_owned());
        }
        "Introspect" if is("org.freedesktop.DBus.Introspectable") => {
            return Reply::of(&introspect::node(service, caller, path, object.as_ref()));
        }
        "Get" | "GetAll" | "Set" if is("org.freedesktop.DBus.Properties") => {
            let object = object.ok_or_else(|| BusError::unknown_object(path))?;
            return properties::answer(service, caller, &object, member, &body).await;
        }
        "GetManagedObjects" if is("org.freedesktop.DBus.ObjectManager") && matches!(object, Some(Object::Manager)) => {
            return Reply::of(&properties::managed(service, caller));
        }
        _ => {}
    }
    let object = object.ok_or_else(|| BusError::unknown_object(path))?;
    if !is(object.interface()) {
        return Err(BusError::unknown_interface(interface.unwrap_or_default(), path));
    }
    match &object {
        Object::Manager => manager::call(service, caller, header, member, &body).await,
        Object::Pod(pod) => pod::call(service, caller, header, pod, member, &body).await,
        Object::Container(pod, name) => container::call(service, caller, header, pod, name, member, &body).await,
        Object::Exec(exec) => exec::call(service, exec, member, &body).await,
        Object::Image(image) => image::call(service, caller, header, image, member, &body).await,
        Object::Kernel(kernel) => kernel::call(service, caller, header, kernel, member, &body).await,
        Object::Job(job) => job::call(job, member, &body).await,
    }
}

#[cfg(test)]
mod kernel_tests;
#[cfg(test)]
mod owners_tests;
#[cfg(test)]
mod stats_tests;
#[cfg(test)]
mod tests;
