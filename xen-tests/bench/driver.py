#!/usr/bin/python3
"""Measures in dom0, in vms: 10^6 instructions of the machine, which under --icount is a millisecond of its clock.

Prints {"figures": [{name, unit, ours, xl, target, runs}]} as its last line. Without the package only xl is measured."""

import glob
import json
import os
import statistics
import subprocess
import sys
import time

RUNS = int(os.environ.get("RUNS", "10"))
# Domains that are made beside each other when growth is measured; at 32 MiB each they fit beside dom0.
CROWD = 30
KERNEL = os.environ.get("KERNEL", "/usr/lib/xenpod/vmlinux")
BOOT_IMAGE = os.environ.get("BOOT_IMAGE", "/usr/lib/xenpod/boot.img")
SUITES = "/opt/lab/suites"

TARGETS = {"create_paused": 25, "growth_per_domain": 0.05, "start_cold": 200, "daemon_rss_mb": 25}
UNITS = {"daemon_rss_mb": "MB"}
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def vms():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e6


def sh(script):
    return subprocess.run(["bash", "-euc", script], check=True, stdout=subprocess.PIPE, text=True).stdout


def timed(act):
    began = vms()
    act()
    return vms() - began


def settle():
    """What the last measurement left for later, such as udev's work on a vif, is not the next one's."""
    sh("udevadm settle")
    time.sleep(0.3)


class Xl:
    """The reference: the same kernel, memory and devices by `xl create -p`."""

    def __init__(self):
        sh("""ip link add lab-xl type bridge; ip link set lab-xl up
            truncate -s 16M /root/xl.img""")
        self.loop = sh("losetup --find --show --read-only /root/xl.img").strip()

    def close(self):
        sh(f"losetup -d {self.loop}; ip link del lab-xl; rm /root/xl.img")

    def config(self, name, devices):
        path = f"/root/{name}.cfg"
        with open(path, "w") as file:
            file.write(f'name="{name}"\ntype="pvh"\nmemory=32\nvcpus=1\nkernel="{KERNEL}"\nramdisk="{BOOT_IMAGE}"\n')
            if devices:
                file.write(f'disk=["phy:{self.loop},xvda,r"]\nvif=["bridge=lab-xl"]\n')
        return path

    def create(self, name, devices=True):
        path = self.config(name, devices)
        return timed(lambda: subprocess.run(["xl", "create", "-p", path], check=True, **QUIET))

    def destroy(self, name):
        subprocess.run(["xl", "destroy", name], check=True)


class Ours:
    """xenpodd, as a client on the bus meets it."""

    MANIFEST = """apiVersion: v1
kind: Pod
metadata:
  name: {name}
  annotations: {{xenpod.org/memory: 32Mi{more}}}
spec:
  restartPolicy: Never
  containers:
  - {{name: main, image: "lab/bench:1", command: ["/bin/echo", "hello"]}}
"""

    def __init__(self):
        import dbus

        self.dbus = dbus
        self.bus = dbus.SystemBus()
        self.manager = self.object("/org/xenpod1", "Manager")
        sh(f""". {SUITES}/lib.sh; busybox_root /root/bb
            {SUITES}/mkimage /root/bench-image /root/bb
            xenpodctl import oci:/root/bench-image lab/bench:1""")

    def object(self, path, interface):
        # No introspection: it would be measured.
        remote = self.bus.get_object("org.xenpod1", path, introspect=False)
        return self.dbus.Interface(remote, "org.xenpod1." + interface)

    def options(self, **values):
        return self.dbus.Dictionary(values, signature="sv")

    def done(self, job):
        result, name, message = self.object(job, "Job").Wait(self.options())
        if result != "done":
            raise SystemExit(f"{job}: {result}: {name}: {message}")

    def create(self, name):
        # One disk, the image's: as xl's domain has it.
        manifest = self.MANIFEST.format(name=name, more=", xenpod.org/scratch: memory")

        def act():
            job, self.pod = self.manager.CreatePod(manifest, self.options())
            self.done(job)

        return timed(act)

    def start_to_first_byte(self, name):
        # As a user gets it: with a scratch disk.
        manifest = self.MANIFEST.format(name=name, more="")
        began = vms()
        job, self.pod = self.manager.CreatePod(manifest, self.options(start=True))
        container = self.object(self.pod + "/container/main", "Container")
        while True:
            try:
                stdout, _ = container.Logs(self.options(follow=True))
                break
            except self.dbus.DBusException:
                time.sleep(0.002)
        first = os.read(stdout.take(), 1)
        took = vms() - began
        if first != b"h":
            raise SystemExit(f"{name}: the first byte was {first!r}")
        self.done(job)
        return took

    def destroy(self, pod):
        self.done(self.object(pod, "Pod").Remove(self.options(force=True)))


def median_of(create, destroy):
    """The first is not counted: it finds cold caches."""
    figures = []
    for number in range(RUNS + 1):
        figures.append(create(f"bench-{number}"))
        destroy(f"bench-{number}")
        settle()
    return figures[1:]


def crowd(create, destroy):
    """Makes domains beside each other and takes them away. Returns what the first would cost, what each that is there adds
    to the next, and what it costs to take one away; the first two by the line of Theil and Sen: the median of the slopes
    between any two, which a few odd points do not move."""
    created, destroyed = [], []
    # One before: it finds cold caches.
    for number in range(CROWD + 1):
        created.append(create(f"crowd-{number}"))
        settle()
    for number in range(CROWD + 1):
        destroyed.append(timed(lambda: destroy(f"crowd-{number}")))
        settle()
    points = list(enumerate(created))[1:]
    slopes = [(y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1 :]]
    slope = statistics.median(slopes)
    return statistics.median(y - slope * x for x, y in points), slope, statistics.median(destroyed)


def measure_xl():
    xl = Xl()
    # Without devices: xl's scripts would hide what is to be seen.
    bare, growth, destroy = crowd(lambda name: xl.create(name, devices=False), xl.destroy)
    figures = {
        "create_paused": statistics.median(median_of(xl.create, xl.destroy)),
        "create_paused_no_devices": bare,
        "growth_per_domain": growth,
        "destroy_no_devices": destroy,
    }
    xl.close()
    return figures


def measure_ours():
    ours = Ours()
    pods = {}

    def create(name):
        took = ours.create(name)
        pods[name] = ours.pod
        return took

    def start(name):
        took = ours.start_to_first_byte(name)
        pods[name] = ours.pod
        return took

    def destroy(name):
        ours.destroy(pods.pop(name))

    daemon = sh("systemctl show --value -p MainPID xenpodd").strip()
    with open(f"/proc/{daemon}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    figures = {
        "daemon_rss_mb": resident * 1024 / 1e6,
        "create_paused": statistics.median(median_of(create, destroy)),
        "start_cold": statistics.median(median_of(start, destroy)),
    }
    _, figures["growth_per_domain"], figures["destroy"] = crowd(create, destroy)
    return figures


def main():
    ours = measure_ours() if glob.glob("/usr/lib/systemd/system/xenpodd.service") else {}
    xl = measure_xl()
    figures = []
    runs = {"daemon_rss_mb": 1, "growth_per_domain": CROWD, "destroy": CROWD, "destroy_no_devices": CROWD}
    runs["create_paused_no_devices"] = CROWD
    names = ("create_paused", "create_paused_no_devices", "growth_per_domain", "start_cold", "destroy", "destroy_no_devices")
    for name in (*names, "daemon_rss_mb"):
        rounded = lambda side: round(side[name], 3) if name in side else None
        figures.append(
            {
                "name": name,
                "unit": UNITS.get(name, "vms"),
                "ours": rounded(ours),
                "xl": rounded(xl),
                "target": TARGETS.get(name),
                "runs": runs.get(name, RUNS),
            }
        )
    print(json.dumps({"figures": figures}))


sys.exit(main())
