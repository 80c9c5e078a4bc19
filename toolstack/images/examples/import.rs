//! Imports or pulls an image into a store and says what it cost: time and peak memory.
//!
//! `import STORE_DIR oci-archive:FILE|docker-archive:FILE|oci:DIR|REFERENCE [NAME]`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use xenpod_images::{ImageStore, Limits, Platform, Progress, PullOptions, Source};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [store, from, name @ ..] = &args[..] else {
        return Err("usage: import STORE_DIR oci-archive:FILE|docker-archive:FILE|oci:DIR|REFERENCE [NAME]".into());
    };
    let store = ImageStore::open(Path::new(store), Limits::default())?;
    let start = Instant::now();
    let progress = Arc::new(move |event| match event {
        Progress::Resolved { id, layers } => println!("{:?} resolved {id}: {} layers", start.elapsed(), layers.len()),
        Progress::Building { done, total } if done == total => println!("{:?} built {total} bytes", start.elapsed()),
        _ => {}
    });
    let (kind, path) = from.split_once(':').unwrap_or(("", from));
    let image = match kind.parse() {
        Ok(kind) => {
            let source = Source::open(kind, Path::new(path), None)?;
            let name = name.first().map_or("example:latest", String::as_str).parse()?;
            store.import(source, &name, &Platform::default(), progress).await?
        }
        Err(_) => store.pull(&from.parse()?, &PullOptions::default(), progress).await?,
    };
    println!("{:?} {} -> {} ({} bytes)", start.elapsed(), image.id, image.erofs.display(), image.size);
    let status = std::fs::read_to_string("/proc/self/status")?;
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("{line}");
    }
    Ok(())
}
