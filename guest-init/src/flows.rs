//! Between streams and pipes.

use crate::guest::Guest;
use crate::tasks::Flow;

impl Guest {
    /// Bytes for a process's standard input.
    pub(crate) fn stdin_came(&mut self, stream: u32, bytes: &[u8]) {
        if let Some(input) = self.inputs.get_mut(&stream) {
            input.push(bytes);
            self.pump_input(stream);
        }
    }

    /// No more will come.
    pub(crate) fn stdin_ended(&mut self, stream: u32) {
        if let Some(input) = self.inputs.get_mut(&stream) {
            input.end();
            self.pump_input(stream);
        }
    }

    /// A process reads again.
    pub(crate) fn pump_stdin(&mut self, slot: u32) {
        let of_task = self.tasks.get(&slot).map(|task| task.stdio.stdin);
        if let Some(stream) = of_task.or_else(|| self.forward_input(slot)) {
            self.pump_input(stream);
        }
    }

    fn pump_input(&mut self, stream: u32) {
        if let Some(input) = self.inputs.get_mut(&stream)
            && input.pump(&mut self.channel.session, &self.poll) == Flow::Over
        {
            self.close_input(stream);
        }
    }

    /// Closes a process's standard input, or the sending half of a connection.
    pub(crate) fn close_input(&mut self, stream: u32) {
        if let Some(input) = self.inputs.remove(&stream) {
            input.close(&mut self.channel.session, &self.poll);
            self.forward_input_over(stream);
        }
    }

    /// A process has written, or closed its output.
    pub(crate) fn pump_output(&mut self, slot: u32, number: usize) {
        if self.pump_forward(slot) {
            return;
        }
        let Some(task) = self.tasks.get_mut(&slot) else { return };
        if task.ended.is_some() {
            return self.settle(slot);
        }
        let Some(output) = task.outputs.get_mut(number) else { return };
        if let Some(open) = output
            && open.pump(&mut self.channel.session, &self.poll, slot, false) == Flow::Over
        {
            *output = None;
        }
    }

    /// The daemon takes more of a stream.
    pub(crate) fn output_has_room(&mut self, stream: u32) {
        let of_task = self.output_of(stream);
        if let Some((slot, number)) = of_task.or_else(|| self.forward_of(stream).map(|slot| (slot, 0))) {
            self.pump_output(slot, number);
        }
    }

    /// The daemon takes no more of a stream: the process goes on all the same, a connection ends.
    pub(crate) fn output_unwanted(&mut self, stream: u32) {
        if let Some(slot) = self.forward_of(stream) {
            return self.drop_forward(slot);
        }
        let Some((slot, number)) = self.output_of(stream) else { return };
        if let Some(output) = self.tasks.get_mut(&slot).and_then(|task| task.outputs[number].as_mut()) {
            output.discard();
        }
        self.pump_output(slot, number);
    }

    fn output_of(&self, stream: u32) -> Option<(u32, usize)> {
        self.tasks.iter().find_map(|(slot, task)| {
            let is = |output: &Option<crate::tasks::Output>| output.as_ref().is_some_and(|o| o.stream() == stream);
            task.outputs.iter().position(is).map(|number| (*slot, number))
        })
    }
}
