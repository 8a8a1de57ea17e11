//! What is mounted where.

use std::path::{Path, PathBuf};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) point: PathBuf,
    /// Its kind: ext4, nfs4, …
    pub(super) kind: String,
    /// It cannot be written.
    pub(super) read_only: bool,
}

/// All of them, and those that ought to be.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    mounted: Vec<Mount>,
    /// Mount points of the table of file systems, without those that are mounted on demand.
    wanted: Vec<PathBuf>,
}

/// Reads the octal escapes of these tables.
fn unescaped(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = (bytes[at] == b'\\')
            .then(|| text.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

impl Mounts {
    /// Reads what the kernel and the table of file systems say; what cannot be read says nothing.
    pub(super) fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self::of(&text("/proc/self/mountinfo"), &text("/etc/fstab"))
    }

    fn of(mountinfo: &str, fstab: &str) -> Self {
        let mount = |line: &str| {
            let (own, file_system) = line.split_once(" - ")?;
            let own: Vec<&str> = own.split(' ').collect();
            let mut file_system = file_system.split(' ');
            let kind = file_system.next()?.to_owned();
            let by_system = file_system.nth(1).unwrap_or_default().split(',').any(|option| option == "ro");
            let by_mount = own.get(5)?.split(',').any(|option| option == "ro");
            Some(Mount { point: unescaped(own.get(4)?), kind, read_only: by_system || by_mount })
        };
        let wanted = |line: &str| {
            let line = line.split('#').next().unwrap_or_default();
            let fields: Vec<&str> = line.split_whitespace().collect();
            let point = fields.get(1).filter(|point| point.starts_with('/') && **point != "/")?;
            let options = fields.get(3).copied().unwrap_or_default();
            let later = options.split(',').any(|option| matches!(option, "noauto" | "x-systemd.automount"));
            (!later).then(|| unescaped(point))
        };
        Self {
            mounted: mountinfo.lines().filter_map(mount).collect(),
            wanted: fstab.lines().filter_map(wanted).collect(),
        }
    }

    /// Returns the file system that a path lies on; `path` without links.
    pub(super) fn of_path(&self, path: &Path) -> Option<&Mount> {
        let over = self.mounted.iter().filter(|mount| path.starts_with(&mount.point));
        // Of several at one point the last one is seen.
        over.max_by_key(|mount| mount.point.components().count())
    }

    /// Returns the mount point above a path that ought to be mounted and is not.
    pub(super) fn missing(&self, path: &Path) -> Option<&Path> {
        let mounted = |point: &Path| self.mounted.iter().any(|mount| mount.point == point);
        self.wanted.iter().map(PathBuf::as_path).find(|point| path.starts_with(point) && !mounted(point))
    }
}

impl Mount {
    /// Tells if other hosts write here too, whose writing this kernel does not see.
    pub(super) fn is_remote(&self) -> bool {
        let kind = self.kind.as_str();
        matches!(
            kind,
            "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "ceph" | "lustre" | "glusterfs" | "afs" | "gpfs"
        ) || kind.starts_with("fuse.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
30 22 0:40 / /data\\040one rw,relatime shared:2 - nfs4 nas:/data rw,vers=4.2
31 22 8:2 / /archive ro,relatime - xfs /dev/sdb rw
32 22 8:3 / /cold rw,relatime - xfs /dev/sdc ro
";
    const FSTAB: &str = "# device point kind options\nUUID=1 / ext4 defaults 0 1\nnas:/data /data\\040one nfs4 rw 0 0\n\
        nas:/more /more nfs4 rw 0 0\nUSB /media/usb vfat noauto,user 0 0\nUUID=2 none swap sw 0 0\n";

    #[test]
    fn a_path_lies_on_the_nearest_mount() {
        let mounts = Mounts::of(MOUNTINFO, FSTAB);
        let kind = |path: &str| mounts.of_path(Path::new(path)).map(|mount| (mount.kind.as_str(), mount.read_only));
        assert_eq!(kind("/home/x"), Some(("ext4", false)));
        assert_eq!(kind("/data one/x"), Some(("nfs4", false)));
        assert_eq!(kind("/archive"), Some(("xfs", true)));
        assert_eq!(kind("/cold/x"), Some(("xfs", true)));
        assert!(mounts.of_path(Path::new("/data one/x")).is_some_and(Mount::is_remote));
    }

    #[test]
    fn what_ought_to_be_mounted_and_is_not_is_found() {
        let mounts = Mounts::of(MOUNTINFO, FSTAB);
        assert_eq!(mounts.missing(Path::new("/more/radar")), Some(Path::new("/more")));
        for there in ["/data one/x", "/media/usb/x", "/home", "/moreover"] {
            assert_eq!(mounts.missing(Path::new(there)), None, "{there}");
        }
    }
}
