"""The files of the tree as the rules see them: C++ with comments, and for most rules literals, blanked out.

Blanking keeps every line and column, so that what a rule finds it can name by line.
"""
import os
import re
import subprocess

CPP = (".cpp", ".h")
SCRIPT = (".py", ".sh")
SKIPPED_FOLDERS = {".git", "build", "node_modules", "__pycache__", ".cache"}

TOKEN = re.compile(r"""
    (?P<line>//[^\n]*)
  | (?P<block>/\*.*?\*/)
  | (?P<raw>(?:u8|[uUL])?R"(?P<tag>[^\s()\\]{0,16})\(.*?\)(?P=tag)")
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<char>(?<![0-9A-Za-z_])'(?:[^'\\\n]|\\.)+')
""", re.VERBOSE | re.DOTALL)


def blank(text):
    """The same shape without the content."""
    return re.sub(r"[^\n]", " ", text)


class Source:
    """One file. `code`: no comments, no content of literals. `spoken`: no comments, literals as they are."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.lines = self.text.split("\n")
        self.literals = []          # (offset, text between the quotes)
        self.code = self.spoken = self.text
        if self.is_cpp:
            self._read_cpp()

    @property
    def is_cpp(self):
        return self.path.endswith(CPP)

    @property
    def is_header(self):
        return self.path.endswith(".h")

    @property
    def is_test(self):
        return self.path.startswith("tests/")

    @property
    def folder(self):
        """The top folder, which is the layer."""
        return self.path.split("/")[0]

    def line_of(self, offset):
        """From 1."""
        return self.text.count("\n", 0, offset) + 1

    def _read_cpp(self):
        code, spoken, end = [], [], 0
        for token in TOKEN.finditer(self.text):
            between, text = self.text[end:token.start()], token.group()
            code.append(between)
            spoken.append(between)
            end = token.end()
            if token.lastgroup in ("line", "block"):
                code.append(blank(text))
                spoken.append(blank(text))
                continue
            spoken.append(text)
            quote = "'" if text.endswith("'") else '"'
            code.append(quote + blank(text[1:-1]) + quote)
            if quote == '"':
                self.literals.append((token.start(), text[text.index('"') + 1:-1]))
        self.code = "".join(code) + self.text[end:]
        self.spoken = "".join(spoken) + self.text[end:]


def list_files(root):
    """Paths of what is, or would be, committed; everything but build output where there is no git."""
    try:
        listed = subprocess.run(["git", "-c", f"safe.directory={root}", "-C", root, "ls-files", "-co",
                                 "--exclude-standard", "-z"], capture_output=True, text=True, check=True)
        paths = listed.stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        paths = [os.path.relpath(os.path.join(folder, name), root) for folder, name in _walk(root)]
    return sorted(path for path in set(paths) if path and os.path.isfile(os.path.join(root, path)))


def _walk(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS]
        for name in names:
            yield folder, name


def is_text(root, path):
    """No NUL in the first block."""
    with open(os.path.join(root, path), "rb") as file:
        return b"\0" not in file.read(4096)


def load(root):
    """Every text file of the tree."""
    return [Source(root, path) for path in list_files(root) if is_text(root, path)]
