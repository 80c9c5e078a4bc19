//! The channel on the real devices, both ends in dom0: one process offers, others map, and are killed.
//!
//! `vchan-check`, as root in dom0 with xen-evtchn, xen-gntalloc and xen-gntdev. Prints `ok NAME` or `not ok NAME: why` for
//! each check and ends with status 1 if any failed. It starts itself as the other end: `vchan-check client REF PORT HOW`.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use xenpod_xen::evtchn::EvtchnDevice;
use xenpod_xen::grants::{GntallocDevice, GntdevDevice};
use xenpod_xen::ids::Domid;
use xenpod_xen::vchan::{Peer, Rendezvous, RingOrder, RingSizes, Vchan, VchanError, VchanStream};

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;
type Check = (&'static str, fn() -> Outcome);

const PATIENCE: Duration = Duration::from_secs(20);
const BULK: usize = 8 << 20;

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, ring_ref, event_channel, how] = &arguments[..]
        && role == "client"
    {
        return client(Rendezvous { ring_ref: ring_ref.parse()?, event_channel: event_channel.parse()? }, how);
    }
    let mut failed = 0;
    let checks: [Check; 5] = [
        ("echo_in_the_first_page", || echo(RingSizes { left: RingOrder::SMALL, right: RingOrder::LARGE })),
        ("echo_in_64_kib", || echo(RingSizes::DEFAULT)),
        ("bulk", bulk),
        ("asynchronous_stream", stream),
        ("a_client_is_killed_and_another_comes", killed),
    ];
    for (name, check) in checks {
        match check() {
            Ok(()) => println!("ok {name}"),
            Err(error) => {
                failed += 1;
                println!("not ok {name}: {error}");
            }
        }
    }
    if failed > 0 { Err(format!("{failed} checks failed").into()) } else { Ok(()) }
}

fn ensure(holds: bool, otherwise: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into().into()) }
}

fn offer(sizes: RingSizes) -> Result<(Vchan, Rendezvous), VchanError> {
    Vchan::offer(&GntallocDevice, &EvtchnDevice, Domid::DOM0, sizes)
}

fn start(rendezvous: Rendezvous, how: &str) -> Result<Child, Failure> {
    let Rendezvous { ring_ref, event_channel } = rendezvous;
    Ok(Command::new(std::env::current_exe()?)
        .args(["client", &ring_ref.to_string(), &event_channel.to_string(), how])
        .spawn()?)
}

/// The other end. "echo": sends back what comes until the server goes. "hang": writes half a message and waits to be killed.
fn client(rendezvous: Rendezvous, how: &str) -> Outcome {
    let mut channel = Vchan::connect(&GntdevDevice, &EvtchnDevice, Domid::DOM0, rendezvous)?;
    let mut buffer = vec![0; 100_000];
    if how == "hang" {
        write_all(&mut channel, b"half a mess")?;
        std::thread::sleep(PATIENCE);
    }
    loop {
        match channel.read(&mut buffer) {
            Ok(count) => write_all(&mut channel, &buffer[..count])?,
            Err(VchanError::WouldBlock) => drop(channel.wait(Some(PATIENCE))?),
            Err(VchanError::Gone) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn write_all(channel: &mut Vchan, mut data: &[u8]) -> Outcome {
    while !data.is_empty() {
        match channel.write(data) {
            Ok(count) => data = &data[count..],
            Err(VchanError::WouldBlock) => ensure(channel.wait(Some(PATIENCE))?, "no event: no room to write")?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn read_exact(channel: &mut Vchan, data: &mut [u8]) -> Outcome {
    let mut done = 0;
    while done < data.len() {
        match channel.read(&mut data[done..]) {
            Ok(count) => done += count,
            Err(VchanError::WouldBlock) => ensure(channel.wait(Some(PATIENCE))?, "no event: nothing to read")?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn ended(mut child: Child) -> Outcome {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait()? {
            return ensure(status.success(), format!("the client ended with {status}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill()?;
    Err("the client did not notice that the server went".into())
}

fn echo(sizes: RingSizes) -> Outcome {
    let (mut server, rendezvous) = offer(sizes)?;
    ensure(server.peer() == Peer::Waiting, format!("{:?} before there is a client", server.peer()))?;
    let child = start(rendezvous, "echo")?;
    for length in [1, 7, 500, 900] {
        let data: Vec<u8> = (0..length).map(|i| (i * 13 % 256) as u8).collect();
        let mut back = vec![0; length];
        write_all(&mut server, &data)?;
        read_exact(&mut server, &mut back)?;
        ensure(back == data, format!("{length} bytes came back changed"))?;
    }
    ensure(server.peer() == Peer::Connected, format!("{:?} with a client", server.peer()))?;
    drop(server);
    ended(child)
}

fn bulk() -> Outcome {
    let (mut server, rendezvous) = offer(RingSizes::DEFAULT)?;
    let child = start(rendezvous, "echo")?;
    let data: Vec<u8> = (0..40_000).map(|i| (i % 251) as u8).collect();
    let mut back = vec![0; data.len()];
    write_all(&mut server, &data)?;
    read_exact(&mut server, &mut back)?;
    let began = Instant::now();
    for _ in 0..BULK / data.len() {
        write_all(&mut server, &data)?;
        read_exact(&mut server, &mut back)?;
        ensure(back == data, "bytes came back changed")?;
    }
    println!("# {} MiB there and back in {:?}", BULK >> 20, began.elapsed());
    drop(server);
    ended(child)
}

/// The kernel tells of a client that was killed; the next one gets a clean channel, without the first one's half message.
fn killed() -> Outcome {
    let (mut server, rendezvous) = offer(RingSizes::DEFAULT)?;
    let mut first = start(rendezvous, "hang")?;
    let mut half = [0; 4];
    read_exact(&mut server, &mut half)?;
    first.kill()?;
    first.wait()?;
    let began = Instant::now();
    while server.peer() != Peer::Gone {
        ensure(server.wait(Some(PATIENCE))? || server.peer() == Peer::Gone, "no event after the client's death")?;
    }
    println!("# its death was seen after {:?}", began.elapsed());

    let second = start(rendezvous, "echo")?;
    std::thread::sleep(Duration::from_millis(200));
    ensure(server.peer() == Peer::Gone, "the next client came in before the rings were emptied")?;
    server.reset()?;
    write_all(&mut server, b"fresh")?;
    let mut back = [0; 5];
    read_exact(&mut server, &mut back)?;
    ensure(&back == b"fresh", format!("{back:?} came back"))?;
    drop(server);
    ended(second)
}

/// The tokio stream on the real event channel device: both halves at once, far more than the rings hold.
fn stream() -> Outcome {
    let (server, rendezvous) = offer(RingSizes { left: RingOrder::SMALL, right: RingOrder::LARGE })?;
    let child = start(rendezvous, "echo")?;
    let data: Vec<u8> = (0..300_000).map(|i| (i % 253) as u8).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut reader, mut writer) = tokio::io::split(VchanStream::new(server)?);
        let mut back = vec![0; data.len()];
        let both = async { tokio::try_join!(writer.write_all(&data), reader.read_exact(&mut back)) };
        tokio::time::timeout(PATIENCE, both).await??;
        ensure(back == data, "bytes came back changed")
    })?;
    ended(child)
}
