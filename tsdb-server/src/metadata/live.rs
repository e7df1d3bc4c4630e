//! Budgets and rules in force: what the store says reaches the limits of running requests, and the threads that evaluate
//! rules, within seconds.
//!
//! A thread asks the store for changes. While the store does not answer, the last known budgets and rules stay in force;
//! with a file to keep them in, also across a restart. Nothing on the way of samples and queries ever waits for the store.
//! The same thread writes the states of alerts.

use super::budget::limits_of;
use super::copy::{Copy, RuleCopy};
use super::service::Limiting;
use super::{Changes, MetadataError, MetadataErrorKind, MetadataStore, Overrides, Revision, RuleBook};
use crate::Limits;
use crate::admission::LimitedStores;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tsdb_core::TenantId;
use tsdb_core::time::Clock;

/// Keeps the limits of tenants as the store says.
pub(crate) struct Live {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What budgets are made of and where they go.
pub(crate) struct Shared {
    store: Arc<dyn MetadataStore>,
    stores: Arc<LimitedStores>,
    rules: Arc<dyn RuleBook>,
    /// Limits of the settings: of tenants that the settings name, and of all others.
    defaults: Limits,
    named: HashMap<TenantId, Limits>,
    /// Where the last known budgets and rules are kept.
    copy: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
    health: Health,
    stopping: Mutex<bool>,
    wake: Condvar,
}

/// Which state of the store is in force.
#[derive(Default)]
struct Known {
    revision: Revision,
    /// Rounds since everything was read.
    rounds: u32,
    /// The budgets in force; `None` if none were read yet.
    budgets: Option<BTreeMap<TenantId, Overrides>>,
    /// The rules in force, and how many of them cannot be evaluated.
    rules: BTreeMap<TenantId, (Vec<RuleCopy>, usize)>,
}

/// How it goes, for the server's own metrics.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Did the store answer the last time?
    pub(crate) up: AtomicBool,
    /// Times that it did not.
    pub(crate) failures: AtomicU64,
    /// When it last did, ms.
    pub(crate) answered_at: AtomicI64,
    /// Tenants with a budget.
    pub(crate) budgets: AtomicU64,
    /// Limits in budgets that this server does not understand.
    pub(crate) unknown_limits: AtomicU64,
    /// Rules, paused ones among them.
    pub(crate) rules: AtomicU64,
    /// Rules that are to be evaluated and cannot be.
    pub(crate) unusable_rules: AtomicU64,
    /// States of alerts that are not written yet.
    pub(crate) unwritten_states: AtomicU64,
    /// Descriptions of metrics put into the catalogue.
    pub(crate) described: AtomicU64,
}

/// Everything is read anew after so many rounds without a change, in case a store does not tell one.
const ROUNDS_UNTIL_ALL: u32 = 60;

impl Live {
    /// Takes the budgets and rules of `store` into force; those in the file `copy` if the store does not answer.
    ///
    /// # Errors
    /// The store answers, and cannot be used.
    pub(crate) fn open(
        store: Arc<dyn MetadataStore>,
        Limiting { stores, defaults, named }: Limiting,
        rules: Arc<dyn RuleBook>,
        copy: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, MetadataError> {
        let shared = Arc::new(Shared {
            store,
            stores,
            rules,
            defaults,
            named,
            copy,
            clock,
            known: Mutex::default(),
            health: Health::default(),
            stopping: Mutex::new(false),
            wake: Condvar::new(),
        });
        shared.health.up.store(true, Ordering::Relaxed);
        match shared.refresh() {
            Ok(()) => {}
            Err(error) if error.kind() == MetadataErrorKind::Unavailable => shared.take_copy(),
            Err(error) => return Err(error),
        }
        Ok(Self { shared, thread: Mutex::default() })
    }

    /// Starts the thread that asks for changes every `interval`, and does `chores` after each answer.
    pub(crate) fn start(
        &self,
        interval: Duration,
        chores: impl Fn(&Shared) + Send + 'static,
    ) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let run = move || {
            while shared.wait(interval) {
                if shared.refresh().is_ok() {
                    shared.write_states();
                    chores(&shared);
                }
            }
        };
        let mut thread = self.thread.lock();
        if thread.is_none() {
            *thread = Some(thread::Builder::new().name("metadata".to_owned()).spawn(run)?);
        }
        Ok(())
    }

    /// Ends the thread after what it is doing, and writes the last states of alerts.
    pub(crate) fn stop(&self) {
        *self.shared.stopping.lock() = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            log::error!("the thread for metadata failed inside");
        }
        self.shared.write_states();
    }

    /// The store.
    pub(crate) fn store(&self) -> &Arc<dyn MetadataStore> {
        &self.shared.store
    }

    /// Reads budgets and rules now, for a change that was just made here; if that fails, the thread will.
    pub(crate) fn refresh(&self) {
        drop(self.shared.refresh());
    }

    /// The limits that `tenant` would have without a budget.
    pub(crate) fn base(&self, tenant: &TenantId) -> &Limits {
        self.shared.base(tenant)
    }

    /// How it goes.
    pub(crate) fn health(&self) -> &Health {
        &self.shared.health
    }
}

impl Shared {
    /// The store.
    pub(crate) fn store(&self) -> &dyn MetadataStore {
        self.store.as_ref()
    }

    /// How it goes.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Waits for `interval`. Is there more to do after it?
    fn wait(&self, interval: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.wake.wait_for(&mut stopping, interval);
        }
        !*stopping
    }

    /// Writes the states of alerts that changed.
    fn write_states(&self) {
        if let Err(error) = self.rules.write(self.store.as_ref()) {
            log::warn!("states of alerts are kept in memory: {error}");
        }
        self.health.unwritten_states.store(self.rules.unwritten() as u64, Ordering::Relaxed);
    }

    /// Takes the budgets and rules of the store if any changed.
    fn refresh(&self) -> Result<(), MetadataError> {
        let outcome = self.take_changes();
        self.note(outcome.as_ref().err());
        outcome
    }

    fn take_changes(&self) -> Result<(), MetadataError> {
        // Held while the store answers, so that an older answer never comes after a newer one.
        let mut known = self.known.lock();
        let again = known.rounds >= ROUNDS_UNTIL_ALL;
        let changes = self.store.changes(if again { Revision::START } else { known.revision })?;
        let mut is_new = false;
        if changes.all || !changes.budgets.is_empty() {
            let budgets = self.store.budgets()?;
            let budgets = budgets.into_iter().map(|budget| (budget.tenant, budget.overrides));
            let budgets: BTreeMap<TenantId, Overrides> = budgets.collect();
            if known.budgets.as_ref() != Some(&budgets) {
                self.put_in_force(&budgets);
                known.budgets = Some(budgets);
                is_new = true;
            }
        }
        is_new |= self.take_rules(&mut known, &changes)?;
        if is_new {
            self.keep_copy(&known);
        }
        if changes.all {
            known.rounds = 0;
        }
        known.rounds = known.rounds.saturating_add(1);
        known.revision = changes.revision;
        Ok(())
    }

    /// Takes the rules that changed. Did any?
    fn take_rules(&self, known: &mut Known, changes: &Changes) -> Result<bool, MetadataError> {
        let mut changed: BTreeSet<TenantId> = changes.rules.iter().cloned().collect();
        let mut is_new = false;
        if changes.all {
            changed.extend(self.rules.tenants());
        }
        for tenant in changed {
            let rules = self.store.rules(&tenant, None)?;
            let is_first = !known.rules.contains_key(&tenant);
            let alerts = if is_first { self.store.alerts(&tenant)? } else { Vec::new() };
            let copies: Vec<RuleCopy> = rules.iter().map(RuleCopy::of).collect();
            let unusable = self.rules.take(&tenant, rules, alerts);
            is_new |= known.rules.get(&tenant).map_or(!copies.is_empty(), |(before, _)| *before != copies);
            if copies.is_empty() {
                known.rules.remove(&tenant);
            } else {
                known.rules.insert(tenant, (copies, unusable));
            }
        }
        let (mut rules, mut unusable) = (0u64, 0u64);
        for (of_tenant, of_them) in known.rules.values() {
            rules = rules.saturating_add(of_tenant.len() as u64);
            unusable = unusable.saturating_add(*of_them as u64);
        }
        self.health.rules.store(rules, Ordering::Relaxed);
        self.health.unusable_rules.store(unusable, Ordering::Relaxed);
        Ok(is_new)
    }

    fn put_in_force(&self, budgets: &BTreeMap<TenantId, Overrides>) {
        let (own, unknown) = limits_of(budgets, &self.defaults, &self.named);
        self.stores.replace_limits(own);
        self.health.budgets.store(budgets.len() as u64, Ordering::Relaxed);
        self.health.unknown_limits.store(unknown, Ordering::Relaxed);
    }

    fn base(&self, tenant: &TenantId) -> &Limits {
        self.named.get(tenant).unwrap_or(&self.defaults)
    }

    fn note(&self, error: Option<&MetadataError>) {
        let was_up = self.health.up.swap(error.is_none(), Ordering::Relaxed);
        match error {
            None => {
                self.health.answered_at.store(self.clock.now(), Ordering::Relaxed);
                if !was_up {
                    log::info!("the metadata store answers again");
                }
            }
            Some(error) => {
                self.health.failures.fetch_add(1, Ordering::Relaxed);
                if was_up {
                    log::error!("{error}; the last known limits and rules stay in force");
                }
            }
        }
    }

    fn keep_copy(&self, known: &Known) {
        let Some(path) = &self.copy else { return };
        let rules = known.rules.iter().map(|(tenant, (rules, _))| (tenant.clone(), rules.clone()));
        let copy = Copy { budgets: known.budgets.clone().unwrap_or_default(), rules: rules.collect() };
        if copy == Copy::default() && !path.exists() {
            return;
        }
        if let Err(error) = copy.write(path) {
            log::warn!("limits and rules of tenants cannot be kept in {}: {error}", path.display());
        }
    }

    /// Puts the budgets and rules in force that the file has.
    fn take_copy(&self) {
        let Some(path) = &self.copy else { return };
        match Copy::read(path) {
            Ok(Copy { budgets, rules }) => {
                log::warn!("{} budgets are those of {}", budgets.len(), path.display());
                self.put_in_force(&budgets);
                for (tenant, rules) in rules {
                    let rules = rules.into_iter().map(|rule| rule.rule(&tenant)).collect();
                    self.rules.take(&tenant, rules, Vec::new());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                log::warn!("nothing expires before the metadata store says what tenants keep");
            }
            Err(error) => {
                log::error!("{} cannot be read: {error}; nothing expires before", path.display());
            }
        }
    }
}
