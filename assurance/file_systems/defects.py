"""Shows a folder through FUSE, as a file system with defects.

    defects.py FOLDER MOUNTPOINT LOG

What is below `/DEFECT/NUMBER/` has the defect of that name, and counts its calls by itself. The log has a line for each step towards the disk:
the number, then `write INODE`, `sync INODE`, `name NAME` or `names-synced`. Needs libfuse 3 and root.
"""

import ctypes
import errno
import os
import signal
import stat
import sys
from collections import Counter

os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
import mfusepy

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
PR_SET_PDEATHSIG = 1

# The call that fails, and how.
REFUSED = {
    "fsyncdir-einval": ("fsyncdir", errno.EINVAL),
    "fsyncdir-enotsup": ("fsyncdir", errno.ENOTSUP),
    "fsyncdir-eio": ("fsyncdir", errno.EIO),
    "fsync-eio": ("fsync", errno.EIO),
    "flock-enosys": ("flock", errno.ENOSYS),
    "flock-enolck": ("flock", errno.ENOLCK),
    "chmod-eperm": ("chmod", errno.EPERM),
    "chown-eperm": ("chown", errno.EPERM),
    "modes-fixed": ("chmod", errno.EPERM),
    "flush-eio": ("flush", errno.EIO),
    "xattr-enotsup": ("xattr", errno.ENOTSUP),
    "link-eperm": ("link", errno.EPERM),
    "exchange-einval": ("rename-flags", errno.EINVAL),
    "rename-eio": ("rename", errno.EIO),
    "unlink-eperm": ("unlink", errno.EPERM),
}
# What a read of `plain` does to it, and sizes that are not believed, are of no use behind a cache.
UNCACHED = ("size-", "reads-short", "grows", "torn")


class Defective(mfusepy.Operations):
    use_ns = True
    flag_nopath = True
    flag_nullpath_ok = True

    def __init__(self, folder, log):
        self.folder = folder
        self.log = open(log, "a", buffering=1)
        self.calls = Counter()  # by cell and call
        self.made = set()  # cells and inodes of what was made here
        self.named = set()  # cells in which a file got a name
        self.cells = {}  # of open files
        self.inode = 1 << 32

    def at(self, path, *calls):
        """The cell of a path, in which these calls do not fail."""
        return self.meet(tuple((path + "//").split("/")[1:3]), *calls)

    def of(self, fi, *calls):
        """The cell of an open file, in which these calls do not fail."""
        return self.meet(self.cells[fi.fh], *calls)

    def meet(self, cell, *calls):
        call, code = REFUSED.get(cell[0], (None, None))
        # A folder in which nothing got a name has nothing to lose.
        if call in calls and (cell[0] != "fsyncdir-eio" or cell in self.named):
            raise mfusepy.FuseOSError(code)
        for call in calls:
            self.calls[cell, call] += 1
            if cell[0] == f"enospc-{self.calls[cell, call]}" and call == "write":
                self.calls[cell, call] -= 1  # The disk stays full.
                raise mfusepy.FuseOSError(errno.ENOSPC)
        return cell

    def tell(self, cell, *words):
        if words[0] == "name":
            self.named.add(cell)
        print(cell[1], *words, file=self.log)

    def real(self, path):
        return self.folder + path

    def opened(self, fd, cell, fi):
        fi.fh = fd
        fi.direct_io = cell[0].startswith(UNCACHED)
        self.cells[fd] = cell
        return 0

    def getattr(self, path, fi=None):
        if fi is not None and fi.fh:
            cell, found = self.cells[fi.fh], os.fstat(fi.fh)
        else:
            cell, found = self.at(path), os.lstat(self.real(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_blocks")
        attrs = {name: getattr(found, name) for name in names}
        for name in ("st_atime", "st_mtime", "st_ctime"):
            attrs[name] = getattr(found, name + "_ns")
        if stat.S_ISREG(found.st_mode):
            if (cell, found.st_ino) not in self.made:
                sizes = {"size-zero": 0, "size-half": found.st_size // 2, "size-more": found.st_size + 1000}
                attrs["st_size"] = sizes.get(cell[0], found.st_size)
            if cell[0] == "modes-fixed":
                attrs["st_mode"] = stat.S_IFREG | 0o755
            if cell[0] == "links-zero":
                attrs["st_nlink"] = 0
            if cell[0] == "inodes-change":
                self.inode += 1
                attrs["st_ino"] = self.inode
        return attrs

    def open(self, path, fi):
        return self.opened(os.open(self.real(path), fi.flags & ~os.O_NOFOLLOW), self.at(path, "open"), fi)

    def create(self, path, mode, fi):
        cell = self.at(path, "create")
        fd = os.open(self.real(path), fi.flags | os.O_CREAT, mode & 0o7777)
        self.own(self.real(path))
        self.made.add((cell, os.fstat(fd).st_ino))
        self.tell(cell, "name", os.path.basename(path))
        return self.opened(fd, cell, fi)

    def own(self, path):
        uid, gid, _ = mfusepy.fuse_get_context()
        os.chown(path, uid, gid)

    def read(self, path, size, offset, fi):
        cell = self.of(fi, "read")
        if cell[0] == "reads-short":
            size = min(size, 1000)
        data = os.pread(fi.fh, size, offset)
        here = os.readlink(f"/proc/self/fd/{fi.fh}")
        if cell[0] in ("grows", "torn") and os.path.basename(here) == "plain" and self.calls[cell, "read"] < 50:
            with open(here, "r+b") as other:
                other.seek(0, os.SEEK_END if cell[0] == "grows" else os.SEEK_SET)
                other.write(b"written meanwhile")
        return data

    def write(self, path, data, offset, fi):
        cell = self.of(fi, "write")
        self.tell(cell, "write", os.fstat(fi.fh).st_ino)
        return os.pwrite(fi.fh, data, offset)

    def truncate(self, path, length, fi=None):
        if fi is None or not fi.fh:
            self.at(path, "write")
            return os.truncate(self.real(path), length)
        cell = self.of(fi, "write")
        self.tell(cell, "write", os.fstat(fi.fh).st_ino)
        return os.ftruncate(fi.fh, length)

    def fsync(self, path, datasync, fi):
        cell = self.of(fi, "fsync")
        os.fsync(fi.fh)
        self.tell(cell, "sync", os.fstat(fi.fh).st_ino)

    def flock(self, path, fi, op):
        self.of(fi, "flock")
        LIBC.flock(fi.fh, op) and fail()

    def flush(self, path, fi):
        self.of(fi, "flush")

    def release(self, path, fi):
        del self.cells[fi.fh]
        os.close(fi.fh)

    def opendir(self, path):
        fd = os.open(self.real(path), os.O_RDONLY | os.O_DIRECTORY)
        self.cells[fd] = self.at(path)
        return fd

    def readdir(self, path, fh):
        # An entry without an inode is none.
        listed = [(entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(fh)]
        listed += [(name, os.fstat(fh)) for name in (".", "..")]
        return [(name, {"st_ino": found.st_ino, "st_mode": found.st_mode}, 0) for name, found in listed]

    def fsyncdir(self, path, datasync, fh):
        cell = self.meet(self.cells[fh], "fsyncdir")
        self.tell(cell, "names-synced")

    def releasedir(self, path, fh):
        del self.cells[fh]
        os.close(fh)

    def mkdir(self, path, mode):
        self.at(path, "mkdir")
        os.mkdir(self.real(path), mode)
        self.own(self.real(path))

    def rmdir(self, path):
        os.rmdir(self.real(path))

    def unlink(self, path):
        self.at(path, "unlink")
        os.unlink(self.real(path))

    def symlink(self, target, source):
        os.symlink(source, self.real(target))

    def readlink(self, path):
        return os.readlink(self.real(path))

    def link(self, target, source):
        cell = self.at(target, "link")
        os.link(self.real(source), self.real(target))
        self.tell(cell, "name", os.path.basename(target))

    def rename(self, old, new, flags):
        cell = self.at(new, "rename", *(["rename-flags"] if flags else []))
        paths = [os.fsencode(self.real(path)) for path in (old, new)]
        LIBC.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], flags) and fail()
        for name in (new, old):
            self.tell(cell, "name", os.path.basename(name))

    def chmod(self, path, mode, fi):
        self.at(path, "chmod") if fi is None else self.of(fi, "chmod")
        os.chmod(fi.fh if fi else self.real(path), mode)

    def chown(self, path, uid, gid, fi):
        self.at(path, "chown") if fi is None else self.of(fi, "chown")
        os.chown(fi.fh if fi else self.real(path), uid, gid)

    def utimens(self, path, times=None):
        os.utime(self.real(path), ns=times)

    def getxattr(self, path, name, position=0):
        self.at(path, "xattr")
        return os.getxattr(self.real(path), name)

    def listxattr(self, path):
        self.at(path, "xattr")
        return os.listxattr(self.real(path))

    def setxattr(self, path, name, value, options, position=0):
        self.at(path, "xattr")
        os.setxattr(self.real(path), name, value, options)

    def removexattr(self, path, name):
        self.at(path, "xattr")
        os.removexattr(self.real(path), name)


class Served(mfusepy.FUSE):
    """With what `mfusepy` keeps to itself: the flags of a rename, and open files that have no path."""

    def rename_fuse_3(self, old, new, flags):
        return self.operations.rename(os.fsdecode(old), os.fsdecode(new), flags)

    def chmod_fuse_3(self, path, mode, fip):
        return self.operations.chmod(path and os.fsdecode(path), mode, opened(fip))

    def chown_fuse_3(self, path, uid, gid, fip):
        uid, gid = (-1 if number == 0xFFFFFFFF else number for number in (uid, gid))
        return self.operations.chown(path and os.fsdecode(path), uid, gid, opened(fip))

    def flock(self, path, fip, op):
        return self.operations.flock(path, opened(fip), op)

    def truncate_fuse_3(self, path, length, fip):
        return self.operations.truncate(path and os.fsdecode(path), length, opened(fip))


def opened(fip):
    return fip.contents if fip and fip.contents.fh else None


def fail():
    raise mfusepy.FuseOSError(ctypes.get_errno())


def main():
    folder, mountpoint, log = sys.argv[1:]
    # Nothing stays mounted when the test is gone.
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.umask(0)
    Served(
        Defective(folder, log),
        mountpoint,
        raw_fi=True,
        foreground=True,
        nothreads=True,
        allow_other=True,
        default_permissions=True,
        use_ino=True,
        hard_remove=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )


if __name__ == "__main__":
    main()
