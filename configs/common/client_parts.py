"""What the application remembers and reports: the journal, the view of `primary`, the summary."""
import array
import json
import os
import statistics
import threading
import time
from collections import Counter
from datetime import datetime
from decimal import Decimal

from client_units import Made


def plain(value):
    """JSON for the journal; a date is written as ISO with its zone, a decimal as its digits."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Made):
        return {"$made": value.index}
    raise TypeError(f"no journal form for {type(value)}")


class Journal:
    """Append-only. Intents are written before the attempt by the caller's thread; outcomes by a thread that fsyncs
    them in groups, so that the writer never waits for the journal's disk."""

    def __init__(self, path):
        self.path = path
        self.file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.waiting, self.acked, self.closing = [], 0, False
        self.wake = threading.Condition()
        self.thread = threading.Thread(target=self._sync_loop, name="journal")

    def start(self):
        """Begin a new run in the file; returns the last sequence number an earlier run used."""
        last = 0
        with open(self.path, "rb") as file:
            line = b""
            for line in file:
                if b'"intent"' in line:
                    last = max(last, self._seq(line))
        if line and not line.endswith(b"\n"):
            os.write(self.file, b"\n")      # the torn line of a killed run
        self._append([{"state": "start", "pid": os.getpid()}])
        self.thread.start()
        return last

    @staticmethod
    def _seq(line):
        """Of an intent; 0 if it is the torn line of a killed run, at the end or with later runs behind it."""
        try:
            return json.loads(line)["seq"]
        except ValueError:
            return 0

    def intent(self, seq, op, writes):
        """In the kernel's hands before the attempt: a killed process leaves no write that nobody announced."""
        self._append([{"seq": seq, "op": op, "state": "intent", "writes": writes}])

    def outcome(self, line):
        """Hand over; an ack counts once the thread has synced it."""
        self._stamp(line)
        with self.wake:
            self.waiting.append(line)
            self.wake.notify()

    note = outcome

    def close(self):
        """Sync what is left; returns how many acknowledged writes are on the disk."""
        with self.wake:
            self.closing = True
            self.wake.notify()
        self.thread.join()
        os.close(self.file)
        return self.acked

    def _sync_loop(self):
        while True:
            with self.wake:
                self.wake.wait_for(lambda: self.waiting or self.closing)
                lines, self.waiting = self.waiting, []
            if not lines:
                return
            self._append(lines)
            os.fsync(self.file)
            self.acked += sum(line["state"] == "ack" for line in lines)

    @staticmethod
    def _stamp(line):
        line.setdefault("t_ns", time.monotonic_ns())
        line.setdefault("wall", round(time.time(), 3))

    def _append(self, lines):
        for line in lines:
            self._stamp(line)
        text = "".join(json.dumps(line, default=plain, ensure_ascii=False) + "\n" for line in lines).encode()
        while text:
            text = text[os.write(self.file, text):]


class Primary:
    """The run folder's `primary`: read at the start, when the file changed, and when somebody asks for it."""

    def __init__(self, path):
        self.path, self.seen = path, None
        self.side, self.epoch = "old", None

    def changed(self):
        """One stat; reads only if the file is another one than before."""
        return self.read() if self._identity() != self.seen else self.side

    def read(self):
        """The side. A file that cannot be read says nothing new; one that is missing means old."""
        seen = self._identity()
        try:
            with open(self.path, encoding="utf-8") as file:
                told = json.loads(file.readline())
            groups = told["groups"]
            self.side = groups["all"] if "all" in groups else next(iter(groups.values()))
            self.epoch = told.get("epoch")
        except FileNotFoundError:
            self.side, self.epoch = "old", None
        except (OSError, ValueError, KeyError, StopIteration):
            pass
        self.seen = seen
        return self.side

    def _identity(self):
        try:
            stat = os.stat(self.path)
            return stat.st_mtime_ns, stat.st_ino
        except OSError:
            return None


class Report:
    """Numbers as this client saw them."""

    def __init__(self):
        self.times = array.array("q")       # when each commit returned, monotonic ns
        self.switches, self.errors = [], Counter()
        self.unknown = self.failed = 0
        self.begun = time.monotonic_ns()

    def acked(self, now):
        """A commit returned."""
        self.times.append(now)

    def error(self, side, kind):
        """An attempt failed."""
        self.errors[side, kind] += 1

    def switched(self, before, after, now):
        """The writes go to another side from now on."""
        self.switches.append((before, after, now))

    def _gaps(self):
        """(from, to) of every pair of consecutive commits that lies within a second of a switch, longest per switch."""
        around, first = [], 0
        for before, after, at in self.switches:
            low, high = at - 10**9, at + 10**9
            while first + 1 < len(self.times) and self.times[first + 1] <= low:
                first += 1
            longest, n = 0, first
            while n + 1 < len(self.times) and self.times[n] < high:
                longest = max(longest, self.times[n + 1] - self.times[n])
                n += 1
            around.append({"from": before, "to": after, "gap_ms": round(longest / 1e6, 2)})
        return around

    def summary(self, acked):
        """The report's content; `acked` counts only what the journal has on disk."""
        seconds = (time.monotonic_ns() - self.begun) / 1e9
        gaps = [b - a for a, b in zip(self.times, self.times[1:])]
        switches = self._gaps()
        told = [s["gap_ms"] for s in switches]
        errors = {}
        for (side, kind), count in sorted(self.errors.items()):
            errors.setdefault(side, {})[kind] = count
        return {"acked": acked, "unknown": self.unknown, "failed": self.failed, "seconds": round(seconds, 3),
                "rate": round(acked / seconds, 1), "errors": errors, "switches": switches,
                "switch_gap_ms": {"p50": statistics.median(told) if told else None, "max": max(told, default=None)},
                "all_gap_ms": {"p50": round(statistics.median(gaps) / 1e6, 3) if gaps else None,
                               "max": round(max(gaps) / 1e6, 2) if gaps else None}}

    def write(self, path, acked):
        """Also on standard output, so that a run by hand says something."""
        text = json.dumps(self.summary(acked))
        print(text, flush=True)
        if path:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text + "\n")
