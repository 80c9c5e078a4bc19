use ContainerState as S;
use ContainerVerb as V;

use super::*;

/// D do, A already, - refused; one column for each state, in the order of `ContainerState::ALL`.
const TABLE: [(ContainerVerb, &str); 5] = [
    //              created running waiting exited
    (V::Start, "      D       A       D       D"),
    (V::Stop, "       A       D       D       A"),
    (V::Kill, "       -       D       -       -"),
    (V::Remove, "     D       -       -       D"),
    (V::ForceRemove, "D       D       D       D"),
];

#[test]
fn every_verb_in_every_state() {
    for (verb, row) in TABLE {
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!(cells.len(), S::ALL.len(), "{verb:?}");
        for (state, cell) in S::ALL.iter().zip(cells) {
            let got = match judge(verb, *state, Role::App) {
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
fn init_containers_are_not_started_by_request() {
    assert_eq!(judge(V::Start, S::Exited, Role::Init), Err(": the start of the pod runs it"));
    assert_eq!(judge(V::Start, S::Exited, Role::Sidecar), Ok(Verdict::Do));
}
