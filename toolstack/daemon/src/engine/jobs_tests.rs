use super::*;

#[test]
fn jobs_are_bounded_in_all_and_for_each_user() {
    let (changes, _out) = mpsc::unbounded_channel();
    let jobs = Jobs::new(6, 2, changes);
    let begin = |uid| jobs.begin(JobKind::Start, uid, Vec::new());
    let first = begin(1000).unwrap();
    begin(1000).unwrap();
    assert_eq!(begin(1000).unwrap_err().to_string(), "2 jobs of user 1000 are at work; wait until some have ended");
    begin(1001).unwrap();
    for _ in 0..3 {
        begin(0).unwrap();
    }
    assert_eq!(begin(0).unwrap_err().to_string(), "6 jobs are at work; wait until some have ended");
    first.end(&Ok(()));
    begin(1000).unwrap();
    assert!(begin(1000).is_err());
}

#[test]
fn jobs_that_have_ended_are_kept_up_to_a_number() {
    let (changes, _out) = mpsc::unbounded_channel();
    let jobs = Jobs::new(2, 2, changes);
    for _ in 0..KEPT + 20 {
        jobs.begin(JobKind::Stop, 0, Vec::new()).unwrap().end(&Ok(()));
    }
    assert!(jobs.list().len() <= KEPT + 1, "{}", jobs.list().len());
}
