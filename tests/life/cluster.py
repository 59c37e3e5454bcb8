"""A throw-away PostgreSQL for tests: made in a temporary folder, reached by a unix socket, gone at the end, also when the
test is killed.

PostgreSQL refuses to run as root, so as root everything is run as another user (`postgres` by default), who also
owns the folder. As an ordinary user it runs as that user. Nothing listens on TCP, so tests can run side by side.
"""
import os
import pwd
import re
import subprocess
import tempfile

CONFIG = """
listen_addresses = ''
unix_socket_directories = '{socket}'
fsync = off
wal_level = {wal_level}
max_wal_senders = 10
max_replication_slots = 10
shared_buffers = 64MB
max_wal_size = 2GB
log_min_messages = warning
{extra}
"""


MEMORY = "/dev/shm"
ROOM = 4 << 30  # bytes free there before it is used

# `read` ends when the last writer of the pipe is gone, however it went.
UNDERTAKER = 'read -r _; folder=$1; shift; "$@"; rm -rf -- "$folder"'


def folder_for(extra):
    """Where a cluster goes. One that syncs nothing lies in memory where there is room: on a disk, making and removing its
    thousand files is most of what a short test waits for."""
    if "TMPDIR" in os.environ or re.search(r"fsync\s*=\s*on", extra) or not os.access(MEMORY, os.W_OK):
        return tempfile.gettempdir()
    about = os.statvfs(MEMORY)
    return MEMORY if about.f_bavail * about.f_frsize >= ROOM else tempfile.gettempdir()


class ThrowAwayCluster:
    """Use as a context manager: `with ThrowAwayCluster() as pg: psycopg2.connect(pg.url)`."""

    def __init__(self, wal_level="logical", extra="", user="postgres", bindir=None):
        self.wal_level = wal_level
        self.extra = extra              # more lines of postgresql.conf
        self.user = user if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.bindir = bindir            # another version's bin folder; else SWITCHBACK_TEST_PG_BIN, else pg_config's
        self.folder = None
        self.undertaker = None          # stops the server and removes the folder once we have closed our end of its pipe

    @property
    def socket(self):
        """The folder of the socket; its path must stay below 100 bytes, so it lies directly under such a folder."""
        return self.folder

    @property
    def data(self):
        """The data directory."""
        return os.path.join(self.folder, "data")

    @property
    def url(self):
        """A libpq URI of the superuser `postgres` in the database `postgres`."""
        return f"postgresql:///postgres?host={self.socket}&user=postgres"

    def database_url(self, name):
        """The same for another database."""
        return f"postgresql:///{name}?host={self.socket}&user=postgres"

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="sbpg-", dir=folder_for(self.extra))
        self._start_undertaker()
        try:
            self._make()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """Stop without ceremony: nobody will read this data again."""
        self.undertaker.stdin.close()
        self.undertaker.wait()
        self.folder = None

    def _start_undertaker(self):
        stop = self._command("pg_ctl", "stop", "-w", "-t", "60", "-D", self.data, "-m", "immediate")
        # In a session of its own: a Ctrl-C or a time limit that ends the test's process group must not reach it.
        self.undertaker = subprocess.Popen(["sh", "-c", UNDERTAKER, "sh", self.folder, *stop], cwd="/", start_new_session=True,
                                           stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        """Start, or start again after stop(); returns when it accepts connections."""
        self._run("pg_ctl", "start", "-w", "-t", "60", "-D", self.data, "-l", os.path.join(self.folder, "log"))

    def stop(self, mode="fast"):
        """Stop: smart, fast or immediate (which is a crash)."""
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-D", self.data, "-m", mode)

    def _make(self):
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        os.chmod(self.folder, 0o755)
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                  "--no-sync")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            conf.write(CONFIG.format(socket=self.socket, wal_level=self.wal_level, extra=self.extra))

    def _command(self, program, *args):
        if self.bindir is None:
            self.bindir = os.environ.get("SWITCHBACK_TEST_PG_BIN") or self._installed()
        command = [os.path.join(self.bindir, program), *args]
        return ["runuser", "-u", self.user, "--", *command] if os.geteuid() == 0 else command

    def _run(self, program, *args):
        command = self._command(program, *args)
        # pg_ctl's server inherits the descriptors: pipes would never see their end.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                  check=False)
            if done.returncode != 0:
                output.seek(0)
                raise RuntimeError(f"{program} failed: {output.read().decode(errors='replace')}{self._log()}")

    @staticmethod
    def _installed():
        return subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()

    def _log(self):
        try:
            with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
                return log.read()[-2000:]
        except OSError:
            return ""
