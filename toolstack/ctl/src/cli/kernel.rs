//! `xenpodctl kernel`: the guest kernels of this host.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `kernel`
#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// Take a guest kernel from a file: an uncompressed x86-64 ELF (`vmlinux`) with the PVH entry note.
    Import(KernelImport),
    /// List the guest kernels.
    Ls,
    /// Show everything that is known of guest kernels.
    Inspect(Kernels),
    /// Remove guest kernels that no pod uses.
    Rm(Kernels),
    /// Show the kernel of pods that name none, or make another one that. Pods that are here keep theirs.
    Default(KernelDefault),
}

/// `kernel import`
#[derive(Debug, Args)]
#[command(after_long_help = IMPORT)]
pub struct KernelImport {
    /// The configuration (`.config`) that it was built with. Not needed for a kernel that holds its own (CONFIG_IKCONFIG).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take it though options that pods need are missing or not known.
    #[arg(long)]
    pub unchecked: bool,
    /// Make it the default.
    #[arg(long)]
    pub default: bool,
    /// The kernel.
    pub file: PathBuf,
    /// What it is to be called; made of the file's name when it is not given.
    pub name: Option<String>,
}

const IMPORT: &str = "The kernel is copied, checked and known by its digest from then on. A pod asks for it with --kernel of run and create, or by \
    the annotation xenpod.org/kernel, and keeps it for as long as it lives. A bzImage is refused: the vmlinux that was packed into it is in \
    the folder where it was built, and scripts/extract-vmlinux of the kernel's sources takes it out.";

/// Some kernels.
#[derive(Debug, Args)]
pub struct Kernels {
    /// Names or digests.
    #[arg(required = true, value_name = "KERNEL")]
    pub kernels: Vec<String>,
}

/// `kernel default`
#[derive(Debug, Args)]
pub struct KernelDefault {
    /// Its name or digest; `packaged` is the one of the package.
    pub kernel: Option<String>,
}
