use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::usage::Sample;
use crate::usage::tests::sample;

fn model() -> Model {
    let mut model = Model::new(Duration::from_secs(1));
    model.take(vec![sample("web", 10, 1), sample("db", 10, 1), sample("old", 10, 1)]);
    let stopped = Sample {
        missing: [("guest".to_string(), "the pod is stopped".to_string())].into(),
        state: "stopped".into(),
        ..Sample { name: "old".into(), id: "old-0000".into(), monotonic_usec: 12_000_000, ..Sample::default() }
    };
    model.take(vec![sample("web", 12, 2), sample("db", 12, 3), stopped]);
    model
}

/// What is on the screen.
fn screen(model: &Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, model)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let cells: Vec<&str> = buffer.content().iter().map(|cell| cell.symbol()).collect();
    cells.chunks(width.into()).map(|row| row.concat().trim_end().to_string()).collect()
}

fn press(model: &mut Model, code: KeyCode) -> bool {
    act(model, KeyEvent::new(code, KeyModifiers::NONE))
}

fn order(model: &Model) -> Vec<String> {
    model.sorted().iter().map(|pod| pod.now.name.clone()).collect()
}

#[test]
fn a_row_a_pod() {
    let screen = screen(&model(), 120, 8);
    assert_eq!(screen[0], "xenpod   3 pods, 2 running   every 1s   sorted by cpu");
    for heading in ["NAME", "CPU %", "CPU HISTORY", "MEMORY", "NET IN/s", "WRITE/s"] {
        assert!(screen[1].contains(heading), "{}", screen[1]);
    }
    let words = |row: &str| row.split_whitespace().map(String::from).collect::<Vec<_>>().join(" ");
    // 2 s of CPU in 2 s on one of two vCPUs: half of what it could.
    assert_eq!(words(&screen[2]), "db running 100.0 ▄ ███░░░░░░░ 25.0 MiB 1.0 MiB 1.0 KiB 1.0 MiB 2.0 MiB");
    assert_eq!(words(&screen[3]), "web running 50.0 ▂ ███░░░░░░░ 25.0 MiB 512.0 KiB 512 B 512.0 KiB 1.0 MiB");
    assert_eq!(words(&screen[4]), "old stopped - - - - - -");
    assert!(screen[7].starts_with("q quit"), "{}", screen[7]);
}

#[test]
fn details_of_one() {
    let mut model = model();
    assert!(press(&mut model, KeyCode::Down) && press(&mut model, KeyCode::Enter));
    let text = screen(&model, 120, 30).join("\n");
    for part in [
        "web · web-0000",
        "vcpu 0    50.0 %",
        "vcpu 1     0.0 %",
        "domain   128.0 MiB",
        "guest    25.0 MiB of 100.0 MiB in use",
        "overhead 1.0 MiB in Xen, 0.5 % of a CPU in dom0",
        "container main   cpu 25.0 %   memory 20.0 MiB   pids 3",
        "xvda (scratch)   read 2.0 MiB   written 4.0 MiB",
        "eth0   received 2.0 MiB   sent 2.0 KiB",
        "┌network",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    press(&mut model, KeyCode::Char('j'));
    let text = screen(&model, 120, 30).join("\n");
    assert!(text.contains("no guest figures: the pod is stopped"), "{text}");
    assert!(press(&mut model, KeyCode::Esc), "the first leaves the details");
    assert!(!screen(&model, 120, 30).join("\n").contains("┌network"));
    assert!(!press(&mut model, KeyCode::Esc), "the second the program");
}

#[test]
fn keys_choose_and_sort() {
    let mut model = model();
    assert_eq!((order(&model).join(" "), model.position()), ("db web old".into(), Some(0)));
    press(&mut model, KeyCode::Up);
    assert_eq!(model.position(), Some(0), "there is none above");
    press(&mut model, KeyCode::Char('j'));
    for wanted in ["memory", "network", "disk", "name"] {
        press(&mut model, KeyCode::Char('s'));
        assert_eq!(model.sort.word(), wanted);
    }
    assert_eq!(order(&model), ["db", "old", "web"]);
    assert_eq!(model.position(), Some(2), "the chosen one stays chosen");
    press(&mut model, KeyCode::Char('p'));
    assert!(model.paused && screen(&model, 100, 6)[0].ends_with("PAUSED"));
    assert!(!press(&mut model, KeyCode::Char('q')));
    assert!(!act(&mut model, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    model.take(vec![sample("db", 14, 3)]);
    assert_eq!(model.position(), Some(0), "the chosen one is gone");
}

#[test]
fn any_size_and_no_pods_at_all_can_be_drawn() {
    let mut model = model();
    model.detail = true;
    model.trouble = Some("cannot reach xenpodd".into());
    for (width, height) in [(1, 1), (10, 3), (40, 10), (200, 60)] {
        screen(&model, width, height);
    }
    assert!(screen(&model, 60, 10)[9].starts_with("cannot reach xenpodd"));
    model.take(Vec::new());
    assert!(screen(&model, 60, 10)[0].contains("0 pods"));
    press(&mut model, KeyCode::Down);
    assert_eq!(model.position(), None);
}
