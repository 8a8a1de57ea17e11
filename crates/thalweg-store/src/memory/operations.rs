//! The trait, carried out in memory.

use std::ops::ControlFlow;

use rustix::io::Errno;
use thalweg_core::RelPath;

use super::MemoryStore;
use super::io::{MemoryRead, MemoryWrite};
use super::tree::{Node, Tree};
use crate::local::{is_plain_name, is_staged};
use crate::{
    Entry, Hashed, Kind, Meta, OldContent, Publish, ReadStable, STAGING, Space, Store, StoreError, TRASH, WriteStaged,
    is_own_folder,
};

/// One operation: the locked tree, the path in bytes, and whether it fails after its work.
struct Operation<'a> {
    tree: std::sync::MutexGuard<'a, Tree>,
    action: &'static str,
    path: RelPath,
    name: Vec<u8>,
    fails_after: bool,
}

impl Operation<'_> {
    fn fail(&self, errno: Errno) -> StoreError {
        StoreError::from_errno(self.action, &self.path, errno)
    }

    /// Returns what has the name of this operation.
    fn node(&self) -> Result<Node, StoreError> {
        self.tree.check_parents(&self.name).map_err(|errno| self.fail(errno))?;
        self.tree.get(&self.name).ok_or_else(|| self.fail(Errno::NOENT))
    }

    /// Ends the operation with its answer, or with the failure that was asked for.
    fn answer<T>(self, answer: T) -> Result<T, StoreError> {
        if self.fails_after { Err(self.fail(Errno::IO)) } else { Ok(answer) }
    }
}

impl MemoryStore {
    /// Begins an operation on a path that must lie below the root.
    fn operation(&self, action: &'static str, path: &RelPath) -> Result<Operation<'_>, StoreError> {
        let name = crate::local::checked(action, path)?;
        if name.split(|&b| b == b'/').any(|part| part.len() > 255) {
            return Err(StoreError::BadName { action, path: path.clone() });
        }
        self.operation_or_root(action, path, name)
    }

    fn operation_or_root(
        &self,
        action: &'static str,
        path: &RelPath,
        name: Vec<u8>,
    ) -> Result<Operation<'_>, StoreError> {
        let mut tree = self.lock();
        let fails_after = tree.begin(action, path)?;
        if !tree.available {
            return Err(self.unavailable());
        }
        Ok(Operation { tree, action, path: path.clone(), name, fails_after })
    }
}

/// Returns a place in the trash that is free.
fn trash_place(operation: &mut Operation<'_>, day: &str, path: &[u8]) -> Result<Vec<u8>, StoreError> {
    let day_folder = format!("{TRASH}/{day}");
    let mut place = [day_folder.as_bytes(), b"/", path].concat();
    let mut number = 1;
    while operation.tree.get(&place).is_some() {
        number += 1;
        place = [day_folder.as_bytes(), format!("/{number}/").as_bytes(), path].concat();
    }
    operation.tree.make_parents(&place).map_err(|errno| operation.fail(errno))?;
    Ok(place)
}

/// Takes a name away for good or into the trash.
fn dispose(operation: &mut Operation<'_>, name: &[u8], original: &[u8], old: OldContent<'_>) -> Result<(), StoreError> {
    match old {
        OldContent::Drop => {
            operation.tree.remove_tree(name);
        }
        OldContent::Trash { day } => {
            if !is_plain_name(day) {
                let path = RelPath::from_bytes(day.as_bytes());
                return Err(StoreError::BadName { action: operation.action, path });
            }
            let place = trash_place(operation, day, original)?;
            operation.tree.rename(name, &place);
        }
    }
    Ok(())
}

impl Store for MemoryStore {
    fn stat(&self, path: &RelPath) -> Result<Option<Meta>, StoreError> {
        let operation = if path.as_str().is_empty() {
            self.operation_or_root("look at", path, Vec::new())?
        } else {
            self.operation("look at", path)?
        };
        match operation.node() {
            Ok(node) => operation.answer(Some(node.meta())),
            Err(StoreError::NotFound { .. }) => operation.answer(None),
            Err(error) => Err(error),
        }
    }

    fn walk(
        &self,
        below: &RelPath,
        filter: &mut dyn FnMut(&RelPath) -> bool,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut pending = vec![below.clone()];
        let mut first = true;
        while let Some(folder) = pending.pop() {
            let operation = if folder.as_str().is_empty() {
                self.operation_or_root("list", &folder, Vec::new())?
            } else {
                self.operation("list", &folder)?
            };
            let listed = operation.node().and_then(|node| match node.lock().kind {
                Kind::Folder => Ok(operation.tree.children(&operation.name)),
                Kind::Link => Err(operation.fail(Errno::LOOP)),
                _ => Err(operation.fail(Errno::NOTDIR)),
            });
            // The visitor may use the store.
            drop(operation);
            let children = match listed {
                Err(error) if first => return Err(error),
                Err(_) => continue,
                Ok(children) => children,
            };
            first = false;
            for (name, node) in children {
                let (path, meta) = (RelPath::from_bytes(&name), node.meta());
                if meta.kind == Kind::Folder {
                    if is_own_folder(path.file_name()) {
                        continue;
                    }
                    if filter(&path) {
                        pending.push(path.clone());
                    }
                }
                if visit(Entry::Found { path, meta }).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn open_read(&self, path: &RelPath) -> Result<Box<dyn ReadStable>, StoreError> {
        let operation = self.operation("read", path)?;
        let node = operation.node()?;
        let opened = node.meta();
        if opened.kind != Kind::File {
            let what = "it is not a regular file";
            return Err(StoreError::NotSupported { action: "read", path: path.clone(), what });
        }
        operation.answer(())?;
        Ok(Box::new(MemoryRead { store: self.clone(), node, path: path.clone(), opened, at: 0 }))
    }

    fn hash(&self, path: &RelPath, progress: &mut dyn FnMut(u64)) -> Result<Hashed, StoreError> {
        crate::hash(self, path, progress)
    }

    fn staging(&self, task_id: &str, target: &RelPath) -> Result<RelPath, StoreError> {
        const ACTION: &str = "make the staging folder for";
        let mut operation = self.operation(ACTION, target)?;
        if !is_plain_name(task_id) {
            return Err(StoreError::BadName { action: ACTION, path: RelPath::from_bytes(task_id.as_bytes()) });
        }
        let path = RelPath::from_text(STAGING).join(task_id);
        let name = path.to_bytes();
        let made = operation.tree.make_parents(&name);
        made.map_err(|errno| operation.fail(errno))?;
        if operation.tree.get(&name).is_none() {
            operation.tree.create(&name, Kind::Folder, 0o700);
        }
        operation.answer(path)
    }

    fn discard_staging(&self, staging: &RelPath) -> Result<(), StoreError> {
        if !is_staged(staging, 0) {
            return Err(StoreError::Confined { action: "discard", path: staging.clone() });
        }
        let mut operation = self.operation("discard", staging)?;
        let name = operation.name.clone();
        operation.tree.remove_tree(&name);
        operation.answer(())
    }

    fn write_staged(&self, path: &RelPath, from: u64, reserve: u64) -> Result<Box<dyn WriteStaged>, StoreError> {
        if !is_staged(path, 1) {
            return Err(StoreError::Confined { action: "write", path: path.clone() });
        }
        let mut operation = self.operation("write", path)?;
        let name = operation.name.clone();
        let made = operation.tree.make_parents(&name);
        made.map_err(|errno| operation.fail(errno))?;
        if operation.tree.room().saturating_add(from) < reserve {
            return Err(operation.fail(Errno::NOSPC));
        }
        let node = match operation.tree.file(&name) {
            Some(node) => node,
            None if from == 0 => operation.tree.create(&name, Kind::File, 0o644),
            None => return Err(operation.fail(Errno::NOENT)),
        };
        {
            let mut inode = node.lock();
            let keep = usize::try_from(from).unwrap_or(usize::MAX);
            if inode.bytes.len() < keep {
                let what = format!("{} bytes are there, {from} were to be kept", inode.bytes.len());
                return Err(StoreError::NotAsExpected { action: "write", path: path.clone(), what });
            }
            inode.bytes.truncate(keep);
            inode.flushed = inode.flushed.min(keep);
        }
        operation.answer(())?;
        Ok(Box::new(MemoryWrite { store: self.clone(), node, path: path.clone() }))
    }

    fn publish(&self, staged: &RelPath, target: &RelPath, how: Publish<'_>) -> Result<Meta, StoreError> {
        const ACTION: &str = "publish";
        if !is_staged(staged, 1) {
            return Err(StoreError::Confined { action: ACTION, path: staged.clone() });
        }
        let from = crate::local::checked(ACTION, staged)?;
        let mut operation = self.operation(ACTION, target)?;
        let missing = || StoreError::NotFound { action: ACTION, path: staged.clone() };
        let node = operation.tree.get(&from).ok_or_else(missing)?;
        operation.tree.flush(&from);
        let to = operation.name.clone();
        let made = operation.tree.make_parents(&to);
        made.map_err(|errno| operation.fail(errno))?;
        let present = operation.tree.get(&to);
        match (how, present) {
            (Publish::NoReplace, Some(_)) => return Err(operation.fail(Errno::EXIST)),
            (Publish::NoReplace, None) => {
                operation.tree.rename(&from, &to);
                operation.tree.rename_lost_now(&from, &to);
            }
            (Publish::Replace { .. }, None) => return Err(operation.fail(Errno::NOENT)),
            (Publish::Replace { expected, old }, Some(present)) => {
                if let Some(what) = expected.difference(&present.meta()) {
                    return Err(StoreError::NotAsExpected { action: ACTION, path: target.clone(), what });
                }
                dispose(&mut operation, &to, &to, old)?;
                operation.tree.rename(&from, &to);
            }
        }
        operation.answer(node.meta())
    }

    fn flush(&self, path: &RelPath) -> Result<(), StoreError> {
        let operation = self.operation("flush", path)?;
        operation.node()?;
        operation.tree.flush(&operation.name);
        operation.answer(())
    }

    fn remove_verified(&self, path: &RelPath, expected: &Meta, old: OldContent<'_>) -> Result<(), StoreError> {
        let mut operation = self.operation("remove", path)?;
        let node = operation.node()?;
        if let Some(what) = expected.difference(&node.meta()) {
            return Err(StoreError::NotAsExpected { action: "remove", path: path.clone(), what });
        }
        let name = operation.name.clone();
        dispose(&mut operation, &name, &name, old)?;
        operation.answer(())
    }

    fn empty_trash(&self, is_over: &dyn Fn(&str) -> bool) -> Result<u64, StoreError> {
        let mut operation = self.operation("empty the trash", &RelPath::from_text(TRASH))?;
        let days = operation.tree.children(TRASH.as_bytes());
        let mut files = 0;
        for (name, _) in days {
            let day = name.get(TRASH.len() + 1..).and_then(|day| std::str::from_utf8(day).ok());
            if day.is_some_and(|day| is_plain_name(day) && is_over(day)) {
                files += operation.tree.remove_tree(&name);
            }
        }
        operation.answer(files)
    }

    fn write_atomically(&self, path: &RelPath, bytes: &[u8]) -> Result<(), StoreError> {
        let mut operation = self.operation("write", path)?;
        let name = operation.name.clone();
        let made = operation.tree.make_parents(&name);
        made.map_err(|errno| operation.fail(errno))?;
        if operation.tree.room() < bytes.len() as u64 {
            return Err(operation.fail(Errno::NOSPC));
        }
        if operation.tree.get(&name).is_some_and(|node| node.lock().kind == Kind::Folder) {
            return Err(operation.fail(Errno::ISDIR));
        }
        let node = operation.tree.create(&name, Kind::File, 0o644);
        {
            let mut inode = node.lock();
            inode.bytes = bytes.to_vec();
            inode.flushed = bytes.len();
        }
        operation.answer(())
    }

    fn free_space(&self) -> Result<Space, StoreError> {
        let operation = self.operation_or_root("ask the free space of", &RelPath::default(), Vec::new())?;
        let total = operation.tree.capacity.unwrap_or(1 << 40);
        let free = total.saturating_sub(operation.tree.used());
        operation.answer(Space { free, total })
    }

    fn make_folder(&self, path: &RelPath) -> Result<(), StoreError> {
        let mut operation = self.operation("make folder", path)?;
        let name = operation.name.clone();
        let made = operation.tree.make_parents(&name);
        made.map_err(|errno| operation.fail(errno))?;
        match operation.tree.get(&name).map(|node| node.lock().kind) {
            None => drop(operation.tree.create(&name, Kind::Folder, 0o755)),
            Some(Kind::Folder) => {}
            Some(_) => return Err(operation.fail(Errno::EXIST)),
        }
        operation.answer(())
    }

    fn remove_empty_folders(&self, path: &RelPath, upto: &RelPath) -> Result<(), StoreError> {
        let mut path = path.clone();
        while !path.as_str().is_empty() && path != *upto {
            let mut operation = self.operation("remove folder", &path)?;
            let name = operation.name.clone();
            if let Some(node) = operation.tree.get(&name) {
                let empty = node.lock().kind == Kind::Folder && operation.tree.children(&name).is_empty();
                if !empty {
                    return operation.answer(());
                }
                operation.tree.remove(&name);
            }
            operation.answer(())?;
            path = path.parent();
        }
        Ok(())
    }

    fn move_within(&self, from: &RelPath, to: &RelPath) -> Result<(), StoreError> {
        let old = crate::local::checked("move", from)?;
        let mut operation = self.operation("move", to)?;
        let missing = || StoreError::NotFound { action: "move", path: from.clone() };
        operation.tree.get(&old).ok_or_else(missing)?;
        let new = operation.name.clone();
        let made = operation.tree.make_parents(&new);
        made.map_err(|errno| operation.fail(errno))?;
        if operation.tree.get(&new).is_some() {
            return Err(operation.fail(Errno::EXIST));
        }
        if new.starts_with(&[&old[..], b"/"].concat()) {
            let what = "a folder cannot move into itself";
            return Err(StoreError::NotSupported { action: "move", path: to.clone(), what });
        }
        operation.tree.rename(&old, &new);
        operation.answer(())
    }

    fn set_mtime(&self, path: &RelPath, mtime_ns: i64) -> Result<(), StoreError> {
        let mut operation = self.operation("set the time of", path)?;
        let node = operation.node()?;
        let now = operation.tree.tick();
        {
            let mut inode = node.lock();
            inode.mtime_ns = mtime_ns;
            inode.ctime_ns = now;
        }
        operation.answer(())
    }

    fn set_mode(&self, path: &RelPath, mode: u32) -> Result<(), StoreError> {
        let mut operation = self.operation("set the mode of", path)?;
        let node = operation.node()?;
        let now = operation.tree.tick();
        {
            let mut inode = node.lock();
            if inode.kind == Kind::Link {
                return Err(operation.fail(Errno::LOOP));
            }
            inode.mode = mode & 0o7777;
            inode.ctime_ns = now;
        }
        operation.answer(())
    }

    fn touch(&self, path: &RelPath) -> Result<(), StoreError> {
        let mut operation = self.operation("touch", path)?;
        let name = operation.name.clone();
        let made = operation.tree.make_parents(&name);
        made.map_err(|errno| operation.fail(errno))?;
        let node = match operation.tree.get(&name) {
            Some(node) => node,
            None => operation.tree.create(&name, Kind::File, 0o644),
        };
        let kind = node.lock().kind;
        match kind {
            Kind::File => {}
            Kind::Link => return Err(operation.fail(Errno::LOOP)),
            _ => return Err(operation.fail(Errno::ISDIR)),
        }
        let now = operation.tree.tick();
        {
            let mut inode = node.lock();
            inode.mtime_ns = now;
            inode.ctime_ns = now;
        }
        operation.answer(())
    }

    fn link(&self, existing: &RelPath, new: &RelPath) -> Result<(), StoreError> {
        let old = crate::local::checked("link", existing)?;
        let mut operation = self.operation("link", new)?;
        let missing = || StoreError::NotFound { action: "link", path: existing.clone() };
        let node = operation.tree.get(&old).ok_or_else(missing)?;
        if node.lock().kind != Kind::File {
            let what = "only regular files can have a second name";
            return Err(StoreError::NotSupported { action: "link", path: existing.clone(), what });
        }
        let name = operation.name.clone();
        let made = operation.tree.make_parents(&name);
        made.map_err(|errno| operation.fail(errno))?;
        if operation.tree.get(&name).is_some() {
            return Err(operation.fail(Errno::EXIST));
        }
        operation.tree.insert(&name, node);
        operation.answer(())
    }
}
