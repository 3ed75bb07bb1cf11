//! What a developer wrote: Application's API.
//!
//! A component stands once above, with all that is the same everywhere, and is laid over in an instance, so every field of one
//! is optional; what it must have is asked of what comes of both (`place.rs`).
#![expect(dead_code, reason = "short forms and `remove` are for merging, which reads them where they stand")]

use crate::api::{self, Api};
use crate::document::Node;
use crate::fields;
use crate::names::{
    Capability, ClusterName, ComponentName, DataKey, Description, EnvironmentName, FilePath, HostName, ImageDigest,
    ImageName, ImageVersion, PartName, PortName, StoreKey, SubdomainName, TeamId, UrlPath, VariableName,
};
use crate::promise::environment::request::SecretStore;
use crate::quantity::{Bytes, Cpu};
use crate::scalars::{Annotations, Int, IntOrPercent, Labels, Port, Seconds, Text};
use crate::violation::Violation;

/// A text that a container gets as an argument or variable.
pub type Word = Text<32_768>;

/// What an Application is to be.
#[derive(Clone, Debug, Api)]
pub struct ApplicationSpec {
    /// The id of the Team whose it is, for ever.
    #[api(Fixed)]
    pub team: TeamId,
    /// What it does.
    pub description: Option<Description>,
    /// Where its source is.
    pub repository: Option<Repository>,
    /// What it consists of.
    #[api(Max(1000), UniqueBy("name"))]
    pub components: Vec<Component>,
    /// Where it runs, and in which version.
    #[api(Max(50), UniqueBy("environment"))]
    pub instances: Vec<Instance>,
}

/// A repository of source: one that is there, or one that is made.
#[derive(Clone, Debug, Api)]
pub struct Repository {
    /// The address of one that is there.
    pub url: Option<Text<500>>,
    /// Whether one is made, by the Application's name in the Team's organisation; it stays when the Application goes.
    pub create: Option<bool>,
}

impl Repository {
    /// Whether one is made.
    pub fn is_made(&self) -> bool {
        self.create == Some(true)
    }
}

/// An Application in one environment.
#[derive(Clone, Debug, Api)]
pub struct Instance {
    /// The Environment.
    pub environment: EnvironmentName,
    /// The image of its components that have none of their own, without its version.
    pub image: Option<ImageName>,
    /// The version of that image.
    pub version: Option<ImageVersion>,
    /// The digest of that image.
    pub digest: Option<ImageDigest>,
    /// Whether it runs; its namespace stays.
    pub enabled: Option<bool>,
    /// The clusters of the environment that it runs in; all without it.
    #[api(Max(50), Unique)]
    pub clusters: Option<Vec<ClusterName>>,
    /// What is otherwise here, laid over the components above by `name`.
    #[api(Max(1000), UniqueBy("name"))]
    pub components: Vec<Component>,
}

/// A part of an Application that runs by itself.
#[derive(Clone, Debug, Api)]
pub struct Component {
    /// Its name, which is that of its objects.
    pub name: ComponentName,
    /// What it is: every component has one, above or where it is new in an instance.
    pub r#type: Option<ComponentType>,
    /// Whether it runs.
    pub enabled: Option<bool>,
    /// Labels of its objects and Pods.
    pub labels: Option<Labels>,
    /// Annotations of its objects and Pods.
    pub annotations: Option<Annotations>,
    /// Its image, where it is another than the instance's; without its version.
    pub image: Option<ImageName>,
    /// The version of its image.
    pub version: Option<ImageVersion>,
    /// The digest of its image.
    pub digest: Option<ImageDigest>,
    /// What is run instead of the image's entrypoint: a list, each word by itself.
    #[api(Max(100))]
    pub command: Option<Vec<Word>>,
    /// Its arguments: a list, each word by itself.
    #[api(Max(200))]
    pub args: Option<Vec<Word>>,
    /// Its environment variables.
    #[api(Max(200), UniqueBy("name"))]
    pub env: Option<Vec<Variable>>,
    /// Its environment variables whose values are secret.
    #[api(Max(200), UniqueBy("name"))]
    pub secrets: Option<Vec<Secret>>,
    /// Files that it finds.
    #[api(Max(50), UniqueBy("path"))]
    pub files: Option<Vec<File>>,
    /// Processors that are kept for it.
    pub cpu: Option<Cpu>,
    /// Memory that is kept for it.
    pub memory: Option<Bytes>,
    /// The most that it may use: of memory what it requests unless said, of processors what there is.
    pub limits: Option<Limits>,
    /// The port named `main`.
    pub port: Option<Port>,
    /// What is spoken on the port named `main`.
    pub protocol: Option<Protocol>,
    /// Who reaches the port named `main`.
    pub visibility: Option<Visibility>,
    /// The host by which the port named `main` is reached.
    pub host: Option<HostName>,
    /// The path below which the port named `main` is reached.
    pub path: Option<UrlPath>,
    /// Where it listens.
    #[api(Max(20), UniqueBy("name"))]
    pub ports: Option<Vec<PortSpec>>,
    /// How to know that it is well: for `liveness` and `readiness`, unless they say otherwise.
    pub health_check: Option<Probe>,
    /// How to know that it has to be started again.
    pub liveness: Option<Probe>,
    /// How to know that it can be asked.
    pub readiness: Option<Probe>,
    /// How to know that it has started.
    pub startup: Option<Probe>,
    /// How many Pods; by default one.
    pub replicas: Option<Int<0, 10_000>>,
    /// How many Pods, by their load.
    pub autoscaling: Option<Autoscaling>,
    /// How a new version takes over.
    pub update: Option<Update>,
    /// How many Pods may be missing, or have to be there, while nodes are emptied.
    pub disruption: Option<Disruption>,
    /// Whether its Pods are spread over nodes and zones; by default they are.
    pub spread: Option<bool>,
    /// How long it has to end; by default 30.
    pub termination_grace_period_seconds: Option<Seconds>,
    /// How long it goes on before it is told to end.
    pub pre_stop_seconds: Option<Seconds>,
    /// Where its metrics are.
    pub metrics: Option<Metrics>,
    /// Folders that it has beside its image's.
    #[api(Max(50), UniqueBy("name"))]
    pub volumes: Option<Vec<Volume>>,
    /// Containers that end before it starts.
    #[api(Max(10), UniqueBy("name"))]
    pub init_containers: Option<Vec<Container>>,
    /// Containers that run beside it.
    #[api(Max(10), UniqueBy("name"))]
    pub sidecars: Option<Vec<Container>>,
    /// What its processes may do.
    pub security: Option<Security>,
    /// A ServiceAccount of its own.
    pub service_account: Option<ServiceAccount>,
    /// The Secrets by which its images are pulled.
    #[api(Max(10), Unique)]
    pub image_pull_secrets: Option<Vec<SubdomainName>>,
    /// When its images are pulled.
    pub image_pull_policy: Option<PullPolicy>,
    /// Of a cron: when it runs, as in crontab(5).
    pub schedule: Option<Text<200>>,
    /// Of a cron: the time zone of its schedule, by its name in the tz database.
    pub time_zone: Option<Text<64>>,
    /// Of a cron: whether it may run while it runs; by default not.
    pub concurrency_policy: Option<ConcurrencyPolicy>,
    /// Of a cron: whether it waits.
    pub suspend: Option<bool>,
    /// Of a cron: how late it may begin.
    pub starting_deadline_seconds: Option<Int<10, 86_400>>,
    /// Of a cron: how long it may take.
    pub active_deadline_seconds: Option<Int<1, 604_800>>,
    /// Of a cron: how often it is tried again; by default twice.
    pub backoff_limit: Option<Int<0, 100>>,
    /// Of a cron: for how long what has ended is kept.
    pub ttl_seconds_after_finished: Option<Int<0, 31_536_000>>,
    /// Of a cron: how many runs are kept.
    pub history: Option<History>,
}

/// What a component is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
pub enum ComponentType {
    /// Something that is asked.
    Webapp,
    /// Something that works by itself.
    Worker,
    /// Something that runs at set times.
    Cron,
}

/// An environment variable: with one of `value` and `component`.
#[derive(Clone, Debug, Api)]
pub struct Variable {
    /// Its name.
    pub name: VariableName,
    /// What it is.
    pub value: Option<Word>,
    /// The component whose address it is.
    pub component: Option<ComponentName>,
    /// The port of that component; by default `main`.
    pub port: Option<PortName>,
    /// That `value` is no secret, whatever its name says.
    pub allow_plain: Option<bool>,
    /// In an instance: that there is none here.
    pub remove: Option<bool>,
}

/// A secret environment variable: with one of `secret` and `external`.
#[derive(Clone, Debug, Api)]
pub struct Secret {
    /// Its name.
    pub name: VariableName,
    /// The Secret in the namespace that holds it.
    pub secret: Option<SecretKey>,
    /// What External Secrets brings.
    pub external: Option<External>,
    /// In an instance: that there is none here.
    pub remove: Option<bool>,
}

/// A key of a Secret.
#[derive(Clone, Debug, Api)]
pub struct SecretKey {
    /// The Secret.
    pub name: SubdomainName,
    /// The key in it.
    pub key: DataKey,
}

/// A secret in a store.
#[derive(Clone, Debug, Api)]
pub struct External {
    /// Its key in the store.
    pub key: StoreKey,
    /// What of it.
    pub property: Option<StoreKey>,
    /// The store, where it is not the environment's.
    pub store: Option<SecretStore>,
}

/// A file in a container.
#[derive(Clone, Debug, Api)]
pub struct File {
    /// Where it is.
    pub path: FilePath,
    /// What it holds.
    pub content: Option<Text<262_144>>,
    /// In an instance: that there is none here.
    pub remove: Option<bool>,
}

/// The most that a container may use.
#[derive(Clone, Debug, Api)]
pub struct Limits {
    /// Processors.
    pub cpu: Option<Cpu>,
    /// Memory.
    pub memory: Option<Bytes>,
}

/// A port of a component.
#[derive(Clone, Debug, Api)]
pub struct PortSpec {
    /// Its name.
    pub name: PortName,
    /// Its number, by which others reach it.
    pub port: Option<Port>,
    /// The number that the container listens at; by default `port`.
    pub target_port: Option<Port>,
    /// What is spoken; by default `http`.
    pub protocol: Option<Protocol>,
    /// Who reaches it; by default `cluster`.
    pub visibility: Option<Visibility>,
    /// The host by which it is reached.
    pub host: Option<HostName>,
    /// The path below which it is reached; by default `/`.
    pub path: Option<UrlPath>,
    /// In an instance: that there is none here.
    pub remove: Option<bool>,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
pub enum Protocol {
    /// HTTP.
    Http,
    /// gRPC.
    Grpc,
    /// Anything over TCP.
    Tcp,
    /// Anything over UDP.
    Udp,
}

/// Who reaches a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Api)]
pub enum Visibility {
    /// Who is in the cluster, and may.
    Cluster,
    /// The company.
    Private,
    /// Everybody.
    Public,
}

/// How something is known: one of `http`, `tcp`, `grpc` and `exec`.
#[derive(Clone, Debug, Api)]
pub struct Probe {
    /// By asking for a page.
    pub http: Option<HttpProbe>,
    /// By connecting.
    pub tcp: Option<PortProbe>,
    /// By gRPC's health check.
    pub grpc: Option<PortProbe>,
    /// By running something in the container.
    pub exec: Option<ExecProbe>,
    /// How often.
    pub period_seconds: Option<Int<1, 3600>>,
    /// How long one try may take.
    pub timeout_seconds: Option<Int<1, 3600>>,
    /// After how many failures it counts.
    pub failure_threshold: Option<Int<1, 1000>>,
    /// How long after the start.
    pub initial_delay_seconds: Option<Int<0, 3600>>,
}

/// A page that is asked for.
#[derive(Clone, Debug, Api)]
pub struct HttpProbe {
    /// Its path.
    pub path: Option<UrlPath>,
    /// The name of the port; by default `main`.
    pub port: Option<PortName>,
}

/// A port that is connected to.
#[derive(Clone, Debug, Api)]
pub struct PortProbe {
    /// The name of the port; by default `main`.
    pub port: Option<PortName>,
}

/// A command that is run.
#[derive(Clone, Debug, Api)]
pub struct ExecProbe {
    /// The command: a list, each word by itself.
    #[api(Max(50))]
    pub command: Vec<Word>,
}

/// Between how many Pods, and when there are more.
#[derive(Clone, Debug, Api)]
pub struct Autoscaling {
    /// The least; by default one.
    pub min: Option<Int<1, 10_000>>,
    /// The most.
    pub max: Option<Int<1, 10_000>>,
    /// The percentage of the requested processors that is aimed at; 80 where `memory` is not said either.
    pub cpu: Option<Int<1, 1000>>,
    /// The percentage of the requested memory that is aimed at.
    pub memory: Option<Int<1, 1000>>,
}

/// How a new version takes over.
#[derive(Clone, Debug, Api)]
pub struct Update {
    /// How many Pods there may be beyond those asked for; by default `25%`.
    pub max_surge: Option<IntOrPercent>,
    /// How many Pods may be missing; by default none.
    pub max_unavailable: Option<IntOrPercent>,
}

/// How many Pods may be missing, or have to be there: one of the two.
#[derive(Clone, Debug, Api)]
pub struct Disruption {
    /// The most that may be missing; by default one.
    pub max_unavailable: Option<IntOrPercent>,
    /// The least that have to be there.
    pub min_available: Option<IntOrPercent>,
}

/// Where metrics are, as Prometheus reads them.
#[derive(Clone, Debug, Api)]
pub struct Metrics {
    /// The number of the port.
    pub port: Option<Port>,
    /// The path; by default `/metrics`.
    pub path: Option<UrlPath>,
}

/// A folder: one of `emptyDir`, `claim`, `configMap` and `secret`.
#[derive(Clone, Debug, Api)]
pub struct Volume {
    /// Its name.
    pub name: PartName,
    /// Where it is.
    pub mount_path: Option<FilePath>,
    /// Whether nothing can be written there.
    pub read_only: Option<bool>,
    /// One that is empty at first, and goes with the Pod.
    pub empty_dir: Option<EmptyDir>,
    /// The PersistentVolumeClaim that is there.
    pub claim: Option<SubdomainName>,
    /// The ConfigMap that is there.
    pub config_map: Option<SubdomainName>,
    /// The Secret that is there.
    pub secret: Option<SubdomainName>,
    /// In an instance: that there is none here.
    pub remove: Option<bool>,
}

/// A folder that goes with the Pod.
#[derive(Clone, Debug, Api)]
pub struct EmptyDir {
    /// The most that it may hold.
    pub size_limit: Option<Bytes>,
    /// What it is kept in; by default the node's disk.
    pub medium: Option<Medium>,
}

/// What an empty folder is kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
#[api(as_written)]
pub enum Medium {
    /// Memory, which counts.
    Memory,
}

/// A container beside the component's own.
#[derive(Clone, Debug, Api)]
pub struct Container {
    /// Its name.
    pub name: PartName,
    /// Its image, without its version; by default the component's.
    pub image: Option<ImageName>,
    /// The version of its image.
    pub version: Option<ImageVersion>,
    /// The digest of its image.
    pub digest: Option<ImageDigest>,
    /// What is run instead of the image's entrypoint: a list, each word by itself.
    #[api(Max(100))]
    pub command: Option<Vec<Word>>,
    /// Its arguments: a list, each word by itself.
    #[api(Max(200))]
    pub args: Option<Vec<Word>>,
    /// Its environment variables.
    #[api(Max(100), UniqueBy("name"))]
    pub env: Option<Vec<Variable>>,
    /// Its environment variables whose values are secret.
    #[api(Max(100), UniqueBy("name"))]
    pub secrets: Option<Vec<Secret>>,
    /// Processors that are kept for it.
    pub cpu: Option<Cpu>,
    /// Memory that is kept for it, and the most that it may use.
    pub memory: Option<Bytes>,
}

/// What processes may do: nothing but their work, unless said.
#[derive(Clone, Debug, Api)]
pub struct Security {
    /// The number of the user that they run as.
    pub run_as_user: Option<Int<0, 2_147_483_647>>,
    /// Whether they may run as root.
    pub run_as_root: Option<bool>,
    /// Whether they may write to the image's own files.
    pub writable_root_filesystem: Option<bool>,
    /// The capabilities that they have.
    #[api(Max(40), Unique)]
    pub capabilities: Option<Vec<Capability>>,
    /// Whether they get a token for the API server.
    pub service_account_token: Option<bool>,
}

/// A ServiceAccount of a component's own.
#[derive(Clone, Debug, Api)]
pub struct ServiceAccount {
    /// Its annotations, as those by which a cloud knows it.
    pub annotations: Option<Annotations>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
#[api(as_written)]
pub enum PullPolicy {
    /// Before each start.
    Always,
    /// Where the node has it not.
    IfNotPresent,
    /// Never.
    Never,
}

/// Whether a cron may run while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Api)]
#[api(as_written)]
pub enum ConcurrencyPolicy {
    /// It may.
    Allow,
    /// It waits for its next time.
    Forbid,
    /// What runs is ended.
    Replace,
}

/// How many runs of a cron are kept.
#[derive(Clone, Debug, Api)]
pub struct History {
    /// Of those that succeeded; by default 3.
    pub succeeded: Option<Int<0, 100>>,
    /// Of those that failed; by default 1.
    pub failed: Option<Int<0, 100>>,
}

/// Reads the spec of an Application, each component as it stands: with every fault of it, and what is right all the same.
pub fn parse(spec: &Node) -> (Option<ApplicationSpec>, Vec<Violation>) {
    let mut faults = Vec::new();
    let application = fields::read(spec, "spec", &mut faults, ApplicationSpec::fill);
    (application, faults)
}

/// The schema for the API server, which would spend too long on rules in lists of lists: what they say, a step says.
pub fn schema() -> serde_json::Value {
    api::without_rules_in_lists(ApplicationSpec::schema())
}
