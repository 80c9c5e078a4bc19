use super::*;

#[test]
fn the_closing_lines_of_both_runners_are_counted() {
    let nextest = "     Summary [   0.167s] 21 tests run: 20 passed (1 slow), 1 failed, 3 skipped";
    assert_eq!(count(nextest), (20, 1));
    let cargo = "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
    assert_eq!(count(cargo), (7, 2));
    assert_eq!(count("test foo ... ok"), (0, 0));
    assert_eq!(count("a log line: 7 passed, 3 failed"), (0, 0));
}

#[test]
fn the_programs_of_cargo_test_are_summed() {
    let text = "test result: ok. 7 passed; 0 failed;\nnoise\ntest result: ok. 1 passed; 0 failed;\n";
    assert_eq!(follow(text.as_bytes()), (8, 0));
}
