# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""A file system made of files that are on the machine anyway, and what it takes to tell that it arrived."""
import hashlib
import os
import shutil
import subprocess

from processes import Failure

BLOCK = 4096
STEP = 1 << 20
MAX_FILES = 8000


def candidates(roots):
    """(bytes on disk, path) of the regular files that can be read."""
    found = []
    for root in roots:
        for folder, _, names in os.walk(root):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    if os.path.islink(path) or not os.path.isfile(path) or not os.access(path, os.R_OK):
                        continue
                    size = os.path.getsize(path)
                except OSError:
                    continue
                if 0 < size <= 64 << 20:
                    found.append((-(-size // BLOCK) * BLOCK, path))
    return found


def choose(found, budget):
    """Mostly large files, so that few hold most of it, and small ones for a tree worth the name."""
    chosen, total = set(), 0
    large = sorted(found, reverse=True)
    for limit, files in ((budget * 4 // 5, large), (budget * 9 // 10, reversed(large)), (budget, large)):
        for size, path in files:
            if total + size <= limit and len(chosen) < MAX_FILES and path not in chosen:
                chosen.add(path)
                total += size
    return sorted(chosen), total


def build(folder, image, image_bytes, roots=("/usr", "/opt")):
    """Makes an ext4 file system in the file `image`. Returns the number of files in it and their bytes on disk."""
    budget = image_bytes * 4 // 5
    chosen, total = choose(candidates(roots), budget)
    if total < budget * 9 // 10:
        raise Failure(f"only {total >> 20} MiB of files in {', '.join(roots)}, expected {budget >> 20} MiB to copy")
    tree = os.path.join(folder, "tree")
    for path in chosen:
        target = tree + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)
    with open(image, "wb") as file:
        file.truncate(image_bytes)
    run(["mkfs.ext4", "-q", "-F", "-L", "bounce-demo", "-d", tree, image], "mkfs.ext4")
    shutil.rmtree(tree)
    return len(chosen), total


def run(command, name):
    try:
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                                check=False)
    except OSError as error:
        raise Failure(f"cannot start {command[0]}: {error.strerror}") from None
    if result.returncode != 0:
        words = (result.stderr.strip() or result.stdout.strip() or "it said nothing").splitlines()[-1]
        raise Failure(f"{name} ended with status {result.returncode}: {words}")
    return result.stdout


def fill(path, size):
    """A disk full of what is in no file system, so that a block that never arrives, be it one of zeros, is seen."""
    piece = b"\xa5" * STEP
    with open(path, "wb") as file:
        for begin in range(0, size, STEP):
            file.write(piece[:min(STEP, size - begin)])


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(STEP):
            digest.update(piece)
    return digest.hexdigest()


def compare(one, two):
    """Compares two files byte by byte. Returns the bytes that are equal and the number of 4 KiB blocks that differ."""
    equal = different = 0
    with open(one, "rb") as a, open(two, "rb") as b:
        while True:
            left, right = a.read(STEP), b.read(STEP)
            if not left and not right:
                return equal, different
            if left == right:
                equal += len(left)
                continue
            for at in range(0, max(len(left), len(right)), BLOCK):
                if left[at:at + BLOCK] == right[at:at + BLOCK]:
                    equal += len(left[at:at + BLOCK])
                else:
                    different += 1


def check(path):
    """Has e2fsck look at a file system without changing it. "clean", or its complaint."""
    result = subprocess.run(["e2fsck", "-fn", path], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            errors="replace", check=False)
    if result.returncode == 0:
        return "clean"
    lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    return f"status {result.returncode}: {lines[-1] if lines else 'it said nothing'}"
