#!/usr/bin/python3
"""A client with one habit: `BEGIN; SELECT; UPDATE; COMMIT` on the tweets of a database, so many times a second, or as
fast as it can. It counts what it did and which of its statements met "database is locked", and prints that as JSON.
"""
import argparse
import json
import os
import random
import sqlite3
import sys
import threading
import time

STEPS = ("begin", "select", "update", "commit")


class Client:
    """One connection, opened and used by one thread, with the habits of the command line."""

    def __init__(self, path, busy_ms, synchronous="FULL", begin="BEGIN"):
        self.path = path
        self.begin = begin
        self.connection = sqlite3.connect(path, timeout=busy_ms / 1000, isolation_level=None)
        self.connection.execute(f"PRAGMA synchronous = {synchronous}")
        self.ids = [row[0] for row in self.connection.execute("SELECT id FROM tweets ORDER BY id")]
        self.random = random.Random(7)
        self.done = self.wal_peak = 0
        self.busy = dict.fromkeys(STEPS, 0)

    def once(self):
        """One transaction; whatever fails is rolled back, as an application does, and counted."""
        tweet = self.random.choice(self.ids)
        step = "begin"
        try:
            self.connection.execute(self.begin)
            step = "select"
            self.connection.execute("SELECT text FROM tweets WHERE id = ?", (tweet,)).fetchone()
            step = "update"
            self.connection.execute("UPDATE tweets SET url = ? WHERE id = ?", (f"seen {self.done}", tweet))
            step = "commit"
            self.connection.execute("COMMIT")
            self.done += 1
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            self.busy[step] += 1
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def run(self, seconds, rate=0):
        """For so long; at `rate` a second, or (0) as fast as it goes. Transactions a second."""
        began, before = time.monotonic(), self.done
        due = began
        while time.monotonic() < began + seconds:
            self.once()
            self.look_at_wal()
            if rate:
                due += 1 / rate
                time.sleep(max(0, due - time.monotonic()))  # the client's own pace
        return (self.done - before) / (time.monotonic() - began)

    def look_at_wal(self):
        """By stat(2): to open the file and close it would drop SQLite's locks."""
        try:
            self.wal_peak = max(self.wal_peak, os.stat(self.path + "-wal").st_size)
        except FileNotFoundError:
            pass


def read_long(path, seconds, each, stop):
    """Read transactions that stay open for `each` seconds, one after the other."""
    connection = sqlite3.connect(path, timeout=5, isolation_level=None)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop.is_set():
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM tweets").fetchone()
        stop.wait(min(each, max(0, end - time.monotonic())))
        connection.execute("COMMIT")
    connection.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("database")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--busy-ms", type=int, default=1000)
    parser.add_argument("--synchronous", default="FULL")
    parser.add_argument("--begin", default="BEGIN")
    parser.add_argument("--long-reads", type=float, default=0, help="seconds each")
    options = parser.parse_args()
    client = Client(options.database, options.busy_ms, options.synchronous, options.begin)
    stop = threading.Event()
    reader = None
    if options.long_reads:
        reader = threading.Thread(target=read_long,
                                  args=(options.database, options.seconds, options.long_reads, stop))
        reader.start()
    rate = client.run(options.seconds, options.rate)
    stop.set()
    if reader:
        reader.join()
    json.dump({"done": client.done, "rate": rate, "busy": client.busy, "wal_peak": client.wal_peak}, sys.stdout)


if __name__ == "__main__":
    main()
