//! The person's terminal, lent to a command in dom0.

use std::io::{self, Read, stdin};
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::channel::Keyboard;
use crate::wire::Message;

/// How soon a new size of the window is passed on. Looking is cheaper than signal handling, and nobody resizes faster.
const LOOK: Duration = Duration::from_millis(250);

/// A terminal whose keys are passed on as they are pressed; dropped, it is as it was.
pub struct Raw(Termios);

impl Raw {
    /// `None` when the standard input is no terminal.
    pub fn enter() -> io::Result<Option<Raw>> {
        if !isatty(stdin()) {
            return Ok(None);
        }
        let saved = tcgetattr(stdin())?;
        let mut raw = saved.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Some(Raw(saved)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(stdin(), OptionalActions::Now, &self.0) {
            eprintln!("the terminal was not restored ({error}): use reset(1)");
        }
    }
}

/// Rows and columns; a modest window when there is none.
pub fn size() -> (u16, u16) {
    tcgetwinsize(stdin()).map_or((24, 80), |size| (size.ws_row, size.ws_col))
}

/// Sends keys until the input ends, and then that it has.
pub fn pass_keys(mut keyboard: Keyboard) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let count = stdin().read(&mut buffer).unwrap_or(0);
            if keyboard.send(&Message::Stdin(buffer[..count].to_vec())).is_err() || count == 0 {
                break;
            }
        }
    });
}

/// Sends the size of the window whenever it has changed.
pub fn pass_size(mut keyboard: Keyboard) {
    std::thread::spawn(move || {
        let mut known = size();
        loop {
            std::thread::sleep(LOOK);
            let (rows, columns) = size();
            if (rows, columns) != known {
                known = (rows, columns);
                if keyboard.send(&Message::Resize(rows, columns)).is_err() {
                    break;
                }
            }
        }
    });
}
