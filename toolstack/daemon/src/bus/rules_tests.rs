use super::*;

const OURS: [&str; 2] = ["org.xenpod1", ":1.7"];

fn head(path: &str, interface: &'static str, member: &'static str) -> Head {
    Head { path: path.into(), interface, member }
}

fn matches(rule: &str, head: &Head) -> bool {
    Rule::parse(rule, ":1.9", &OURS).is_some_and(|r| r.matches(head))
}

#[test]
fn a_rule_matches_what_it_names_and_no_more() {
    let new = head("/org/xenpod1", "org.xenpod1.Manager", "PodNew");
    let changed = head("/org/xenpod1/pod/a", "org.freedesktop.DBus.Properties", "PropertiesChanged");
    for (rule, of_new, of_changed) in [
        ("", true, true),
        ("type='signal'", true, true),
        ("type='signal',sender='org.xenpod1'", true, true),
        ("type='signal',sender=':1.7'", true, true),
        ("sender='org.xenpod10'", false, false),
        ("type='method_call'", false, false),
        ("interface='org.xenpod1.Manager'", true, false),
        ("interface='org.xenpod1.Manager',member='PodRemoved'", false, false),
        ("path='/org/xenpod1'", true, false),
        ("path_namespace='/org/xenpod1'", true, true),
        ("path_namespace='/org/xenpod1/pod'", false, true),
        ("path_namespace='/org/xen'", false, false),
        ("path_namespace='/'", true, true),
        ("destination=':1.9'", true, true),
        ("destination=':1.8'", false, false),
        ("eavesdrop='true',type='signal'", false, false),
        ("member=PropertiesChanged,arg0='org.xenpod1.Pod'", false, true),
        ("arg0='a,b='\\''c',member='PodNew'", true, false),
    ] {
        assert_eq!((matches(rule, &new), matches(rule, &changed)), (of_new, of_changed), "{rule}");
    }
}

#[test]
fn quotes_are_those_of_the_bus() {
    let pairs = pairs(r"arg0='a,b'\',arg1=x,arg2='\'").unwrap();
    assert_eq!(pairs, [("arg0", "a,b'".to_string()), ("arg1", "x".to_string()), ("arg2", "\\".to_string())]);
    assert_eq!(super::pairs("arg0='open"), None);
    assert_eq!(super::pairs("nothing"), None);
}
