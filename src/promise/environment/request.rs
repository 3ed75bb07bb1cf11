//! What the platform wrote: Environment's API.

use crate::api::Api;
use crate::document::Node;
use crate::fields;
use crate::names::{
    Addresses, ClusterName, ClusterRoleName, Description, EnvironmentName, HostName, NamespaceName, SubdomainName,
    TeamId,
};
use crate::quantity::{Bytes, Count, Cpu};
use crate::scalars::{Int, Labels, Port, Settings};
use crate::violation::{Refusal, Violation};
use serde::Serialize;
use std::collections::BTreeSet;

/// What an environment is to be.
#[derive(Debug, Api)]
pub struct EnvironmentSpec {
    /// What it is for.
    pub description: Option<Description>,
    /// The Environment whose versions come here next.
    pub promotes_from: Option<EnvironmentName>,
    /// Its clusters: what is deployed to it comes to each.
    #[api(Max(50), UniqueBy("name"))]
    pub clusters: Vec<Cluster>,
    /// The ids of the Teams that may deploy here; everybody without it.
    #[api(Max(500), Unique)]
    pub teams: Option<Vec<TeamId>>,
    /// What the people of a Team may do in the namespaces of its Applications, by their role in the Team.
    pub access: Access,
    /// What templates get to know, by words.
    pub settings: Settings,
    /// What a component or a namespace gets that does not say.
    pub defaults: EnvironmentDefaults,
    /// What namespaces may reach, and be reached by.
    pub network: EnvironmentNetwork,
    /// The Pod Security Standard that holds in the namespaces.
    pub pod_security: PodSecurity,
    /// How a change of this reaches the Applications.
    pub rollout: Rollout,
}

/// A cluster of an environment.
#[derive(Debug, Api)]
pub struct Cluster {
    /// Its name, which no other environment has.
    pub name: ClusterName,
    /// Further labels of its Destination.
    pub labels: Option<Labels>,
    /// Where Kratix leaves what is for it.
    pub state_store: StateStore,
    /// The Gateways by which its components are reached from outside.
    pub gateways: Option<Gateways>,
    /// The version of TCPRoute and UDPRoute that it serves: `v1alpha2` for Gateway API before 1.6.
    pub routes: RouteVersion,
    /// How Flux of the platform's cluster reaches it; without it something else reads its path.
    pub kube_config: Option<KubeConfig>,
}

/// A store of Kratix's.
#[derive(Debug, Api)]
pub struct StateStore {
    /// Its kind.
    pub kind: StoreKind,
    /// Its name.
    pub name: SubdomainName,
}

/// What keeps the files of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
#[api(as_written)]
pub enum StoreKind {
    /// A git repository.
    GitStateStore,
    /// A bucket.
    BucketStateStore,
}

/// Gateways by whom they let in.
#[derive(Debug, Api)]
pub struct Gateways {
    /// For everybody.
    pub public: Option<Gateway>,
    /// For the company.
    pub private: Option<Gateway>,
}

/// A Gateway of a cluster (gateway.networking.k8s.io).
#[derive(Debug, Api)]
pub struct Gateway {
    /// Its namespace.
    pub namespace: NamespaceName,
    /// Its name.
    pub name: SubdomainName,
    /// The listener that takes http and grpc, where TLS ends.
    pub section: Option<SubdomainName>,
    /// The domain of hosts for components that name none: `<component>-<application>.<domain>`.
    pub domain: Option<HostName>,
    /// The namespace of the Pods that its traffic comes from; by default its own.
    pub traffic_from: Option<NamespaceName>,
}

/// A version of routes that are no http.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
pub enum RouteVersion {
    /// That of Gateway API from 1.6 on.
    #[default]
    V1,
    /// That of before.
    V1alpha2,
}

/// What Flux applies with.
#[derive(Debug, Api)]
pub struct KubeConfig {
    /// The Secret in Flux's namespace that holds a kubeconfig under `value`.
    pub secret: SubdomainName,
}

/// The ClusterRole of each role of a Team; where none is said, that which Teams have in their own namespace.
#[derive(Debug, Api)]
pub struct Access {
    /// For those who may do everything.
    pub admin: Option<ClusterRoleName>,
    /// For those who write, and make repositories.
    pub maintainer: Option<ClusterRoleName>,
    /// For those who write.
    pub developer: Option<ClusterRoleName>,
    /// For those who read.
    pub viewer: Option<ClusterRoleName>,
}

/// What is given to what does not say.
#[derive(Debug, Api)]
pub struct EnvironmentDefaults {
    /// Processors that a component requests.
    pub cpu: Option<Cpu>,
    /// Memory that a component requests.
    pub memory: Option<Bytes>,
    /// What an Application's namespace may use; as much as there is without it.
    pub quota: Option<NamespaceQuota>,
    /// Where external secrets come from.
    pub secret_store: Option<SecretStore>,
}

/// What a namespace may use.
#[derive(Debug, Api)]
pub struct NamespaceQuota {
    /// Processors, requested together.
    pub cpu: Option<Cpu>,
    /// Memory, requested together, and at most.
    pub memory: Option<Bytes>,
    /// The number of Pods.
    pub pods: Option<Count>,
}

/// A store of External Secrets'.
#[derive(Clone, Debug, Api, Serialize)]
pub struct SecretStore {
    /// Its kind.
    pub kind: SecretStoreKind,
    /// Its name.
    pub name: SubdomainName,
}

/// Where a store of secrets is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
#[api(as_written)]
pub enum SecretStoreKind {
    /// In the cluster.
    #[default]
    ClusterSecretStore,
    /// In the namespace.
    SecretStore,
}

/// What the namespaces of Applications may reach, and be reached by.
#[derive(Debug, Api)]
pub struct EnvironmentNetwork {
    /// The namespace that reads metrics.
    pub monitoring: Option<NamespaceName>,
    /// What may be reached.
    pub egress: Egress,
    /// What may be reached beyond the cluster, where egress is restricted.
    #[api(Max(100))]
    pub allow: Vec<AllowedAddresses>,
}

/// What Pods may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
pub enum Egress {
    /// Everything.
    #[default]
    Open,
    /// Their own namespace, DNS, what other Teams let them, and what is allowed.
    Restricted,
}

/// Addresses that may be reached.
#[derive(Debug, Api, Serialize)]
pub struct AllowedAddresses {
    /// The block of addresses.
    pub cidr: Addresses,
    /// The ports; all without it.
    #[api(Max(100))]
    pub ports: Vec<Port>,
}

/// A [Pod Security Standard](https://kubernetes.io/docs/concepts/security/pod-security-standards/).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
pub enum PodSecurity {
    /// What hardens Pods.
    #[default]
    Restricted,
    /// What keeps them from the node.
    Baseline,
}

/// How a change reaches the Applications: one, and then some at a time.
#[derive(Debug, Api)]
pub struct Rollout {
    /// How many Applications are at work at once; by default 20.
    pub batch: Option<Int<1, 500>>,
    /// How many seconds to wait before each look; by default 30.
    pub pause_seconds: Option<Int<1, 3600>>,
}

/// Reads the spec of an Environment.
///
/// # Errors
/// Every fault of it alone.
pub fn parse(spec: &Node) -> Result<EnvironmentSpec, Vec<Violation>> {
    let mut faults = Vec::new();
    let environment = fields::read(spec, "spec", &mut faults, EnvironmentSpec::fill);
    environment.filter(|_| faults.is_empty()).ok_or(faults)
}

impl Cluster {
    /// The name of its Destination, and of the folder that goes there.
    pub fn destination(&self, environment: &EnvironmentName) -> String {
        format!("{environment}.{}", self.name)
    }
}

impl EnvironmentSpec {
    /// What is wrong between its fields, and with its name.
    pub fn check(&self, name: &EnvironmentName, spec: &Node) -> Vec<Violation> {
        let mut faults = Vec::new();
        let mut fault = |path: String, refusal: Refusal| {
            let span = spec.at(path.trim_start_matches("spec.")).unwrap_or(spec).span;
            faults.push(refusal.at(path, Some(span)));
        };
        for (n, cluster) in self.clusters.iter().enumerate() {
            let destination = cluster.destination(name);
            if destination.len() > 63 {
                let message = format!("the Destination `{destination}` would have {} characters", destination.len());
                let refusal = Refusal::new("length", message).help("use names of at most 62 together");
                fault(format!("spec.clusters[{n}].name"), refusal);
            }
        }
        let allowed = &self.network.allow;
        if self.network.egress == Egress::Open && !allowed.is_empty() {
            let refusal = Refusal::new("alternative", "says what may be reached, and everything may");
            fault("spec.network.allow".to_owned(), refusal.help("set `egress: restricted`, or leave it out"));
        }
        let blocks: BTreeSet<_> = allowed.iter().map(|allowed| &allowed.cidr).collect();
        if blocks.len() < allowed.len() {
            let refusal = Refusal::new("duplicate", "names a block of addresses twice");
            fault("spec.network.allow".to_owned(), refusal.help("put its ports together"));
        }
        faults
    }

    /// How many Applications are at work at once.
    pub fn batch(&self) -> usize {
        self.rollout.batch.and_then(|batch| usize::try_from(batch.get()).ok()).unwrap_or(20)
    }

    /// How many seconds to wait before each look.
    pub fn pause_seconds(&self) -> u64 {
        self.rollout.pause_seconds.and_then(|pause| u64::try_from(pause.get()).ok()).unwrap_or(30)
    }
}
