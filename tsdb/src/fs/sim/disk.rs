//! The state of the simulated disk: what is visible now, what is durable, and the changes between the two.
//!
//! Every file and directory keeps its durable form and the list of changes made since; the visible form is both
//! together, unless a failed sync dropped some of the changes. Nothing here is shared or locked.

use super::draw::Draw;
use super::{DirEntry, Fault, Loss, Op};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// Identity of a file or directory, whatever its name.
pub(super) type NodeId = usize;

const ROOT: NodeId = 0;

pub(super) struct Disk {
    nodes: HashMap<NodeId, Node>,
    next_node: NodeId,
    crashed: bool,
    pub(super) ops: Vec<Op>,
    pub(super) faults: BTreeMap<usize, Fault>,
    pub(super) capacity: Option<u64>,
    pub(super) unreadable: Vec<(PathBuf, Range<u64>)>,
    pub(super) reads: usize,
    pub(super) failing_reads: Range<usize>,
    pub(super) locked: HashSet<NodeId>,
}

#[derive(Debug, Clone)]
enum Node {
    Dir(Dir),
    File(Content),
}

#[derive(Debug, Clone, Default)]
struct Dir {
    now: Names,
    durable: Names,
    pending: Vec<Change>,
}

type Names = BTreeMap<String, NodeId>;

#[derive(Debug, Clone)]
enum Change {
    Set(String, NodeId),
    Remove(String),
    Rename { from: String, to: String, node: NodeId },
}

#[derive(Debug, Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Write>,
}

/// A change of a file's bytes.
#[derive(Debug, Clone)]
pub(super) enum Write {
    At(usize, Vec<u8>),
    Truncate(usize),
}

/// How an operation is to end.
enum Course {
    Whole,
    /// Done or not, the machine stops.
    Crash,
    Fail(io::Error),
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            nodes: HashMap::from([(ROOT, Node::Dir(Dir::default()))]),
            next_node: ROOT + 1,
            crashed: false,
            ops: Vec::new(),
            faults: BTreeMap::new(),
            capacity: None,
            unreadable: Vec::new(),
            reads: 0,
            failing_reads: 0..0,
            locked: HashSet::new(),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<NodeId> {
        self.insert(path, Op::Create, Node::File(Content::default()))
    }

    pub(super) fn append(&mut self, node: NodeId, bytes: &[u8]) -> io::Result<()> {
        let course = self.begin(Op::Append)?;
        let room = self.room();
        let (kept, outcome) = match course {
            Course::Crash => (bytes.len(), Err(stopped())),
            Course::Fail(error) => (bytes.len() / 2, Err(error)),
            Course::Whole if bytes.len() > room => (room, Err(io::ErrorKind::StorageFull.into())),
            Course::Whole => (bytes.len(), Ok(())),
        };
        let file = self.file_mut(node)?;
        let write = Write::At(file.now.len(), bytes.get(..kept).unwrap_or_default().to_vec());
        write.apply(&mut file.now);
        file.pending.push(write);
        outcome
    }

    pub(super) fn truncate(&mut self, node: NodeId, len: u64) -> io::Result<()> {
        let course = self.begin(Op::Truncate)?;
        if let Course::Fail(error) = course {
            return Err(error);
        }
        let file = self.file_mut(node)?;
        let write = Write::Truncate(usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?);
        write.apply(&mut file.now);
        file.pending.push(write);
        course.end()
    }

    pub(super) fn sync(&mut self, node: NodeId) -> io::Result<()> {
        let course = self.begin(Op::Sync)?;
        let file = self.file_mut(node)?;
        match course {
            Course::Whole => file.pending.drain(..).for_each(|write| write.apply(&mut file.durable)),
            Course::Fail(_) => file.pending.clear(),
            Course::Crash => {}
        }
        course.end()
    }

    pub(super) fn size(&self, node: NodeId) -> io::Result<u64> {
        self.check_running()?;
        match self.nodes.get(&node) {
            Some(Node::File(file)) => Ok(file.now.len() as u64),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        let node = self.child(from_dir, &from_name).ok_or(io::ErrorKind::NotFound)?;
        let course = self.begin(Op::Rename)?;
        if let Course::Fail(error) = course {
            return Err(error);
        }
        if from_dir == to_dir {
            self.change(from_dir, Change::Rename { from: from_name, to: to_name, node })?;
        } else {
            self.change(to_dir, Change::Set(to_name, node))?;
            self.change(from_dir, Change::Remove(from_name))?;
        }
        course.end()
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.find_file(from)?;
        let (dir, name) = self.parent(to)?;
        if self.child(dir, &name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let course = self.begin(Op::Link)?;
        if let Course::Fail(error) = course {
            return Err(error);
        }
        self.change(dir, Change::Set(name, node))?;
        course.end()
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.find_file(path)?;
        self.remove_entry(path)
    }

    pub(super) fn remove_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        for entry in self.list(dir)? {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                self.remove_dir_all(&path)?;
            } else {
                self.remove_entry(&path)?;
            }
        }
        self.remove_entry(dir)
    }

    fn remove_entry(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        let course = self.begin(Op::Remove)?;
        if let Course::Fail(error) = course {
            return Err(error);
        }
        self.change(dir, Change::Remove(name))?;
        course.end()
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let node = self.find(dir)?;
        let course = self.begin(Op::SyncDir)?;
        let dir = self.dir_mut(node)?;
        if matches!(course, Course::Whole) {
            dir.pending.drain(..).for_each(|change| change.apply(&mut dir.durable));
        }
        course.end()
    }

    pub(super) fn make_dirs(&mut self, dir: &Path) -> io::Result<()> {
        let mut path = PathBuf::new();
        for part in dir.components() {
            path.push(part);
            match self.find(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.insert(&path, Op::MakeDir, Node::Dir(Dir::default()))?;
                }
                found => drop(found?),
            }
        }
        Ok(())
    }

    pub(super) fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.find(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let Some(Node::Dir(found)) = self.nodes.get(&self.find(dir)?) else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let is_dir = |node| matches!(self.nodes.get(node), Some(Node::Dir(_)));
        Ok(found
            .now
            .iter()
            .map(|(name, node)| DirEntry { name: name.clone(), is_dir: is_dir(node) })
            .collect())
    }

    pub(super) fn find_file(&self, path: &Path) -> io::Result<NodeId> {
        let node = self.find(path)?;
        match self.nodes.get(&node) {
            Some(Node::File(_)) => Ok(node),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn bytes(&self, path: &Path) -> io::Result<&[u8]> {
        match self.nodes.get(&self.find(path)?) {
            Some(Node::File(file)) => Ok(&file.now),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Counts a read; says whether it is one of those that fail.
    pub(super) fn begin_read(&mut self) -> io::Result<()> {
        let number = self.reads;
        self.reads += 1;
        if self.failing_reads.contains(&number) { Err(unreadable()) } else { Ok(()) }
    }

    pub(super) fn check_readable(&self, path: &Path, asked: Range<u64>) -> io::Result<()> {
        let touches = |bad: &Range<u64>| bad.start < asked.end && asked.start < bad.end;
        if self.unreadable.iter().any(|(bad_path, bad)| bad_path == path && touches(bad)) {
            return Err(unreadable());
        }
        Ok(())
    }

    pub(super) fn edit(
        &mut self,
        path: &Path,
        edit: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let node = self.find_file(path)?;
        let file = self.file_mut(node)?;
        edit(&mut file.now)?;
        file.durable.clone_from(&file.now);
        file.pending.clear();
        Ok(())
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, node)) = open.pop() {
            match self.nodes.get(&node) {
                Some(Node::Dir(dir)) => {
                    open.extend(dir.now.iter().map(|(name, node)| (path.join(name), *node)))
                }
                _ => found.push(path),
            }
        }
        found.sort_unstable();
        found
    }

    pub(super) fn after_power_cut(&self, loss: Loss) -> Self {
        let mut draw = Draw::new(loss);
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_unstable_by_key(|(id, _)| **id);
        let survivors = nodes.into_iter().map(|(id, node)| (*id, node.after_power_cut(&mut draw)));
        Self { nodes: survivors.collect(), next_node: self.next_node, ..Self::new() }
    }

    pub(super) fn process_killed(&self) -> Self {
        Self { nodes: self.nodes.clone(), next_node: self.next_node, ..Self::new() }
    }

    /// Counts an operation and says how it ends.
    fn begin(&mut self, op: Op) -> io::Result<Course> {
        self.check_running()?;
        let fault = self.faults.get(&self.ops.len()).copied();
        self.ops.push(op);
        Ok(match fault {
            None => Course::Whole,
            Some(Fault::Crash) => {
                self.crashed = true;
                Course::Crash
            }
            Some(Fault::OutOfSpace) => Course::Fail(io::ErrorKind::StorageFull.into()),
            Some(Fault::Io) => Course::Fail(io::Error::other("simulated I/O error")),
        })
    }

    fn check_running(&self) -> io::Result<()> {
        if self.crashed { Err(stopped()) } else { Ok(()) }
    }

    fn room(&self) -> usize {
        let Some(capacity) = self.capacity else { return usize::MAX };
        let linked: HashSet<_> = self.reachable();
        let used = |(id, node): (&NodeId, &Node)| match node {
            Node::File(file) if linked.contains(id) => file.now.len() as u64,
            _ => 0,
        };
        let used: u64 = self.nodes.iter().map(used).sum();
        usize::try_from(capacity.saturating_sub(used)).unwrap_or(usize::MAX)
    }

    fn reachable(&self) -> HashSet<NodeId> {
        let mut seen = HashSet::new();
        let mut open = vec![ROOT];
        while let Some(node) = open.pop() {
            seen.insert(node);
            if let Some(Node::Dir(dir)) = self.nodes.get(&node) {
                open.extend(dir.now.values());
            }
        }
        seen
    }

    fn insert(&mut self, path: &Path, op: Op, node: Node) -> io::Result<NodeId> {
        let (dir, name) = self.parent(path)?;
        if self.child(dir, &name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let course = self.begin(op)?;
        if let Course::Fail(error) = course {
            return Err(error);
        }
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        self.change(dir, Change::Set(name, id))?;
        course.end()?;
        Ok(id)
    }

    fn change(&mut self, dir: NodeId, change: Change) -> io::Result<()> {
        let dir = self.dir_mut(dir)?;
        change.clone().apply(&mut dir.now);
        dir.pending.push(change);
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<NodeId> {
        self.check_running()?;
        let mut node = ROOT;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
                node = self.child(node, name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    fn parent(&self, path: &Path) -> io::Result<(NodeId, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.find(path.parent().unwrap_or(Path::new("/")))?, name.to_owned()))
    }

    fn child(&self, dir: NodeId, name: &str) -> Option<NodeId> {
        match self.nodes.get(&dir) {
            Some(Node::Dir(dir)) => dir.now.get(name).copied(),
            _ => None,
        }
    }

    fn file_mut(&mut self, node: NodeId) -> io::Result<&mut Content> {
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn dir_mut(&mut self, node: NodeId) -> io::Result<&mut Dir> {
        match self.nodes.get_mut(&node) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }
}

impl Course {
    fn end(self) -> io::Result<()> {
        match self {
            Self::Whole => Ok(()),
            Self::Crash => Err(stopped()),
            Self::Fail(error) => Err(error),
        }
    }
}

impl Node {
    fn after_power_cut(&self, draw: &mut Draw) -> Self {
        match self {
            Self::Dir(dir) => {
                let mut names = dir.durable.clone();
                dir.pending
                    .iter()
                    .filter(|_| draw.keeps())
                    .for_each(|change| change.clone().apply(&mut names));
                Self::Dir(Dir { now: names.clone(), durable: names, pending: Vec::new() })
            }
            Self::File(file) => {
                let mut bytes = file.durable.clone();
                draw.survivors(&file.pending).into_iter().for_each(|write| write.apply(&mut bytes));
                draw.punch_hole(&mut bytes, file.durable.len());
                Self::File(Content { now: bytes.clone(), durable: bytes, pending: Vec::new() })
            }
        }
    }
}

impl Change {
    fn apply(self, names: &mut Names) {
        match self {
            Self::Set(name, node) => drop(names.insert(name, node)),
            Self::Remove(name) => drop(names.remove(&name)),
            Self::Rename { from, to, node } => {
                names.remove(&from);
                names.insert(to, node);
            }
        }
    }
}

impl Write {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::At(offset, bytes) => {
                let end = offset + bytes.len();
                data.resize(data.len().max(end), 0);
                if let Some(target) = data.get_mut(*offset..end) {
                    target.copy_from_slice(bytes);
                }
            }
            Self::Truncate(len) => data.truncate(*len),
        }
    }
}

fn unreadable() -> io::Error {
    io::Error::other("simulated read error")
}

fn stopped() -> io::Error {
    io::Error::other("simulated power cut")
}
