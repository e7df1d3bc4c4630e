//! Equal vectors, evaluated once.
//!
//! Two vectors are equal if they are written with the same bytes apart from where the text begins and are evaluated
//! at the same steps. The same bytes, because annotations have positions: those of one place are moved to the other.
//! Of nested equal vectors the largest are shared; what stands inside them occurs, then, only once.

use super::super::node::{RangeNode, SharedNode, VectorNode};
use super::super::walk::{NodeMut, NodeRef};
use crate::span::Span;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};

/// Marks the vectors under `node` that occur more than once.
pub(super) fn share(node: NodeMut<'_>) {
    let chosen = Survey::of(node.as_ref()).choose();
    if !chosen.is_empty() {
        Marking { chosen, next: 0 }.mark(node);
    }
}

/// A node of the plan.
struct Entry<'p> {
    node: NodeRef<'p>,
    /// Depends on the whole subtree and on where its parts stand from its beginning.
    hash: u64,
    /// Where its text begins; `None` if nothing in it has a place.
    start: Option<u32>,
    /// Number of the scope: nodes of one scope are evaluated at the same steps.
    scope: usize,
    /// Nodes of the subtree.
    size: usize,
}

/// All nodes, each before its parts.
#[derive(Default)]
struct Survey<'p> {
    entries: Vec<Entry<'p>>,
    /// Scopes by the one around and by what it is that changes the steps.
    scopes: HashMap<(usize, String), usize>,
}

/// A place of a shared vector: its number, and where it begins.
type Place = (usize, u32);

impl<'p> Survey<'p> {
    fn of(root: NodeRef<'p>) -> Self {
        let mut survey = Self::default();
        survey.visit(root, 0);
        survey
    }

    /// Adds `node` and its parts; returns its position.
    fn visit(&mut self, node: NodeRef<'p>, scope: usize) -> usize {
        let position = self.entries.len();
        self.entries.push(Entry { node, hash: 0, start: None, scope, size: 0 });
        let inner = self.scope_inside(node, scope);
        let parts: Vec<_> = node.parts().into_iter().map(|part| self.visit(part, inner)).collect();
        let spans = node.spans();
        let parts: Vec<_> = parts.iter().filter_map(|part| self.entries.get(*part)).collect();
        let starts = spans.iter().map(|span| span.start).chain(parts.iter().filter_map(|part| part.start));
        let start = starts.min();
        // A fixed key: equal hashes are compared in full.
        let mut hasher = BuildHasherDefault::<DefaultHasher>::new().build_hasher();
        node.describe().hash(&mut hasher);
        relative(&spans, start).for_each(|span| span.hash(&mut hasher));
        for part in parts {
            (part.hash, part.start.map(|at| at.wrapping_sub(start.unwrap_or(0)))).hash(&mut hasher);
        }
        let size = self.entries.len().saturating_sub(position);
        if let Some(entry) = self.entries.get_mut(position) {
            (entry.hash, entry.start, entry.size) = (hasher.finish(), start, size);
        }
        position
    }

    fn scope_inside(&mut self, node: NodeRef<'_>, scope: usize) -> usize {
        let changes_steps = match node {
            NodeRef::Range(RangeNode::Subquery(_)) | NodeRef::Vector(VectorNode::StepInvariant(_)) => true,
            NodeRef::Scalar(scalar) => matches!(scalar, super::super::node::ScalarNode::StepInvariant(_)),
            _ => false,
        };
        if !changes_steps {
            return scope;
        }
        let next = self.scopes.len().saturating_add(1);
        *self.scopes.entry((scope, node.describe())).or_insert(next)
    }

    /// The vectors to share, by their positions.
    fn choose(&self) -> BTreeMap<usize, Place> {
        let mut alike: HashMap<(u64, usize), Vec<usize>> = HashMap::new();
        for (position, entry) in self.entries.iter().enumerate().filter(|(_, entry)| is_worth(entry)) {
            alike.entry((entry.hash, entry.scope)).or_default().push(position);
        }
        let mut alike: Vec<_> = alike.into_values().filter(|positions| positions.len() > 1).collect();
        let size =
            |positions: &[usize]| positions.first().and_then(|at| self.entries.get(*at)).map(|e| e.size);
        alike.sort_by_key(|positions| (Reverse(size(positions)), positions.first().copied()));
        let mut spared = vec![false; self.entries.len()];
        let mut chosen = BTreeMap::new();
        let mut count = 0usize;
        for positions in alike {
            let places = self.places(&positions, &spared);
            let (Some((first, _)), true) = (places.first(), places.len() > 1) else { continue };
            count = count.saturating_add(1);
            let size = self.entries.get(*first).map_or(0, |entry| entry.size);
            for (position, start) in &places {
                if position != first {
                    let inside = position.saturating_add(1)..position.saturating_add(size);
                    spared.get_mut(inside).into_iter().flatten().for_each(|spared| *spared = true);
                }
                chosen.insert(*position, (count, *start));
            }
        }
        chosen
    }

    /// Which of `positions` are evaluated at all and are equal to the first of these, with their beginnings.
    fn places(&self, positions: &[usize], spared: &[bool]) -> Vec<(usize, u32)> {
        let live = positions.iter().copied().filter(|position| spared.get(*position) == Some(&false));
        let mut first = None;
        let equal = |position: usize| {
            let entry = self.entries.get(position)?;
            let start = entry.start?;
            let (node, at) = *first.get_or_insert((entry.node, start));
            same(node, at, entry.node, start).then_some((position, start))
        };
        live.filter_map(equal).collect()
    }
}

/// Is evaluating the vector more than repeating a number?
fn is_worth(entry: &Entry<'_>) -> bool {
    let NodeRef::Vector(vector) = entry.node else { return false };
    let cheap = matches!(
        vector,
        VectorNode::OfScalar(_) | VectorNode::CalendarOfStep(_) | VectorNode::Nothing
            // What is inside is worth it, and takes one step.
            | VectorNode::StepInvariant(_)
    );
    entry.start.is_some() && !cheap
}

fn relative(spans: &[Span], start: Option<u32>) -> impl Iterator<Item = (u32, u32)> {
    let start = start.unwrap_or(0);
    spans.iter().map(move |span| (span.start.wrapping_sub(start), span.end.wrapping_sub(start)))
}

/// Are the two the same but for where they begin?
fn same(a: NodeRef<'_>, a_start: u32, b: NodeRef<'_>, b_start: u32) -> bool {
    let (a_parts, b_parts) = (a.parts(), b.parts());
    a.describe() == b.describe()
        && relative(&a.spans(), Some(a_start)).eq(relative(&b.spans(), Some(b_start)))
        && a_parts.len() == b_parts.len()
        && a_parts.into_iter().zip(b_parts).all(|(a, b)| same(a, a_start, b, b_start))
}

/// A walk in the order of the survey.
struct Marking {
    chosen: BTreeMap<usize, Place>,
    next: usize,
}

impl Marking {
    fn mark(&mut self, mut node: NodeMut<'_>) {
        let position = self.next;
        self.next = self.next.saturating_add(1);
        for part in node.reborrow().parts() {
            self.mark(part);
        }
        if let (NodeMut::Vector(vector), Some((id, start))) = (node, self.chosen.get(&position)) {
            let inner = std::mem::replace(vector, VectorNode::Nothing);
            *vector = VectorNode::Shared(Box::new(SharedNode { id: *id, start: *start, vector: inner }));
        }
    }
}
