use super::*;
use crate::machine::Xenstored;

const TEXT: &str = "# A suite.
# lab: --no-package
# lab: --icount --xenstored xenstored
# copy: README.md:/root/
# limit: 20
# furnish: furnish-x.sh

test_one() {
\ttrue
}

helper() {
# lab: --mem 9999
}

test_two() {
";

#[test]
fn a_suites_header_and_tests_are_found() {
    let suites = parse("20-x", TEXT).unwrap();
    assert_eq!(suites.iter().map(Suite::title).collect::<Vec<_>>(), ["20-x", "20-x[--icount --xenstored xenstored]"]);
    let (first, second) = (&suites[0], &suites[1]);
    assert!(first.options.no_package && !first.options.icount);
    assert!(second.options.icount && second.options.xenstored == Xenstored::Xenstored);
    assert_eq!(second.options.copies[0], Copy { from: checkout().join("README.md"), to: "/root/".into() });
    assert_eq!(second.furnish.as_deref(), Some("furnish-x.sh"));
    assert_eq!(
        (second.limit, second.tests.as_slice()),
        (20, ["test_one".to_owned(), "test_two".to_owned()].as_slice())
    );
}

#[test]
fn an_unknown_option_is_named_with_its_suite() {
    let error = parse("20-x", "# lab: --fast\n").unwrap_err().to_string();
    assert!(error.contains("suite 20-x") && error.contains("--fast"), "{error}");
}

#[test]
fn every_suite_of_the_checkout_parses_and_has_tests() {
    let suites = all(None).unwrap();
    assert!(!suites.is_empty());
    assert!(suites.iter().all(|suite| !suite.tests.is_empty()), "{suites:?}");
}

#[test]
fn every_suite_is_furnished_by_a_script_that_is_there() {
    let suites = all(None).unwrap();
    for script in suites.iter().filter_map(|suite| suite.furnish.as_deref()) {
        assert!(folder().join(script).is_file() && !is_suite(Path::new(script)), "{script}");
        assert_eq!(furniture(script).unwrap().hash, furniture(script).unwrap().hash);
    }
    assert!(suites.iter().any(|suite| suite.furnish.is_some()));
}

#[test]
fn the_runners_verdicts_are_counted_though_they_come_in_pieces() {
    let mut tally = Tally::default();
    let left = vec!["test_a".to_owned(), "test_b".to_owned(), "test_c".to_owned()];
    let mut report = Report { title: "s".into(), left, line: Vec::new(), tally: &mut tally };
    report.stdout(b"@@ pass setup 1\n@@ pass te").unwrap();
    report.stdout(b"st_a 12\n    | said\n@@ fail test_b 3\n").unwrap();
    assert_eq!(report.left, ["test_c"]);
    assert_eq!(tally.close(), "failed: s::b\n1 passed, 1 failed");
}
