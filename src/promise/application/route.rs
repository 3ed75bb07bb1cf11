//! The ways from outside to the ports of a component.

use super::place::{Placed, PlacedPort};
use super::request::{Protocol, Visibility};
use crate::api::Choice;
use crate::promise::environment::request::{Cluster, Gateway, RouteVersion};
use crate::text::quote;
use crate::violation::Refusal;
use serde::Serialize;
use serde_json::{Value, json};

/// One way from outside to a port.
#[derive(Serialize)]
pub(super) struct Route {
    kind: &'static str,
    version: &'static str,
    name: String,
    gateway: Value,
    section: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
    port: i64,
    target: i64,
    transport: &'static str,
    traffic_from: String,
}

/// Refuses what no Gateway of a cluster lets in.
pub(super) fn no_gateway(cluster: &Cluster, visibility: Visibility) -> Refusal {
    let gateways = cluster.gateways.as_ref();
    let has = |name, gateway: Option<&Gateway>| gateway.map(|_| name);
    let known: Vec<_> = [
        has("public", gateways.and_then(|gateways| gateways.public.as_ref())),
        has("private", gateways.and_then(|gateways| gateways.private.as_ref())),
    ]
    .into_iter()
    .flatten()
    .map(quote)
    .collect();
    let help = match known.is_empty() {
        true => "it has none: use `visibility: cluster` there, or another cluster".to_owned(),
        false => format!("it has {}", known.join(", ")),
    };
    let message =
        format!("the cluster {} has no Gateway for {}", quote(cluster.name.as_str()), quote(visibility.as_str()));
    Refusal::new("no-gateway", message).help(help)
}

impl Route {
    pub fn new(
        cluster: &Cluster,
        gateway: &Gateway,
        placed: &Placed,
        port: &PlacedPort,
        host: Option<String>,
        path: Option<String>,
    ) -> Self {
        let of_version = match cluster.routes {
            RouteVersion::V1 => "v1",
            RouteVersion::V1alpha2 => "v1alpha2",
        };
        let (kind, version) = match port.protocol {
            Protocol::Http => ("HTTPRoute", "v1"),
            Protocol::Grpc => ("GRPCRoute", "v1"),
            Protocol::Tcp => ("TCPRoute", of_version),
            Protocol::Udp => ("UDPRoute", of_version),
        };
        let section = match port.protocol {
            Protocol::Http | Protocol::Grpc => gateway.section.as_ref().map(|section| section.to_string()),
            _ => Some(format!("{}-{}", port.protocol.as_str(), port.port)),
        };
        Self {
            kind,
            version,
            // No name holds two hyphens in a row, so that no two of these are one.
            name: format!("{}--{}", placed.component.name, port.name),
            gateway: json!({"namespace": gateway.namespace, "name": gateway.name}),
            section,
            host,
            path,
            port: port.port,
            target: port.target,
            transport: port.transport(),
            traffic_from: gateway.traffic_from.as_ref().unwrap_or(&gateway.namespace).to_string(),
        }
    }
}
