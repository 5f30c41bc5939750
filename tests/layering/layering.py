#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: layering.py [ROOT]

Reads every #include of the project and fails on an edge between folders that the table below does not have, on a
third-party header outside of its one place, and on anything but the standard library in a public header. The table is
the one of docs/architecture.md: folders are layers, and their order is the include order.
Exit status: 0 clean, 1 something was found, 2 the tree could not be read.
"""
import pathlib
import posixpath
import re
import sys

PUBLIC = "api/include/bounce"
ALLOCATOR = ["allocator/" + name for name in ("base", "topology", "region", "slab", "stats", "pool")]
DMA = ["api/dma", "allocator/base"]

# Folder -> the folders of ours that it may include, besides itself and the public headers. base (types, errors) is
# the vocabulary of all. A folder below one of these belongs to it; a folder that is not here is an error.
EDGES = {
    PUBLIC: [],
    "allocator/base": [],
    "allocator/topology": ["allocator/base"],
    "allocator/region": ["allocator/base", "allocator/topology"],
    "allocator/slab": ["allocator/base"],
    "allocator/stats": ["allocator/base"],
    "allocator/pool": ALLOCATOR,
    "allocator/components/tbb": ALLOCATOR,
    "allocator/components/jemalloc": ALLOCATOR,
    "api/dma": ALLOCATOR,
    "api/platform": DMA,
    "api/virtio": DMA,
    "api/vhost": ["api/virtio", "api/dma", *ALLOCATOR],
    "api/control": ["api/dma", *ALLOCATOR],
    "api/abi": ["api/dma", "api/platform", "api/virtio", "api/vhost", "api/control", *ALLOCATOR],
    "tools": [],
    "bench": ["allocator", "api"],
    "tests": ["allocator", "api", "tools"],
}

# Third-party headers: pattern -> where they may be included.
THIRD_PARTY = [
    (r"hwloc(\.h|/)", ["allocator/topology"]),
    (r"(tbb|oneapi)/", ["allocator/components/tbb", "bench/peers"]),
    (r"jemalloc/", ["allocator/components/jemalloc", "bench/peers"]),
    (r"sys/sdt\.h", ["allocator", "api"]),
    (r"(gtest|gmock)/", ["tests"]),
    (r"relacy/", ["tests"]),
    (r"benchmark/", ["bench/harness"]),
    (r"(rte|ck)_[a-z_]+\.h$|mimalloc\.h$", ["bench/peers"]),
    (r"CLI/|nlohmann/", ["tools", "tests", "bench"]),
    (r"openssl/", ["tools"]),
    (r"pcap(\.h|/)", ["tools/bounce-net"]),
]
# Of the above: in one file only, among those below a folder.
ONE_FILE = [(r"sys/sdt\.h", ""), (r"(tbb|oneapi)/", "allocator/components/tbb/")]

STANDARD = set("""
algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes climits
clocale cmath codecvt compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint
cstdio cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem format forward_list fstream
functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map memory
memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator semaphore
set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string string_view syncstream
system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant vector
version
assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h iso646.h limits.h locale.h math.h setjmp.h signal.h
stdalign.h stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h tgmath.h threads.h
time.h uchar.h wchar.h wctype.h""".split())
# C library and kernel headers, compiler intrinsics. Not for the slab core, which runs on a plain array.
SYSTEM = re.compile(
    r"(sys|linux|asm|bits|arpa|netinet)/[a-z0-9_/]+\.h$"
    r"|(dirent|dlfcn|endian|byteswap|fcntl|features|ftw|getopt|grp|libgen|malloc|poll|pthread|pwd|sched|semaphore|spawn"
    r"|strings|syslog|termios|ucontext|unistd|link|elf|err|glob|fnmatch|execinfo|cpuid|immintrin|emmintrin|x86intrin|arm_acle"
    r"|arm_neon|vecintrin)\.h$")

TOP = ("allocator", "api", "bench", "tools", "tests")
SUFFIXES = (".h", ".hpp", ".c", ".cpp", ".cc", ".hh", ".inc", ".ipp", ".in")
BLOCK_COMMENT = re.compile(r"/\*.*?\*/", re.S)
INCLUDE = re.compile(r"^[ \t]*(?:#|%:)[ \t]*(?:include|include_next|import)\b[ \t]*(.*?)[ \t]*(?://.*)?$", re.M)


def folder_of(path, table=EDGES):
    """The row of the table that a file belongs to, or None."""
    parts = path.split("/")
    for n in range(len(parts) - 1, 0, -1):
        if "/".join(parts[:n]) in table:
            return "/".join(parts[:n])
    return None


def inside(path, folders):
    return any(path.startswith(folder + "/") for folder in folders)


def resolve(path, name, quoted, files):
    """The file of ours that is meant, or None: next to the file (quoted), from the root, or a public header."""
    candidates = [posixpath.normpath(posixpath.join(posixpath.dirname(path), name))] if quoted else []
    candidates += [posixpath.normpath(name), posixpath.normpath("api/include/" + name)]
    return next((c for c in candidates if c in files), None)


def third_party(name):
    return any(re.match(pattern, name) for pattern, _ in THIRD_PARTY)


def check_own(path, folder, target):
    to = folder_of(target)
    if folder == PUBLIC:
        return [] if to == PUBLIC else [f"a public header includes {target}"]
    if to in (folder, PUBLIC) or inside(target, EDGES[folder]):
        return []
    return [f"{folder} may not include {target} (may include: {', '.join(EDGES[folder]) or 'public headers only'})"]


def check_foreign(path, folder, name):
    if folder == PUBLIC:
        return [] if name in STANDARD else [f"<{name}> in a public header, which may include the standard library only"]
    for pattern, places in THIRD_PARTY:
        if re.match(pattern, name):
            return [] if inside(path, places) else [f"<{name}> belongs into {' or '.join(places)} only"]
    if name in STANDARD:
        return []
    if not SYSTEM.match(name):
        return [f"<{name}> is a third-party header that has no place in the table"]
    return [f"system header <{name}> in the slab core"] if folder == "allocator/slab" else []


def check_tree(files):
    """files: path -> text. Returns the findings as lines "path:line: text" and the number of includes seen."""
    findings, seen, places = [], 0, {pattern: [] for pattern, _ in ONE_FILE}
    for path in sorted(files):
        folder = folder_of(path)
        if folder is None:
            findings.append(f"{path}:1: the folder is not in the layering table")
            continue
        text = BLOCK_COMMENT.sub(lambda m: "\n" * m[0].count("\n"), files[path].replace("\\\n", ""))
        for m in INCLUDE.finditer(text):
            seen += 1
            form = re.fullmatch(r'"([^"]+)"|<([^>]+)>', m[1])
            if not form:
                problems = [f"cannot read the include '{m[1]}'"]
            else:
                name = form[1] or form[2]
                target = resolve(path, name, form[1] is not None, files)
                if target:
                    problems = check_own(path, folder, target)
                elif form[1] and not third_party(name):
                    problems = [f'"{name}" is no file of this project; other headers go into angle brackets']
                else:
                    problems = check_foreign(path, folder, name)
                for pattern, below in ONE_FILE:
                    if re.match(pattern, name) and path.startswith(below):
                        places[pattern].append(path)
            findings += [f"{path}:{text.count(chr(10), 0, m.start()) + 1}: {p}" for p in problems]
    for pattern, where in places.items():
        if len(set(where)) > 1:
            findings.append(f"{where[1]}:1: {pattern} is included in more than one file: {', '.join(sorted(set(where)))}")
    return findings, seen


def read_tree(root):
    files = {}
    for top in TOP:
        for path in sorted((root / top).rglob("*")):
            if path.is_file() and path.suffix in SUFFIXES and path.name != "CMakeLists.txt":
                files[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8", errors="replace")
    return files


def main(argv):
    if "--help" in argv or "-h" in argv:
        print(__doc__)
        return 0
    root = pathlib.Path(argv[1] if len(argv) > 1 else pathlib.Path(__file__).parents[2])
    files = read_tree(root)
    findings, seen = check_tree(files)
    if PUBLIC + "/bounce.h" not in files or not seen:
        print(f"layering: {root} has no {PUBLIC}/bounce.h or no includes: not the root of the project", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    print(f"layering: {len(files)} files, {seen} includes, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
