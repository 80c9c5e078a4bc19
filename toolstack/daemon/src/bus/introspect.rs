//! Introspection, made from the interfaces' XML files.

use std::fmt::Write;

use super::Service;
use super::caller::Caller;
use super::object::{Object, children};

macro_rules! xml {
    ($name:literal) => {
        include_str!(concat!("../../../../systemd/usr/share/dbus-1/interfaces/org.xenpod1.", $name, ".xml"))
    };
}

/// The installed files, by interface.
pub(super) const FILES: [(&str, &str); 7] = [
    ("org.xenpod1.Manager", xml!("Manager")),
    ("org.xenpod1.Pod", xml!("Pod")),
    ("org.xenpod1.Container", xml!("Container")),
    ("org.xenpod1.Exec", xml!("Exec")),
    ("org.xenpod1.Image", xml!("Image")),
    ("org.xenpod1.Kernel", xml!("Kernel")),
    ("org.xenpod1.Job", xml!("Job")),
];

const HEAD: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
    \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n";

/// What every node has.
const EVERYWHERE: &str = r#"  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId">
      <arg name="machine_uuid" type="s" direction="out"/>
    </method>
  </interface>
  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect">
      <arg name="xml_data" type="s" direction="out"/>
    </method>
  </interface>
"#;

/// What every object has.
const PROPERTIES: &str = r#"  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="GetAll">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="properties" type="a{sv}" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface_name" type="s"/>
      <arg name="changed_properties" type="a{sv}"/>
      <arg name="invalidated_properties" type="as"/>
    </signal>
  </interface>
"#;

/// What the root object has besides.
const OBJECT_MANAGER: &str = r#"  <interface name="org.freedesktop.DBus.ObjectManager">
    <method name="GetManagedObjects">
      <arg name="objects" type="a{oa{sa{sv}}}" direction="out"/>
    </method>
    <signal name="InterfacesAdded">
      <arg name="object" type="o"/>
      <arg name="interfaces" type="a{sa{sv}}"/>
    </signal>
    <signal name="InterfacesRemoved">
      <arg name="object" type="o"/>
      <arg name="interfaces" type="as"/>
    </signal>
  </interface>
"#;

/// The `<interface>` element of an installed file, without its comments.
pub(super) fn interface(name: &str) -> String {
    let file = FILES.iter().find(|(n, _)| *n == name).map_or("", |(_, f)| f);
    let (Some(start), Some(end)) = (file.find("<interface"), file.find("</interface>")) else { return String::new() };
    let mut text = &file[start..end];
    let mut out = String::from("  ");
    while let Some(at) = text.find("<!--") {
        out.push_str(text[..at].trim_end());
        text = text[at..].find("-->").map_or("", |end| &text[at + end + 3..]);
    }
    out.push_str(text);
    out.push_str("</interface>\n");
    out
}

/// The description of the node at `path`, as the caller sees it.
pub(super) fn node(service: &Service, caller: &Caller, path: &str, object: Option<&Object>) -> String {
    let mut out = format!("{HEAD}{EVERYWHERE}");
    if let Some(object) = object {
        out.push_str(PROPERTIES);
        if matches!(object, Object::Manager) {
            out.push_str(OBJECT_MANAGER);
        }
        out.push_str(&interface(object.interface()));
    }
    for child in children(service, caller, path) {
        let _ = writeln!(out, "  <node name=\"{child}\"/>");
    }
    out.push_str("</node>\n");
    out
}
