//! The daemon's entry: command line, start-up in order, and an orderly end that leaves every pod running.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use xenpodd::bus::{self, HostFacts};
use xenpodd::config::{Config, ConfigError};
use xenpodd::engine::world::{DomainError, Domains, HostView, Settings, World};
use xenpodd::engine::{Change, Engine, Failure};
use xenpodd::events::Events;
use xenpodd::host::{HostDisks, HostDomains, HostImages, HostNet, checks, host_state};
use xenpodd::journal::{Journal, JournalError};
use xenpodd::kernels::{KernelStoreError, Kernels};
use xenpodd::{logging, notify};

/// Runs pods of OCI containers, each in a Xen domain of its own.
#[derive(Parser)]
#[command(name = "xenpodd", version)]
struct Arguments {
    /// Read this configuration instead of /etc/xenpod/xenpodd.yaml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep state under this folder, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Serve this bus instead of the system bus
    #[arg(long, value_name = "ADDRESS")]
    bus_address: Option<String>,
}

/// Why the daemon cannot serve.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("images: {0}")]
    Images(#[from] xenpodd::engine::world::ImageError),
    #[error("kernels: {0}")]
    Kernels(#[from] KernelStoreError),
    #[error("devices: {0}")]
    Devices(#[from] xenpodd::devices::DeviceError),
    #[error("network: {0}")]
    Network(#[from] xenpodd::engine::world::NetError),
    #[error("pods: {0}")]
    Pods(Box<Failure>),
    #[error("bus: {0}; is another xenpodd running, and is its policy file installed?")]
    Bus(#[from] zbus::Error),
    #[error("{0}")]
    Runtime(#[from] std::io::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::init();
    // One thread: the daemon waits for others nearly always, and what blocks (hypercalls, fsync) has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).build();
    let ended = runtime.map_err(StartError::from).and_then(|runtime| {
        let ended = runtime.block_on(run(arguments));
        // A hypercall or a download that is stuck must not keep the daemon.
        runtime.shutdown_timeout(Duration::from_secs(2));
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), StartError> {
    let mut config = Config::load(arguments.config.as_deref())?;
    if let Some(dir) = arguments.state_dir {
        config.state_dir = dir;
    }
    let config = Arc::new(config);
    // Caught from here on: whatever start-up has begun is left as a restart finds it.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(notify::feed_watchdog());
    notify::status("starting");

    let xen = xenpod_xen::libxc::Libxc::new();
    let domains = HostDomains::new(xen, &config.boot_image, &config.kernel_args);
    let meter = Arc::new(domains.meter());
    let domains: Arc<dyn Domains> = Arc::new(domains);
    let journal = Journal::open(&config.state_dir)?;
    let images = Arc::new(HostImages::open(&config)?);
    let kernels = Arc::new(Kernels::open(&config.state_dir, &config.kernel)?);
    let world = World {
        domains: domains.clone(),
        disks: Arc::new(HostDisks::new(&config.state_dir, &config.cache_dir)?),
        net: Arc::new(HostNet::new(config.network.clone())?),
        images,
        meter,
        kernels: kernels.clone(),
        journal,
        settings: settings(&config),
    };
    let (engine, changes) = Engine::new(world);
    let events = Arc::new(Events::open(&config.state_dir, config.events_kept as usize));
    let (changes, statuses) = tee(changes, engine.clone(), events.clone());
    let facts = Facts::look(domains, kernels, config.clone()).await;
    let report = engine.reconcile().await.map_err(|e| StartError::Pods(Box::new(e)))?;
    let pruned = engine.prune_images().await;
    if pruned > 0 {
        tracing::info!("{pruned} images without a name removed");
    }
    engine.prune_kernels().await;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        reattached = report.reattached,
        settled = report.settled,
        orphans = report.orphans,
        problems = report.problems.len(),
        "started: {} pods taken up again, {} settled, {} orphans removed",
        report.reattached,
        report.settled,
        report.orphans
    );
    let setup = bus::Setup {
        engine: engine.clone(),
        changes,
        address: arguments.bus_address,
        host: facts.clone(),
        events: events.clone(),
    };
    let running = bus::serve(setup).await?;
    // Pods do not depend on who looks at them.
    let metrics = xenpodd::metrics::serve(engine.clone(), &config.metrics);
    let metrics = metrics.inspect_err(|error| tracing::error!("{error}")).ok();
    notify::ready(&status_line(&engine, &facts));
    let teller = tokio::spawn(tell_status(statuses, engine.clone(), facts));

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    notify::stopping();
    tracing::info!(pods = engine.running(), "ending; pods go on running");
    teller.abort();
    drop(metrics);
    running.stop().await;
    events.close();
    Ok(())
}

fn settings(config: &Config) -> Settings {
    Settings {
        boot_timeout: Duration::from_secs(config.boot_timeout_seconds.into()),
        max_pods: config.max_pods as usize,
        max_pods_per_user: config.per_user.max_pods as usize,
        max_jobs: config.max_jobs as usize,
        max_jobs_per_user: config.per_user.max_jobs as usize,
        log_max_bytes: config.log_max_mib << 20,
        log_journald: config.log_journald,
        scratch_bytes: config.scratch_mib << 20,
        seccomp_dir: config.seccomp_dir.clone(),
        kernel_args_allowed: config.kernel_args_allowed.clone(),
        ..Settings::default()
    }
}

type Changes = tokio::sync::mpsc::UnboundedReceiver<Change>;

/// The changes for the bus, and a bell for the status line. Events are made of them on the way.
fn tee(mut changes: Changes, engine: Arc<Engine>, events: Arc<Events>) -> (Changes, Arc<tokio::sync::Notify>) {
    let (to_bus, for_bus) = tokio::sync::mpsc::unbounded_channel();
    let bell = Arc::new(tokio::sync::Notify::new());
    let ring = bell.clone();
    tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            events.observe(&engine, &change);
            if matches!(change, Change::PodNew(_) | Change::Pod(_) | Change::PodGone(_)) {
                ring.notify_one();
            }
            if to_bus.send(change).is_err() {
                return;
            }
        }
    });
    (for_bus, bell)
}

fn status_line(engine: &Engine, facts: &Facts) -> String {
    match facts.state() {
        ("ready", _) => format!("{} pods, {} with a domain", engine.list().len(), engine.running()),
        (word, why) => format!("{word}: {why}"),
    }
}

async fn tell_status(bell: Arc<tokio::sync::Notify>, engine: Arc<Engine>, facts: Arc<Facts>) {
    loop {
        bell.notified().await;
        // Starts come with many changes: one line for them is enough.
        tokio::time::sleep(Duration::from_secs(1)).await;
        notify::status(&status_line(&engine, &facts));
    }
}

/// What the bus tells of the host. Looked at when asked for, but not more than once in a while: most of it does not change.
struct Facts {
    domains: Arc<dyn Domains>,
    kernels: Arc<Kernels>,
    config: Arc<Config>,
    runtime: tokio::runtime::Handle,
    last: std::sync::Mutex<(Instant, Result<HostView, DomainError>)>,
    /// What was found then, as far as it is told.
    told: std::sync::Mutex<Told>,
    changed: watch::Sender<()>,
    /// Somebody read what may be old.
    read: Notify,
}

/// From one look at the host to the next.
const LOOK: Duration = Duration::from_secs(10);
/// What is older is looked at again when it is read.
const OLD: Duration = Duration::from_secs(2);

/// State and message, versions of Xen and xenstored.
type Told = ((&'static str, String), [String; 2]);

fn tellable(host: &Result<HostView, DomainError>, kernels: &Kernels) -> Told {
    let view = host.as_ref().ok();
    let of = |read: fn(&HostView) -> &String| view.map(read).cloned().unwrap_or_default();
    (host_state(host, kernels), [of(|h| &h.xen_version), of(|h| &h.xenstored)])
}

impl Facts {
    async fn look(domains: Arc<dyn Domains>, kernels: Arc<Kernels>, config: Arc<Config>) -> Arc<Self> {
        let last = domains.host().await;
        if let (word @ ("no-xen" | "degraded"), why) = host_state(&last, &kernels) {
            tracing::error!("{word}: {why}; `xenpodctl doctor` says what to do");
        }
        let runtime = tokio::runtime::Handle::current();
        let told = std::sync::Mutex::new(tellable(&last, &kernels));
        let last = std::sync::Mutex::new((Instant::now(), last));
        let (changed, read) = (watch::Sender::new(()), Notify::new());
        let facts = Arc::new(Self { domains, kernels, config, runtime, last, told, changed, read });
        tokio::spawn(facts.clone().look_again());
        facts
    }

    /// Looks now and then, and soon after somebody has read what may be old: what it costs does not grow with the readers.
    async fn look_again(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.read.notified() => {}
            }
            let host = self.domains.host().await;
            if !self.kernels.is_ready() {
                let kernels = self.kernels.clone();
                let _ = tokio::task::spawn_blocking(move || kernels.look()).await;
            }
            self.note(host);
        }
    }

    fn note(&self, host: Result<HostView, DomainError>) {
        let now = tellable(&host, &self.kernels);
        let before = {
            let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *last = (Instant::now(), host);
            let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::replace(&mut *told, now.clone())
        };
        if now != before {
            if now.0 != before.0 {
                let (word, why) = &now.0;
                tracing::warn!("the host is {word}{}{why}", if why.is_empty() { "" } else { ": " });
            }
            self.changed.send_replace(());
        }
    }

    fn view<T>(&self, read: impl FnOnce(&Result<HostView, DomainError>) -> T) -> T {
        let last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.0.elapsed() > OLD {
            self.read.notify_one();
        }
        read(&last.1)
    }
}

impl HostFacts for Facts {
    fn xen_version(&self) -> String {
        self.view(|host| host.as_ref().map(|h| h.xen_version.clone()).unwrap_or_default())
    }

    fn xenstored(&self) -> String {
        self.view(|host| host.as_ref().map(|h| h.xenstored.clone()).unwrap_or_default())
    }

    fn state(&self) -> (&'static str, String) {
        self.view(|host| host_state(host, &self.kernels))
    }

    fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn check(&self) -> Vec<(String, String, String, String)> {
        let (host, all) = self
            .runtime
            .block_on(async { (self.domains.host().await, checks(&*self.domains, &self.kernels, &self.config).await) });
        self.note(host);
        all.into_iter().map(|c| (c.name.into(), c.verdict.into(), c.found, c.remedy)).collect()
    }
}
