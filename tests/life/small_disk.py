"""A small file system for tests of full and read-only disks: a tmpfs mounted for as long as the test takes.

Needs the right to mount, which root has outside most containers; `can_mount()` says so and tests skip without it.
"""
import os
import subprocess
import tempfile


def can_mount():
    """Whether this process may mount a tmpfs."""
    with tempfile.TemporaryDirectory(prefix="switchback-disk-") as folder:
        try:
            with SmallDisk(folder, "1m"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


class SmallDisk:
    """Use as a context manager; `folder` is hidden by the new file system until the end."""

    def __init__(self, folder, size, mode=0o700):
        self.folder, self.size, self.mode = folder, size, mode

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},mode={self.mode:o}", "switchback-test",
                        self.folder], check=True, capture_output=True)
        return self

    def __exit__(self, *_):
        # Lazily: a program under test may still have files open.
        subprocess.run(["umount", "-l", self.folder], check=True)

    def fill(self):
        """Leaves no room for another block."""
        with open(os.path.join(self.folder, "ballast"), "ab", buffering=0) as ballast:
            block = 65536
            while block:
                try:
                    if ballast.write(bytes(block)) < block:
                        block //= 2
                except OSError:
                    block //= 2

    def make_room(self):
        os.unlink(os.path.join(self.folder, "ballast"))

    def grow(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True, capture_output=True)

    def read_only(self):
        """Whatever is opened from now on can only be read."""
        subprocess.run(["mount", "--bind", self.folder, self.folder], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", self.folder], check=True, capture_output=True)

    def writable(self):
        """Takes read_only() back."""
        subprocess.run(["umount", "-l", self.folder], check=True, capture_output=True)
