"""A whole bridge for tests: a throw-away PostgreSQL, a system's sample store (configs/), its application in a process
of its own and the program under test as a person runs it: by its command line, from a folder of its own.

Everything waits on conditions with deadlines. A test says what happens; this says how it is typed.
"""
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
    system's own."""

    def __init__(self, rows=300, journal_mode=None, rate=150, synchronous="FULL", pg_extra="", seed=7, system="twitter"):
        self.rows, self.journal_mode, self.rate = rows, journal_mode, rate
        self.synchronous, self.pg_extra, self.seed = synchronous, pg_extra, seed
        self.system = os.path.join(CONFIGS, system)
        with open(os.path.join(self.system, "demo.toml"), "rb") as described:
            self.store = tomllib.load(described)["store"]
        self.application = self.sidecar = None
        self.reports = 0

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="switchback-life-")
        os.chmod(self.folder, 0o755)
        self.cluster = ThrowAwayCluster(extra=self.pg_extra)
        self.cluster.__enter__()
        admin = psycopg2.connect(self.cluster.url)
        admin.autocommit = True
        admin.cursor().execute("CREATE DATABASE app")
        admin.close()
        self.url = self.cluster.database_url("app")
        self.make_store()
        return self

    def __exit__(self, kind, value, trace):
        for process in (self.application, self.sidecar):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self.cluster.__exit__(kind, value, trace)
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
        shutil.copy(os.path.join(self.system, "schema.sql"), self.folder)
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
                   "--rate", str(self.rate if rate is None else rate), "--seed", str(self.reports),
                   "--synchronous", self.synchronous]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        with open(self.path("application.log"), "ab") as log:
            self.application = subprocess.Popen(command, stdout=log, stderr=log)

    def acknowledged(self):
        """Acknowledged writes so far."""
        if not os.path.exists(self.path("journal.jsonl")):
            return 0
        with open(self.path("journal.jsonl"), encoding="utf-8") as journal:
            return sum('"ack"' in line for line in journal)

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

    def run(self, *words, timeout=90, **environment):
        """Types a command; (exit code, standard output, standard error)."""
        done = subprocess.run([PROGRAM, "-c", self.path("switchback.toml"), *words], capture_output=True, text=True,
                              timeout=timeout, env=self.environment(**environment))
        return done.returncode, done.stdout, done.stderr

    def status(self):
        """`status --json`, or None while it cannot be told."""
        code, out, _ = self.run("status", "--json")
        return json.loads(out) if code == 0 and out else None

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
