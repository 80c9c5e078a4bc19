use super::*;

fn marks() -> (tempfile::TempDir, Marks) {
    let dir = tempfile::tempdir().unwrap();
    let marks = Marks { dir: dir.path().join("devices") };
    (dir, marks)
}

fn there(marks: &Marks) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(&marks.dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn device(domid: u16, kind: DeviceKind, number: u32) -> DeviceId {
    DeviceId { domid: Domid(domid), kind, number }
}

#[test]
fn each_device_has_the_names_the_kernel_gives_it() {
    let (_dir, marks) = marks();
    let devices = [device(5, DeviceKind::Vif, 0), device(5, DeviceKind::Vbd, 51712)];
    marks.put(&devices);
    assert_eq!(there(&marks), ["vbd-5-51712", "vif-5-0", "vif5.0"]);
    marks.take(&devices[1..]);
    assert_eq!(there(&marks), ["vif-5-0", "vif5.0"]);
    marks.take(&devices);
    assert_eq!(there(&marks), Vec::<String>::new());
}

#[test]
fn only_domains_that_are_there_keep_their_marks() {
    let (_dir, marks) = marks();
    marks.put(&[device(5, DeviceKind::Vif, 0), device(15, DeviceKind::Vif, 0), device(15, DeviceKind::Vbd, 51712)]);
    fs::write(marks.dir.join("what is this"), "").unwrap();
    marks.keep(&[Domid(15)]);
    assert_eq!(there(&marks), ["vbd-15-51712", "vif-15-0", "vif15.0"]);
}

#[test]
fn the_marks_of_a_domain_are_found_by_its_number() {
    let (_dir, marks) = marks();
    marks.put(&[device(5, DeviceKind::Vif, 0), device(5, DeviceKind::Vbd, 51712), device(15, DeviceKind::Vbd, 51712)]);
    marks.take_all(Domid(5));
    assert_eq!(there(&marks), ["vbd-15-51712"]);
}

#[test]
fn the_folder_is_there_from_the_start() {
    let (_dir, marks) = marks();
    marks.keep(&[]);
    assert_eq!(there(&marks), Vec::<String>::new());
}
