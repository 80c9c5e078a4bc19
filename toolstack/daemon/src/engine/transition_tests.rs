use PodState as S;
use Verb as V;

use super::*;

/// D do, A already, I interrupt, - refused; one column for each state, in the order of `PodState::ALL`.
const TABLE: &[(Verb, &str)] = &[
    //               creating created starting running paused stopping stopped failed
    (V::Start, "      -        D       A        A       -      -        D       D"),
    (V::Stop, "       I        D       I        D       D      A        A       A"),
    (V::Pause, "      -        -       -        D       A      -        -       -"),
    (V::Resume, "     -        -       -        A       D      -        -       -"),
    (V::Remove, "     -        D       -        -       -      -        D       D"),
    (V::ForceRemove, "I        D       I        D       D      I        D       D"),
    (V::Exec, "       -        -       D        D       -      -        -       -"),
    (V::Container, "  -        -       -        D       -      -        -       -"),
    (V::EndContainer, "-       -       D        D       -      -        -       -"),
    (V::Attach, "     -        -       -        D       -      -        -       -"),
    (V::Forward, "    -        -       -        D       -      -        -       -"),
    (V::Resize, "     -        -       -        D       -      -        D       D"),
    (V::Describe, "   -        D       D        D       D      -        D       D"),
];

#[test]
fn every_verb_in_every_state() {
    assert_eq!(TABLE.len(), Verb::ALL.len());
    for (verb, row) in TABLE {
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!(cells.len(), S::ALL.len(), "{verb:?}");
        for (state, cell) in S::ALL.iter().zip(cells) {
            let got = match judge("web", *verb, *state) {
                Ok(Verdict::Do) => "D",
                Ok(Verdict::Already) => "A",
                Ok(Verdict::Interrupt) => "I",
                Err(_) => "-",
            };
            assert_eq!(got, cell, "{verb:?} while {state}");
        }
    }
}

#[test]
fn a_refusal_names_the_pod_the_state_and_what_to_do() {
    let text = |verb, state| judge("web", verb, state).unwrap_err().to_string();
    assert_eq!(
        text(V::Remove, S::Running),
        "pod web: cannot remove it while it is running: stop it first, or remove it by force"
    );
    assert_eq!(text(V::Exec, S::Paused), "pod web: cannot execute a command in it while it is paused: resume it first");
    assert_eq!(text(V::Start, S::Stopping), "pod web: cannot start it while it is stopping: wait for its job to end");
    assert_eq!(text(V::Pause, S::Stopped), "pod web: cannot pause it while it is stopped");
}
