//! The rules of a server: where their files are, whose data they see, and the threads that evaluate them.
//!
//! Each rule belongs to one tenant, reads that tenant's data and writes there. Rules are evaluated by an engine and on
//! threads of their own, with a bound on memory of their own, so dashboards cannot keep them waiting. When files are read
//! anew, a mistake in any of them leaves all rules as they were.
//!
//! Rules of the metadata store come here with each change there ([`RuleBook`]), and the [states] of their alerts go back.

mod crew;
mod states;
pub(crate) mod stored;

use crate::config::RulesConfig;
use crate::govern::Traffic;
use crate::limits::{Limit, LimitBook};
use crate::metadata::{AlertRecord, AlertRule, MetadataError, MetadataStore, RuleBook, RuleId, RuleStatus};
use crate::rules::{
    self, AlertSink, Counts, Defaults, Departed, Group, Moment, Progress, Published, RuleFault, Schedule,
    Sent, SourceId, Standard, StoreWorld, Surroundings, Times, Trial, Watermarks, World,
};
use crate::store::{Store, Stores};
use crew::Crew;
use parking_lot::Mutex;
use states::States;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tsdb_core::read::Queryable;
use tsdb_core::time::Clock;
use tsdb_core::{Labels, TenantId, Timestamp};
use tsdb_promql::{Engine, EngineOptions, ParseOptions, ScopedThreads};

/// Rules that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// A pattern of files is none.
    #[error("rules.files: {pattern:?} is not a pattern: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        source: glob::PatternError,
    },
    /// A file cannot be read.
    #[error("rule file {path} cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Files have mistakes.
    #[error("{}", .faults.join("\n"))]
    Faults {
        /// Each mistake, with its file and place.
        faults: Vec<String>,
    },
    /// There is no default tenant whose data the rules could see.
    #[error("rules.files: rules belong to the default tenant, and tenant_required leaves none")]
    NoTenant,
}

/// Evaluates the rules of a server.
pub(crate) struct Ruler {
    config: RulesConfig,
    /// The tenant of the rules that name none.
    tenant: Option<TenantId>,
    schedule: Arc<Schedule>,
    surroundings: Arc<OfServer>,
    limits: Arc<LimitBook>,
    /// Rules of the metadata store as they were taken last.
    stored: Mutex<BTreeMap<TenantId, Stored>>,
    /// Held while files are read, so that what was read first is never put in force last.
    reloading: Mutex<()>,
    crew: Crew,
}

/// The rules of a tenant in the metadata store.
struct Stored {
    rules: Vec<AlertRule>,
    most: Limit,
    unusable: usize,
}

/// What a ruler needs of its server.
pub(crate) struct Parts {
    /// The tenant of the rules that name none.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) stores: Arc<dyn Stores>,
    pub(crate) limits: Arc<LimitBook>,
    /// What queries of rules may do; the limits of `config` are put on top.
    pub(crate) engine: EngineOptions,
    pub(crate) clock: Arc<dyn Clock>,
    /// Takes the alerts to their receivers.
    pub(crate) sink: Arc<dyn AlertSink>,
    /// Queries give way to rules.
    pub(crate) traffic: Arc<Traffic>,
}

/// What the rules see of the server.
struct OfServer {
    stores: Arc<dyn Stores>,
    engine: Engine,
    clock: Arc<dyn Clock>,
    sink: Arc<dyn AlertSink>,
    traffic: Arc<Traffic>,
    watermarks: Watermarks,
    states: States,
    external_labels: Labels,
    external_url: String,
    catch_up_ms: i64,
    started: Instant,
    started_at: Timestamp,
}

/// The rules about the server itself.
const PLATFORM_RULES: &str = include_str!("../../rules/platform.yml");
/// What their file is called.
const PLATFORM_FILE: &str = "platform.yml";

impl Ruler {
    /// Loads the rules that `config` names.
    pub(crate) fn open(config: RulesConfig, parts: Parts) -> Result<Self, RulesError> {
        let Parts { tenant, stores, limits, mut engine, clock, sink, traffic } = parts;
        engine.executor = Arc::new(ScopedThreads::new(1));
        engine.max_samples = engine.max_samples.min(config.max_samples.get().unwrap_or(u64::MAX));
        let labels = config.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let external_labels = Labels::from_pairs(labels).map_err(|error| RulesError::Faults {
            faults: vec![format!("rules.external_labels: {error}")],
        })?;
        let surroundings = Arc::new(OfServer {
            stores,
            engine: Engine::new(engine),
            started_at: clock.now(),
            clock,
            sink,
            traffic,
            watermarks: Watermarks::default(),
            states: States::default(),
            external_labels,
            external_url: config.external_url.trim_end_matches('/').to_owned(),
            catch_up_ms: config.catch_up.as_signed_ms(),
            started: Instant::now(),
        });
        let schedule = Arc::new(Schedule::new(defaults(&config)));
        let (stored, reloading, crew) = (Mutex::default(), Mutex::default(), Crew::default());
        let ruler = Self { config, tenant, schedule, surroundings, limits, stored, reloading, crew };
        ruler.reload()?;
        Ok(ruler)
    }

    /// Reads the files anew. Rules that were there before keep their state.
    pub(crate) fn reload(&self) -> Result<(), RulesError> {
        let _reading = self.reloading.lock();
        let groups = self.load()?;
        let of_files = |_: &TenantId, group: &Group| !stored::is_stored(group);
        self.schedule.replace(groups, of_files, self.surroundings.as_ref());
        Ok(())
    }

    fn load(&self) -> Result<Vec<(TenantId, Group)>, RulesError> {
        let options = &self.surroundings.engine.options().parse;
        let mut loaded = Loaded { options, groups: Vec::new(), faults: Vec::new() };
        let of_default = files(&self.config.files)?;
        if !of_default.is_empty() || self.config.platform {
            let tenant = self.tenant.as_ref().ok_or(RulesError::NoTenant)?;
            loaded.read_all(tenant, &of_default)?;
            if self.config.platform {
                loaded.add(tenant, PLATFORM_FILE, PLATFORM_RULES);
            }
        }
        for (tenant, of_tenant) in &self.config.tenants {
            let id = TenantId::new(tenant).map_err(|error| RulesError::Faults {
                faults: vec![format!("rules.tenants.{tenant}: {error}")],
            })?;
            loaded.read_all(&id, &files(&of_tenant.files)?)?;
        }
        if loaded.faults.is_empty() {
            Ok(loaded.groups)
        } else {
            Err(RulesError::Faults { faults: loaded.faults })
        }
    }

    /// Starts the threads.
    pub(crate) fn start(&self) -> std::io::Result<()> {
        self.crew.start(self.config.threads, &self.schedule, &self.surroundings)
    }

    /// Ends the threads after the evaluations under way.
    pub(crate) fn stop(&self) {
        self.schedule.stop();
        self.crew.join();
    }

    /// Every group as it was after its last evaluation, by tenant, file and name.
    pub(crate) fn groups(&self) -> Vec<Arc<Published>> {
        self.schedule.published()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.schedule.counts()
    }

    /// What `group` would do over the data of `store`, until `stop` says to stop.
    pub(crate) fn try_out(
        &self,
        store: &dyn Store,
        group: Group,
        times: Times,
        stop: &dyn Fn() -> bool,
    ) -> Trial {
        let limit = defaults(&self.config).limit;
        rules::try_out(group, times, limit, &self.surroundings.world(store), stop)
    }

    /// Takes note of what `source` of `tenant` sent: evaluations wait for senders that are late.
    pub(crate) fn heard(&self, tenant: &TenantId, source: Option<SourceId>, sent: Sent) {
        self.surroundings.watermarks.heard(tenant, source, sent, self.surroundings.moment());
    }
}

impl RuleBook for Ruler {
    fn tenants(&self) -> Vec<TenantId> {
        self.stored.lock().keys().cloned().collect()
    }

    fn take(&self, tenant: &TenantId, rules: Vec<AlertRule>, alerts: Vec<AlertRecord>) -> usize {
        let mut stored = self.stored.lock();
        let limits = self.limits.of(tenant);
        let most = limits.rules.max_rules;
        if let Some(known) = stored.get(tenant)
            && known.rules == rules
            && known.most == most
        {
            return known.unusable;
        }
        let options = &self.surroundings.engine.options().parse;
        let (groups, unusable) = stored::groups(&rules, &limits.rules, options);
        self.surroundings.states.take_over(tenant, alerts);
        let evaluated: BTreeSet<RuleId> =
            rules.iter().filter(|rule| rule.spec.status == RuleStatus::Active).map(|rule| rule.id).collect();
        self.surroundings.states.retain(tenant, &evaluated);
        let groups = groups.into_iter().map(|group| (tenant.clone(), group)).collect();
        let replaced = |of: &TenantId, group: &Group| of == tenant && stored::is_stored(group);
        self.schedule.replace(groups, replaced, self.surroundings.as_ref());
        if rules.is_empty() {
            stored.remove(tenant);
        } else {
            stored.insert(tenant.clone(), Stored { rules, most, unusable });
        }
        unusable
    }

    fn write(&self, store: &dyn MetadataStore) -> Result<(), MetadataError> {
        self.surroundings.states.write(store)
    }

    fn unwritten(&self) -> usize {
        self.surroundings.states.unwritten()
    }
}

fn defaults(config: &RulesConfig) -> Defaults {
    Defaults {
        interval_ms: config.evaluation_interval.as_signed_ms().max(1),
        query_offset_ms: config.query_offset.as_signed_ms(),
        max_wait_ms: config.max_wait.as_signed_ms(),
        catch_up_ms: config.catch_up.as_signed_ms(),
        limit: config.max_per_rule.get().map_or(0, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        history: config.history,
    }
}

/// Groups read so far, and what is wrong with others.
struct Loaded<'a> {
    options: &'a ParseOptions,
    groups: Vec<(TenantId, Group)>,
    faults: Vec<String>,
}

impl Loaded<'_> {
    fn read_all(&mut self, tenant: &TenantId, paths: &[PathBuf]) -> Result<(), RulesError> {
        for path in paths {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| RulesError::Read { path: path.clone(), source })?;
            self.add(tenant, &path.display().to_string(), &text);
        }
        Ok(())
    }

    fn add(&mut self, tenant: &TenantId, name: &str, text: &str) {
        match rules::parse_file(name, text, self.options) {
            Ok(found) => self.groups.extend(found.into_iter().map(|group| (tenant.clone(), group))),
            Err(found) => {
                self.faults.extend(found.iter().map(|fault: &RuleFault| format!("{name}: {fault}")))
            }
        }
    }
}

impl OfServer {
    fn world<'a>(&'a self, store: &'a dyn Store) -> StoreWorld<'a> {
        StoreWorld {
            store,
            engine: &self.engine,
            external_labels: &self.external_labels,
            external_url: &self.external_url,
            started: self.started,
        }
    }

    /// Who was there before the start, as far as the newest sample of `store` tells, is awaited.
    fn look_back(&self, tenant: &TenantId, store: &dyn Store) {
        let Some(range) = store.stats().and_then(|stats| stats.range) else { return };
        if range.start() >= self.started_at {
            // All of it came since.
            return;
        }
        let newest = range.end().min(self.started_at);
        if newest >= self.started_at.saturating_sub(self.catch_up_ms) {
            self.watermarks.found(tenant, newest, Moment { now: self.started_at, monotonic_ms: 0 });
        }
    }
}

impl Surroundings for OfServer {
    fn with_world(
        &self,
        tenant: &TenantId,
        work: &mut dyn FnMut(&dyn World, &dyn Queryable),
    ) -> Result<(), String> {
        let store = self.stores.open(tenant).map_err(|error| error.to_string())?;
        let _pressing = self.traffic.press();
        work(&self.world(store.as_ref()), store.as_ref());
        Ok(())
    }

    fn progress(&self, tenant: &TenantId, until: Timestamp, standard: Standard) -> Progress {
        self.watermarks.progress(tenant, until, standard, self.moment())
    }

    fn agrees(&self, tenant: &TenantId) -> bool {
        self.watermarks.agree_with(tenant, self.moment())
    }

    fn recall(&self, tenant: &TenantId, group: &mut Group) {
        self.states.give_back(tenant, group, self.clock.now());
        if let Ok(store) = self.stores.open(tenant) {
            self.look_back(tenant, store.as_ref());
        }
    }

    fn remember(&self, tenant: &TenantId, group: &Group) {
        self.states.note(tenant, group);
    }

    fn deliver(&self, tenant: &TenantId, group: &Group, at: Timestamp, interval_ms: i64) {
        self.sink.evaluated(tenant, group, at, interval_ms);
    }

    fn departed(&self, tenant: &TenantId, rules: &[Departed], at: Timestamp) {
        let numbers = rules.iter().filter_map(|rule| rule.number).map(RuleId);
        self.states.forget(tenant, &numbers.collect());
        self.sink.departed(tenant, rules, at);
    }

    fn moment(&self) -> Moment {
        let passed = self.started.elapsed().as_millis();
        Moment { now: self.clock.now(), monotonic_ms: i64::try_from(passed).unwrap_or(i64::MAX) }
    }
}

/// The files that the patterns name, sorted, each once. A name without wildcards must be there.
fn files(patterns: &[String]) -> Result<Vec<PathBuf>, RulesError> {
    let mut found = Vec::new();
    for pattern in patterns {
        if !pattern.contains(['*', '?', '[']) {
            found.push(PathBuf::from(pattern));
            continue;
        }
        let paths =
            glob::glob(pattern).map_err(|source| RulesError::Pattern { pattern: pattern.clone(), source })?;
        for path in paths {
            found.push(
                path.map_err(|error| RulesError::Read {
                    path: error.path().to_owned(),
                    source: error.into(),
                })?,
            );
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Server;
    use crate::config::{Config, ObjectStorageConfig};
    use std::collections::BTreeSet;
    use tsdb_core::metadata::MetricType;

    /// Names of all series that a server has of itself, one that keeps blocks on object storage.
    fn exported() -> BTreeSet<String> {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}", dir.path().join("far").display());
        let object_storage = ObjectStorageConfig { url, ..ObjectStorageConfig::default() };
        let data_dir = dir.path().join("data");
        let server = Server::open(Config { data_dir, object_storage, ..Config::default() }).unwrap();
        let mut names = BTreeSet::new();
        for family in server.metrics() {
            let suffixes = match family.kind {
                MetricType::Histogram => &["_bucket", "_sum", "_count"][..],
                _ => &[""],
            };
            names.extend(suffixes.iter().map(|suffix| format!("{}{suffix}", family.name)));
        }
        server.close().unwrap();
        names
    }

    #[test]
    fn the_rules_about_the_server_are_about_metrics_that_it_has() {
        let groups = rules::parse_file(PLATFORM_FILE, PLATFORM_RULES, &ParseOptions::default()).unwrap();
        let exported = exported();
        let mut named = 0;
        for running in groups.iter().flat_map(Group::rules) {
            for matcher in running.rule().selectors().iter().flatten().filter(|m| m.name() == "__name__") {
                named += 1;
                let metric = matcher.value();
                assert!(exported.contains(metric), "{}: {metric} is not exported", running.rule().name());
            }
        }
        assert!(named >= 10, "{named}");
    }
}
