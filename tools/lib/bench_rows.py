# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The results of the benchmarks: one row for each case, size, threads, variant and subject."""
import statistics

from processes import Failure

SUBJECTS = ("bounce", "bounce_unchecked", "bounce_abi", "lifo", "window", "fifo", "nontemporal", "auto", "rte_mempool", "ck_ring",
            "jemalloc", "mimalloc", "tbb_fixed_pool", "swiotlb_model", "memcpy_hot", "memcpy_cold", "born_shared", "bare", "net_virtio_user")
BASE = "bounce"
NUMBERS = ("ns", "p50", "p99", "p9999", "value")
KEY = ("case", "size", "threads", "variant")
SKIPPED = "skipped: "
NO_VARIANT = "-"
PING_PONG = "ns ping-pong"
NEAR, FAR = 150, 250  # a round trip between two cores of a virtual machine is about 70 to 100 ns, or 340 to 400


def split_name(name):
    """CASE/SUBJECT/SIZE/THREADS/VARIANT, and what Google Benchmark appends."""
    case, subject, size, threads, variant = name.split("/")[:5]
    return {"case": case, "subject": subject, "size": int(size), "threads": int(threads), "variant": variant}


def short_name(name):
    return "/".join(name.split("/")[:5])


def skipped_row(name, reason):
    return {**split_name(name), **dict.fromkeys(NUMBERS), "unit": "", "note": SKIPPED + reason}


def rows_of(benchmarks):
    """The rows of one run. A subject that skipped something says why; one that failed is a failure."""
    rows = []
    for entry in benchmarks:
        if entry.get("error_occurred"):
            message = entry.get("error_message", "failed")
            if not message.startswith(SKIPPED):
                raise Failure(f"{short_name(entry['name'])}: {message}")
            rows.append(skipped_row(entry["name"], message[len(SKIPPED):]))
            continue
        unit, _, note = entry.get("label", "").partition("|")
        rows.append({**split_name(entry["name"]), **{number: entry.get(number) for number in NUMBERS}, "unit": unit, "note": note})
    return rows


def identity(row):
    return tuple(row[field] for field in (*KEY, "subject"))


def distance(row):
    """Were the cores near or far while this ran? "mixed" when they moved meanwhile, None when it does not matter."""
    if row["unit"] != PING_PONG:
        return None
    return "near" if row["value"] < NEAR else "far" if row["value"] > FAR else "mixed"


def medians(runs):
    """One row out of those of several runs: the middle one by its figure, with the medians of the percentiles. What ran
    with near and with far cores are two rows, with a variant each."""
    merged = {}
    for row in (row for run in runs for row in run):
        merged.setdefault(identity(row), {}).setdefault(distance(row), []).append(row)
    found = []
    for states in merged.values():
        if len(states) > 1:
            states.pop("mixed", None)  # says little where there is something steady
        if len(states) > 1:
            states.pop(None, None)  # skipped in some of the runs
        found += [in_state(middle(rows), state) for state, rows in states.items()]
    return found


def in_state(row, state):
    if state is None:
        return row
    return {**row, "variant": state if row["variant"] == NO_VARIANT else f"{row['variant']}_{state}"}


def middle(rows):
    good = [row for row in rows if not row["note"].startswith(SKIPPED)]
    if not good:
        return rows[0]
    field = "value" if good[0]["ns"] is None else "ns"
    row = dict(sorted(good, key=lambda one: one[field])[(len(good) - 1) // 2])
    for percentile in ("p50", "p99", "p9999"):
        values = [one[percentile] for one in good if one[percentile] is not None]
        row[percentile] = statistics.median(values) if values else None
    if len(rows) > 1:
        row["note"] += f"; median of {len(good)} alternating runs"
    return row


def compare_threads(rows):
    """Says of two_threads what it is in terms of one_thread."""
    one = {row["subject"]: row["ns"] for row in rows if row["case"] == "one_thread"}
    for row in rows:
        if row["case"] == "two_threads" and row["ns"] and one.get(row["subject"]):
            row["value"], row["unit"] = row["ns"] / one[row["subject"]], "x the time of one_thread"


def ratio(row, rows, field):
    """bounce / this subject, or None."""
    base = next((other for other in rows if other["subject"] == BASE and all(other[k] == row[k] for k in KEY)), None)
    if row["subject"] == BASE or base is None or not base[field] or not row[field]:
        return None
    return base[field] / row[field]


def public(row):
    """As it is written to the file: the variant is the beginning of the note."""
    fields = ("case", "size", "threads", "subject", *NUMBERS, "unit")
    prefix = "" if row["variant"] == NO_VARIANT else f"{row['variant']}: "
    return {**{field: row[field] for field in fields}, "note": prefix + row["note"]}


def io_row(case, subject, size, variant, rate, unit, note):
    """One of I/O: so many a second."""
    return {"case": case, "subject": subject, "size": size, "threads": 1, "variant": variant, "ns": 1e9 / rate if rate else None,
            "p50": None, "p99": None, "p9999": None, "value": rate, "unit": unit, "note": note}


def null_co_rows(results, case="null_co"):
    """The I/O comparison in the same form: three subjects."""
    note = "average of rounds next to each other; bounce-blk bench on qemu-storage-daemon's null-co, 4 KiB, polling"
    return [io_row(case, subject, 4096, f"{row['op']}_qd{row['qd']}", row[f"iops_{name}"], "I/Os a second", note)
            for row in results for subject, name in ((BASE, "bounced"), ("born_shared", "born_shared"), ("bare", "bare"))]


def testpmd_rows(results):
    """Packets through a device that sends them back."""
    note = "median of rounds; frames sent back by dpdk-testpmd (io), 128 under way, one queue pair, polling"
    return [io_row("testpmd", subject, row["size"], row["variant"], row[name], "packets a second", note)
            for row in results for subject, name in ((BASE, "bounced"), ("born_shared", "born_shared"), ("bare", "bare"),
                                                     ("net_virtio_user", "net_virtio_user"))]
