//! `xenpodctl doctor`: what the daemon finds on the host, and whether there is a daemon at all.

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::{Value, json};
use xenpod_api::proxy::HostCheck;

use crate::client::Client;
use crate::failure::{Failure, XENPOD_FAILED};

pub async fn run(as_json: bool) -> Result<ExitCode, Failure> {
    let checks = checks().await;
    let failed = checks.iter().any(|(_, outcome, ..)| outcome == "fail");
    if as_json {
        let all = checks.iter().map(|(check, outcome, detail, remedy)| json!({"check": check, "outcome": outcome, "detail": detail, "remedy": remedy}));
        crate::json::print(&Value::Array(all.collect()));
    } else {
        for (check, outcome, detail, remedy) in &checks {
            println!("{outcome:<4}  {check}: {detail}");
            if !remedy.is_empty() {
                println!("      {remedy}");
            }
        }
    }
    Ok(if failed { ExitCode::from(XENPOD_FAILED) } else { ExitCode::SUCCESS })
}

async fn checks() -> Vec<HostCheck> {
    let asked = async { Ok::<_, Failure>(Client::connect().await?.manager.check_host(HashMap::new()).await?) };
    match asked.await {
        Ok(mut checks) => {
            checks.insert(0, ("daemon".into(), "ok".into(), "xenpodd answers".into(), String::new()));
            checks
        }
        Err(e) => {
            let remedy =
                "start it with `systemctl start xenpodd`, and read `journalctl -u xenpodd` if it does not stay up";
            let mut checks = vec![("daemon".into(), "fail".into(), e.to_string(), remedy.into())];
            let xen = std::fs::read_to_string("/sys/hypervisor/type").is_ok_and(|t| t.trim() == "xen");
            let (outcome, detail, remedy) = if xen {
                ("ok", "this machine runs Xen", "")
            } else {
                ("fail", "this machine does not run Xen", "install xen-system-amd64 and boot its entry")
            };
            checks.push(("xen".into(), outcome.into(), detail.into(), remedy.into()));
            checks
        }
    }
}
