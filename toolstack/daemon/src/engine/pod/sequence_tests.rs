use xenpod_api::manifest::parse;

use super::*;

/// `first` (init), `side` (sidecar), `last` (init), `one` with a hook, `two`.
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  initContainers:
  - {name: first, image: a}
  - {name: side, image: a, restartPolicy: Always}
  - {name: last, image: a}
  containers:
  - {name: one, image: a, lifecycle: {postStart: {sleep: {seconds: 1}}}}
  - {name: two, image: a}
";

/// c created, r running, u running and up, w waiting, 0 and 1 ended with that: one for each container.
fn step(states: &str) -> Step {
    let specs = parse(POD).unwrap().containers;
    let records: Vec<_> = specs
        .iter()
        .zip(states.chars())
        .map(|(spec, state)| {
            let mut record = ContainerRecord::new(&spec.name);
            record.state = match state {
                'c' => ContainerState::Created,
                'r' | 'u' => ContainerState::Running,
                'w' => ContainerState::Waiting,
                _ => ContainerState::Exited,
            };
            record.up = state == 'u';
            record.exit_code = i32::from(state == '1');
            record
        })
        .collect();
    next_step(&specs, &records)
}

#[test]
fn one_after_another() {
    for (states, want) in [
        ("ccccc", Step::Start(0)),
        ("rcccc", Step::Wait),
        ("wcccc", Step::Wait),
        ("1cccc", Step::Failed(0)),
        ("0cccc", Step::Start(1)),
        ("0rccc", Step::Wait),
        ("0uccc", Step::Start(2)),
        // A sidecar that falls back is waited for again.
        ("0wccc", Step::Wait),
        ("0urcc", Step::Wait),
        ("0u0cc", Step::Start(3)),
        ("0u0rc", Step::Wait),
        ("0u0uc", Step::Start(4)),
        ("0u01c", Step::Start(4)),
        ("0u0uu", Step::Done),
        ("0u000", Step::Done),
    ] {
        assert_eq!(step(states), want, "{states}");
    }
}

#[test]
fn only_those_that_need_it_are_started_in_sequence() {
    let of = |text: &str| in_sequence(&parse(text).unwrap().containers);
    assert!(of(POD));
    let plain = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}";
    assert!(!of(plain));
    assert!(!of(&plain.replace("image: b", "image: b, lifecycle: {preStop: {sleep: {seconds: 1}}}")));
    assert!(of(&plain.replace("image: b", "image: b, lifecycle: {postStart: {sleep: {seconds: 1}}}")));
}
