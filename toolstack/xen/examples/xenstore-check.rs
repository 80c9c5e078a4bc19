//! The store's client against a real xenstored, with another client as the witness.
//!
//! `xenstore-check VMLINUX [--bench N]`, as root in dom0. Prints `ok NAME` or `not ok NAME: why` for each check and ends with
//! status 1 if any failed. It makes one paused domain with a network interface and a disk, and removes it again; it writes
//! nowhere else but below `/xenpod-check`. With `--bench` it then says what writing that domain's tree takes.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use xenpod_xen::hypervisor::{Destroyed, DomainConfig, Hypervisor as _};
use xenpod_xen::ids::{DomainRef, DomainUuid, Domid};
use xenpod_xen::kernel::KernelImage;
use xenpod_xen::libxc::Libxc;
use xenpod_xen::xenstore::tree::{self, DeviceId, DomainTree, Mac, Mode, Ring, Vbd, Vif, VirtualDisk};
use xenpod_xen::xenstore::{Client, Error, Op, Perms, WatchEvent, blocking};
use xenstore_rs::Xs as _;

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

const ROOT: &str = "/xenpod-check";
const PATIENCE: Duration = Duration::from_secs(10);

fn ensure(holds: bool, otherwise: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into().into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let kernel = arguments.next().ok_or("usage: xenstore-check VMLINUX [--bench N]")?;
    let rounds: Option<u32> = match arguments.next().as_deref() {
        Some("--bench") => Some(arguments.next().ok_or("--bench: how often?")?.parse()?),
        Some(other) => return Err(format!("{other}: no such option").into()),
        None => None,
    };
    let client = Client::connect().await?;
    let mut failed = 0;
    let mut report = |name: &str, outcome: Outcome| match outcome {
        Ok(()) => println!("ok {name}"),
        Err(error) => {
            failed += 1;
            println!("not ok {name}: {error}");
        }
    };
    report("values", values(&client).await);
    report("listing", listing(&client).await);
    report("permissions", permissions(&client).await);
    report("transaction", transaction(&client).await);
    report("refusal", refusal(&client).await);
    report("contention", contention().await);
    report("watch", watch(&client).await);
    report("flood", flood(&client).await);
    report("blocking", tokio::task::spawn_blocking(blocking).await?.map_err(Into::into));
    client.rm(ROOT).await?;

    let xen = Libxc::new();
    let disk = Disk::new()?;
    let domain = Domain::build(&xen, KernelImage::open(kernel)?, &disk)?;
    report("introduce", introduce(&client, &domain).await);
    report("tree", written(&client, &domain).await);
    report("backends", backends(&client, &domain).await);
    report("close", close(&client, &domain).await);
    if let Some(rounds) = rounds {
        bench(&client, &domain, rounds).await?;
    }
    let leftovers = gone(&client, &xen, domain).await;
    report("leftovers", leftovers);
    if failed == 0 { Ok(()) } else { Err(format!("{failed} checks failed").into()) }
}

async fn values(client: &Client) -> Outcome {
    client.write(&format!("{ROOT}/v/a"), "one").await?;
    client.write(&format!("{ROOT}/v/bytes"), [0, 255, b'\n', 0]).await?;
    client.write(&format!("{ROOT}/v/empty"), "").await?;
    client.mkdir(&format!("{ROOT}/v/a")).await?;
    ensure(client.read(&format!("{ROOT}/v/a")).await? == Some(b"one".to_vec()), "a value")?;
    ensure(client.read(&format!("{ROOT}/v/bytes")).await? == Some(vec![0, 255, b'\n', 0]), "a value of any bytes")?;
    ensure(client.read(&format!("{ROOT}/v/empty")).await? == Some(Vec::new()), "an empty value")?;
    ensure(client.read(&format!("{ROOT}/v/none")).await?.is_none(), "a value that is not there")?;
    let names: BTreeSet<_> = client.list(&format!("{ROOT}/v")).await?.into_iter().collect();
    ensure(names.iter().eq(["a", "bytes", "empty"]), format!("a list: {names:?}"))?;
    ensure(client.list(&format!("{ROOT}/none")).await?.is_empty(), "a list that is not there")?;
    client.rm(&format!("{ROOT}/v")).await?;
    client.rm(&format!("{ROOT}/v")).await?;
    client.rm(&format!("{ROOT}/no/parent")).await?;
    ensure(client.read(&format!("{ROOT}/v/a")).await?.is_none(), "removed with what is above it")
}

async fn listing(client: &Client) -> Outcome {
    let names: BTreeSet<String> = (0..600).map(|_| DomainUuid::random().to_string()).collect();
    let ops: Vec<Op> = names.iter().map(|name| Op::mkdir(format!("{ROOT}/l/{name}"))).collect();
    client.apply(&ops).await?;
    let found: BTreeSet<String> = client.list(&format!("{ROOT}/l")).await?.into_iter().collect();
    ensure(found == names, format!("600 names were made, {} are listed", found.len()))?;
    client.rm(&format!("{ROOT}/l")).await?;
    Ok(())
}

async fn permissions(client: &Client) -> Outcome {
    let dir = format!("{ROOT}/p");
    let perms = Perms::readable_by(Domid::DOM0);
    client.apply(&[Op::mkdir(&dir), Op::set_perms(&dir, perms.clone()), Op::write(format!("{dir}/x/y"), 1)]).await?;
    for path in [dir.clone(), format!("{dir}/x"), format!("{dir}/x/y")] {
        let found = client.get_perms(&path).await?;
        ensure(found.as_ref() == Some(&perms), format!("{path} has {found:?}"))?;
    }
    ensure(client.get_perms(&format!("{dir}/none")).await?.is_none(), "of a node that is not there")
}

async fn transaction(client: &Client) -> Outcome {
    let node = |name: &str| format!("{ROOT}/t/{name}");
    let mut transaction = client.transaction().await?;
    transaction.write(node("a"), 1);
    transaction.write(node("b"), 2);
    ensure(transaction.read(&node("a")).await? == Some(b"1".to_vec()), "its own view")?;
    ensure(client.read(&node("a")).await?.is_none(), "not seen before the commit")?;
    transaction.rm(node("b"));
    transaction.commit().await?;
    ensure(client.read(&node("a")).await? == Some(b"1".to_vec()), "seen after it")?;
    ensure(client.read(&node("b")).await?.is_none(), "removed in it")?;
    let mut dropped = client.transaction().await?;
    dropped.write(node("never"), 1);
    dropped.read(&node("never")).await?;
    drop(dropped);
    ensure(client.read(&node("never")).await?.is_none(), "taken back")
}

async fn refusal(client: &Client) -> Outcome {
    let absent = format!("{ROOT}/r/absent");
    let ops = [Op::write(format!("{ROOT}/r/first"), 1), Op::set_perms(&absent, Perms::owned_by(Domid::DOM0))];
    match client.commit(&ops).await {
        Err(Error::Refused { object, .. }) if object == absent => {}
        other => return Err(format!("expected a refusal of {absent}, got {other:?}").into()),
    }
    ensure(client.read(&format!("{ROOT}/r/first")).await?.is_none(), "nothing of a refused transaction remains")
}

async fn contention() -> Outcome {
    let count = format!("{ROOT}/count");
    Client::connect().await?.write(&count, "0").await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (client, count) = (Client::connect().await?, count.clone());
        tasks.spawn(async move {
            let count = &count;
            for _ in 0..10 {
                client
                    .run_transaction(|mut transaction| async move {
                        let old = transaction.read(count).await?.unwrap_or_default();
                        let old: u32 = String::from_utf8_lossy(&old).parse().unwrap_or(u32::MAX / 2);
                        transaction.write(count, old + 1);
                        Ok((transaction, ()))
                    })
                    .await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let found = Client::connect().await?.read_text(&count).await?;
    ensure(found.as_deref() == Some("40"), format!("40 increments made {found:?}"))
}

async fn watch(client: &Client) -> Outcome {
    let dir = format!("{ROOT}/w");
    let mut watch = client.watch(&dir).await?;
    let next = async |watch: &mut xenpod_xen::xenstore::Watch| match tokio::time::timeout(PATIENCE, watch.next()).await
    {
        Ok(Some(WatchEvent::Changed(path))) => Ok(path),
        other => Err(Failure::from(format!("{other:?}"))),
    };
    ensure(next(&mut watch).await? == dir, "the first event comes at once")?;
    client.write(&format!("{dir}/a"), "1").await?;
    ensure(next(&mut watch).await? == format!("{dir}/a"), "a change below")?;
    client.commit(&[Op::write(format!("{dir}/b"), 1), Op::write(format!("{dir}/c"), 1)]).await?;
    let both: BTreeSet<_> = [next(&mut watch).await?, next(&mut watch).await?].into();
    ensure(both == BTreeSet::from([format!("{dir}/b"), format!("{dir}/c")]), "changes of a transaction")?;
    client.rm(&dir).await?;
    ensure(next(&mut watch).await? == dir, "a removal")?;
    drop(watch);
    client.write(&format!("{dir}/after"), "1").await?;
    Ok(())
}

async fn flood(client: &Client) -> Outcome {
    let mut idle = client.watch(&format!("{ROOT}/f")).await?;
    let ops: Vec<Op> = (0..900).map(|number| Op::write(format!("{ROOT}/f/{number}"), "")).collect();
    client.apply(&ops).await?;
    ensure(client.read(&format!("{ROOT}/f/899")).await?.is_some(), "answers come through")?;
    ensure(idle.next().await == Some(WatchEvent::Resync), "and the watcher is told to look at everything")
}

fn blocking() -> Result<(), String> {
    let run = || -> xenpod_xen::xenstore::Result<bool> {
        let mut client = blocking::Client::open()?;
        let node = format!("{ROOT}/blocking/a");
        client.watch(&node, "token")?;
        client.write(&node, "1")?;
        let value = client.read(&node)?;
        let events = [client.wait()?, client.wait()?];
        let list = client.list(&format!("{ROOT}/blocking"))?;
        client.rm(&format!("{ROOT}/blocking"))?;
        let token = events.iter().all(|(path, token)| *path == node && token == "token");
        Ok(token && value == b"1" && list == ["a"] && client.read(&node).is_err_and(|error| error.is_not_found()))
    };
    match run() {
        Ok(true) => Ok(()),
        Ok(false) => Err("something read was not what had been written".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A file behind a loop device.
struct Disk {
    name: String,
    device: (u32, u32),
}

impl Disk {
    fn new() -> Result<Disk, Failure> {
        let file = "/tmp/xenstore-check.img";
        std::fs::write(file, vec![0; 1 << 20])?;
        let output = Command::new("losetup").args(["--find", "--show", file]).output()?;
        ensure(output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())?;
        let name = String::from_utf8(output.stdout)?.trim().to_owned();
        let number: u32 = name.trim_start_matches("/dev/loop").parse()?;
        Ok(Disk { name, device: (7, number) })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.name]).status();
    }
}

struct Domain {
    reference: DomainRef,
    tree: DomainTree,
}

impl Domain {
    fn build(xen: &Libxc, kernel: KernelImage, disk: &Disk) -> Result<Domain, Failure> {
        let config = DomainConfig {
            uuid: DomainUuid::random(),
            name: "xenstore-check".to_owned(),
            memory_kib: 32 << 10,
            max_memory_kib: 32 << 10,
            vcpus: 1,
            max_vcpus: 1,
            kernel,
            boot_image: None,
            cmdline: String::new(),
        };
        let built = xen.build(&config)?;
        let tree = DomainTree {
            domid: built.domid,
            uuid: config.uuid,
            name: config.name.clone(),
            memory_max_kib: config.max_memory_kib,
            memory_kib: config.memory_kib,
            vcpus: 1,
            max_vcpus: 1,
            store: Ring { gfn: built.store_gfn, port: built.store_port },
            console: Ring { gfn: built.console_gfn, port: built.console_port },
            vifs: vec![Vif { index: 0, mac: Mac([0, 0x16, 0x3e, 0, 0, 1]) }],
            vbds: vec![Vbd {
                disk: VirtualDisk::from_index(0).ok_or("no first disk")?,
                device: disk.device,
                source: disk.name.clone(),
                mode: Mode::ReadOnly,
            }],
        };
        Ok(Domain { reference: config.reference(built.domid), tree })
    }

    fn devices(&self) -> Vec<DeviceId> {
        let domid = self.tree.domid;
        let vbds = self.tree.vbds.iter().map(|vbd| vbd.id(domid));
        self.tree.vifs.iter().map(|vif| vif.id(domid)).chain(vbds).collect()
    }
}

async fn introduce(client: &Client, domain: &Domain) -> Outcome {
    let tree = &domain.tree;
    let mut watch = client.watch("@introduceDomain").await?;
    watch.next().await;
    client.commit(&tree.ops()).await?;
    ensure(!client.is_introduced(tree.domid).await?, "not introduced before")?;
    client.introduce(tree.domid, tree.store.gfn, tree.store.port).await?;
    ensure(client.is_introduced(tree.domid).await?, "introduced after")?;
    ensure(client.domain_path(tree.domid).await? == tree::domain_path(tree.domid), "its path")?;
    let event = tokio::time::timeout(PATIENCE, watch.next()).await?;
    ensure(event == Some(WatchEvent::Changed("@introduceDomain".to_owned())), format!("{event:?}"))?;
    // xenconsoled has found the console when it has put a terminal there.
    let tty = format!("{}/console/tty", tree::domain_path(tree.domid));
    client
        .wait_for(&tty, "a terminal", PATIENCE, |value| value.is_some_and(|value| value.starts_with(b"/dev/")))
        .await?;
    Ok(())
}

/// Every value and permission, as another client sees them.
async fn written(client: &Client, domain: &Domain) -> Outcome {
    client.apply(&domain.tree.late_ops()).await?;
    let witness = xenstore_rs::unix::XsUnix::new()?;
    for op in domain.tree.ops().into_iter().chain(domain.tree.late_ops()) {
        match op {
            // The drivers of dom0 have moved the states on.
            Op::Write { path, .. } if path.ends_with("/state") => {}
            Op::Write { path, value } => {
                let found = witness.read(&path)?;
                ensure(found.as_bytes() == value, format!("{path} is {found:?}, not {}", value.escape_ascii()))?;
            }
            Op::SetPerms { path, perms } => {
                let found = client.get_perms(&path).await?;
                ensure(found.as_ref() == Some(&perms), format!("{path} has {found:?}, not {perms}"))?;
            }
            Op::Mkdir { path } => {
                witness.directory(&path)?;
            }
            Op::Rm { path } => return Err(format!("{path} is to be removed?").into()),
        }
    }
    // What nobody set a permission for has its directory's.
    let own = tree::domain_path(domain.tree.domid);
    for (path, perms) in [
        (format!("{own}/console/ring-ref"), Perms::readable_by(domain.tree.domid)),
        (format!("{own}/device/vif/0/state"), Perms::owned_by(domain.tree.domid)),
        (domain.devices()[0].backend_state(), Perms::readable_by(domain.tree.domid)),
    ] {
        let found = client.get_perms(&path).await?;
        ensure(found.as_ref() == Some(&perms), format!("{path} has {found:?}, not {perms}"))?;
    }
    Ok(())
}

/// netback and blkback take what was written.
async fn backends(client: &Client, domain: &Domain) -> Outcome {
    for device in domain.devices() {
        client.wait_for(&device.backend_state(), "2", PATIENCE, |value| value == Some(b"2")).await?;
    }
    let link = format!("/sys/class/net/vif{}.0", domain.tree.domid);
    ensure(std::path::Path::new(&link).exists(), format!("{link} is missing"))
}

async fn close(client: &Client, domain: &Domain) -> Outcome {
    client.close_devices(&domain.devices(), PATIENCE).await?;
    for device in domain.devices() {
        for path in [device.frontend(), device.backend(), device.libxl()] {
            ensure(client.read(&path).await?.is_none(), format!("{path} is left"))?;
        }
    }
    let link = format!("/sys/class/net/vif{}.0", domain.tree.domid);
    for _ in 0..100 {
        if !std::path::Path::new(&link).exists() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("{link} is left").into())
}

async fn gone(client: &Client, xen: &Libxc, domain: Domain) -> Outcome {
    let Domain { reference, tree } = domain;
    let mut released = client.watch("@releaseDomain").await?;
    released.next().await;
    while let Destroyed::Pending { .. } = xen.destroy(reference)? {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::timeout(PATIENCE, released.next()).await?;
    client.apply(&tree::remove_domain(tree.domid, tree.uuid)).await?;
    let domid = tree.domid.to_string();
    for dir in ["/local/domain", "/libxl", "/local/domain/0/backend/vif", "/local/domain/0/backend/vbd"] {
        ensure(!client.list(dir).await?.contains(&domid), format!("{dir}/{domid} is left"))?;
    }
    for dir in ["/vm", tree::MARKS] {
        ensure(!client.list(dir).await?.contains(&tree.uuid.to_string()), format!("{dir}/{} is left", tree.uuid))?;
    }
    Ok(())
}

/// What writing the tree takes, in milliseconds; on a clock that counts instructions, in millions of them.
async fn bench(client: &Client, domain: &Domain, rounds: u32) -> Outcome {
    let tree = &domain.tree;
    let ops = tree.ops();
    // The same changes where no driver looks: what the store alone takes.
    let aside: Vec<Op> = ops.iter().map(aside).collect();
    println!("# {} changes for one vif and one disk, {} later", ops.len(), tree.late_ops().len());
    for way in [
        "one by one",
        "one by one, in a transaction",
        "all at once, in a transaction",
        "all at once",
        "late part",
        ASIDE,
        ASIDE_TRANSACTION,
    ] {
        let (mut written, mut ready) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            client.rm(&tree::domain_path(tree.domid)).await?;
            client.apply(&tree::remove_domain(tree.domid, tree.uuid)).await?;
            // What the removal stirred up is not to be counted.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let started = Instant::now();
            match way {
                "one by one" => {
                    for op in &ops {
                        client.apply(std::slice::from_ref(op)).await?;
                    }
                }
                "one by one, in a transaction" => {
                    let mut transaction = client.transaction().await?;
                    for op in &ops {
                        transaction.apply([op.clone()]);
                        transaction.flush().await?;
                    }
                    transaction.commit().await?;
                }
                "all at once, in a transaction" => client.commit(&ops).await?,
                "all at once" => client.apply(&ops).await?,
                ASIDE => client.apply(&aside).await?,
                ASIDE_TRANSACTION => client.commit(&aside).await?,
                _ => client.apply(&tree.late_ops()).await?,
            }
            written.push(started.elapsed());
            if way == "late part" || way.starts_with(ASIDE) {
                client.rm(ROOT).await?;
                continue;
            }
            for device in domain.devices() {
                client.wait_for(&device.backend_state(), "2", PATIENCE, |value| value == Some(b"2")).await?;
            }
            ready.push(started.elapsed());
            tokio::time::sleep(Duration::from_millis(300)).await;
            client.close_devices(&domain.devices(), PATIENCE).await?;
        }
        println!("# {way}: written after {}, backends ready after {}", median(written), median(ready));
    }
    Ok(())
}

const ASIDE: &str = "all at once, aside";
const ASIDE_TRANSACTION: &str = "all at once, aside, in a transaction";

/// The same change below [`ROOT`].
fn aside(op: &Op) -> Op {
    match op.clone() {
        Op::Write { path, value } => Op::Write { path: format!("{ROOT}{path}"), value },
        Op::Mkdir { path } => Op::Mkdir { path: format!("{ROOT}{path}") },
        Op::SetPerms { path, perms } => Op::SetPerms { path: format!("{ROOT}{path}"), perms },
        Op::Rm { path } => Op::Rm { path: format!("{ROOT}{path}") },
    }
}

fn median(mut times: Vec<Duration>) -> String {
    times.sort();
    match times.get(times.len() / 2) {
        Some(time) => format!("{:.2} ms", time.as_secs_f64() * 1e3),
        None => "-".to_owned(),
    }
}
