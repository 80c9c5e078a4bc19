use super::*;

#[test]
fn the_table_shows_what_is_missing_and_what_is_missed() {
    let text = r#"{"figures": [
        {"name": "create_paused", "unit": "vms", "ours": 30.5, "xl": 84, "target": 25, "runs": 10},
        {"name": "start_cold", "unit": "vms", "ours": 150, "xl": null, "target": 200, "runs": 10}]}"#;
    let table: Table = serde_json::from_str(text).unwrap();
    let text = render(&table);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["create_paused", "30.50", "84.00", "25.00", "vms", "10", "missed"]);
    assert_eq!(lines[2], ["start_cold", "150.00", "-", "200.00", "vms", "10"]);
}
