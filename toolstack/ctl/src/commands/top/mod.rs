//! `xenpodctl top`: a view of the pods on a terminal.
//!
//! ```text
//!  daemon --samples, every so often--> model (rates, history, what is chosen) --> view (draws it)
//!  keyboard --keys--------------------^
//! ```
//!
//! The terminal is given back whatever happens: at the end, with a failure, a panic, SIGTERM, SIGINT and SIGHUP.

mod model;
mod view;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::usage::{ask, parse};
use model::Model;

pub async fn run(client: &Client, args: cli::Top, json: bool) -> Result<ExitCode, Failure> {
    if json {
        return Err(Failure::Usage("--json has no meaning for top: use `xenpodctl stats --json`".into()));
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "top needs a terminal for input and output; use `xenpodctl stats` elsewhere".into(),
        ));
    }
    // A daemon that is not there is said before the screen is taken.
    let first = parse(ask(client, &[]).await?);
    let io = |e| Failure::Io("the terminal".into(), e);
    let mut ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [terminated, interrupted, hung_up] = &mut ends;
    let (Ok(terminated), Ok(interrupted), Ok(hung_up)) = (terminated, interrupted, hung_up) else {
        return Err(io(std::io::Error::other("signals cannot be caught")));
    };
    let mut screen = Screen::take().map_err(io)?;
    let mut keys = keyboard();
    let mut model = Model::new(args.interval);
    model.take(first);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + args.interval, args.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        screen.0.draw(|frame| view::draw(frame, &model)).map_err(io)?;
        tokio::select! {
            _ = ticks.tick(), if !model.paused => match ask(client, &[]).await {
                Ok(samples) => model.take(parse(samples)),
                // It may come back: what is known stays on the screen.
                Err(failure) => model.trouble = Some(failure.to_string()),
            },
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if !act(&mut model, key) {
                        break;
                    }
                }
                // Another size, most likely: it is drawn anew.
                Some(_) => {}
                None => break,
            },
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
            _ = hung_up.recv() => break,
        }
    }
    drop(screen);
    Ok(ExitCode::SUCCESS)
}

/// The whole terminal, until this is dropped.
struct Screen(DefaultTerminal);

impl Screen {
    fn take() -> std::io::Result<Self> {
        // A panic gives it back as well, before it is told.
        ratatui::try_init().map(Self).inspect_err(|_| ratatui::restore())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.show_cursor();
        ratatui::restore();
    }
}

/// What is typed. The thread ends with the process: it only reads.
fn keyboard() -> mpsc::Receiver<Event> {
    let (typed, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        loop {
            match event::poll(Duration::from_millis(200)) {
                Ok(false) if typed.is_closed() => return,
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(event) => {
                        if typed.blocking_send(event).is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
    keys
}

/// Does what a key is for. False: it is the end.
fn act(model: &mut Model, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Char('q') => return false,
        KeyCode::Esc if !model.detail => return false,
        KeyCode::Esc => model.detail = false,
        KeyCode::Enter => model.detail = !model.detail,
        KeyCode::Up | KeyCode::Char('k') => model.step(-1),
        KeyCode::Down | KeyCode::Char('j') => model.step(1),
        KeyCode::Char('s') => model.sort_next(),
        KeyCode::Char('p') => model.paused = !model.paused,
        _ => {}
    }
    true
}

#[cfg(test)]
mod tests;
