//! Builds a domain on a real Xen host, says what each step took, shows its console, and takes it away again.
//!
//! `boot VMLINUX [INITRD] [--cmdline C] [--memory MIB] [--vcpus N] [--max-vcpus N] [--run SECONDS] [--repeat N]
//! [--vbd MAJOR:MINOR] [--vif] [--keep]`
//!
//! With `--run 0` the domain is never unpaused. With `--keep` it is described to libxl and left for `xl destroy`.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use xenpod_xen::hypervisor::{Destroyed, DomainConfig, Hypervisor as _};
use xenpod_xen::ids::{DomainUuid, Domid};
use xenpod_xen::kernel::{BootImage, KernelImage};
use xenpod_xen::libxc::Libxc;
use xenpod_xen::libxl;
use xenpod_xen::xenstore::Client;
use xenpod_xen::xenstore::tree::{DomainTree, Mac, Mode, Ring, Vbd, Vif, VirtualDisk, domain_path, remove_domain};

type Failure = Box<dyn std::error::Error>;

struct Options {
    kernel: KernelImage,
    boot_image: Option<BootImage>,
    cmdline: String,
    memory_kib: u64,
    vcpus: u32,
    max_vcpus: u32,
    run: Duration,
    repeat: u32,
    vbd: Option<(u32, u32)>,
    vif: bool,
    keep: bool,
}

fn options() -> Result<Options, Failure> {
    let (mut files, mut cmdline) = (Vec::new(), "console=hvc0 panic=-1".to_owned());
    let (mut memory, mut vcpus, mut max_vcpus, mut run, mut repeat) = (32, 1, 0, 5, 1);
    let (mut vbd, mut vif, mut keep) = (None, false, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument}: a value is missing"));
        match argument.as_str() {
            "--cmdline" => cmdline = value()?,
            "--memory" => memory = value()?.parse()?,
            "--vcpus" => vcpus = value()?.parse()?,
            "--max-vcpus" => max_vcpus = value()?.parse()?,
            "--run" => run = value()?.parse()?,
            "--repeat" => repeat = value()?.parse()?,
            "--vif" => vif = true,
            "--keep" => keep = true,
            "--vbd" => {
                let text = value()?;
                let (major, minor) = text.split_once(':').ok_or("--vbd: MAJOR:MINOR is wanted")?;
                vbd = Some((major.parse()?, minor.parse()?));
            }
            _ if argument.starts_with('-') => return Err(format!("{argument}: no such option").into()),
            _ => files.push(argument),
        }
    }
    let mut files = files.into_iter();
    Ok(Options {
        kernel: KernelImage::open(files.next().ok_or("a kernel is missing")?)?,
        boot_image: files.next().map(BootImage::open).transpose()?,
        cmdline,
        memory_kib: memory * 1024,
        vcpus,
        max_vcpus: max_vcpus.max(vcpus),
        run: Duration::from_secs(run),
        repeat,
        vbd,
        vif,
        keep,
    })
}

/// Prints what each step took, in milliseconds.
struct Marks {
    began: Instant,
    last: Instant,
}

impl Marks {
    fn start() -> Self {
        let now = Instant::now();
        Marks { began: now, last: now }
    }

    fn mark(&mut self, name: &str) {
        let now = Instant::now();
        println!("  {name:<16} {:9.3} ms", (now - self.last).as_secs_f64() * 1e3);
        self.last = now;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let options = options()?;
    let xen = Libxc::new();
    let host = xen.host()?;
    println!("Xen {}, {} KiB free, PVH: {}", host.version, host.free_memory_kib, host.pvh);
    let store = Client::connect().await?;
    for _ in 0..options.repeat {
        one(&xen, &store, &options).await?;
    }
    Ok(())
}

async fn one(xen: &Libxc, store: &Client, options: &Options) -> Result<(), Failure> {
    let uuid = DomainUuid::random();
    let config = DomainConfig {
        uuid,
        name: format!("boot-{}", &uuid.to_string()[..8]),
        memory_kib: options.memory_kib,
        max_memory_kib: options.memory_kib,
        vcpus: options.vcpus,
        max_vcpus: options.max_vcpus,
        kernel: options.kernel.clone(),
        boot_image: options.boot_image.clone(),
        cmdline: options.cmdline.clone(),
    };
    let mut marks = Marks::start();
    let built = xen.build(&config)?;
    for phase in &built.phases {
        println!("    {:<14} {:9.3} ms", phase.name, phase.took.as_secs_f64() * 1e3);
    }
    marks.mark("build");
    let domain = config.reference(built.domid);
    let tree = DomainTree {
        domid: built.domid,
        uuid,
        name: config.name.clone(),
        memory_max_kib: config.max_memory_kib,
        memory_kib: config.memory_kib,
        vcpus: config.vcpus,
        max_vcpus: config.max_vcpus,
        store: Ring { gfn: built.store_gfn, port: built.store_port },
        console: Ring { gfn: built.console_gfn, port: built.console_port },
        vifs: options.vif.then_some(Vif { index: 0, mac: Mac([0, 0x16, 0x3e, 0, 0, 1]) }).into_iter().collect(),
        vbds: (options.vbd.into_iter())
            .map(|device| Vbd {
                disk: VirtualDisk::from_index(0).expect("the first disk"),
                device,
                source: "/dev/disk".to_owned(),
                mode: Mode::ReadOnly,
            })
            .collect(),
    };
    store.commit(&tree.ops()).await?;
    marks.mark("xenstore");
    store.introduce(built.domid, built.store_gfn, built.store_port).await?;
    marks.mark("introduce");
    println!("  {:<16} {:9.3} ms", "create_paused", (marks.last - marks.began).as_secs_f64() * 1e3);

    if !options.run.is_zero() {
        xen.unpause(domain)?;
        store.commit(&tree.late_ops()).await?;
        let console = tokio::time::timeout(options.run, console(store, built.domid)).await;
        if let Ok(Err(error)) = console {
            println!("console: {error}");
        }
        let info = xen.info(built.domid)?.ok_or("the domain has vanished")?;
        println!("\n{info:?}\n{:?}", xen.vcpus(domain)?);
    }

    if options.keep {
        let mut marks = Marks::start();
        let description = libxl::Description {
            name: &config.name,
            vcpus: config.vcpus,
            max_vcpus: config.max_vcpus,
            memory_kib: config.memory_kib,
            max_memory_kib: config.max_memory_kib,
            kernel: config.kernel.image().path(),
            boot_image: config.boot_image.as_ref().map(BootImage::path),
            cmdline: &config.cmdline,
            vifs: &tree.vifs,
            vbds: &tree.vbds,
        };
        store.commit(&tree.late_ops()).await?;
        libxl::describe(domain, &description)?;
        marks.mark("describe");
        println!("{} {uuid}", built.domid);
        return Ok(());
    }

    let mut marks = Marks::start();
    let devices: Vec<_> = (tree.vifs.iter().map(|vif| vif.id(built.domid)))
        .chain(tree.vbds.iter().map(|vbd| vbd.id(built.domid)))
        .collect();
    if !devices.is_empty() {
        // A backend that does not close holds the domain's pages; that is then seen below.
        if let Err(error) = store.close_devices(&devices, Duration::from_secs(5)).await {
            println!("  {error}");
        }
        marks.mark("close devices");
    }
    while let Destroyed::Pending { remaining_kib } = xen.destroy(domain)? {
        println!("  pending: {remaining_kib} KiB");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    marks.mark("destroy");
    store.commit(&remove_domain(built.domid, uuid)).await?;
    marks.mark("xenstore");
    Ok(())
}

/// Copies the domain's console to stdout, for ever.
async fn console(store: &Client, domid: Domid) -> Result<(), Failure> {
    let path = format!("{}/console/tty", domain_path(domid));
    let tty =
        store.wait_for(&path, "a tty", Duration::from_secs(5), |value| value.is_some_and(|v| !v.is_empty())).await?;
    let tty = String::from_utf8(tty.unwrap_or_default())?;
    let mut file = std::fs::File::open(&tty)?;
    // A thread of its own, as reading a terminal blocks; it ends with the terminal.
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = file.read(&mut buffer) {
            let _ = std::io::stdout().write_all(&buffer[..count]);
            let _ = std::io::stdout().flush();
        }
    });
    std::future::pending().await
}
