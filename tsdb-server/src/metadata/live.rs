//! Budgets and rules in force: what the store says reaches the limits of running requests, and the threads that evaluate
//! rules, within seconds.
//!
//! A thread asks the store for changes. While the store does not answer, the last known budgets and rules stay in force;
//! with a file to keep them in, also across a restart. Nothing on the way of samples and queries ever waits for the store.
//! The same thread writes the states of alerts.

use super::budget::limits_of;
use super::copy::{Copy, RuleCopy};
use super::service::Limiting;
use super::{Changes, MetadataError, MetadataStore, Overrides, Revision, RuleBook, RuleList, Unreadable};
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
    /// The rules in force.
    rules: BTreeMap<TenantId, OfTenant>,
    /// Budgets and rules that are nobody's.
    unreadable: Vec<Unreadable>,
    /// Was everything read once? Before that the copy knows more.
    is_whole: bool,
    /// Is the copy not yet as all this is?
    is_unwritten: bool,
}

/// The rules of a tenant.
#[derive(Default)]
struct OfTenant {
    rules: Vec<RuleCopy>,
    /// How many of them cannot be evaluated.
    unusable: usize,
    unreadable: Vec<Unreadable>,
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
    /// Rules that are to be evaluated and cannot be, or not be read.
    pub(crate) unusable_rules: AtomicU64,
    /// Rules that cannot be read, and tenants with budgets or rules whose names are none.
    pub(crate) unreadable: AtomicU64,
    /// States of alerts that are not written yet.
    pub(crate) unwritten_states: AtomicU64,
    /// Descriptions of metrics put into the catalogue.
    pub(crate) described: AtomicU64,
}

/// Everything is read anew after so many rounds without a change, in case a store does not tell one.
const ROUNDS_UNTIL_ALL: u32 = 60;

impl Live {
    /// Takes the budgets and rules of `store` into force; those in the file `copy` if the store does not answer, or is damaged.
    ///
    /// # Errors
    /// The store is of a newer program, or it is damaged and there is no copy.
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
            Err(MetadataError::Unavailable { .. }) => {
                shared.take_copy();
            }
            Err(error) => {
                if !matches!(error, MetadataError::Damaged { .. }) || !shared.take_copy() {
                    return Err(error);
                }
            }
        }
        Ok(Self { shared, thread: Mutex::default() })
    }

    /// Starts the thread that asks for changes every `interval`, and then does `chores`.
    pub(crate) fn start(
        &self,
        interval: Duration,
        chores: impl Fn(&Shared) + Send + 'static,
    ) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let run = move || {
            while shared.wait(interval) {
                // What cannot be read is no reason not to write.
                drop(shared.refresh());
                shared.write_states();
                chores(&shared);
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
            // Of a store that is away it was said before.
            let is_news = self.health.up.load(Ordering::Relaxed);
            let level = if is_news { log::Level::Warn } else { log::Level::Debug };
            log::log!(level, "states of alerts are kept in memory: {error}");
        }
        self.health.unwritten_states.store(self.rules.unwritten() as u64, Ordering::Relaxed);
    }

    /// Takes the budgets and rules of the store if any changed.
    fn refresh(&self) -> Result<(), MetadataError> {
        // Held while the store answers, so that an older answer never comes after a newer one.
        let mut known = self.known.lock();
        let outcome = self.take_changes(&mut known);
        self.note(outcome.as_ref().err());
        self.keep_copy(&mut known);
        outcome
    }

    fn take_changes(&self, known: &mut Known) -> Result<(), MetadataError> {
        let again = known.rounds >= ROUNDS_UNTIL_ALL;
        let mut changes = self.store.changes(if again { Revision::START } else { known.revision })?;
        // A fault of the ones does not keep the others from being taken.
        let budgets = self.take_budgets(known, &changes);
        let rules = self.take_rules(known, &changes);
        budgets.and(rules)?;
        if changes.all {
            self.take_unreadable(known, std::mem::take(&mut changes.unreadable));
            known.rounds = 0;
        }
        known.rounds = known.rounds.saturating_add(1);
        known.revision = changes.revision;
        known.is_whole = true;
        Ok(())
    }

    fn take_budgets(&self, known: &mut Known, changes: &Changes) -> Result<(), MetadataError> {
        if !changes.all && changes.budgets.is_empty() {
            return Ok(());
        }
        let budgets = self.store.budgets()?;
        let budgets = budgets.into_iter().map(|budget| (budget.tenant, budget.overrides));
        let budgets: BTreeMap<TenantId, Overrides> = budgets.collect();
        if known.budgets.as_ref() != Some(&budgets) {
            self.put_in_force(&budgets);
            known.budgets = Some(budgets);
            known.is_unwritten = true;
        }
        Ok(())
    }

    /// Takes the rules that changed, and those of tenants that may have more or fewer of them now.
    fn take_rules(&self, known: &mut Known, changes: &Changes) -> Result<(), MetadataError> {
        let mut changed: BTreeSet<TenantId> = changes.rules.iter().cloned().collect();
        let with_rules = self.rules.tenants().into_iter().chain(known.rules.keys().cloned());
        changed.extend(with_rules.filter(|tenant| changes.all || changes.budgets.contains(tenant)));
        let mut outcome = Ok(());
        for tenant in changed {
            outcome = outcome.and(self.take_rules_of(&tenant, known));
        }
        self.count(known);
        outcome
    }

    fn take_rules_of(&self, tenant: &TenantId, known: &mut Known) -> Result<(), MetadataError> {
        let RuleList { rules, unreadable } = self.store.rules(tenant, None)?;
        let is_first = !known.rules.contains_key(tenant);
        let alerts = if is_first { self.store.alerts(tenant)? } else { Vec::new() };
        let before = known.rules.remove(tenant).unwrap_or_default();
        warn_of(&unreadable, &before.unreadable);
        let copies: Vec<RuleCopy> = rules.iter().map(RuleCopy::of).collect();
        let unusable = self.rules.take(tenant, rules, alerts);
        known.is_unwritten |= before.rules != copies;
        if !copies.is_empty() || !unreadable.is_empty() {
            known.rules.insert(tenant.clone(), OfTenant { rules: copies, unusable, unreadable });
        }
        Ok(())
    }

    fn take_unreadable(&self, known: &mut Known, unreadable: Vec<Unreadable>) {
        warn_of(&unreadable, &known.unreadable);
        known.unreadable = unreadable;
        self.count(known);
    }

    fn count(&self, known: &Known) {
        let (mut rules, mut unusable, mut unreadable) = (0, 0, 0);
        for of_tenant in known.rules.values() {
            rules += of_tenant.rules.len();
            unusable += of_tenant.unusable;
            unreadable += of_tenant.unreadable.len();
        }
        self.health.rules.store((rules + unreadable) as u64, Ordering::Relaxed);
        self.health.unusable_rules.store((unusable + unreadable) as u64, Ordering::Relaxed);
        self.health.unreadable.store((unreadable + known.unreadable.len()) as u64, Ordering::Relaxed);
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

    /// Writes the copy if it is older than what is known; if that fails, the next round tries again.
    fn keep_copy(&self, known: &mut Known) {
        if !known.is_whole || !known.is_unwritten {
            return;
        }
        let Some(path) = &self.copy else { return };
        let rules = known.rules.iter().filter(|(_, of_tenant)| !of_tenant.rules.is_empty());
        let rules = rules.map(|(tenant, of_tenant)| (tenant.clone(), of_tenant.rules.clone())).collect();
        let copy = Copy { budgets: known.budgets.clone().unwrap_or_default(), rules };
        if copy == Copy::default() && !path.exists() {
            return;
        }
        match copy.write(path) {
            Ok(()) => known.is_unwritten = false,
            Err(error) => {
                log::warn!("limits and rules of tenants cannot be kept in {}: {error}", path.display());
            }
        }
    }

    /// Puts the budgets and rules in force that the file has, where the store did not say others. Is there such a file?
    fn take_copy(&self) -> bool {
        let Some(path) = &self.copy else { return false };
        let known = self.known.lock();
        match Copy::read(path) {
            Ok(Copy { budgets, rules }) => {
                log::warn!("{} budgets are those of {}", budgets.len(), path.display());
                if known.budgets.is_none() {
                    self.put_in_force(&budgets);
                }
                for (tenant, rules) in rules.into_iter().filter(|(of, _)| !known.rules.contains_key(of)) {
                    let rules = rules.into_iter().map(|rule| rule.rule(&tenant)).collect();
                    self.rules.take(&tenant, rules, Vec::new());
                }
                return true;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                log::warn!("nothing expires before the metadata store says what tenants keep");
            }
            Err(error) => {
                log::error!("{} cannot be read: {error}; nothing expires before", path.display());
            }
        }
        false
    }
}

/// Names what cannot be read, once.
fn warn_of(unreadable: &[Unreadable], before: &[Unreadable]) {
    let is_new = |one: &&Unreadable| !before.contains(one);
    unreadable.iter().filter(is_new).for_each(|one| log::warn!("{one}; it is passed over"));
}
