//! The annotations that are xenpod's own.

/// What their names begin with.
pub const PREFIX: &str = "xenpod.org/";

/// An annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Its whole name.
    pub name: &'static str,
    /// What its value is, in a word or two.
    pub kind: &'static str,
    /// What it means, with units and bounds.
    pub text: &'static str,
    /// What holds without it.
    pub default: &'static str,
}

const fn annotation(name: &'static str, kind: &'static str, text: &'static str, default: &'static str) -> Annotation {
    Annotation { name, kind, text, default }
}

/// All of them. One that is not here and begins with [`PREFIX`] is refused.
pub const ANNOTATIONS: &[Annotation] = &[
    annotation(
        "xenpod.org/memory",
        "quantity",
        "The domain's memory in bytes, the kernel's share included, rounded up to whole MiB: `64Mi`. At least `20Mi`, at most `16Ti`.",
        "the containers' memory limits and 24 MiB; 128 MiB when a container has no limit",
    ),
    annotation(
        "xenpod.org/cpus",
        "whole number",
        "The domain's vCPUs, 1 to 128.",
        "the containers' CPU limits, rounded up, at least 1",
    ),
    annotation(
        "xenpod.org/max-cpus",
        "whole number",
        "As many vCPUs as a resize can give the pod while it runs, 1 to 128, not less than it starts with.",
        "as many as it starts with",
    ),
    annotation(
        "xenpod.org/ipv4",
        "address",
        "The pod's IPv4 address, in the network's subnet; refused when another pod has it.",
        "the next that is free",
    ),
    annotation(
        "xenpod.org/mac",
        "address",
        "The pod's MAC address, `02:16:0a:d5:00:02`: that of a station, not of a group.",
        "made of its IPv4 address: `02:16` and its four bytes",
    ),
    annotation(
        "xenpod.org/scratch",
        "quantity, or `memory`",
        "The size in bytes of the sparse disk that holds what containers write, `16Mi` to `8Ti`; `memory` keeps it in the domain's memory.",
        "`scratch_mib` of the daemon's configuration",
    ),
    annotation(
        "xenpod.org/log-journald",
        "`true` or `false`",
        "Whether what the containers write goes to the host's journal as well, with the fields `POD`, `POD_ID`, `CONTAINER` and `STREAM`.",
        "`log_journald` of the daemon's configuration",
    ),
    annotation(
        "xenpod.org/volume-owner",
        "`VOLUME=UID[:GID]`, several with commas",
        "Whose the files of volumes are.",
        "root's, and of the group `fsGroup`",
    ),
    annotation(
        "xenpod.org/ulimits",
        "`NAME=SOFT[:HARD]`, several with commas",
        "Limits of the processes of every container. The names are those of container engines: `cpu`, `fsize`, `data`, `stack`, `core`, \
         `rss`, `nproc`, `nofile`, `memlock`, `as`, `locks`, `sigpending`, `msgqueue`, `nice`, `rtprio`, `rttime`; `-1` or `unlimited` is \
         none.",
        "`nofile=1024:524288`",
    ),
    annotation(
        "xenpod.org/devices",
        "paths, several with commas",
        "Devices of the guest's kernel that every container sees, paths below `/dev`.",
        "none",
    ),
    annotation(
        "xenpod.org/kernel",
        "name, or `sha256:` and digest",
        "The guest kernel, one of those that `xenpodctl kernel ls` shows. The pod keeps it: it starts again with the same bytes, whatever \
         becomes of the default.",
        "the default kernel at the time the pod is made",
    ),
    annotation(
        "xenpod.org/kernel-args",
        "`NAME[=VALUE]`, several with blanks",
        "Parameters that are added to the host's own for the kernel: those whose names `kernel_args_allowed` of the daemon's configuration \
         lists, and no others. At most 512 bytes.",
        "none",
    ),
];
