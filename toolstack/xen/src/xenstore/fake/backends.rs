//! blkback and netback, as far as their states go (Linux `xen-blkback/xenbus.c`, `xen-netback/xenbus.c`).

use super::State;
use crate::ids::Domid;
use crate::xenstore::guest::State as Bus;
use crate::xenstore::op::Op;

impl State {
    /// Lets every backend react until none has anything to do.
    pub fn run_backends(&mut self) {
        while let Some(op) = self.next_backend_step() {
            // dom0 may change any node, and the step is about one that is there.
            if self.change_now(Domid::DOM0, &op).is_err() {
                return;
            }
        }
    }

    fn next_backend_step(&self) -> Option<Op> {
        let held = self.backends.as_ref()?;
        for kind in ["vif", "vbd"] {
            let root = format!("/local/domain/0/backend/{kind}");
            let Ok((domains, _)) = self.nodes.list(Domid::DOM0, &root) else { continue };
            for domain in domains {
                let Ok((devices, _)) = self.nodes.list(Domid::DOM0, &format!("{root}/{domain}")) else { continue };
                for device in devices {
                    let backend = format!("{root}/{domain}/{device}");
                    if let (false, Some(next)) = (held.contains(&backend), self.next_state(&backend)) {
                        return Some(Op::write(format!("{backend}/state"), next.as_str()));
                    }
                }
            }
        }
        None
    }

    fn next_state(&self, backend: &str) -> Option<Bus> {
        let text = |path: &str| self.nodes.get(path).map(|node| String::from_utf8_lossy(&node.value).into_owned());
        let frontend = text(&format!("{backend}/frontend"))?;
        let present = self.nodes.get(&frontend).is_some();
        let front = text(&format!("{frontend}/state"));
        let front = front.as_deref().filter(|_| present);
        match (text(&format!("{backend}/state"))?.as_str(), front) {
            ("1", Some(_)) => Some(Bus::InitWait),
            ("2", Some("3" | "4")) => Some(Bus::Connected),
            ("2" | "3" | "4", Some("5")) => Some(Bus::Closing),
            // Without a frontend, or when it is closed, the backend goes down by itself.
            ("2" | "3" | "4" | "5", None | Some("6")) => Some(Bus::Closed),
            _ => None,
        }
    }
}
