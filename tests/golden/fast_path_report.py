# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The golden file of the fast path: how its table is written, read and compared."""
COLUMNS = ["instructions", "calls", "calls out", "locked", "system calls"]
HEADER = """\
# What one warm operation of 4 KiB executes, built as the preset release with Debian 12's gcc. Made by
# python3 tests/golden/fast_path_test.py --update; do not edit.
#
# alloc and free: Pool, static library, link-time optimisation. map and unmap: shared library, C ABI, no copy.
# calls out: to other libraries. locked: lock prefix, xchg with memory, mfence.
"""


def parse_probe(text):
    """What a probe prints: {operation: [counts in the order of COLUMNS]}, {operation: "alike/rounds"}."""
    counts, alike = {}, {}
    for line in text.splitlines():
        name, *numbers, rounds = line.split("\t")
        counts[name], alike[name] = [int(number) for number in numbers], rounds
    return counts, alike


def format_table(counts):
    lines = [f"{'operation':<12}" + "".join(f"{column:>14}" for column in COLUMNS)]
    lines += [f"{name:<12}" + "".join(f"{number:>14}" for number in numbers) for name, numbers in counts.items()]
    return HEADER + "\n".join(lines) + "\n"


def parse_table(text):
    """The rows of a golden file; none for a file that is not there yet."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {name: [int(number) for number in numbers] for name, *numbers in rows[1:]}


def differences(golden, measured):
    """One line for each figure that changed, for the operations that came or went too; none when all is as it was."""
    lines = []
    for name in list(golden) + [name for name in measured if name not in golden]:
        if name not in measured:
            lines.append(f"{name}: is in the golden file, but was not measured")
        elif name not in golden:
            lines.append(f"{name}: was measured, but is not in the golden file")
        else:
            for column, old, new in zip(COLUMNS, golden[name], measured[name]):
                if old != new:
                    lines.append(f"{name}: {column} {old} -> {new} ({new - old:+})")
    return lines
