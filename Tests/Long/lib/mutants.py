"""Guards and early exits of Swift sources, and the tree in which each of them can be switched off."""
import os, re, shutil, zlib

PLACES = 1 << 20
EXIT = re.compile(r"\b(return|throw|continue|break)\b")
# What a guard does for a state that cannot be: nothing can show that it is there.
TRAP = re.compile(r"\s*(unsafe\s+)?(preconditionFailure|fatalError)\b")
PATTERN = re.compile(r"(let|var|case)\b|#")
HEADER = """#include <stdbool.h>

extern unsigned mutants_on;
extern unsigned char *mutants_seen;
void mutants_note(unsigned n);
unsigned mutants_number(void);

/// A guard's condition: true where mutant n is on. It notes that n was asked and would have decided otherwise.
static inline bool mutant_guard(unsigned n, bool holds) {
  if (holds) return true;
  if (!mutants_seen[n]) mutants_note(n);
  return n == mutants_on;
}

/// The condition of an early exit: false where mutant n is on.
static inline bool mutant_exit(unsigned n, bool leaves) {
  if (!leaves) return false;
  if (!mutants_seen[n]) mutants_note(n);
  return n != mutants_on;
}
"""
# Before `main`. A process that a sandbox keeps from the file has the number from the environment, and notes on its error output.
SOURCE = """#include "mutants.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned char own[%(count)d];
static bool tells;
unsigned mutants_on = ~0u;
unsigned char *mutants_seen = own;

void mutants_note(unsigned n) {
  mutants_seen[n] = 1;
  if (tells) dprintf(2, "\\nmutant %%u\\n", n);
}

unsigned mutants_number(void) { return mutants_on; }

__attribute__((constructor)) static void mutants_begin(void) {
  struct stat status;
  int file = open("%(state)s", O_RDWR | O_CLOEXEC);
  if (file >= 0 && fstat(file, &status) == 0 && status.st_size == 4 + %(count)d) {
    unsigned char *state = mmap(0, 4 + %(count)d, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (state != MAP_FAILED) {
      mutants_on = *(unsigned *)state;
      mutants_seen = state + 4;
    }
  } else {
    const char *number = getenv("SLUICE_MUTANT");
    tells = number != 0;
    if (number) mutants_on = (unsigned)strtoul(number, 0, 10);
  }
  if (file >= 0) close(file);
}
"""
# What is started by the programs under test has this environment and no other.
STARTER = "Sources/LinuxIO/Processes/ChildProcess.swift"
ENVIRONMENT = '"LC_ALL=C"]'
MANIFEST = """
for target in package.targets where target.type != .test && target.type != .system && target.path == nil {
  if target.name != "CLinux" { target.dependencies.append("CMutants") }
}
package.targets.append(.target(name: "CMutants"))
"""


class Guard:
    """A boolean condition that ends a scope early: of `guard`, or of an `if` whose body returns, throws, continues or breaks."""

    def __init__(self, path, kind, start, end, text, source):
        self.path, self.kind, self.start, self.end = path, kind, start, end
        self.condition = re.sub(r"\s+", " ", text[start:end])
        self.line = text.count("\n", 0, start) + 1
        self.source = source
        self.module = path.split("/")[1]
        self.key = ""  # file and condition, with its turn where a file has the same one more than once
        self.number = 0  # of the key, so that a change elsewhere leaves a file's rewritten text as it was

    def __str__(self):
        return f"{self.path}:{self.line}: {self.kind} {self.condition}"


def masked(text):
    """The text, as long as it was, with blanks for comments and letters for what literals hold."""
    out = list(text)
    at, end = 0, len(text)

    def blank(start, stop, mark):
        for index in range(start, min(stop, end)):
            if out[index] != "\n" or mark != " ":
                out[index] = mark

    def literal(start):
        """Where the string literal that begins there ends, with what it interpolates."""
        hashes = 0
        while text[start + hashes] == "#":
            hashes += 1
        quote = '"""' if text.startswith('"""', start + hashes) else '"'
        close, escape = quote + "#" * hashes, "\\" + "#" * hashes
        index = start + hashes + len(quote)
        while index < end:
            if text.startswith(close, index):
                return index + len(close)
            if text.startswith(escape + "(", index):
                depth, index = 1, index + len(escape) + 1
                while depth:
                    if text[index] == '"':
                        index = literal(index)
                        continue
                    depth += {"(": 1, ")": -1}.get(text[index], 0)
                    index += 1
            elif text.startswith(escape, index):
                index += len(escape) + 1
            else:
                index += 1
        raise ValueError(f"a literal at {start} does not end")

    while at < end:
        if text.startswith("//", at):
            stop = text.find("\n", at)
            stop = end if stop < 0 else stop
            blank(at, stop, " ")
        elif text.startswith("/*", at):
            depth, stop = 1, at + 2
            while depth:
                step = {"/*": 1, "*/": -1}.get(text[stop:stop + 2], 0)
                depth, stop = depth + step, stop + (2 if step else 1)
            blank(at, stop, " ")
        elif re.compile(r'#*"').match(text, at):
            stop = literal(at)
            blank(at, stop, "s")
        else:
            stop = at + 1
        at = stop
    return "".join(out)


def closing(code, at):
    """The place of the bracket that closes the one there."""
    depth = 0
    for index in range(at, len(code)):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(code[index], 0)
        if depth == 0:
            return index
    raise ValueError(f"a bracket at {at} is not closed")


def conditions(code, at, is_guard):
    """The parts of a list of conditions, and the place of the brace after it."""
    parts, start = [], at
    while True:
        if is_guard and re.compile(r"\belse\b").match(code, at):
            parts.append((start, at))
            return parts, code.index("{", at)
        if code[at] == "{" and not is_guard:
            parts.append((start, at))
            return parts, at
        if code[at] in "([{":
            at = closing(code, at)
        elif code[at] == ",":
            parts.append((start, at))
            start = at + 1
        at += 1


def leaves(code, opening, end):
    """Whether a body ends in an exit of its own."""
    at = opening + 1
    while at < end:
        if code[at] in "([{":
            at = closing(code, at)
        else:
            found = EXIT.match(code, at)
            if found and re.search(r"(^|[\n;{])[ \t]*$", code[opening:at]):
                return True
        at += 1
    return False


def guards_of(path, text):
    """The guards of a file, in its order."""
    code = masked(text)
    lines = text.splitlines()
    found = []
    for word in re.finditer(r"(?<![.\w`])(guard|if)\b(?![:`])", code):
        if word[1] == "if" and code[word.start() - 1] == "#":
            continue
        is_guard = word[1] == "guard"
        parts, opening = conditions(code, word.end(), is_guard)
        end = closing(code, opening)
        if is_guard:
            if TRAP.match(code, opening + 1):
                continue
        elif re.match(r"\s*else\b", code[end + 1:]) or not leaves(code, opening, end):
            continue
        spans = []
        for start, stop in parts:
            piece = code[start:stop]
            start, stop = start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
            if start < stop and not PATTERN.match(code, start):
                spans.append((start, stop))
        # Whichever part of an `if` never holds, its exit is never taken: the last one stands for all.
        for start, stop in spans if is_guard else spans[-1:]:
            found.append(Guard(path, word[1], start, stop, text, lines[code.count("\n", 0, start)].strip()))
    return found


def guards_in(root):
    """All guards of Sources, in the order of files and lines, each with its key."""
    all_guards = []
    for folder, _, names in sorted(os.walk(os.path.join(root, "Sources"))):
        for name in sorted(names):
            if name.endswith(".swift"):
                full = os.path.join(folder, name)
                path = os.path.relpath(full, root)
                with open(full) as file:
                    of_file = guards_of(path, file.read())
                turns = {}
                for guard in of_file:
                    turns.setdefault((guard.kind, guard.condition), []).append(guard)
                for (kind, condition), same in turns.items():
                    for turn, guard in enumerate(same, 1):
                        guard.key = f"{path} | {kind} {condition}" + (f" | {turn} of {len(same)}" if len(same) > 1 else "")
                all_guards += of_file
    taken = set()
    for guard in all_guards:
        guard.number = zlib.crc32(guard.key.encode()) % PLACES
        while guard.number in taken:
            guard.number = (guard.number + 1) % PLACES
        taken.add(guard.number)
    return all_guards


def rewritten(text, of_file):
    """A file's text in which each of its guards can be switched off."""
    for guard in sorted(of_file, key=lambda one: -one.start):
        condition = text[guard.start:guard.end]
        call = "mutant_guard" if guard.kind == "guard" else "mutant_exit"
        text = f"{text[:guard.start]}{call}({guard.number}, {condition}){text[guard.end:]}"
    if of_file[0].path == STARTER:
        if text.count(ENVIRONMENT) != 1:
            raise ValueError(f"{STARTER} gives no environment that ends in {ENVIRONMENT}")
        text = text.replace(ENVIRONMENT, '"LC_ALL=C", "SLUICE_MUTANT=\\(mutants_number())"]')
    return "public import CMutants\n" + text


def write(path, text):
    """Writes what changed, so that a build finds the rest as it was."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        with open(path) as file:
            if file.read() == text:
                return
    with open(path, "w") as file:
        file.write(text)


def make(root, copy, guards, state):
    """Makes the tree in which each guard can be switched off, at `copy`, of the one at `root`; what `copy` has built stays."""
    by_path = {}
    for guard in guards:
        by_path.setdefault(guard.path, []).append(guard)
    kept = set()
    for top in ("Package.swift", "Package.resolved", "README.md", "Sources", "Tests", "zones", "Examples", "Documentation"):
        for folder, _, names in os.walk(os.path.join(root, top)) if os.path.isdir(os.path.join(root, top)) else [(root, [], [top])]:
            for name in names:
                full = os.path.join(folder, name)
                path = os.path.relpath(full, root)
                there = os.path.join(copy, path)
                kept.add(there)
                if not os.path.exists(full):
                    continue
                if path in by_path or path == "Package.swift":
                    with open(full) as file:
                        text = file.read()
                    if path == "Package.swift":
                        text = text.replace("treatAllWarnings(as: .error)", "treatAllWarnings(as: .warning)") + MANIFEST
                    else:
                        text = rewritten(text, by_path[path])
                    write(there, text)
                elif not os.path.exists(there) or open(full, "rb").read() != open(there, "rb").read():
                    os.makedirs(os.path.dirname(there), exist_ok=True)
                    shutil.copy(full, there)
    sources = os.path.join(copy, "Sources", "CMutants")
    write(os.path.join(sources, "include", "mutants.h"), HEADER)
    write(os.path.join(sources, "mutants.c"), SOURCE % {"count": PLACES, "state": state})
    kept |= {os.path.join(sources, "include", "mutants.h"), os.path.join(sources, "mutants.c")}
    for top in ("Sources", "Tests"):
        for folder, _, names in os.walk(os.path.join(copy, top)):
            for name in names:
                if os.path.join(folder, name) not in kept:
                    os.remove(os.path.join(folder, name))
