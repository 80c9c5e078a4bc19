use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::options::Config;
use super::testing::{config, elf, fd, import, kernel, kernels};
use super::*;

struct Place {
    dir: tempfile::TempDir,
    kernels: Kernels,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let kernels = kernels(dir.path());
    Place { dir, kernels }
}

impl Place {
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("kernels")).unwrap();
        let mut all: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("kernels").join(name)
    }

    fn again(self) -> Self {
        let kernels = kernels(self.dir.path());
        Self { kernels, ..self }
    }

    fn take(&self, import: Import) -> Result<Arc<KernelInfo>, KernelStoreError> {
        self.kernels.import(import, &|_, _| {}, &|| false)
    }

    fn brought(&self, name: &str) -> Arc<KernelInfo> {
        self.take(import(name, &kernel("6.1.5-test", name))).unwrap()
    }

    /// Refused with a text, and nothing stays.
    fn refused(&self, import: Import) -> String {
        let before = self.files();
        let text = self.take(import).unwrap_err().to_string();
        assert_eq!(self.files(), before, "{text}");
        text
    }

    /// Another package is installed.
    fn package(&self, mark: &str) {
        let new = self.dir.path().join("vmlinux.new");
        std::fs::write(&new, kernel("6.1.6-test", mark)).unwrap();
        std::fs::rename(new, self.dir.path().join("vmlinux")).unwrap();
    }
}

#[test]
fn our_own_kernel_has_every_option_that_is_needed() {
    let fragment: String = include_str!("../../../../pvh-boot/config")
        .lines()
        .map(|l| l.split('#').next().unwrap().trim())
        .filter(|l| !l.is_empty())
        .map(|l| format!("{l}\n"))
        .collect();
    let ours = Config::parse(&fragment).unwrap();
    assert_eq!(options::missing(&ours.needed()), "");
    assert!(NEEDED.len() > 30 && NEEDED.iter().all(|(_, why)| !why.is_empty()));
    let mut names: Vec<_> = NEEDED.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), NEEDED.len());
}

#[test]
fn what_is_brought_is_known_by_its_digest_and_outlasts_the_daemon() {
    let place = place();
    let bytes = kernel("6.1.5-test", "mine");
    let told = Mutex::new(Vec::new());
    let progress = |done, size| told.lock().unwrap().push((done, size));
    let taken = place.kernels.import(import("mine", &bytes), &progress, &|| false).unwrap();
    assert_eq!((taken.name.as_str(), taken.version.as_str()), ("mine", "6.1.5-test"));
    assert_eq!((taken.size, taken.proof, taken.packaged), (bytes.len() as u64, Proof::Given, false));
    assert!(taken.digest.len() == 71 && taken.options["EROFS_FS"] == "y" && taken.imported_usec > 0);
    assert_eq!(told.lock().unwrap().last(), Some(&(bytes.len() as u64, bytes.len() as u64)));
    let file = place.path(files::hex(&taken.digest));
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert!(std::fs::metadata(&file).unwrap().permissions().readonly());
    let files = place.files();
    let place = place.again();
    assert_eq!(place.kernels.find("mine").unwrap(), taken);
    assert_eq!(place.kernels.find(&taken.digest).unwrap(), taken);
    assert_eq!(place.kernels.image(&taken.digest).unwrap().image().path(), file);
    assert_eq!(place.files(), files);
    let names: Vec<_> = place.kernels.list().iter().map(|k| k.name.clone()).collect();
    assert_eq!(names, ["mine", "packaged"]);
}

#[test]
fn the_same_again_is_no_error_and_what_only_resembles_it_is() {
    let place = place();
    let taken = place.brought("mine");
    let files = place.files();
    assert_eq!(place.brought("mine"), taken);
    assert_eq!(place.files(), files);
    let text = place.refused(import("mine", &kernel("6.1.5-test", "other")));
    assert!(text.starts_with("there is a kernel mine already, with other bytes"), "{text}");
    let text = place.refused(import("twin", &kernel("6.1.5-test", "mine")));
    assert_eq!(text, "these are the bytes of kernel mine; it needs no second name");
    let text = place.refused(import("twin", &kernel("6.1.5-test", "packaged")));
    assert_eq!(text, "these are the bytes of kernel packaged; it needs no second name");
}

#[test]
fn what_pods_cannot_run_on_is_refused_and_leaves_nothing() {
    let place = place();
    let good = kernel("6.1.5-test", "x");
    for (bytes, want) in [
        (b"MZ".repeat(600), "kernel bad: not an uncompressed x86-64 ELF image: it is a bzImage"),
        (b"\x1f\x8b".repeat(60), "it is gzip data"),
        (good[..good.len() - 1].to_vec(), "cut short by the end of the file"),
        (Vec::new(), "bad: 0 bytes; an image has 1 to"),
        (good.iter().map(|b| if *b == b'X' { b'Y' } else { *b }).collect(), "kernel bad has no PVH entry note"),
    ] {
        let text = place.refused(import("bad", &bytes));
        assert!(text.contains(want), "{want}: {text}");
    }
    for name in ["", "a b", "-x", "packaged", "packaged-mine", "../x", &"x".repeat(64), "sha256:00"] {
        let text = place.refused(import(name, &good));
        assert!(text.starts_with(&format!("kernel {name:?}: ")), "{text}");
    }
    let zero = std::fs::File::open("/dev/zero").unwrap().into();
    let text = place.refused(Import { kernel: zero, ..import("bad", &good) });
    assert!(text.contains("descriptor of the kernel must be of a regular file"), "{text}");
    let huge = tempfile::tempfile().unwrap();
    huge.set_len(1 << 30).unwrap();
    let text = place.refused(Import { kernel: huge.into(), ..import("bad", &good) });
    assert!(text.contains("the kernel has 1073741824 bytes; at most 134217728"), "{text}");
}

#[test]
fn without_proof_of_its_options_no_kernel_is_taken_but_by_request() {
    let place = place();
    let good = kernel("6.1.5-test", "x");
    let with = |text: &str| Import { config: Some(fd(text)), ..import("bad", &good) };
    let text = place.refused(Import { config: None, ..import("bad", &good) });
    assert!(text.contains("holds no configuration (CONFIG_IKCONFIG) and none was given"), "{text}");
    let text = place.refused(with(&config("6.1.5", &["CONFIG_EROFS_FS=m", "# CONFIG_XEN_PVH is not set"])));
    assert_eq!(
        text,
        "pods cannot run on kernel bad, which was built without CONFIG_XEN_PVH=y (the entry point of a PVH domain), \
         CONFIG_EROFS_FS=y (images; it has it as a module, which nothing loads)"
    );
    let text = place.refused(with("CONFIG_X86=y\n"));
    assert!(text.contains("CONFIG_XEN_PVH=y") && text.ends_with("more"), "{text}");
    assert!(place.refused(with("hello\n")).contains("has no line CONFIG_...="));
    // 6.1.50 is not 6.1.5, nor the other way round.
    for version in ["6.1.50", "6.1", "6.12.5"] {
        let text = place.refused(with(&config(version, &[])));
        assert!(text.contains(&format!("is of Linux {version}, and this is Linux 6.1.5-test")), "{text}");
    }
    let text = place.refused(with(&config("6.1.5", &["CONFIG_LOCALVERSION=\"-mine\""])));
    assert!(text.contains("whose version ends with -mine"), "{text}");
    let unchecked = |import| place.take(Import { unchecked: true, ..import }).unwrap();
    let taken = unchecked(Import { config: None, ..import("bare", &good) });
    assert_eq!((taken.proof, taken.options.len()), (Proof::Unchecked, 0));
    let lacking =
        Import { config: Some(fd(config("6.1.5", &["CONFIG_EROFS_FS=m"]))), ..import("m", &kernel("6.1.5", "m")) };
    assert_eq!(unchecked(lacking).options["EROFS_FS"], "m");
}

/// A kernel that holds its configuration.
fn with_own(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    // The marks stand in its text as well, before what they mark.
    let parts: [&[u8]; 6] = [
        b"IKCFG_ST is no configuration IKCFG_ED",
        b"Linux version %s, Linux version 6.1.5 (x)",
        &[0; 300_000],
        b"IKCFG_ST",
        &packed.finish().unwrap(),
        b"IKCFG_ED",
    ];
    elf(&parts.concat())
}

#[test]
fn a_kernel_may_hold_its_configuration() {
    let place = place();
    let own = |name: &str, bytes: &[u8]| Import { config: None, ..import(name, bytes) };
    let taken = place.take(own("mine", &with_own(&config("6.1.5", &[])))).unwrap();
    assert_eq!((taken.proof, taken.version.as_str()), (Proof::Embedded, "6.1.5"));
    let text = place.refused(own("bad", &with_own(&config("6.1.5", &["CONFIG_TMPFS=m"]))));
    assert!(
        text.ends_with(
            "was built without CONFIG_TMPFS=y (volumes in memory, /dev/shm; it has it as a module, which nothing loads)"
        ),
        "{text}"
    );
    // What is given cannot say otherwise.
    let lies = Import {
        config: Some(fd(config("6.1.5", &[]))),
        ..own("bad", &with_own(&config("6.1.5", &["CONFIG_TMPFS=m"])))
    };
    let text = place.refused(lies);
    assert!(text.ends_with("is not the one it was built with: it has CONFIG_TMPFS=m, not y"), "{text}");
    // A configuration that unpacks to too much is none.
    let text = place.refused(own("bad", &with_own(&"CONFIG_X=y\n".repeat(1 << 20))));
    assert!(text.contains("holds no configuration"), "{text}");
}

#[test]
fn the_marks_are_found_across_pieces() {
    for at in [(256 << 10) - 12, (256 << 10) - 1, 256 << 10] {
        let bytes = [&vec![b'L'; at][..], b"Linux version 6.1.5 x"].concat();
        let file = std::fs::File::from(fd(bytes));
        assert_eq!(inspect::version(&file).unwrap(), "6.1.5", "{at}");
    }
}

#[test]
fn a_cancelled_import_leaves_nothing() {
    let place = place();
    let before = place.files();
    for steps in 0..3u32 {
        let left = std::cell::Cell::new(steps);
        let cancelled = || left.replace(left.get().saturating_sub(1)) == 0;
        let error = place.kernels.import(import("mine", &kernel("6.1.5", "x")), &|_, _| {}, &cancelled).unwrap_err();
        assert!(matches!(error, KernelStoreError::Cancelled { .. }), "{error}");
        assert_eq!(place.files(), before);
    }
}

#[test]
fn what_a_crash_left_is_swept_and_what_is_damaged_is_left_out() {
    let place = place();
    let (mine, other) = (place.brought("mine"), place.brought("other"));
    std::fs::write(place.path(".new-abc"), b"half").unwrap();
    std::fs::write(place.path(&"0f".repeat(32)), b"without a word on it").unwrap();
    // Cut behind our back.
    let file = place.path(files::hex(&other.digest));
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, b"short").unwrap();
    let place = place.again();
    assert!(place.kernels.find("mine").is_some() && place.kernels.find("other").is_none());
    assert!(!place.files().iter().any(|f| f.starts_with(".new") || f.starts_with("0f0f")), "{:?}", place.files());
    assert!(file.exists(), "what is damaged is for an administrator to look at");
    assert!(place.kernels.image(&mine.digest).is_ok());
}

#[test]
fn the_default_is_kept_and_not_removed() {
    let place = place();
    let mine = place.brought("mine");
    assert_eq!(place.kernels.default().unwrap().name, "packaged");
    let packaged = place.kernels.default().unwrap().digest.clone();
    assert_eq!(place.kernels.set_default(&mine.digest).unwrap(), Some(packaged.clone()));
    let place = place.again();
    assert_eq!(place.kernels.default().unwrap().name, "mine");
    let text = |digest: &str, pods: &[&str]| {
        let pods = pods.iter().map(ToString::to_string).collect();
        place.kernels.withdraw(digest, pods).err().unwrap().to_string()
    };
    assert!(text(&mine.digest, &[]).contains("is the default; make another one"), "{}", text(&mine.digest, &[]));
    assert!(text(&packaged, &[]).contains("is the package's own"));
    place.kernels.set_default(&packaged).unwrap();
    assert_eq!(text(&mine.digest, &["a", "b"]), "kernel mine is used by a, b; remove them first");
    let withdrawn = place.kernels.withdraw(&mine.digest, Vec::new()).unwrap();
    assert!(place.kernels.find("mine").is_none());
    place.kernels.erase(withdrawn).unwrap();
    assert!(text(&mine.digest, &[]).starts_with("no kernel has the name or digest"));
    assert!(matches!(place.kernels.set_default("sha256:00"), Err(KernelStoreError::NotFound { .. })));
    let place = place.again();
    assert!(place.kernels.find("mine").is_none() && !place.files().iter().any(|f| f == "default"));
}

#[test]
fn an_older_packages_kernel_stays_under_another_name() {
    let place = place();
    let old = place.kernels.find(PACKAGED).unwrap();
    assert!(!place.kernels.is_outdated(&old.digest));
    place.package("newer");
    let place = place.again();
    let new = place.kernels.find(PACKAGED).unwrap();
    assert_eq!(
        (new.version.as_str(), place.kernels.default().unwrap().digest.as_str()),
        ("6.1.6-test", new.digest.as_str())
    );
    let kept = place.kernels.find(&old.digest).unwrap();
    assert_eq!(kept.name, format!("packaged-{}", &files::hex(&old.digest)[..12]));
    assert!(place.kernels.is_outdated(&old.digest) && !place.kernels.is_outdated(&new.digest));
    let mut first = [0; 16];
    place.kernels.image(&old.digest).unwrap().image().read_exact_at(&mut first, 0).unwrap();
    // One that is the default is nobody's leftover.
    place.kernels.set_default(&old.digest).unwrap();
    assert!(!place.kernels.is_outdated(&old.digest));
    // The older package is installed again: nothing is copied.
    std::fs::write(place.dir.path().join("vmlinux"), kernel("6.1.5-test", "packaged")).unwrap();
    let files = place.files();
    let place = place.again();
    assert_eq!((place.kernels.find(PACKAGED).unwrap().digest.as_str(), place.files()), (old.digest.as_str(), files));
}

#[test]
fn the_packaged_kernel_is_read_once() {
    let place = place();
    let digest = place.kernels.find(PACKAGED).unwrap().digest.clone();
    // If it were read, this would be seen.
    let path = place.path(files::PACKAGED);
    let mine = place.brought("mine");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(&digest, &mine.digest)).unwrap();
    let place = place.again();
    assert_eq!(place.kernels.default().unwrap().digest, mine.digest);
}

#[test]
fn a_packaged_kernel_that_comes_late_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let packaged = dir.path().join("vmlinux");
    let store = Kernels::open(dir.path(), &packaged).unwrap();
    let text = store.default().unwrap_err().to_string();
    assert!(text.starts_with(&format!("{}: No such file", packaged.display())), "{text}");
    assert!(text.contains("install the package again"), "{text}");
    std::fs::write(&packaged, b"\x7fELF but no kernel, and long enough to be looked at by whoever looks at headers")
        .unwrap();
    store.look();
    assert!(store.default().unwrap_err().to_string().contains("not an uncompressed x86-64 ELF"));
    std::fs::write(&packaged, kernel("6.1.5-test", "late")).unwrap();
    std::fs::write(dir.path().join("vmlinux.config"), config("6.1.5", &[])).unwrap();
    store.look();
    let found = store.default().unwrap();
    assert_eq!((found.name.as_str(), found.proof, found.by_uid), (PACKAGED, Proof::Given, 0));
    assert!(store.is_ready());
}

#[test]
fn parameters_are_compared_as_the_kernel_compares_them() {
    let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
    let allowed = words("quiet init_on_alloc log-buf-len");
    assert_eq!(first_refused(&words("quiet init-on-alloc=1 log_buf_len=1M"), &allowed), None);
    assert_eq!(first_refused(&words("quiet init=/bin/sh init_on_alloc.x=1"), &allowed), Some("init=/bin/sh"));
    assert_eq!(first_refused(&words("init_on_alloc.x=1"), &allowed), Some("init_on_alloc.x=1"));
    assert_eq!(first_refused(&words("quiet"), &[]), Some("quiet"));
    assert_eq!(first_refused(&DEFAULT_ALLOWED.map(String::from), &DEFAULT_ALLOWED.map(String::from)), None);
}
