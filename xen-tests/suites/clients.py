"""clients.py NUMBER POD: so many clients connect, call and vanish without reading the answers, or in the middle of a call.

They speak D-Bus over plain sockets, for a library would say goodbye.
"""

import os
import socket
import struct
import sys


def align(data, to):
    return data + b"\0" * (-len(data) % to)


def text(value):
    value = value.encode()
    return struct.pack("<I", len(value)) + value + b"\0"


def message(serial, path, interface, member, signature="", body=b""):
    fields = b""
    values = [(1, "o", text(path)), (2, "s", text(interface)), (3, "s", text(member)), (6, "s", text("org.xenpod1"))]
    if interface == "org.freedesktop.DBus":
        values[3] = (6, "s", text("org.freedesktop.DBus"))
    if signature:
        values.append((8, "g", bytes([len(signature)]) + signature.encode() + b"\0"))
    for code, kind, value in values:
        fields = align(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0" + value
    # A method call, version 1, little-endian.
    head = struct.pack("<cBBBIII", b"l", 1, 0, 1, len(body), serial, len(fields)) + fields
    return align(head, 8) + body


def options(**flags):
    entries = b""
    for key, value in flags.items():
        # Entries begin at multiples of 8 of the body; the array itself is the last argument.
        entries = align(entries, 8) + text(key)
        entries += b"\1b\0"
        entries = align(entries, 4) + struct.pack("<I", value)
    return entries


def dictionary(before=b"", **flags):
    entries = options(**flags)
    body = align(before, 4) + struct.pack("<I", len(entries))
    return align(body, 8) + entries


def connect():
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect("/run/dbus/system_bus_socket")
    uid = str(os.getuid()).encode().hex().encode()
    client.sendall(b"\0AUTH EXTERNAL " + uid + b"\r\n")
    assert client.recv(200).startswith(b"OK ")
    client.sendall(b"NEGOTIATE_UNIX_FD\r\n")
    assert client.recv(200).startswith(b"AGREE_UNIX_FD")
    client.sendall(b"BEGIN\r\n" + message(1, "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"))
    client.recv(1000)
    return client


def main(number, name):
    import dbus

    bus = dbus.SystemBus()
    manager = dbus.Interface(bus.get_object("org.xenpod1", "/org/xenpod1"), "org.xenpod1.Manager")
    pod = str(manager.GetPod(name))
    container = pod + "/container/main"
    rule = "type='signal',sender='org.xenpod1'"
    calls = [
        [(pod, "org.xenpod1.Pod", "Wait", "a{sv}", dictionary())],
        [(container, "org.xenpod1.Container", "Wait", "a{sv}", dictionary())],
        # Two pipes come back to one who is gone.
        [(container, "org.xenpod1.Container", "Logs", "a{sv}", dictionary(follow=True))],
        [("/org/xenpod1", "org.xenpod1.Manager", "Subscribe", "", b"")],
        [("/org/xenpod1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "", b"")] * 5,
        [("/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", text(rule)),
         (pod, "org.freedesktop.DBus.Properties", "GetAll", "s", text("org.xenpod1.Pod"))],
    ]
    waiting = []
    for n in range(number):
        client = connect()
        for serial, (path, interface, member, signature, body) in enumerate(calls[n % len(calls)], 2):
            client.sendall(message(serial, path, interface, member, signature, body))
        if n % 7 == 0:
            # Half a message.
            client.sendall(message(90, pod, "org.xenpod1.Pod", "Wait", "a{sv}", dictionary())[:40])
        # Some stay for a while, so that many are there at a time.
        waiting.append(client)
        if len(waiting) > 100:
            waiting.pop(0).close()
    for client in waiting:
        client.close()
    # The daemon answers as before.
    assert str(manager.GetPod(name)) == pod


main(int(sys.argv[1]), sys.argv[2])
