"""What one user of the bus can reach, see and hear of others', tried with everything that the installed XML names.

owners.py paths                    every path that introspection leads to, one a line
owners.py own PATH...              this user reaches all of these objects
owners.py others SECRETS PATH...   this user reaches none of these, and nothing that the Manager answers has a word of the file SECRETS
owners.py listen FILE              writes `PATH MEMBER` of every signal that comes, until it is killed
"""

import glob
import sys
import xml.etree.ElementTree as tree

import dbus
import dbus.lowlevel
from dbus.mainloop.glib import DBusGMainLoop

NAME = "org.xenpod1"
ROOT = "/org/xenpod1"
INTERFACES = {
    node.get("name"): node
    for file in glob.glob("/usr/share/dbus-1/interfaces/org.xenpod1.*.xml")
    for node in tree.parse(file).getroot().iter("interface")
}
UNREACHED = {"org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.AccessDenied"}


def call(bus, path, interface, member, signature=None, args=()):
    """The reply as text, or the error's name and text."""
    try:
        # Interactive authorisation is not asked for: nobody is there.
        return "", repr(bus.call_blocking(NAME, path, interface, member, signature, args, timeout=20, byte_arrays=True))
    except dbus.DBusException as error:
        return error.get_dbus_name(), error.get_dbus_message()


def introspect(bus, path):
    return call(bus, path, "org.freedesktop.DBus.Introspectable", "Introspect", "", ())


def paths(bus, path="/"):
    yield path
    error, _ = introspect(bus, path)
    assert not error, (path, error)
    xml = bus.call_blocking(NAME, path, "org.freedesktop.DBus.Introspectable", "Introspect", "", ())
    for child in tree.fromstring(xml).findall("node"):
        yield from paths(bus, path.rstrip("/") + "/" + child.get("name"))


def interface_of(path):
    """What the daemon's tree has at such a path."""
    parts = path.split("/")[3:]
    kinds = {"pod": "Pod", "container": "Container", "exec": "Exec", "job": "Job", "image": "Image"}
    return NAME + "." + kinds.get(parts[-2], parts[-2].capitalize())


def arguments(method, text, path, options={}):
    """Something of each type that a method takes."""
    signature = "".join(a.get("type") for a in method.findall("arg") if a.get("direction") == "in")
    values = []
    for part in dbus.Signature(signature):
        if part == "h":
            values.append(dbus.types.UnixFd(open("/dev/null", "rb")))
        elif part.startswith("a{"):
            values.append(dbus.Dictionary(options if part == "a{sv}" else {}, signature=part[2:-1]))
        elif part.startswith("a"):
            values.append(dbus.Array([text] if part == "as" else [], signature=part[1:]))
        elif part.startswith("("):
            raise SystemExit(f"say here what to give for {part} of {method.get('name')}")
        else:
            values.append({"s": text, "o": path, "b": False, "d": 0.0, "v": dbus.String(text)}.get(part, 1))
    return signature, values


def try_all(bus, path, reached):
    """Every member of an object. Its own user calls with what does not fit, for what fits would be done."""
    interface = interface_of(path)
    node = INTERFACES[interface]

    def check(what, error):
        assert (error not in UNREACHED) == reached, f"{what} of {path}: {error or 'answered'}"

    for method in node.findall("method"):
        signature, values = arguments(method, "x", path)
        if not reached:
            check(method.get("name"), call(bus, path, interface, method.get("name"), signature, values)[0])
            check(method.get("name"), call(bus, path, None, method.get("name"), signature, values)[0])
        elif signature:
            check(method.get("name"), call(bus, path, interface, method.get("name"), "y", [1])[0])
    properties = "org.freedesktop.DBus.Properties"
    for found in node.findall("property"):
        check(found.get("name"), call(bus, path, properties, "Get", "ss", [interface, found.get("name")])[0])
        check(found.get("name"), call(bus, path, properties, "Set", "ssv", [interface, found.get("name"), 1])[0])
    check("GetAll", call(bus, path, properties, "GetAll", "s", [interface])[0])
    check("introspection", introspect(bus, path)[0])
    return len(node.findall("method")), len(node.findall("property"))


def others(bus, secrets, theirs):
    """Nothing is reached, and nothing is told."""
    for path in theirs:
        print(path, *try_all(bus, path, False))
    manager = INTERFACES[NAME + ".Manager"]
    told = {}
    for method in manager.findall("method"):
        # What is asked for comes back in errors: so each word is asked with on its own, and the others must not come.
        # What would change something is refused for its options, and looks at the rest before or after.
        reads = method.get("name").startswith(("Get", "List", "Check"))
        for word in [secrets[0], secrets[1], "x"]:
            signature, values = arguments(method, word, theirs[0], {} if reads else {"no_such_option": True})
            answer = call(bus, ROOT, NAME + ".Manager", method.get("name"), signature, values)[1]
            told[method.get("name"), word] = answer.replace(word, "").replace(theirs[0], "" if "o" in signature else theirs[0])
    for found in manager.findall("property"):
        told[found.get("name"), ""] = call(bus, ROOT, "org.freedesktop.DBus.Properties", "Get", "ss",
                                           [NAME + ".Manager", found.get("name")])[1]
    told["GetAll", ""] = call(bus, ROOT, "org.freedesktop.DBus.Properties", "GetAll", "s", [NAME + ".Manager"])[1]
    told["GetManagedObjects", ""] = call(bus, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", ())[1]
    told["tree", ""] = "\n".join(paths(bus))
    for what, answer in told.items():
        for secret in secrets:
            assert secret not in answer, f"{what} tells {secret}: {answer}"
    print("Manager", len(told))


def listen(bus, file):
    from gi.repository import GLib

    out = open(file, "w", buffering=1)
    owner = bus.get_name_owner(NAME)

    def heard(_, message):
        if isinstance(message, dbus.lowlevel.SignalMessage) and message.get_sender() == owner:
            out.write(f"{message.get_path()} {message.get_member()}\n")
        return dbus.lowlevel.HANDLER_RESULT_NOT_YET_HANDLED

    bus.add_message_filter(heard)
    bus.add_match_string("type='signal',sender='org.xenpod1'")
    bus.add_match_string("type='signal',path_namespace='/org/xenpod1'")
    bus.call_blocking(NAME, ROOT, NAME + ".Manager", "Subscribe", "", ())
    out.write("- listening\n")
    GLib.MainLoop().run()


def main(verb, *words):
    bus = dbus.SystemBus(mainloop=DBusGMainLoop())
    if verb == "paths":
        print("\n".join(paths(bus)))
    elif verb == "own":
        for path in words:
            print(path, *try_all(bus, path, True))
    elif verb == "others":
        others(bus, open(words[0]).read().split(), words[1:])
    elif verb == "listen":
        listen(bus, words[0])


main(*sys.argv[1:])
