"""A whole bridge for tests: a throw-away PostgreSQL, a system's sample store (configs/), its application in a process
of its own and the program under test as a person runs it: by its command line, from a folder of its own.

Everything waits on conditions with deadlines. A test says what happens; this says how it is typed.
"""
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import ThrowAwayCluster  # noqa: E402  (found beside this file)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIGS = os.path.join(ROOT, "configs")
PYTHON = "/usr/bin/python3"
PROGRAM = os.environ.get("SWITCHBACK")


def wait_until(condition, what, seconds=60, step=0.02):
    """Looks again and again until `condition()` is true; fails with `what` at the deadline."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(step)  # between two looks at the condition


class Life:
    """Use as a context manager. `rows` of the largest table, `rate` in writes per second; without a journal mode the
    system's own. `user`: who the application is and the old store belongs to, if root runs the tests: mode bits refuse
    nothing to root."""

    flip_options = []   # of every flip of a crash life

    def __init__(self, rows=300, journal_mode=None, rate=150, synchronous=None, pg_extra="", seed=7, system="twitter",
                 user=None):
        self.rows, self.journal_mode, self.rate = rows, journal_mode, rate
        self.synchronous, self.pg_extra, self.seed = synchronous, pg_extra, seed
        self.system = os.path.join(CONFIGS, system)
        self.user = user if os.geteuid() == 0 else None
        with open(os.path.join(self.system, "demo.toml"), "rb") as described:
            self.store = tomllib.load(described)["store"]
        self.application = self.sidecar = None
        self.reports = 0
        self.counted = self.counted_to = 0  # acknowledged writes in so many bytes of the journal

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="switchback-life-")
        os.chmod(self.folder, 0o755)
        self.cluster = self.make_cluster()
        try:
            self.make_stores()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def make_cluster(self):
        cluster = ThrowAwayCluster(extra=self.pg_extra)
        cluster.__enter__()
        return cluster

    def end_cluster(self, kind, value, trace):
        self.cluster.__exit__(kind, value, trace)

    def make_stores(self):
        admin = psycopg2.connect(self.cluster.url)
        admin.autocommit = True
        admin.cursor().execute("CREATE DATABASE app STRATEGY FILE_COPY")
        admin.close()
        self.url = self.cluster.database_url("app")
        self.make_store()

    def __exit__(self, kind, value, trace):
        for process in (self.application, self.sidecar):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self.end_cluster(kind, value, trace)
        if kind is None or issubclass(kind, unittest.SkipTest):
            shutil.rmtree(self.folder)
        else:
            print(f"kept for a look: {self.folder}", file=sys.stderr)
            self.print_log("sidecar.log")

    def print_log(self, name, lines=40):
        """The end of a log, for whoever reads a failed run."""
        if os.path.exists(self.path(name)):
            with open(self.path(name), encoding="utf-8", errors="replace") as log:
                sys.stderr.write("".join(log.readlines()[-lines:]))

    def path(self, name):
        return os.path.join(self.folder, name)

    def program(self, name):
        """One of the system's own programs, as a command."""
        return [PYTHON, os.path.join(self.system, name)]

    def make_store(self):
        mode = ["--journal-mode", self.journal_mode] if self.journal_mode else []
        for name in ("original", self.store):
            subprocess.run([*self.program("make_sample.py"), "--out", self.path(name), "--rows", str(self.rows),
                            "--seed", str(self.seed), *mode], check=True, stdout=subprocess.DEVNULL)
        if self.user:
            subprocess.run(["chown", "-R", self.user, self.folder], check=True)
        for name in os.listdir(self.system):
            if os.path.isfile(os.path.join(self.system, name)) and not name.endswith(".py"):
                shutil.copy(os.path.join(self.system, name), self.folder)
        with open(os.path.join(self.system, "switchback.toml"), encoding="utf-8") as config:
            text = config.read()
        with open(self.path("switchback.toml"), "w", encoding="utf-8") as config:
            config.write(text + '\n[admin]\nlisten = "127.0.0.1:0"\n')

    # -- the application

    def start_application(self, rate=None, **options):
        self.reports += 1
        command = [*self.program("application.py"), "--old", self.path(self.store),
                   "--postgres", self.url, "--primary", self.path("switchback.run/primary"),
                   "--journal", self.path("journal.jsonl"), "--report", self.path(f"report{self.reports}.json"),
                   "--rate", str(self.rate if rate is None else rate), "--seed", str(self.reports)]
        if self.synchronous:
            command += ["--synchronous", self.synchronous]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        with open(self.path("application.log"), "ab") as log:
            self.application = subprocess.Popen(command, stdout=log, stderr=log, user=self.user)

    def acknowledged(self):
        """Acknowledged writes so far."""
        if os.path.exists(self.path("journal.jsonl")):
            with open(self.path("journal.jsonl"), "rb") as journal:
                journal.seek(self.counted_to)
                lines = journal.read()
            whole = lines.rfind(b"\n") + 1
            self.counted += lines.count(b'"ack"', 0, whole)
            self.counted_to += whole
        return self.counted

    def let_it_write(self, writes=40, seconds=60):
        """Until the application has got so many more writes acknowledged."""
        target = self.acknowledged() + writes
        wait_until(lambda: self.acknowledged() >= target, f"{writes} more acknowledged writes", seconds, 0.05)

    def stop_application(self):
        self.application.send_signal(signal.SIGTERM)
        assert self.application.wait(60) == 0, "the application did not end well"
        with open(self.path(f"report{self.reports}.json"), encoding="utf-8") as report:
            return json.load(report)

    # -- the program

    def environment(self, **more):
        return {**os.environ, "DATABASE_URL": self.url,
                "SWITCHBACK_FAILPOINT_LOG": self.path("failpoints.log"), **more}

    def start_sidecar(self, **environment):
        command = [PROGRAM, "-c", self.path("switchback.toml"), "run"]
        with open(self.path("sidecar.log"), "ab") as log:
            self.sidecar = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment(**environment))

    def run(self, *words, timeout=300, **environment):  # a flip may wait four minutes for a comparison
        """Types a command; (exit code, standard output, standard error)."""
        done = subprocess.run([PROGRAM, "-c", self.path("switchback.toml"), *words], capture_output=True, text=True,
                              timeout=timeout, env=self.environment(**environment))
        return done.returncode, done.stdout, done.stderr

    def status(self):
        """`status --json`, or None while it cannot be told."""
        code, out, _ = self.run("status", "--json")
        return json.loads(out) if code == 0 and out else None

    def ask(self, path):
        """What the sidecar itself answers, or None while there is none: quicker than the command `status`."""
        try:
            with open(self.path("state/admin"), encoding="utf-8") as address:
                host, port = address.read().strip().rsplit(":", 1)
            with open(self.path("state/token"), encoding="utf-8") as token:
                secret = token.read().strip()
            connection = http.client.HTTPConnection(host, int(port), timeout=10)
            connection.request("GET", path, headers={"X-Switchback-Token": secret})
            answer = connection.getresponse()
            return json.load(answer) if answer.status == 200 else None
        except (OSError, ValueError, http.client.HTTPException):
            return None

    def metrics(self):
        """What Prometheus would read: {name with labels: value}."""
        with open(self.path("state/admin"), encoding="utf-8") as address:
            host, port = address.read().strip().rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    def settled(self):
        """The running sidecar is done with what it starts with."""
        status = self.ask("/status")
        return bool(status and status["groups"]) and status["groups"][0]["phase"] in ("forward", "reverse")

    def direction(self):
        """The flip that comes next, by the door that stands open in SQLite."""
        database = self.sqlite()
        door = database.execute("SELECT door FROM _switchback_gate").fetchone()[0]
        database.close()
        return "cutover" if door == "open" else "rollback"

    def traces_in_store(self):
        """What the bridge left behind in the old store."""
        database = self.sqlite()
        found = database.execute("SELECT name FROM sqlite_schema WHERE name GLOB '_switchback*'").fetchall()
        database.close()
        return found

    def traces(self):
        """The same of both stores."""
        found = self.traces_in_store()
        with self.postgres() as postgres, postgres.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname = 'switchback' UNION ALL "
                           "SELECT slot_name FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication "
                           "UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
            return found + cursor.fetchall()

    def group(self):
        status = self.status()
        return status["groups"][0] if status and status["groups"] else {}

    def wait_phase(self, phase, seconds=90):
        def there():
            if self.sidecar and self.sidecar.poll() is not None:
                raise AssertionError(f"the sidecar ended with {self.sidecar.returncode} before {phase}")
            return self.group().get("phase") == phase
        wait_until(there, f"phase {phase}", seconds, 0.1)

    def stop_sidecar(self, how=signal.SIGTERM):
        self.sidecar.send_signal(how)
        return self.sidecar.wait(60)

    def flip(self, command, *options, **environment):
        """`cutover` or `rollback`; the JSON it prints. Fails unless it flipped."""
        code, out, err = self.run(command, "--yes", "--json", *options, **environment)
        assert code == 0, f"{command} ended with {code}: {out} {err}"
        return json.loads(out)

    def flip_when_ready(self, command, seconds=60, options=()):
        """The same, again and again until nothing stands in the way any more."""
        said = []

        def flipped():
            code, *words = self.run(command, "--yes", "--json", *options)
            said[:] = words
            return json.loads(words[0]) if code == 0 else None
        try:
            return wait_until(flipped, f"{command} goes through", seconds, 0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}; it last said: {said}") from None

    def start(self, log, *words):
        """Types a command and does not wait for it."""
        with open(self.path(log), "ab") as output:
            return subprocess.Popen([PROGRAM, "-c", self.path("switchback.toml"), *words], stdout=output, stderr=output,
                                    env=self.environment())

    # -- the two stores, read without the program

    def sqlite(self):
        """An application's own connection."""
        return sqlite3.connect(self.path(self.store), timeout=10, isolation_level=None)

    def postgres(self):
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        return connection

    def check(self, seconds=30):
        """The independent checker, with nobody writing, once the pump had time to carry the rest across."""
        end = time.monotonic() + seconds
        while True:
            done = subprocess.run([*self.program("checker.py"), "--old", self.path(self.store), "--postgres", self.url,
                                   "--journal", self.path("journal.jsonl"), "--original", self.path("original")],
                                  capture_output=True, text=True)
            if done.returncode == 0:
                return done.stdout.splitlines()[-1]
            if time.monotonic() > end:
                raise AssertionError(done.stdout + done.stderr)
