use super::*;

#[test]
fn limits_become_file_contents() {
    let none: Vec<(&str, String)> = settings(&Resources::default());
    let expected = [
        ("memory.max", "max"),
        ("memory.low", "0"),
        ("cpu.max", "max 100000"),
        ("cpu.weight", "100"),
        ("pids.max", "max"),
    ];
    assert_eq!(none, expected.map(|(f, v)| (f, v.to_owned())));
    let some = settings(&Resources {
        memory_max: 1 << 20,
        memory_low: 4096,
        cpu_quota_us: 50_000,
        cpu_period_us: 200_000,
        cpu_weight: 7,
        pids_max: 9,
    });
    let values: Vec<&str> = some.iter().map(|(_, v)| v.as_str()).collect();
    assert_eq!(values, ["1048576", "4096", "50000 200000", "7", "9"]);
}

#[test]
fn fields_are_whole_words() {
    let text = "oom 3\noom_kill 2\noom_group_kill 1\n";
    assert_eq!(field(text, "oom_kill"), Some(2));
    assert_eq!(field(text, "oom"), Some(3));
    assert_eq!(field(text, "absent"), None);
}
