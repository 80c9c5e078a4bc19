//! Draws the model: a heading, a row a pod, and on demand all of one pod.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState};

use super::model::{Model, Pod};
use crate::table::size;

/// Columns of the history in a row, and of the bar of memory.
const HISTORY: usize = 16;
const BAR: usize = 10;

pub fn draw(frame: &mut Frame<'_>, model: &Model) {
    let detail = if model.detail { Constraint::Fill(2) } else { Constraint::Length(0) };
    let [head, list, one, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), detail, Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(heading(model), head);
    pods(frame, model, list);
    if let (true, Some(pod)) = (model.detail, model.chosen()) {
        detailed(frame, pod, one);
    }
    let foot_line = match &model.trouble {
        Some(why) => Line::styled(why.replace('\n', " "), Style::new().fg(Color::Red)),
        None => Line::styled("q quit   ↑↓ choose   enter details   s sort   p pause", Style::new().fg(Color::DarkGray)),
    };
    frame.render_widget(foot_line, foot);
}

fn heading(model: &Model) -> Line<'static> {
    let (all, running) = model.counts();
    let text = format!(
        "xenpod   {all} pods, {running} running   every {}   sorted by {}",
        humantime::format_duration(model.interval),
        model.sort.word()
    );
    let paused = if model.paused { "   PAUSED" } else { "" };
    Line::from(vec![
        Span::styled(text, Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(paused, Style::new().fg(Color::Yellow)),
    ])
}

fn pods(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let names = ["NAME", "STATE", "CPU %", "CPU HISTORY", "MEMORY", "", "NET IN/s", "NET OUT/s", "READ/s", "WRITE/s"];
    let head = Row::new(names).style(Style::new().add_modifier(Modifier::REVERSED));
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(6),
        Constraint::Length(16),
        Constraint::Length(10),
        Constraint::Length(9),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(10),
    ];
    let sorted = model.sorted();
    let rows = sorted.iter().map(|pod| row(pod));
    let chosen = Style::new().add_modifier(Modifier::BOLD).bg(Color::Indexed(236));
    let table = Table::new(rows, widths).header(head).row_highlight_style(chosen);
    let mut state = TableState::new().with_selected(model.position());
    frame.render_stateful_widget(table, area, &mut state);
}

fn row(pod: &Pod) -> Row<'static> {
    let rate = |bytes: Option<f64>| bytes.map_or("-".into(), bytes_text);
    let (net, disk) = (pod.rates.network, pod.rates.disk);
    let state = match pod.now.state.as_str() {
        "running" => Color::Green,
        "failed" => Color::Red,
        _ => Color::Yellow,
    };
    let (bar_cell, used) = match pod.now.memory() {
        Some((used, all)) => (bar(used, all), size(used)),
        None => (Span::raw("-"), String::new()),
    };
    Row::new([
        Cell::from(pod.now.name.clone()),
        Cell::from(Span::styled(pod.now.state.clone(), Style::new().fg(state))),
        Cell::from(pod.rates.cpu.map_or("-".into(), |p| format!("{p:>5.1}"))),
        Cell::from(Span::styled(blocks(&pod.cpu, 1000), Style::new().fg(Color::Cyan))),
        Cell::from(bar_cell),
        Cell::from(used),
        Cell::from(rate(net.map(|n| n.0))),
        Cell::from(rate(net.map(|n| n.1))),
        Cell::from(rate(disk.map(|d| d.0))),
        Cell::from(rate(disk.map(|d| d.1))),
    ])
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are not negative, and small")]
fn bytes_text(rate: f64) -> String {
    size(rate as u64)
}

/// The last values as blocks, of which the highest stands for `most`. What was used at all is seen.
fn blocks(history: &VecDeque<u64>, most: u64) -> String {
    const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let last = history.iter().skip(history.len().saturating_sub(HISTORY));
    let height = |value: u64| usize::try_from((value * 8).div_ceil(most).min(8)).unwrap_or(8);
    let text: String = last.map(|value| BLOCKS[height(*value)]).collect();
    format!("{text:>HISTORY$}")
}

/// A part of a whole as a bar: green, yellow from three quarters on, red from nine tenths on.
fn bar(part: u64, whole: u64) -> Span<'static> {
    let tenths = usize::try_from((part * BAR as u64).div_ceil(whole.max(1))).unwrap_or(BAR).min(BAR);
    let colour = match part * 100 / whole.max(1) {
        0..75 => Color::Green,
        75..90 => Color::Yellow,
        _ => Color::Red,
    };
    Span::styled(format!("{}{}", "█".repeat(tenths), "░".repeat(BAR - tenths)), Style::new().fg(colour))
}

fn detailed(frame: &mut Frame<'_>, pod: &Pod, area: Rect) {
    let block = Block::bordered().title(format!(" {} · {} ", pod.now.name, pod.now.id));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [figures, history] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(inner);
    frame.render_widget(Paragraph::new(lines(pod)), figures);
    let areas: [Rect; 3] = Layout::vertical([Constraint::Fill(1); 3]).areas(history);
    let graphs = [("cpu", &pod.cpu, Some(1000)), ("network", &pod.network, None), ("disk", &pod.disk, None)];
    for ((name, values, most), area) in graphs.into_iter().zip(areas) {
        let block = Block::bordered().title(name);
        let width = usize::from(block.inner(area).width);
        let data: Vec<u64> = values.iter().skip(values.len().saturating_sub(width)).copied().collect();
        let graph = Sparkline::default().block(block).data(data).style(Style::new().fg(Color::Cyan));
        frame.render_widget(if let Some(most) = most { graph.max(most) } else { graph }, area);
    }
}

fn lines(pod: &Pod) -> Vec<Line<'static>> {
    let now = &pod.now;
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut say = |text: String| lines.push(Line::from(text));
    for (vcpu, percent) in now.cpu.iter().flat_map(|c| &c.vcpus).zip(&pod.rates.vcpus) {
        let down = if vcpu.online { "" } else { "   not up" };
        say(format!("vcpu {:<3} {percent:>5.1} %{down}", vcpu.vcpu));
    }
    if let Some(memory) = &now.memory {
        say(format!("domain   {}", size(memory.domain_bytes)));
    }
    if let Some((used, all)) = now.memory() {
        say(format!("guest    {} of {} in use", size(used), size(all)));
    }
    if let Some(overhead) = &now.overhead {
        let xen = overhead.xen_paging_bytes.map_or("-".into(), size);
        let dom0 = pod.rates.dom0.map_or("-".into(), |p| format!("{p:.1} %"));
        say(format!("overhead {xen} in Xen, {dom0} of a CPU in dom0"));
    }
    for container in now.containers.iter().flatten() {
        let cpu = pod.rates.containers.iter().find(|(name, _)| *name == container.name);
        let cpu = cpu.map_or("-".into(), |(_, p)| format!("{p:.1} %"));
        let limit = container.memory_limit_bytes.map_or(String::new(), |limit| format!(" of {}", size(limit)));
        let memory = size(container.memory_working_set_bytes);
        say(format!("container {}   cpu {cpu}   memory {memory}{limit}   pids {}", container.name, container.pids));
    }
    for disk in now.disks.iter().flatten() {
        let holds: String = disk.holds.chars().take(20).collect();
        say(format!("{} ({holds})   read {}   written {}", disk.name, size(disk.read_bytes), size(disk.written_bytes)));
    }
    for interface in now.interfaces.iter().flatten() {
        let (received, sent) = (size(interface.received_bytes), size(interface.sent_bytes));
        say(format!("{}   received {received}   sent {sent}", interface.name));
    }
    for (part, why) in &now.missing {
        say(format!("no {part} figures: {why}"));
    }
    lines
}
