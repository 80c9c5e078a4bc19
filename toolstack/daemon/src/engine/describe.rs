//! What is said of a pod: its name, its labels, its annotations. All of it can change while the pod goes on.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use super::failure::Failure;
use super::pod::Ask;
use super::{Engine, PodHandle};

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Description {
    /// Labels that are set, and keys of labels that are taken away.
    Labels(BTreeMap<String, String>, Vec<String>),
    /// Annotations, in the same way.
    Annotations(BTreeMap<String, String>, Vec<String>),
    /// Another name, which the engine holds for it.
    Name(String),
}

/// A request to say it.
#[derive(Debug)]
pub struct DescribeRequest {
    /// What.
    pub what: Description,
    /// Told when it is on disk.
    pub answer: oneshot::Sender<Result<(), Failure>>,
}

impl Engine {
    /// Gives a pod another name. When this returns, it has that one and no other.
    ///
    /// # Errors
    /// The name is taken, the pod is gone or in between two states, and what the disk and xenstore say. It is called what it was
    /// called then.
    pub async fn rename(&self, pod: &PodHandle, to: &str) -> Result<(), Failure> {
        {
            let mut pods = self.pods();
            match pods.by_name.get(to) {
                // Its own, or one that it is being given.
                Some(id) if *id == pod.id && pods.by_id.get(id).is_some_and(|p| &*p.name == to) => return Ok(()),
                Some(_) => return Err(Failure::PodExists(to.into())),
                None => pods.by_name.insert(to.into(), pod.id),
            };
        }
        let (answer, done) = oneshot::channel();
        pod.ask(Ask::Describe(DescribeRequest { what: Description::Name(to.into()), answer }));
        let result = done.await.unwrap_or_else(|_| Err(Failure::Removed(pod.name.to_string())));
        let mut pods = self.pods();
        let is = |name: &String| result.is_ok() == (name == to);
        // One of the two names, whatever became of it; none when it is gone.
        let there = pods.by_id.contains_key(&pod.id);
        pods.by_name.retain(|name, id| *id != pod.id || (there && is(name)));
        if let (Ok(()), Some(handle)) = (&result, pods.by_id.get_mut(&pod.id)) {
            handle.name = to.into();
        }
        result
    }
}
