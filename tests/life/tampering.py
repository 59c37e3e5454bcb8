"""Writes that no bridge is meant to see: past the fence, past capture. Used to see whether `verify` names them."""
import contextlib
import ctypes
import ctypes.util
import os

SQLITE_DBCONFIG_ENABLE_TRIGGER = 1003


def sqlite_unseen(path, *statements):
    """Runs statements in a connection of its own whose triggers are off: neither capture nor fence fires."""
    with about_to_commit_unseen(path, *statements):
        pass


@contextlib.contextmanager
def about_to_commit_unseen(path, *statements):
    """The same; the COMMIT comes at the end of the block."""
    library = ctypes.CDLL(ctypes.util.find_library("sqlite3") or "libsqlite3.so.0")
    handle, state = ctypes.c_void_p(), ctypes.c_int()
    library.sqlite3_open.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]
    library.sqlite3_exec.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.sqlite3_busy_timeout.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.sqlite3_errmsg.argtypes, library.sqlite3_errmsg.restype = [ctypes.c_void_p], ctypes.c_char_p
    library.sqlite3_close.argtypes = [ctypes.c_void_p]
    assert library.sqlite3_open(path.encode(), ctypes.byref(handle)) == 0
    try:
        library.sqlite3_busy_timeout(handle, 20_000)
        library.sqlite3_db_config(handle, ctypes.c_int(SQLITE_DBCONFIG_ENABLE_TRIGGER), ctypes.c_int(0),
                                  ctypes.byref(state))

        def run(*lines):
            for line in lines:
                if library.sqlite3_exec(handle, line.encode(), None, None, None) != 0:
                    raise AssertionError(f"{line}: {library.sqlite3_errmsg(handle).decode()}")
        run("BEGIN IMMEDIATE", *statements)
        yield
        run("COMMIT")
    finally:
        library.sqlite3_close(handle)


def postgres_unseen(connection, *statements):
    """As the role that installed the bridge, which passes its own fence; not decoded either, as an echo is not."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_logical_emit_message(true, 'switchback', 'echo')")
        cursor.execute("SET LOCAL switchback.applying = 'on'")
        for statement in statements:
            cursor.execute(statement)
        cursor.execute("COMMIT")


def file_unseen(path, change):
    """`change` makes new text of a file's; its mode is put back."""
    mode = os.stat(path).st_mode
    os.chmod(path, mode | 0o200)
    with open(path, encoding="utf-8") as before:
        text = change(before.read())
    with open(path, "w", encoding="utf-8") as after:
        after.write(text)
    os.chmod(path, mode)
