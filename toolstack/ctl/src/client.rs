//! The connection, and how objects are found.

use std::collections::HashMap;

use serde_json::{Map, Value};
use xenpod_api::proxy::{ContainerProxy, ImageProxy, ManagerProxy, PodProxy};
use zbus::fdo::PropertiesProxy;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath};

use crate::failure::Failure;
use crate::json;

/// A connection to the daemon.
pub struct Client {
    /// The system bus.
    pub bus: Connection,
    /// The daemon's root object.
    pub manager: ManagerProxy<'static>,
}

impl Client {
    /// Connects to the system bus, or to the one that `DBUS_SYSTEM_BUS_ADDRESS` names.
    pub async fn connect() -> Result<Self, Failure> {
        let bus = Connection::system().await.map_err(Failure::Bus)?;
        let manager = ManagerProxy::builder(&bus).cache_properties(CacheProperties::No).build().await?;
        Ok(Self { bus, manager })
    }

    /// The pod of that name or id.
    pub async fn pod(&self, name_or_id: &str) -> Result<PodProxy<'static>, Failure> {
        self.pod_at(self.manager.get_pod(name_or_id).await?).await
    }

    /// The pod at a path.
    pub async fn pod_at(&self, path: OwnedObjectPath) -> Result<PodProxy<'static>, Failure> {
        Ok(PodProxy::builder(&self.bus).path(path).cache_properties(CacheProperties::No).build().await?)
    }

    /// The container at a path.
    pub async fn container_at(&self, path: OwnedObjectPath) -> Result<ContainerProxy<'static>, Failure> {
        Ok(ContainerProxy::builder(&self.bus).path(path).cache_properties(CacheProperties::No).build().await?)
    }

    /// The image at a path.
    pub async fn image_at(&self, path: OwnedObjectPath) -> Result<ImageProxy<'static>, Failure> {
        Ok(ImageProxy::builder(&self.bus).path(path).cache_properties(CacheProperties::No).build().await?)
    }

    /// The container of that name, or the pod's only one; init containers and sidecars are only found by name.
    pub async fn container(&self, pod: &str, name: Option<&str>) -> Result<ContainerProxy<'static>, Failure> {
        let (mut names, mut only) = (Vec::new(), Vec::new());
        for path in self.pod(pod).await?.containers().await? {
            let container = self.container_at(path).await?;
            let its = container.name().await?;
            if name == Some(its.as_str()) {
                return Ok(container);
            }
            if name.is_none() && matches!(container.role().await?.as_str(), "app" | "added") {
                only.push(container);
            }
            names.push(its);
        }
        let list = names.join(", ");
        match name {
            Some(name) => Err(Failure::Daemon {
                name: xenpod_api::error::ErrorName::NoSuchContainer.as_str().into(),
                message: format!("pod {pod} has no container {name:?}; it has: {list}"),
            }),
            None if only.len() == 1 => Ok(only.remove(0)),
            None if names.is_empty() => Err(Failure::Usage(format!("pod {pod} has no container"))),
            None => Err(Failure::Usage(format!("pod {pod} has several containers; choose one with -c: {list}"))),
        }
    }

    /// The properties of an object, as JSON.
    pub async fn properties(
        &self,
        path: &OwnedObjectPath,
        interface: &'static str,
    ) -> Result<Map<String, Value>, Failure> {
        let proxy = PropertiesProxy::builder(&self.bus).destination("org.xenpod1").path(path).build().await?;
        let interface = zbus::names::InterfaceName::from_static_str(interface)?;
        let all: HashMap<_, _> = proxy.get_all(interface).await.map_err(zbus::Error::from)?;
        Ok(json::properties(&all))
    }
}

/// Does `act` for each name; what fails does not keep the others from being done.
pub async fn each<F, T>(names: &[String], act: F) -> Result<Vec<T>, Failure>
where
    F: AsyncFn(&str) -> Result<T, Failure>,
{
    let mut done = Vec::new();
    let mut failed = Vec::new();
    for name in names {
        match act(name).await {
            Ok(value) => done.push(value),
            Err(failure) => failed.push(failure),
        }
    }
    match failed.len() {
        0 => Ok(done),
        1 => Err(failed.remove(0)),
        _ => Err(Failure::Several(failed)),
    }
}
