use super::*;

#[test]
fn only_the_packages_of_absent_programs_are_missing() {
    let list = "# a comment of words\n\nqemu-utils qemu-img\ntar tar\n";
    assert_eq!(missing(list, |program| program == "tar"), ["qemu-utils"]);
}

#[test]
fn the_list_of_packages_names_a_program_for_each() {
    for line in PACKAGES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert_eq!(line.split(' ').count(), 2, "{line}");
    }
}

#[test]
fn a_failed_program_shows_what_it_said() {
    let error = run("the stage", Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the stage failed") && text.contains("| out\n") && text.contains("| err"), "{text}");
}
