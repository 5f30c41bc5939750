# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What bouncing costs: bounce-blk bench --compare on a device that does next to nothing."""
import os

import processes
import report
from jsonfile import read_json

OPS = ("read", "write")
DEPTHS = (1, 32)
GOOD_RATIO = 0.90


def measure(stack, folder, bounce_blk, seconds):
    """4 KiB, polling, one queue, three ways each. Returns a row for each op and queue depth."""
    device, socket = processes.storage_daemon(
        stack, folder, "null", ["driver=null-co,node-name=d0,size=1073741824,read-zeroes=off"], 1)
    output = os.path.join(folder, "bench.json")
    client = processes.start(stack, [
        bounce_blk, "bench", "--socket", socket, "--op", ",".join(OPS), "--qd", ",".join(map(str, DEPTHS)), "--bs", "4K",
        "--wait", "poll", "--compare", "--destroy", "--seconds", str(seconds), "--quiet", "--json", output],
        os.path.join(folder, "bench.log"))
    processes.finish(client, "bounce-blk bench", 60 + 30 * seconds)
    processes.stop(device)
    return ratios(read_json(output))


def ratios(result):
    """One row for each op and queue depth out of bounce-blk's JSON. I/Os per second are medians over the rounds; ratios are
    medians of the ratios of rounds next to each other, for a virtual machine may be another one a second later."""
    iops = {(r["op"], r["qd"], r["subject"]): r["iops"] for r in result["results"]}
    paired = {(c["op"], c["qd"]): c for c in result["comparisons"]}
    rows = []
    for op in OPS:
        for qd in DEPTHS:
            bounced, born, bare = (iops[(op, qd, subject)] for subject in ("bounced", "born_shared", "bare"))
            rows.append({"qd": qd, "op": op, "iops_bounced": round(bounced), "iops_born_shared": round(born),
                         "iops_bare": round(bare), "ratio": round(paired[op, qd]["bounced_to_born_shared"]["median"], 4),
                         "born_to_bare": round(paired[op, qd]["born_shared_to_bare"]["median"], 4)})
    return rows


def show(out, rows):
    out.table(
        ("op", "QD", "bounced", "born shared", "bare loop", "bounced/born", "born/bare"),
        [(row["op"], row["qd"], *(report.thousands(row[f"iops_{s}"]) for s in ("bounced", "born_shared", "bare")),
          f"{row['ratio']:.3f}", f"{row['born_to_bare']:.3f}") for row in rows])
    out.line("  (I/Os per second; born shared: buffers made in the pool, no copy; bare loop: a hand-filled ring; ratios of rounds of "
             "a tenth of a second next to each other)")
    if any(min(row["ratio"], row["born_to_bare"]) < GOOD_RATIO for row in rows):
        out.line(f"  A ratio is under {GOOD_RATIO:.2f}; the load average is {report.load_average()[0]}. On a busy machine, repeat "
                 "it when it is quiet.")
