//! Matchers to a set of series.
//!
//! The plan is fixed by what the matchers mean and by cheap facts of the index:
//!
//! 1. Matchers that a series without the label cannot satisfy are *positive*: the series of all accepted values are
//!    united and intersected with what remains. Those that name their values come first, fewest series first.
//! 2. All others are *negative*: the series of all values that are not accepted are subtracted, last, from what
//!    remains. A matcher that accepts everything is dropped.
//! 3. Values that a matcher does not name are found by walking the dictionary of the label, no further than the
//!    prefixes that the pattern implies. When fewer series than values remain, the series are tested instead.
//! 4. As soon as nothing remains, nothing else is read.

use roaring::RoaringBitmap;
use std::borrow::Cow;
use tsdb_core::matcher::Implied;
use tsdb_core::{Corruption, Matcher};

/// Testing a series (finding its labels) costs about as much as this many values of a dictionary.
const SERIES_COST: u64 = 4;

/// What selection needs of an index. All sets are sets of series numbers.
pub trait Lookup {
    /// Every series.
    ///
    /// # Errors
    /// Damage.
    fn all(&self) -> Result<RoaringBitmap, Corruption>;

    /// The series with the label `name` of the value `value`, which is not empty.
    ///
    /// # Errors
    /// Damage.
    fn with_pair(&self, name: &str, value: &str) -> Result<Cow<'_, RoaringBitmap>, Corruption>;

    /// About how many series [`with_pair`](Self::with_pair) would return; 0 only if there are none.
    ///
    /// # Errors
    /// Damage.
    fn estimate(&self, name: &str, value: &str) -> Result<u64, Corruption>;

    /// Number of values of the label `name`.
    ///
    /// # Errors
    /// Damage.
    fn value_count(&self, name: &str) -> Result<u64, Corruption>;

    /// The series whose value of the label `name` begins with `prefix` and satisfies `keep`. Values are shown in any
    /// order, each once; a series without the label is not among them.
    ///
    /// # Errors
    /// Damage.
    fn union(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, Corruption>;

    /// Those of `candidates` whose value of the label `name`, empty if they lack it, satisfies `keep`.
    ///
    /// # Errors
    /// Damage.
    fn filter(
        &self,
        candidates: &RoaringBitmap,
        name: &str,
        keep: &mut dyn FnMut(&str) -> bool,
    ) -> Result<RoaringBitmap, Corruption>;
}

/// The series of `index` that satisfy all `matchers`; every series if there are none.
///
/// # Errors
/// Damage to what had to be read.
pub fn select<L: Lookup + ?Sized>(index: &L, matchers: &[Matcher]) -> Result<RoaringBitmap, Corruption> {
    let (negative, positive): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().filter(|matcher| !accepts_everything(matcher)).partition(|m| m.matches_empty());
    let mut positive =
        positive.into_iter().map(|m| Step::new(index, m, true)).collect::<Result<Vec<_>, _>>()?;
    positive.sort_by_key(|step| (step.is_walk(), step.cost));
    let mut remaining: Option<RoaringBitmap> = None;
    for step in &positive {
        let next = step.intersect(index, remaining)?;
        if next.is_empty() {
            return Ok(next);
        }
        remaining = Some(next);
    }
    let mut remaining = match remaining {
        Some(remaining) => remaining,
        None => index.all()?,
    };
    let mut negative =
        negative.into_iter().map(|m| Step::new(index, m, false)).collect::<Result<Vec<_>, _>>()?;
    negative.sort_by_key(|step| (step.is_walk(), step.cost));
    for step in &negative {
        if remaining.is_empty() {
            break;
        }
        remaining = step.subtract(index, remaining)?;
    }
    Ok(remaining)
}

fn accepts_everything(matcher: &Matcher) -> bool {
    !matcher.op().is_negative() && matches!(matcher.implied(), Implied::Everything)
}

/// One matcher, with the values whose series are to be fetched: the accepted ones of a positive matcher, the refused
/// ones of a negative one.
struct Step<'a> {
    matcher: &'a Matcher,
    values: Values<'a>,
    /// Series to fetch or values to walk: comparable among steps of one kind.
    cost: u64,
    /// Fetch the values that the matcher accepts, or those it refuses?
    accepted: bool,
}

/// The values to fetch.
enum Values<'a> {
    /// These; an empty one among them counts for nothing.
    These(&'a [Box<str>]),
    /// Those with one of the prefixes that pass the test.
    WithPrefix(&'a [Box<str>]),
    /// Those that pass the test.
    Tested,
}

impl<'a> Step<'a> {
    fn new<L: Lookup + ?Sized>(index: &L, matcher: &'a Matcher, accepted: bool) -> Result<Self, Corruption> {
        // The facts describe what the pattern accepts: the values to fetch, unless exactly one of the operator and the
        // step inverts it.
        let described = matcher.op().is_negative() != accepted;
        let values = match matcher.implied() {
            Implied::Literals(literals) if described => Values::These(literals),
            Implied::Prefixes { prefixes, .. } if described => Values::WithPrefix(prefixes),
            _ => Values::Tested,
        };
        let mut step = Self { matcher, values, cost: 0, accepted };
        step.cost = step.cost(index)?;
        Ok(step)
    }

    fn cost<L: Lookup + ?Sized>(&self, index: &L) -> Result<u64, Corruption> {
        if self.is_walk() {
            return index.value_count(self.matcher.name());
        }
        let mut cost = 0_u64;
        for value in self.literals() {
            cost = cost.saturating_add(index.estimate(self.matcher.name(), value)?);
        }
        Ok(cost)
    }

    fn is_walk(&self) -> bool {
        matches!(self.values, Values::WithPrefix(_) | Values::Tested)
    }

    /// The values to fetch, when they are named. The empty value is none: no series has it.
    fn literals(&self) -> impl Iterator<Item = &'a str> {
        let literals: &'a [Box<str>] = match self.values {
            Values::These(literals) => literals,
            Values::WithPrefix(_) | Values::Tested => &[],
        };
        literals.iter().map(|literal| &**literal).filter(|literal| !literal.is_empty())
    }

    fn intersect<L: Lookup + ?Sized>(
        &self,
        index: &L,
        remaining: Option<RoaringBitmap>,
    ) -> Result<RoaringBitmap, Corruption> {
        match remaining {
            None => Ok(self.fetch(index)?.into_owned()),
            Some(remaining) if self.is_cheaper_by_series(&remaining) => self.test(index, &remaining),
            Some(remaining) => Ok(remaining & &*self.fetch(index)?),
        }
    }

    fn subtract<L: Lookup + ?Sized>(
        &self,
        index: &L,
        remaining: RoaringBitmap,
    ) -> Result<RoaringBitmap, Corruption> {
        if self.is_cheaper_by_series(&remaining) {
            return self.test(index, &remaining);
        }
        Ok(remaining - &*self.fetch(index)?)
    }

    fn is_cheaper_by_series(&self, remaining: &RoaringBitmap) -> bool {
        self.is_walk() && remaining.len().saturating_mul(SERIES_COST) < self.cost
    }

    fn test<L: Lookup + ?Sized>(
        &self,
        index: &L,
        remaining: &RoaringBitmap,
    ) -> Result<RoaringBitmap, Corruption> {
        index.filter(remaining, self.matcher.name(), &mut |value| self.matcher.matches(value))
    }

    /// The series of the values to fetch.
    fn fetch<'i, L: Lookup + ?Sized>(&self, index: &'i L) -> Result<Cow<'i, RoaringBitmap>, Corruption> {
        let name = self.matcher.name();
        let mut keep = |value: &str| self.matcher.matches(value) == self.accepted;
        match &self.values {
            Values::These(_) => self.fetch_literals(index),
            Values::WithPrefix(prefixes) => {
                let mut all = RoaringBitmap::new();
                for prefix in *prefixes {
                    all |= index.union(name, prefix, &mut keep)?;
                }
                Ok(Cow::Owned(all))
            }
            Values::Tested => index.union(name, "", &mut keep).map(Cow::Owned),
        }
    }

    fn fetch_literals<'i, L: Lookup + ?Sized>(
        &self,
        index: &'i L,
    ) -> Result<Cow<'i, RoaringBitmap>, Corruption> {
        let mut literals = self.literals();
        let mut all = match literals.next() {
            None => Cow::Owned(RoaringBitmap::new()),
            Some(value) => index.with_pair(self.matcher.name(), value)?,
        };
        for value in literals {
            *all.to_mut() |= &*index.with_pair(self.matcher.name(), value)?;
        }
        Ok(all)
    }
}
