//! What pods use, on the bus: a sample in an answer, and samples in a pipe, a line of JSON each.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::time::MissedTickBehavior;
use xenpod_api::error::ErrorName;
use zbus::message::Body;
use zbus::{Array, Dict, Signature, Variant};

use super::Service;
use super::caller::Caller;
use super::error::BusError;
use super::options::Options;
use super::properties::Properties;
use super::reply::Reply;
use crate::engine::stats::sample::Sample;
use crate::engine::{Engine, Failure, PodHandle};

/// Samples cannot come faster: each costs some system calls, and the guest's attention.
const SHORTEST: Duration = Duration::from_millis(100);
const DEFAULT: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);

/// Streams at a time: each holds a pipe and a task.
const MAX_STREAMS: usize = 1024;
/// Those of a user who is not root.
pub(super) const MAX_STREAMS_PER_USER: usize = 64;

/// The streams that there are, by user.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<u32, usize>>>);

/// One of them.
pub(super) struct Streaming(Streams, u32);

impl Streams {
    fn counts(&self) -> MutexGuard<'_, HashMap<u32, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, uid: u32) -> Result<Streaming, BusError> {
        let refuse = |text: String| Err(BusError::new(ErrorName::LimitsExceeded, text));
        let mut counts = self.counts();
        if counts.values().sum::<usize>() >= MAX_STREAMS {
            return refuse(format!("{MAX_STREAMS} streams of samples are open; close one"));
        }
        let own = counts.get(&uid).copied().unwrap_or(0);
        if uid != 0 && own >= MAX_STREAMS_PER_USER {
            return refuse(format!("user {uid} has {own} streams of samples open; close one"));
        }
        counts.insert(uid, own + 1);
        Ok(Streaming(self.clone(), uid))
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.counts().values().sum()
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        match counts.get_mut(&self.1) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(counts.remove(&self.1)),
        }
    }
}

/// The part of an answer that JSON has no types for: every number is a `t`, every list one of dictionaries.
fn variant(value: Value) -> Variant<'static> {
    match value {
        Value::Null => "".into(),
        Value::Bool(v) => v.into(),
        Value::Number(v) => v.as_u64().unwrap_or_default().into(),
        Value::String(v) => v.into(),
        Value::Array(all) => {
            let mut array = Array::new(&Signature::dict(Signature::Str, Signature::Variant));
            for value in all {
                // Each is a dictionary, as said above.
                let _ = array.append(variant(value));
            }
            array.into()
        }
        Value::Object(map) => {
            let mut dict = Dict::new(&Signature::Str, &Signature::Variant);
            for (key, value) in map {
                let _ = dict.append(key.into(), Variant::Variant(Box::new(variant(value))));
            }
            dict.into()
        }
    }
}

/// A sample as a dictionary.
fn dictionary(sample: &Sample) -> HashMap<String, Variant<'static>> {
    match serde_json::to_value(sample) {
        Ok(Value::Object(map)) => map.into_iter().map(|(key, value)| (key, variant(value))).collect(),
        // It is a struct of plain fields.
        _ => HashMap::new(),
    }
}

/// Puts the property into a pod's properties that have been asked for: what dom0 knows, taken now. The guest is not asked.
pub(super) async fn add_property(service: &Service, pod: &PodHandle, properties: &mut Properties) {
    let samples = service.engine.stats(std::slice::from_ref(pod), false).await;
    properties.insert("Stats", samples.first().map(dictionary).unwrap_or_default().into());
}

/// `Pod.GetStats`
pub(super) async fn of_pod(service: &Service, pod: &PodHandle, body: &Body) -> Result<Reply, BusError> {
    let mut options = Options::new(body.deserialize()?);
    let guest = options.take::<bool>("guest", "b")?.unwrap_or(true);
    options.end()?;
    let samples = service.engine.stats(std::slice::from_ref(pod), guest).await;
    Reply::with(samples.first().map(dictionary).unwrap_or_default())
}

/// `Manager.GetStats`
pub(super) async fn of_all(service: &Service, caller: &Caller, body: &Body) -> Result<Reply, BusError> {
    let mut options = Options::new(body.deserialize()?);
    let guest = options.take::<bool>("guest", "b")?.unwrap_or(true);
    let names = options.take::<Vec<String>>("pods", "as")?;
    options.end()?;
    let pods: Vec<PodHandle> = match names {
        None => service.engine.list().into_iter().filter(|p| caller.may_see(p.owner_uid)).collect(),
        Some(names) => {
            let find = |name: String| {
                let found = service.engine.find(&name).ok().filter(|p| caller.may_see(p.owner_uid));
                found.ok_or_else(|| BusError::from(Failure::NoSuchPod(name)))
            };
            names.into_iter().map(find).collect::<Result<_, _>>()?
        }
    };
    let samples = service.engine.stats(&pods, guest).await;
    Reply::with(samples.iter().map(dictionary).collect::<Vec<_>>())
}

/// `Pod.StreamStats`
pub(super) fn stream(service: &Arc<Service>, caller: &Caller, pod: &PodHandle, body: &Body) -> Result<Reply, BusError> {
    let mut options = Options::new(body.deserialize()?);
    let guest = options.take::<bool>("guest", "b")?.unwrap_or(true);
    let interval = options.take::<u32>("interval_ms", "u")?;
    let interval = interval.map_or(DEFAULT, |ms| Duration::from_millis(ms.into()));
    options.end()?;
    if !(SHORTEST..=LONGEST).contains(&interval) {
        let (shortest, longest) = (SHORTEST.as_millis(), LONGEST.as_millis());
        return Err(BusError::invalid(format!("option interval_ms: it must be {shortest} to {longest}")));
    }
    let held = service.streams.begin(caller.uid)?;
    let no_pipe = |e: std::io::Error| BusError::new(ErrorName::LimitsExceeded, format!("no pipe can be made: {e}"));
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| no_pipe(e.into()))?;
    let sink = sink(write).map_err(no_pipe)?;
    let (engine, pod) = (service.engine.clone(), pod.clone());
    tokio::spawn(async move {
        let _held = held;
        if let Err(error) = fill(&engine, &pod, guest, interval, sink).await {
            tracing::debug!(pod = %pod.name, %error, "the reader of samples went away");
        }
    });
    Reply::with(zbus::OwnedFd::from(read))
}

/// Our end, which does not block.
fn sink(write: OwnedFd) -> std::io::Result<pipe::Sender> {
    rustix::fs::fcntl_setfl(&write, rustix::fs::fcntl_getfl(&write)? | rustix::fs::OFlags::NONBLOCK)?;
    pipe::Sender::from_owned_fd(write)
}

/// Writes samples until the pod has ended or nobody reads. While the pipe is full none are taken.
async fn fill(
    engine: &Engine,
    pod: &PodHandle,
    guest: bool,
    interval: Duration,
    mut sink: pipe::Sender,
) -> std::io::Result<()> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut status = pod.watch();
    let mut last: Option<u64> = None;
    loop {
        let ended = {
            let over = async { drop(status.wait_for(|s| s.removed || !s.state().is_live()).await) };
            tokio::select! {
                biased;
                () = over => true,
                _ = ticks.tick() => false,
                // A pipe without a reader is an error condition, which is reported as such.
                _ = sink.ready(tokio::io::Interest::ERROR) => return Ok(()),
            }
        };
        let Some(sample) = engine.stats(std::slice::from_ref(pod), guest).await.pop() else { return Ok(()) };
        let mut line = serde_json::to_value(&sample).map_err(std::io::Error::other)?;
        let interval = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
        // To the nearest: ticks are not exact.
        let ticks = last.map_or(1, |last| (sample.monotonic_usec.saturating_sub(last) + interval / 2) / interval);
        line["missed"] = ticks.saturating_sub(1).into();
        last = Some(sample.monotonic_usec);
        sink.write_all(format!("{line}\n").as_bytes()).await?;
        if ended {
            return Ok(());
        }
    }
}
