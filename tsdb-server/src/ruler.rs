//! The rules of a server: where their files are, whose data they see, and the threads that evaluate them.
//!
//! Rules belong to the default tenant. They are evaluated by an engine and on threads of their own, so dashboards
//! cannot keep them waiting. When files are read anew, a mistake in any of them leaves all rules as they were.

use crate::config::RulesConfig;
use crate::notify::Notifier;
use crate::rules::{
    self, Counts, Defaults, Group, Published, RuleFault, Schedule, StoreWorld, Surroundings, World,
};
use crate::store::Stores;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tsdb_core::read::Queryable;
use tsdb_core::time::Clock;
use tsdb_core::{Labels, TenantId, Timestamp};
use tsdb_promql::{Engine, EngineOptions, ScopedThreads};

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
    schedule: Arc<Schedule>,
    surroundings: Arc<OfServer>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the rules see of the server.
struct OfServer {
    stores: Arc<dyn Stores>,
    tenant: Option<TenantId>,
    engine: Engine,
    clock: Arc<dyn Clock>,
    external_labels: Labels,
    external_url: String,
    started: Instant,
    /// Who is told of alerts.
    notifier: Option<Arc<Notifier>>,
}

/// Queries nest; an unoptimised build spends kilobytes on each level.
const STACK_BYTES: usize = 16 << 20;

impl Ruler {
    /// Loads the rules that `config` names, to be evaluated over the store of `tenant`.
    pub(crate) fn open(
        config: RulesConfig,
        tenant: Option<TenantId>,
        stores: Arc<dyn Stores>,
        mut engine: EngineOptions,
        clock: Arc<dyn Clock>,
        notifier: Option<Arc<Notifier>>,
    ) -> Result<Self, RulesError> {
        engine.executor = Arc::new(ScopedThreads::new(1));
        let defaults = Defaults {
            interval_ms: config.evaluation_interval.as_signed_ms().max(1),
            query_offset_ms: config.query_offset.as_signed_ms(),
        };
        let labels = config.external_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let external_labels = Labels::from_pairs(labels).map_err(|error| RulesError::Faults {
            faults: vec![format!("rules.external_labels: {error}")],
        })?;
        let surroundings = Arc::new(OfServer {
            stores,
            tenant,
            engine: Engine::new(engine),
            clock,
            external_labels,
            external_url: config.external_url.trim_end_matches('/').to_owned(),
            started: Instant::now(),
            notifier,
        });
        let schedule = Arc::new(Schedule::new(defaults));
        let ruler = Self { config, schedule, surroundings, threads: Mutex::default() };
        ruler.reload()?;
        Ok(ruler)
    }

    /// Reads the files anew. Rules that were there before keep their state.
    pub(crate) fn reload(&self) -> Result<(), RulesError> {
        let groups = self.load()?;
        if !groups.is_empty() && self.surroundings.tenant.is_none() {
            return Err(RulesError::NoTenant);
        }
        self.schedule.replace(groups, self.surroundings.clock.now());
        Ok(())
    }

    fn load(&self) -> Result<Vec<Group>, RulesError> {
        let options = &self.surroundings.engine.options().parse;
        let (mut groups, mut faults) = (Vec::new(), Vec::new());
        for path in files(&self.config.files)? {
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|source| RulesError::Read { path: path.clone(), source })?;
            let name = path.display().to_string();
            match rules::parse_file(&name, &text, options) {
                Ok(found) => groups.extend(found),
                Err(found) => faults.extend(found.iter().map(|fault: &RuleFault| format!("{name}: {fault}"))),
            }
        }
        if faults.is_empty() { Ok(groups) } else { Err(RulesError::Faults { faults }) }
    }

    /// Starts the threads.
    pub(crate) fn start(&self) -> std::io::Result<()> {
        let mut threads = self.threads.lock();
        for number in 0..self.config.threads.max(1) {
            let (schedule, surroundings) = (Arc::clone(&self.schedule), Arc::clone(&self.surroundings));
            let builder = thread::Builder::new().name(format!("rules-{number}")).stack_size(STACK_BYTES);
            threads.push(builder.spawn(move || schedule.run(surroundings.as_ref()))?);
        }
        Ok(())
    }

    /// Ends the threads after the evaluations under way.
    pub(crate) fn stop(&self) {
        self.schedule.stop();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                log::error!("a thread for rules failed inside");
            }
        }
    }

    /// Every group as it was after its last evaluation, by file and name.
    pub(crate) fn groups(&self) -> Vec<Arc<Published>> {
        self.schedule.published()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.schedule.counts()
    }
}

impl Surroundings for OfServer {
    fn with_world(&self, work: &mut dyn FnMut(&dyn World, &dyn Queryable)) -> Result<(), String> {
        let tenant = self.tenant.as_ref().ok_or("there is no default tenant")?;
        let store = self.stores.open(tenant).map_err(|error| error.to_string())?;
        let world = StoreWorld {
            store: store.as_ref(),
            engine: &self.engine,
            external_labels: &self.external_labels,
            external_url: &self.external_url,
            started: self.started,
        };
        work(&world, store.as_ref());
        Ok(())
    }

    fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    fn evaluated(&self, group: &Group, at: Timestamp, interval_ms: i64) {
        if let Some(notifier) = &self.notifier {
            notifier.evaluated(group, at, interval_ms);
        }
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
