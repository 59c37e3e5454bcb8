#!/usr/bin/python3
"""Each rule is only worth something if it fails: a violation is planted in a small tree and must be found.

Run: /usr/bin/python3 tests/tidy/test_tidy.py
"""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from check import RULES, check  # noqa: E402  (the folder is no package)
from source import Source  # noqa: E402

CLEAN = {
    "state/CMakeLists.txt": "add_library(s STATIC base/sync.cpp)\n",
    "state/base/sync.h": "// Syncs a file. Called by the sink.\n#pragma once\nvoid sync_it(int fd);\n",
    "state/base/sync.cpp": """#include "state/base/sync.h"
void sync_it(int fd) {
  failpoint("file.sync.before");
  if (::fsync(fd) != 0) fail("fsync");
  failpoint("file.sync.after");
}
""",
    "state/base/failpoint_names.h": """// The registry. Compared with the calls.
#pragma once
#include <array>
inline constexpr auto kNames = names({
    "file.sync.before",
    "file.sync.after",
});
""",
    "state/model/row.h": "// A row. Plain data.\n#pragma once\nstruct Row {};\n",
    "watchers/CMakeLists.txt": "add_library(w STATIC sqlite/gate.cpp)\n",
    "watchers/sqlite/gate.cpp": "void gate() {}\n",
    "replication/CMakeLists.txt": "add_library(r STATIC sink.cpp)\n",
    "replication/sink.h": "// Writes rows. One thread.\n#pragma once\n#include <libpq-fe.h>\n",
    "replication/sink.cpp": "void sink(PGconn* c) { PQfinish(c); }\n",
    "bridge/CMakeLists.txt": "add_library(b STATIC pump.cpp)\n",
    "bridge/pump.cpp": '#include "replication/sink.h"\n',
}


class Rules(unittest.TestCase):
    """One test per rule, at least."""

    tried = set()

    def violations(self, changes):
        """What the rules say about the clean tree with some files changed: {rule: [line, …]}."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**CLEAN, **changes}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            found = {}
            for path, line, rule, what in check(root, allowed={}):
                found.setdefault(rule, []).append((path, line, what))
            return found

    def caught(self, rule, path, text, line=None):
        """The rule, and no other, speaks of this file."""
        Rules.tried.add(rule)
        found = self.violations({path: text})
        self.assertEqual(list(found), [rule], found)
        self.assertIn(path, [where for where, _, _ in found[rule]], found)
        if line is not None:
            self.assertIn(line, [number for _, number, _ in found[rule]], found)

    def fine(self, path, text):
        """Nothing to say about this file."""
        self.assertEqual(self.violations({path: text}), {})

    def test_clean(self):
        self.assertEqual(self.violations({}), {})

    def test_size(self):
        self.caught("size", "state/model/row.h", CLEAN["state/model/row.h"] + "//\n" * 500)
        self.caught("size", "replication/sink.cpp", "int x;  // " + "x" * 90 + "\n", 1)
        self.caught("size", "ops/run", "#!/bin/sh\necho " + "x" * 130 + "\n", 2)
        self.fine("state/model/row.h", CLEAN["state/model/row.h"] + "//\n" * 497)

    def test_include_direction(self):
        self.caught("include", "state/base/sync.cpp", '#include "bridge/pump.h"\n' + CLEAN["state/base/sync.cpp"], 1)
        self.caught("include", "watchers/sqlite/gate.cpp", '#include "replication/sink.h"\n', 1)
        gate = {"watchers/sqlite/gate.h": "// A gate. One thread.\n#pragma once\n"}
        found = self.violations({**gate, "replication/sink.cpp": '#include "watchers/sqlite/gate.h"\n'})
        self.assertEqual(list(found), ["include"], found)
        self.assertEqual(self.violations({**gate, "bridge/pump.cpp": '#include "watchers/sqlite/gate.h"\n'}), {})
        self.caught("include", "state/base/sync.h", "// Syncs a file. By the sink.\n#pragma once\n"
                    '#include "state/model/row.h"\n', 3)
        self.caught("include", "bridge/pump.cpp", '#include "pump.h"\n', 1)
        self.fine("watchers/sqlite/gate.cpp", '// #include "replication/sink.h"\n')

    def test_header(self):
        self.caught("header", "state/model/row.h", "#pragma once\nstruct Row {};\n", 1)
        self.caught("header", "state/model/row.h", "// A row. Plain data.\nstruct Row {};\n", 2)
        self.caught("header", "state/model/row.h", "// A row.\n#pragma once\n", 1)

    def test_wire(self):
        self.caught("wire", "bridge/pump.cpp", "void f(void* c) { PQfinish(c); }\n", 1)
        self.caught("wire", "watchers/sqlite/gate.cpp", "#include <libpq-fe.h>\n", 1)
        self.caught("wire", "bridge/pump.cpp", "void f() { sqlite3_close(nullptr); }\n", 1)
        self.caught("wire", "replication/sink.cpp", "#include <SQLiteCpp/SQLiteCpp.h>\n", 1)
        self.fine("watchers/sqlite/gate.cpp", "#include <sqlite3.h>\nvoid f() { sqlite3_close(nullptr); }\n")
        self.fine("bridge/pump.cpp", "// PQfinish() is called elsewhere\n")

    def test_home(self):
        self.caught("home", "docs.md", "Look into /ho" "me/ada/switchback.\n", 1)
        self.caught("home", "ops.conf", "\npath = /ro" "ot/x\n", 2)
        self.fine("docs.md", "Look into ~/switchback, or /var/lib/switchback.\n")

    def test_listed(self):
        self.caught("listed", "state/base/forgotten.cpp", "int x;\n", 1)

    def test_own(self):
        self.caught("own", "bridge/pump.cpp", "\nauto* p = new Pump(1);\n", 2)
        self.caught("own", "bridge/pump.cpp", "void f(int* p) { delete p; }\n", 1)
        self.caught("own", "bridge/pump.cpp", "void f(int* p) { delete[] p; }\n", 1)
        self.fine("bridge/pump.cpp", 'struct P { P(const P&) = delete; };\nconst char* s = "delete new x";  // new x\n'
                  "void f(void* at) { new (at) int; }\n")

    def test_sleep(self):
        self.caught("sleep", "bridge/pump.cpp", "void f() { std::this_thread::sleep_for(x); }\n", 1)
        self.caught("sleep", "bridge/pump.cpp", "void f() { usleep(1); }\n", 1)
        self.caught("sleep", "bridge/pump.cpp", "void f() { ::sleep(1); }\n", 1)
        self.fine("bridge/pump.cpp", "void f() { sleep(lock); }\n")
        lists = {"tests/CMakeLists.txt": "add_executable(a a_test.cpp)\n"}
        wait = "while (!there) {\n  ASSERT_FALSE(deadline.passed());\n  std::this_thread::sleep_for(x);\n}\n"
        self.assertEqual(self.violations({**lists, "tests/a_test.cpp": wait}), {})
        guess = "start();\nstd::this_thread::sleep_for(x);\n"
        self.assertEqual(list(self.violations({**lists, "tests/a_test.cpp": guess})), ["sleep"])

    def test_leftover(self):
        self.caught("leftover", "bridge/pump.cpp", "// TO" "DO: finish\n", 1)
        self.caught("leftover", "ops/x.py", "x = 1  # FIX" "ME\n", 1)

    def test_store_files(self):
        for line in ("int fd = ::open(path, 0);", "int fd = open(path, 0);", "std::ifstream in(path);",
                     "auto* f = fopen(path, mode);", "std::filesystem::copy_file(a, b);", "auto x = read_file(path);"):
            self.caught("store-files", "watchers/sqlite/gate.cpp", f"void f() {{\n  {line}\n}}\n", 2)
        self.fine("watchers/sqlite/gate.cpp", "void Gate::open(int epoch) { sink->open(epoch); }\n"
                  "static Gate open(int);\nauto d = StateDir::open(path);\n")
        self.fine("watchers/sqlite/gate.cpp", "int f() { return ::open(folder, O_DIRECTORY); }\n")
        self.fine("state/base/sync.cpp", CLEAN["state/base/sync.cpp"] + "int g(const char* p) { return ::open(p, 0); }\n")

    def test_switch(self):
        self.caught("switch", "bridge/pump.cpp", "int f(Op op) {\n  switch (op) {\n    case Op::kUpsert: return 1;\n"
                    "    default: return 0;\n  }\n}\n", 4)
        self.fine("bridge/pump.cpp", "int f(Op op, int n) {\n  switch (op) {\n    case Op::kUpsert:\n"
                  "      switch (n) { case 1: return 2; default: return 3; }\n    case Op::kDelete: return 1;\n  }\n}\n")

    def test_failpoints_around_each_step(self):
        for step in ("::fsync(fd);", "fdatasync(fd);", "::rename(a, b);", "std::filesystem::rename(a, b);",
                     'c.exec("COMMIT");', 'c.exec("SELECT 1; COMMIT");', "transaction.commit();",
                     "sqlite3_wal_checkpoint_v2(db);",
                     'c.exec("SELECT pg_drop_replication_slot($1)");', 'c.exec("CREATE_REPLICATION_SLOT s LOGICAL p");'):
            path = "watchers/sqlite/gate.cpp"
            self.caught("durable", path, f"void f() {{\n  {step}\n}}\n", 2)
            pair = 'failpoint("file.sync.%s");'
            self.fine(path, f"void f() {{\n  {pair % 'before'}\n  {step}\n  {pair % 'after'}\n}}\n")
            self.caught("durable", path, f"void f() {{\n  {pair % 'before'}\n  {step}\n}}\n", 3)
            far = "\n" * 20
            self.caught("durable", path, f"void f() {{\n  {pair % 'before'}\n{far}  {step}\n  {pair % 'after'}\n}}\n")
        self.fine("watchers/sqlite/gate.cpp", "void Gate::rename(int);\nbool f() { return ends(\"ON COMMIT DROP\"); }\n")

    def test_a_status_to_the_server_is_a_step(self):
        lists = {"replication/CMakeLists.txt": "add_library(r STATIC sink.cpp stream.cpp)\n"}
        send = {"replication/stream.cpp": "void f() { PQputCopyData(c, d, n); }\n"}
        self.assertEqual(list(self.violations({**lists, **send})), ["durable"])

    def test_a_helper_is_bracketed_by_its_callers(self):
        helper = 'void commit(C& c) {\n  c.exec("COMMIT");\n}\n'
        pair = 'failpoint("file.sync.%s");'
        caller = f"void f(C& c) {{\n  {pair % 'before'}\n  commit(c);\n  {pair % 'after'}\n}}\n"
        self.fine("replication/sink.cpp", helper + caller)
        self.caught("durable", "replication/sink.cpp", helper + caller + "void g(C& c) {\n  commit(c);\n}\n")

    def test_sql_in_a_constant_is_a_step_where_it_is_used(self):
        constant = 'constexpr std::string_view kDrop = "SELECT pg_drop_replication_slot($1)";\n'
        pair = 'failpoint("file.sync.%s");'
        self.fine("replication/sink.cpp", constant + "\n" * 20 +
                  f"void f() {{\n  {pair % 'before'}\n  c.exec(kDrop);\n  {pair % 'after'}\n}}\n")
        self.caught("durable", "replication/sink.cpp", constant + "\n" * 20 + "void f() {\n  c.exec(kDrop);\n}\n", 23)

    def test_what_only_looks_like_a_commit(self):
        self.fine("replication/sink.cpp", 'bool f() { return tag != "COMMIT" || say("COMMIT PREPARED x"); }\n'
                  'void g() {\n  c.exec("BEGIN READ ONLY");\n  c.exec("COMMIT");\n}\n')
        self.caught("durable", "replication/sink.cpp", 'void g() {\n  c.exec("BEGIN READ ONLY");\n'
                    '  c.exec("BEGIN");\n  c.exec("COMMIT");\n}\n', 4)

    def test_a_failpoint_may_choose_between_names(self):
        choice = '  failpoint(a ? "file.sync.%s" : "other.%s");\n'
        names = "state/base/failpoint_names.h"
        both = CLEAN[names].replace("});", '    "other.before",\n    "other.after",\n});')
        self.assertEqual(list(self.violations({names: both.replace("other.", "file.other."), "replication/sink.cpp":
                         ("void g() {\n" + choice + '  c.exec("COMMIT");\n' + choice + "}\n").replace(
                             "other.", "file.other.") % ("before", "before", "after", "after")})), [])

    def test_registry(self):
        names, sync = "state/base/failpoint_names.h", "state/base/sync.cpp"
        listed = CLEAN[names]
        self.caught("registry", names, listed.replace('    "file.sync.after",\n', ""))
        self.caught("registry", names, listed.replace("});", '    "file.gone.before",\n    "file.gone.after",\n});'))
        self.caught("registry", names, listed.replace("});", '    "file.sync.after",\n});'))
        self.assertEqual(list(self.violations({sync: CLEAN[sync].replace("sync.before", "sink.before").replace(
            "sync.after", "sink.after")})), ["registry"])
        half = {names: listed.replace('    "file.sync.after",\n', ""),
                sync: 'void sync_it(int) {\n  failpoint("file.sync.before");\n}\n'}
        self.assertEqual([what for _, _, what in self.violations(half)["registry"]],
                         ["file.sync.before has no other half"])

    def test_failpoint_name(self):
        self.caught("failpoint-name", "bridge/pump.cpp", "void f() { failpoint(name); }\n", 1)

    def test_an_exception_that_nothing_needs_is_reported(self):
        with tempfile.TemporaryDirectory() as root:
            found = check(root, allowed={("own", "x.cpp", "new X"): "because"})
        self.assertEqual([rule for _, _, rule, _ in found], ["allowed"])

    def test_an_exception_holds_for_its_line_only(self):
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "x.py"), "w", encoding="utf-8") as file:
                file.write("#" * 140 + "a\n" + "#" * 140 + "b\n")
            found = check(root, allowed={("size", "x.py", "#a"): "because"})
        self.assertEqual([(line, rule) for _, line, rule, _ in found], [(2, "size")])

    @classmethod
    def tearDownClass(cls):
        untried = set(RULES) - cls.tried
        if untried:
            raise AssertionError(f"no violation was planted for: {', '.join(sorted(untried))}")


class Blanking(unittest.TestCase):
    """What the rules look at."""

    def test_comments_and_literals(self):
        with tempfile.TemporaryDirectory() as root:
            text = ('int a; // "x"\n/* new\n b */ auto s = R"(one "two" // new\n)"; char c = \'"\'; int n = 1\'000;\n'
                    'f("a\\"b");\n')
            with open(os.path.join(root, "a.cpp"), "w", encoding="utf-8") as file:
                file.write(text)
            seen = Source(root, "a.cpp")
        self.assertEqual(len(seen.code), len(text))
        self.assertNotIn("new", seen.code)
        self.assertIn("int n = 1'000;", seen.code)
        self.assertEqual([words for _, words in seen.literals], ['(one "two" // new\n)', 'a\\"b'])


if __name__ == "__main__":
    unittest.main()
