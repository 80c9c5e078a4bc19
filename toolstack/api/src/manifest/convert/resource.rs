//! What a `resourceFieldRef` names: a limit or request of a container, for its environment or a file.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::Report;
use crate::quantity::{parse_milli, parse_units};
use crate::spec::Field;

/// What it is for container `of`, as `ExtractContainerResourceValue` of Kubernetes' pkg/api/v1/resource has it: a limit that is
/// not given is what the pod has, a request that is not given is the limit, the value is divided and rounded up.
pub(super) fn field(
    of: &core::Container,
    from: &core::ResourceFieldSelector,
    at: &str,
    report: &mut Report<'_>,
) -> Option<Field> {
    let (is_limit, key) = match from.resource.split_once('.') {
        Some(("limits", key @ ("cpu" | "memory"))) => (true, key),
        Some(("requests", key @ ("cpu" | "memory"))) => (false, key),
        _ => {
            let text = format!(
                "{:?} is not supported; there are limits.cpu, limits.memory, requests.cpu and requests.memory",
                from.resource
            );
            report.unsupported(format!("{at}.resource"), text);
            return None;
        }
    };
    let cpu = key == "cpu";
    let parse = if cpu { parse_milli } else { parse_units };
    let one = if cpu { 1000 } else { 1 };
    let divisor = match from.divisor.as_ref().map(|d| parse(&d.0)) {
        None | Some(Ok(0)) => one,
        Some(Ok(divisor)) => divisor,
        Some(Err(error)) => {
            report.invalid(format!("{at}.divisor"), error.to_string());
            one
        }
    };
    // What is wrong with a quantity is said where it stands.
    let given = |list: fn(&core::ResourceRequirements) -> &Option<_>| {
        let list: &Option<std::collections::BTreeMap<_, Quantity>> = list(of.resources.as_ref()?);
        parse(&list.as_ref()?.get(key)?.0).ok()
    };
    let limit = given(|r| &r.limits).filter(|limit| *limit > 0);
    let value = if is_limit { limit } else { given(|r| &r.requests).or(limit).or(Some(0)) };
    Some(Field::Resource { cpu, value, divisor })
}
