//! The size of a domain: what Xen says it has, and how its kernel is told that it may get more.

use xenpod_xen::hypervisor::{Hypervisor, HypervisorError};
use xenpod_xen::ids::DomainRef;

use super::domains::HostDomains;
use crate::engine::resize::DomainSize;
use crate::engine::world::{DomainError, DomainPlan};

impl<H: Hypervisor> HostDomains<H> {
    pub(super) async fn size_of(&self, domain: DomainRef) -> Result<DomainSize, DomainError> {
        let info = self.call(move |xen| xen.info(domain.domid)).await?;
        match info.filter(|info| info.uuid == domain.uuid) {
            Some(info) => Ok(DomainSize { memory_kib: info.memory_kib, vcpus: info.online_vcpus }),
            None => Err(HypervisorError::NoSuchDomain(domain).into()),
        }
    }
}

/// The kernel's command line: the host's, and what the pod adds. One that may get more vCPUs later is kept from starting them all.
pub(super) fn command_line(args: &str, plan: &DomainPlan) -> String {
    let mut line = args.to_owned();
    for parameter in &plan.kernel_args {
        line.push(' ');
        line.push_str(parameter);
    }
    if plan.vcpus < plan.max_vcpus {
        line.push_str(&format!(" maxcpus={}", plan.vcpus));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_domain_with_spare_vcpus_is_told_so() {
        let id = xenpod_api::ids::PodId::new(xenpod_api::ids::HostTag::random());
        let mut plan = DomainPlan {
            id,
            name: "a".into(),
            memory_kib: 4096,
            vcpus: 2,
            max_vcpus: 2,
            kernel: None,
            kernel_args: Vec::new(),
        };
        assert_eq!(command_line("quiet", &plan), "quiet");
        plan.max_vcpus = 4;
        plan.kernel_args = vec!["loglevel=7".into()];
        assert_eq!(command_line("quiet", &plan), "quiet loglevel=7 maxcpus=2");
    }
}
