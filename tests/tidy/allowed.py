"""Exceptions: (rule, path, words of the line) -> the reason. One that no longer matches anything is reported."""

ALLOWED = {
    ("own", "state/base/durable_file.cpp", "auto* made = new Unsynced;"):
        "test builds only; lives as long as the process, so that no exit order matters",
    ("store-files", "watchers/sqlite/open_readers.cpp", 'locks("/proc/locks")'):
        "the kernel's list of locks, not a store's file",
    ("store-files", "watchers/sqlite/open_readers.cpp", 'comm("/proc/"'):
        "a process's name, not a store's file",
    ("store-files", "watchers/sqlite/backup.cpp", "::open(path.c_str(), O_RDONLY | O_CLOEXEC)"):
        "the copy, after SQLite closed it: nobody holds a lock on it",
    ("store-files", "watchers/sqlite/backup.cpp", "replace_file(manifest_path"):
        "the manifest beside the copy, not a store's file",
    ("store-files", "watchers/sqlite/power_loss.cpp", "std::ifstream file(name, std::ios::binary);"):
        "test builds only; a journal or -wal, on which SQLite keeps no lock",
    ("store-files", "watchers/sqlite/unsynced_files.cpp", "::open("):
        "test builds only; the process ends before the descriptor is closed",
    ("sleep", "watchers/sqlite/backup.cpp", "std::this_thread::sleep_for(kGap);"):
        "the gap between two slices of a backup, which gives the application's writers their turn",
    ("durable", "watchers/sqlite/backup.cpp", 'from.exec("COMMIT");'):
        "ends a snapshot that was only read",
    ("durable", "watchers/sqlite/install.cpp", 'return script + "COMMIT;'):
        "text of remove-old.sql",
    ("sleep", "bridge/flip.cpp", "std::this_thread::sleep_for("):
        "the pause between two tries of a flip: waiting writers get their turn, and no event says when they had it",
    ("sleep", "watchers/files/backup.cpp", "std::this_thread::sleep_for(kBetweenReads);"):
        "the gap between two reads of a file that is being written, which gives the writer its turn",
    ("sleep", "watchers/sqlite/busy_wait.cpp", "std::this_thread::sleep_for("):
        "SQLite's busy handler: the lock of another process can only be tried again, until the deadline",
    ("sleep", "watchers/sqlite/open_readers.cpp", "std::this_thread::sleep_for("):
        "tells readers that stay from readers that pass: four looks, some milliseconds apart",
    ("sleep", "watchers/sqlite/writer_pause.cpp", "std::this_thread::sleep_for("):
        "between two looks for a commit of somebody else: no event tells when one is over, until the deadline",
    ("sleep", "replication/gate.cpp", "std::this_thread::sleep_for("):
        "between two tries at locks that others hold: they get their turn, until the deadline",
    ("sleep", "replication/reader.cpp", "std::this_thread::sleep_for("):
        "a commit that is being made public tells nobody when it is: pg_stat_activity is asked again, until the deadline",
    ("sleep", "tests/watchers/sqlite/sink_test.cpp", "sleep_for(std::chrono::milliseconds(60 + 17 * round))"):
        "SIGKILL at another moment in each round is what the test is about",
    ("own", "bridge/admin_server.cpp", "return new httplib::ThreadPool("):
        "httplib takes it over and deletes it",
    ("durable", "watchers/sqlite/batch_builder.cpp", 'commit_(database, "COMMIT")'):
        "ends a snapshot that was only read",
    ("durable", "replication/removal.cpp", "SELECT pg_drop_replication_slot(slot_name)"):
        "also the text of remove-postgres.sql; remove_postgres() has the failpoints around its use",
}
