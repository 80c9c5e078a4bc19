//! The hypervisor calls against a real Xen.
//!
//! `domain-check VMLINUX`, as root in dom0. Prints `ok NAME` or `not ok NAME: why` for each check and ends with status 1 if
//! any failed. Every domain it makes is destroyed again, and the last check is that none is left.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use xenpod_xen::hypervisor::{
    CpuSet, Destroyed, DomainConfig, DomainInfo, Errno, Hypervisor as _, HypervisorError, ShutdownReason,
};
use xenpod_xen::ids::{DomainRef, DomainUuid};
use xenpod_xen::kernel::{BootImage, KernelError, KernelImage};
use xenpod_xen::libxc::Libxc;
use xenpod_xen::xenstore::Client;
use xenpod_xen::xenstore::tree::{DomainTree, Ring, remove_domain};

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;
type Check = (&'static str, fn(&Context) -> Outcome);

const PATIENCE: Duration = Duration::from_secs(20);

const CHECKS: &[Check] = &[
    ("host", host),
    ("build_and_destroy", build_and_destroy),
    ("pages_are_exact", pages_are_exact),
    ("a_kernel_boots_and_stops", a_kernel_boots_and_stops),
    ("several_cpus_come_up", several_cpus_come_up),
    ("memory_above_4_gib_is_laid_out", memory_beyond_the_hole),
    ("pauses_nest", pauses_nest),
    ("limits_and_shares", limits_and_shares),
    ("not_enough_memory", not_enough_memory),
    ("a_domain_too_small", a_domain_too_small),
    ("no_pvh_note", no_pvh_note),
    ("wrong_uuid", wrong_uuid),
    ("two_at_once", two_at_once),
];

struct Context {
    xen: Libxc,
    kernel: KernelImage,
    runtime: Runtime,
    store: Client,
}

/// A domain that goes when this does, and its nodes in the store with it.
struct Guard<'a>(&'a Context, DomainRef);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let began = Instant::now();
        while let Ok(Destroyed::Pending { .. }) = self.0.xen.destroy(self.1)
            && began.elapsed() < PATIENCE
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let nodes = remove_domain(self.1.domid, self.1.uuid);
        if let Err(error) = self.0.runtime.block_on(self.0.store.commit(&nodes)) {
            println!("# {error}");
        }
    }
}

impl Context {
    fn config(&self, memory_mib: u64, vcpus: u32) -> DomainConfig {
        let uuid = DomainUuid::random();
        DomainConfig {
            uuid,
            name: format!("check-{uuid}"),
            memory_kib: memory_mib * 1024,
            max_memory_kib: memory_mib * 1024,
            vcpus,
            max_vcpus: vcpus,
            kernel: self.kernel.clone(),
            boot_image: None,
            // There is nothing to boot into: it panics, and so crashes the domain.
            cmdline: "console=hvc0 panic=-1".to_owned(),
        }
    }

    fn build(&self, config: &DomainConfig) -> Result<Guard<'_>, HypervisorError> {
        let built = self.xen.build(config)?;
        Ok(Guard(self, config.reference(built.domid)))
    }

    /// Builds a domain with a store and a console, without which a kernel does not come far, and lets it run.
    fn run(&self, config: &DomainConfig) -> Result<Guard<'_>, Failure> {
        let built = self.xen.build(config)?;
        let domain = Guard(self, config.reference(built.domid));
        let tree = DomainTree {
            domid: built.domid,
            uuid: config.uuid,
            name: config.name.clone(),
            memory_max_kib: config.max_memory_kib,
            memory_kib: config.memory_kib,
            vcpus: config.vcpus,
            max_vcpus: config.max_vcpus,
            store: Ring { gfn: built.store_gfn, port: built.store_port },
            console: Ring { gfn: built.console_gfn, port: built.console_port },
            vifs: Vec::new(),
            vbds: Vec::new(),
        };
        self.runtime.block_on(async {
            self.store.commit(&tree.ops()).await?;
            self.store.introduce(built.domid, built.store_gfn, built.store_port).await
        })?;
        self.xen.unpause(domain.1)?;
        Ok(domain)
    }

    fn info(&self, domain: DomainRef) -> Result<DomainInfo, Failure> {
        Ok(self.xen.info(domain.domid)?.ok_or("the domain has vanished")?)
    }

    fn until_shut_down(&self, domain: DomainRef) -> Result<DomainInfo, Failure> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let info = self.info(domain)?;
            if info.shutdown.is_some() {
                return Ok(info);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("still running after {PATIENCE:?}: {:?}", self.info(domain)?).into())
    }
}

fn ensure(holds: bool, otherwise: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into().into()) }
}

fn main() -> Outcome {
    let kernel = std::env::args().nth(1).ok_or("usage: domain-check VMLINUX")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let store = runtime.block_on(Client::connect())?;
    let context = Context { xen: Libxc::new(), kernel: KernelImage::open(kernel)?, runtime, store };
    let before = context.xen.list()?.len();
    let free_before = context.xen.host()?.free_memory_kib;
    let mut failed = 0;
    let mut report = |name: &str, outcome: Outcome| match outcome {
        Ok(()) => println!("ok {name}"),
        Err(error) => {
            failed += 1;
            println!("not ok {name}: {error}");
        }
    };
    for (name, check) in CHECKS {
        report(name, check(&context));
    }
    report(
        "nothing_is_left",
        (|| {
            ensure(context.xen.list()?.len() == before, format!("{:?}", context.xen.list()?))?;
            let lost = free_before.saturating_sub(context.xen.host()?.free_memory_kib);
            ensure(lost < 1024, format!("{lost} KiB less are free than before"))
        })(),
    );
    if failed > 0 { Err(format!("{failed} checks failed").into()) } else { Ok(()) }
}

fn host(context: &Context) -> Outcome {
    let host = context.xen.host()?;
    ensure(host.pvh && host.hap && host.hvm, format!("{host:?}"))?;
    ensure(host.version.major == 4 && host.version.minor >= 14, host.version.to_string())?;
    ensure(host.capabilities.contains("hvm-3.0-x86_64"), &host.capabilities)?;
    ensure(host.free_memory_kib > 0 && host.free_memory_kib < host.total_memory_kib, format!("{host:?}"))?;
    let domains = context.xen.list()?;
    ensure(domains.first().is_some_and(|dom0| dom0.domid.0 == 0 && !dom0.hvm), format!("{domains:?}"))
}

fn build_and_destroy(context: &Context) -> Outcome {
    let config = context.config(32, 1);
    let domain = context.build(&config)?;
    let info = context.xen.find(config.uuid)?.ok_or("not found by its UUID")?;
    ensure(info.domid == domain.1.domid && info.paused && info.hvm && info.hap, format!("{info:?}"))?;
    ensure(info.shutdown.is_none() && !info.dying && info.outstanding_kib == 0, format!("{info:?}"))?;
    let reference = domain.1;
    ensure(context.xen.destroy(reference)? == Destroyed::Gone, "nobody maps its pages, and yet it stays")?;
    ensure(context.xen.info(reference.domid)?.is_none(), "it is still there")?;
    ensure(context.xen.destroy(reference)? == Destroyed::Gone, "a second destroy is no error")
}

/// RAM, and the three special pages.
fn pages_are_exact(context: &Context) -> Outcome {
    for memory in [24, 32, 33, 130] {
        let domain = context.build(&context.config(memory, 1))?;
        let info = context.info(domain.1)?;
        ensure(info.memory_kib == memory * 1024 + 12, format!("{memory} MiB: {info:?}"))?;
    }
    Ok(())
}

fn a_kernel_boots_and_stops(context: &Context) -> Outcome {
    let domain = context.run(&context.config(32, 1))?;
    let info = context.until_shut_down(domain.1)?;
    ensure(info.shutdown == Some(ShutdownReason::Crash), format!("{info:?}"))?;
    // It came as far as looking for its root file system, and did not fall over at the entry.
    ensure(info.cpu_time > Duration::from_millis(20), format!("it ran for {:?} only", info.cpu_time))
}

fn several_cpus_come_up(context: &Context) -> Outcome {
    let domain = context.run(&context.config(64, 3))?;
    ensure(context.info(domain.1)?.max_vcpus == 3, "3 virtual CPUs were asked for")?;
    context.until_shut_down(domain.1)?;
    let vcpus = context.xen.vcpus(domain.1)?;
    ensure(vcpus.len() == 3 && vcpus.iter().all(|cpu| cpu.cpu_time > Duration::from_millis(1)), format!("{vcpus:?}"))
}

/// Built only as far as the host's memory lets it: the layout is tested elsewhere, this is that Xen takes 2 MiB pieces.
fn memory_beyond_the_hole(context: &Context) -> Outcome {
    let free = context.xen.host()?.free_memory_kib / 1024;
    let memory = (free - 64).min(4200);
    let began = Instant::now();
    let domain = context.build(&context.config(memory, 1))?;
    println!("# {memory} MiB in {:?}", began.elapsed());
    ensure(context.info(domain.1)?.memory_kib == memory * 1024 + 12, format!("{:?}", context.info(domain.1)?))
}

fn pauses_nest(context: &Context) -> Outcome {
    let domain = context.build(&context.config(32, 1))?;
    context.xen.pause(domain.1)?;
    context.xen.unpause(domain.1)?;
    std::thread::sleep(Duration::from_millis(20));
    let info = context.info(domain.1)?;
    ensure(info.paused && info.cpu_time.is_zero(), format!("two pauses, one undone: {info:?}"))
}

fn limits_and_shares(context: &Context) -> Outcome {
    let domain = context.build(&context.config(32, 1))?;
    context.xen.set_max_memory(domain.1, 64 * 1024)?;
    ensure(context.info(domain.1)?.max_memory_kib == 65 * 1024, format!("{:?}", context.info(domain.1)?))?;
    context.xen.set_cpu_share(domain.1, 512, 50)?;
    context.xen.set_vcpu_affinity(domain.1, 0, &CpuSet::of([0]))?;
    let error = context.xen.set_vcpu_affinity(domain.1, 0, &CpuSet::of([4000])).err();
    ensure(error.is_some_and(|error| error.to_string().contains("xc_vcpu_setaffinity")), "CPU 4000 was accepted")
}

fn not_enough_memory(context: &Context) -> Outcome {
    let host = context.xen.host()?;
    let mib = host.free_memory_kib / 1024 + 100;
    match context.build(&context.config(mib, 1)).map(|domain| domain.1) {
        Err(HypervisorError::NotEnoughMemory { needed_kib, free_kib }) => {
            ensure(needed_kib > mib * 1024, format!("{needed_kib} KiB needed for {mib} MiB"))?;
            ensure(free_kib <= host.free_memory_kib && free_kib > 0, format!("{free_kib} KiB free"))?;
            ensure(context.xen.host()?.free_memory_kib + 1024 > host.free_memory_kib, "memory is missing afterwards")
        }
        other => Err(format!("{other:?}").into()),
    }
}

fn a_domain_too_small(context: &Context) -> Outcome {
    match context.build(&context.config(4, 1)).map(|domain| domain.1) {
        Err(HypervisorError::Kernel { source: KernelError::TooLarge { memory_kib: 4096, .. }, .. }) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn no_pvh_note(context: &Context) -> Outcome {
    let mut bytes = vec![0; context.kernel.image().size() as usize];
    context.kernel.image().read_exact_at(&mut bytes, 0)?;
    // The note's name and type, little-endian type first: changed to type 17.
    let note = b"\x12\0\0\0Xen\0";
    let at = bytes.windows(note.len()).position(|window| window == note).ok_or("the kernel has no note to spoil")?;
    bytes[at] = 17;
    let error = KernelImage::new(BootImage::from_bytes("spoilt", bytes)?).err().ok_or("it was accepted")?;
    ensure(error.to_string().contains("kernel spoilt has no PVH entry note"), error.to_string())
}

fn wrong_uuid(context: &Context) -> Outcome {
    let domain = context.build(&context.config(32, 1))?;
    let stranger = DomainRef { uuid: DomainUuid::random(), ..domain.1 };
    ensure(context.xen.unpause(stranger) == Err(HypervisorError::NoSuchDomain(stranger)), "it was unpaused")?;
    ensure(context.xen.destroy(stranger)? == Destroyed::Gone, "a domain that is not there is gone")?;
    ensure(context.info(domain.1)?.paused, "the real one was touched")?;
    // Xen takes any number of domains of one UUID, and we could not tell them apart.
    let twin = DomainConfig { uuid: domain.1.uuid, ..context.config(32, 1) };
    match context.build(&twin).map(|domain| domain.1) {
        Ok(twin) => ensure(twin.domid != domain.1.domid, "two domains of one number"),
        Err(HypervisorError::Call { errno, .. }) => ensure(errno != Errno(0), "no reason"),
        Err(error) => Err(error.into()),
    }
}

/// Calls from several threads at once, each with a handle of its own.
fn two_at_once(context: &Context) -> Outcome {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let domain = context.build(&context.config(32, 1))?;
                        context.xen.list()?;
                        context.xen.destroy(domain.1)?;
                    }
                    Ok::<_, HypervisorError>(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?.map_err(Into::into))
    })
}
