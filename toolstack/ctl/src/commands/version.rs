//! `xenpodctl version`

use std::process::ExitCode;

use serde_json::json;

use crate::client::Client;
use crate::failure::Failure;

pub async fn run(as_json: bool) -> Result<ExitCode, Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let daemon = match Client::connect().await {
        Ok(client) => client.manager.version().await.map(|version| (version, client)).map_err(Failure::from),
        Err(e) => Err(e),
    };
    let (version, xen, xenstored, kernel) = match &daemon {
        Ok((version, client)) => (
            Some(version.clone()),
            client.manager.xen_version().await?,
            client.manager.xenstored().await?,
            client.manager.kernel_digest().await?,
        ),
        Err(_) => Default::default(),
    };
    if as_json {
        crate::json::print(
            &json!({"xenpodctl": ours, "xenpodd": version, "xen": xen, "xenstored": xenstored, "kernel": kernel}),
        );
    } else {
        println!("xenpodctl {ours}");
        if let Some(version) = version {
            println!("xenpodd {version}");
            println!("xen {}", if xen.is_empty() { "none" } else { &xen });
            println!("xenstored {}", if xenstored.is_empty() { "none" } else { &xenstored });
            println!("kernel {}", if kernel.is_empty() { "none" } else { &kernel });
        }
    }
    daemon.map(|_| ExitCode::SUCCESS)
}
