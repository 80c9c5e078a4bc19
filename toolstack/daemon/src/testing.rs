//! What several tests need.

use std::collections::BTreeMap;

use xenpod_api::ids::{HostTag, PodId};
use xenpod_api::state::PodState;

use crate::journal::{ContainerRecord, Intent, LeaseRecord, Record, VERSION};

/// The manifest of a pod `name` with one container `main`.
pub fn manifest(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - name: main\n    image: example.test/app:1\n"
    )
}

/// A record of it.
pub fn record(name: &str) -> Record {
    let manifest = manifest(name);
    let spec = xenpod_api::manifest::parse(&manifest).unwrap();
    Record {
        version: VERSION,
        id: PodId::new(HostTag::random()),
        owner_uid: 0,
        created_usec: 1,
        spec,
        manifest,
        intent: Intent::Create,
        state: PodState::Creating,
        reason: String::new(),
        message: String::new(),
        started_usec: 0,
        stopped_usec: 0,
        lease: Some(LeaseRecord { v4: [10, 0, 0, 2].into(), v6: "fd00::2".parse().unwrap(), mac: [2, 0, 0, 0, 0, 2] }),
        containers: vec![ContainerRecord::new("main")],
        kernel_digest: String::new(),
        kernel_name: String::new(),
        domid: None,
        next_stream: 1,
        disks: Vec::new(),
        resize: None,
        last_event: 0,
        rest: BTreeMap::new(),
    }
}
