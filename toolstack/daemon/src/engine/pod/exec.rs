//! Running commands in the pod's containers.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use xenpod_protocol::message::{self, request::Op};

use super::super::Change;
use super::super::exec::{Exec, ExecRequest, LINGER, Running, id, number, pipes};
use super::super::failure::Failure;
use super::super::process;
use super::{Pod, lock};
use crate::guest::{Guest, Output};

/// A command that is ready to be asked for.
struct Prepared {
    exec: Arc<Exec>,
    guest: Guest,
    op: Op,
    outputs: Vec<Output>,
    theirs: [OwnedFd; 3],
}

impl Pod {
    /// Runs a command. The answer comes when it runs, or cannot; the pod's task does not wait for it.
    pub(super) async fn exec(&mut self, request: ExecRequest) {
        let Prepared { exec, guest, op, outputs, theirs } = match self.prepare_exec(&request).await {
            Ok(prepared) => prepared,
            Err(failure) => return request.refuse(failure),
        };
        // Known before it is asked for: it may end before the answer is read.
        lock(&self.shared.execs).insert(exec.number, exec.clone());
        let answer = guest.send_with("to run a command", op, outputs);
        let within = self.world.settings.answer_timeout;
        let (pod, shared, changes) = (self.name(), self.shared.clone(), self.changes.clone());
        tokio::spawn(async move {
            let result = match answer.started(within).await {
                Ok(_) => {
                    let _ = changes.send(Change::Exec(exec.pod, exec.number));
                    Ok(Running { exec, pipes: theirs })
                }
                Err(source) => {
                    lock(&shared.execs).remove(&exec.number);
                    Err(Failure::Guest { pod, container: Some(request.container), source })
                }
            };
            let _ = request.answer.send(result);
        });
    }

    async fn prepare_exec(&mut self, request: &ExecRequest) -> Result<Prepared, Failure> {
        let pod = self.name();
        let (index, guest) = self.running_container(&request.container)?;
        let first = self.streams(3).await?;
        let pipes = pipes(request.spec.stdin, request.spec.tty.is_none())
            .map_err(|e| Failure::Limit(format!("pod {pod}: no pipe can be made: {e}")))?;
        let [stdin, stdout, stderr] = pipes.ours;
        let (mut stdio, mut outputs) = (message::Stdio::default(), Vec::new());
        if let Some(pipe) = stdin {
            stdio.stdin = first;
            guest.open_input(first, pipe);
        }
        if let Some(pipe) = stdout {
            stdio.stdout = first + 1;
            outputs.push(Output::Pipe { id: first + 1, pipe });
        }
        if let Some(pipe) = stderr {
            stdio.stderr = first + 2;
            outputs.push(Output::Pipe { id: first + 2, pipe });
        }
        let number = self.next_exec;
        self.next_exec += 1;
        let (spec, image) = (&self.record.spec, &self.images[index]);
        let op = Op::Exec(message::Exec {
            id: id(number),
            container: self.record.containers[index].key().into(),
            process: Some(process::exec_process(spec, &spec.containers[index], image, &request.spec)),
            stdio: Some(stdio),
        });
        let exec =
            Arc::new(Exec::new((self.record.id, number), request, (guest.clone(), stdio.stdin), self.changes.clone()));
        Ok(Prepared { exec, guest, op, outputs, theirs: pipes.theirs })
    }

    /// A command has ended: it can still be looked at for a while.
    pub(super) fn exec_exited(&self, exited: &message::ExecExited) {
        let exec = number(&exited.id).and_then(|n| lock(&self.shared.execs).get(&n).cloned());
        let Some(exec) = exec else { return };
        exec.ended(&exited.exit.clone().unwrap_or_default());
        let (shared, changes) = (self.shared.clone(), self.changes.clone());
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            lock(&shared.execs).remove(&exec.number);
            let _ = changes.send(Change::ExecGone(exec.pod, exec.number));
        });
    }
}
