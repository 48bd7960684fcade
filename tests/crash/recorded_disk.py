# SPDX-License-Identifier: Apache-2.0
"""A file system in a loop device over a recording image (disk_recorder.c), and from its record the
images that a loss of power could have left. As root; the mounts belong in a namespace of their own
(scripts/in-own-network)."""
import bisect
import contextlib
import math
import mmap
import os
import pathlib
import struct
import subprocess

from world import BUILD, wait_until

RECORDER = BUILD / "tests" / "crash" / "disk-recorder"
SECTOR = 512
ENTRY = struct.Struct("<QQQQ")  # kind, time in ns (time.monotonic_ns), offset, length
WRITE, FLUSH = ord("W"), ord("F")
COPY_BYTES = 1 << 24
# The size of an image, how it is made, how its copy is checked after the journal was replayed.
# A small log is quick to replay; mkfs.xfs takes no fewer MiB.
FILE_SYSTEMS = {
    "ext4": (192, ["mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0", "-J", "size=4"],
             ["e2fsck", "-f", "-n"]),
    "xfs": (320, ["mkfs.xfs", "-q", "-K"], ["xfs_repair", "-n", "-f"]),
}


def run(*command):
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}"


@contextlib.contextmanager
def mounted(image, folder):
    """The image's file system at `folder`, in a loop device of its own."""
    folder.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        wait_until(lambda: subprocess.run(["umount", folder], capture_output=True,
                                          check=False).returncode == 0, f"umount {folder}")


def copy_sparse(source, target):
    """Only what is there: an image is mostly holes."""
    with open(source, "rb") as old, open(target, "wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        end = 0
        while True:
            try:
                start = os.lseek(old.fileno(), end, os.SEEK_DATA)
            except OSError:  # no more data
                return
            end = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            while start < end:
                start += os.copy_file_range(old.fileno(), new.fileno(),
                                            min(COPY_BYTES, end - start), start, start)


class RecordedDisk:
    """Use as a context: the file system is mounted at .folder, and recorded, until the end."""

    def __init__(self, place, kind):
        self.place, self.kind = pathlib.Path(place), kind
        self.base, self.image = self.place / "base", self.place / "image"
        self.record, self.folder = self.place / "record", self.place / "disk"
        self.shown = self.place / "shown"
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        size, make, _ = FILE_SYSTEMS[self.kind]
        assert RECORDER.exists(), f"no {RECORDER}: install libfuse3-dev, set the build up anew"
        self.shown.mkdir()
        with open(self.base, "wb") as file:
            file.truncate(size << 20)
        run(*make, self.base)
        run("fallocate", "--dig-holes", self.base)
        copy_sparse(self.base, self.image)
        with self.stack:
            recorder = subprocess.Popen([RECORDER, self.image, self.record, self.shown],
                                        stdin=subprocess.DEVNULL)
            self.stack.callback(self.stop, recorder)
            wait_until((self.shown / "image").exists, "the recorded image")
            self.stack.enter_context(mounted(self.shown / "image", self.folder))
            self.stack = self.stack.pop_all()
        return self

    def stop(self, recorder):
        # The loop device lets go of its file a moment after the file system was unmounted.
        wait_until(lambda: recorder.poll() is not None or
                   subprocess.run(["umount", self.shown], capture_output=True,
                                  check=False).returncode == 0, "umount of the recorded image")
        recorder.wait(20)

    def __exit__(self, *exception):
        return self.stack.__exit__(*exception)


class Record:
    """What happened on a disk, and what each moment would have left of it. Moments come in
    ascending order: `durable` only goes forward."""

    def __init__(self, disk):
        self.disk = disk
        self.file = open(disk.record, "rb")
        self.bytes = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        self.kinds, self.times, self.offsets, self.at, self.lengths = [], [], [], [], []
        place = 0
        while place + ENTRY.size <= len(self.bytes):
            kind, when, offset, length = ENTRY.unpack_from(self.bytes, place)
            place += ENTRY.size
            for values, value in zip((self.kinds, self.times, self.offsets, self.at, self.lengths),
                                     (kind, when / 1e9, offset, place, length)):
                values.append(value)
            place += length
        self.durable = disk.place / "durable"
        copy_sparse(disk.base, self.durable)
        self.applied = 0  # entries that are in `durable`
        self.flushes = [i for i, kind in enumerate(self.kinds) if kind == FLUSH]

    def close(self):
        self.bytes.close()
        self.file.close()

    def moments(self, begin, end):
        """The numbers of the entries between these times."""
        return range(bisect.bisect_left(self.times, begin), bisect.bisect_right(self.times, end))

    def end(self, moment):
        """Until when the disk was as after this entry."""
        return self.times[moment + 1] if moment + 1 < len(self.times) else math.inf

    def data(self, entry, start=0, end=None):
        end = self.lengths[entry] if end is None else end
        return self.bytes[self.at[entry] + start:self.at[entry] + end]

    def make_image(self, moment, target, chance):
        """What a loss of power after entry `moment` left: all that was written before the last
        flush, and of the rest some writes, or some sectors of each. Returns how many were open."""
        flush = bisect.bisect_right(self.flushes, moment)
        flushed = self.flushes[flush - 1] if flush > 0 else 0
        with open(self.durable, "r+b", buffering=0) as image:
            for entry in range(self.applied, flushed):
                if self.kinds[entry] == WRITE:
                    os.pwrite(image.fileno(), self.data(entry), self.offsets[entry])
        self.applied = max(self.applied, flushed)
        copy_sparse(self.durable, target)
        pending = [entry for entry in range(flushed, moment + 1) if self.kinds[entry] == WRITE]
        keep = chance.choice([0, 0.1, 0.5, 0.9, 1])
        is_torn = chance.random() < 0.7
        with open(target, "r+b", buffering=0) as image:
            for entry in pending:
                piece = SECTOR if is_torn else max(self.lengths[entry], 1)
                for start in range(0, self.lengths[entry], piece):
                    if chance.random() < keep:
                        os.pwrite(image.fileno(), self.data(entry, start, start + piece)
                                  if start + piece <= self.lengths[entry]
                                  else self.data(entry, start), self.offsets[entry] + start)
        return len(pending)

    def check(self, image):
        """That the file system, once it was mounted and unmounted, is in order."""
        run(*FILE_SYSTEMS[self.disk.kind][2], image)
