//! What a container leaves behind when it ends: its termination message, as Kubernetes has it.

use xenpod_protocol::message;

use super::{Pod, lock};
use crate::logs::{Follow, Since};

/// Lines and bytes of a log that stand for a message, as in the kubelet (MaxContainerTerminationMessageLogLines and
/// MaxContainerTerminationMessageLogLength, pkg/kubelet/container/runtime.go).
const LOG_LINES: u64 = 80;
const LOG_BYTES: usize = 2048;

impl Pod {
    /// Keeps the last words of a container that has just ended. Its log is complete.
    pub(super) async fn last_words(&mut self, key: &str, exit: &message::Exit) {
        let Some(index) = self.record.containers.iter().position(|c| c.key() == key) else { return };
        let mut words = text(&exit.termination);
        let well = exit.code == 0 && exit.signal == 0;
        if words.is_empty() && !well && self.record.spec.containers[index].termination.from_log {
            words = self.end_of_log(index).await;
        }
        self.record.containers[index].termination = words;
    }

    async fn end_of_log(&self, index: usize) -> String {
        let container = &self.record.containers[index];
        let Some(hub) = self.logs.get(&container.name).map(|log| lock(log).hub()) else { return String::new() };
        let Ok(mut log) = Follow::new(&hub, Since::Tail(LOG_LINES), false, false) else { return String::new() };
        let mut end = Vec::new();
        while let Ok(Some((_, bytes))) = log.next().await {
            end.extend_from_slice(&bytes);
            end.drain(..end.len().saturating_sub(LOG_BYTES));
        }
        text(&end)
    }
}

/// As text that a string on the bus can hold.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}")
}
