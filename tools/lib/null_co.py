# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What bouncing costs: bounce-blk bench --compare on a device that does next to nothing."""
import os
import statistics

import processes
import report
from jsonfile import read_json

OPS = ("read", "write")
DEPTHS = (1, 32)
SUBJECTS = ("bounced", "born_shared", "bare")
GOOD_RATIO = 0.90


def measure(stack, folder, bounce_blk, seconds, ops=OPS, fills=False):
    """4 KiB, polling, one queue, three ways each. Returns a row for each op and queue depth. fills: the device writes every
    byte that is read from it."""
    device, socket = processes.storage_daemon(
        stack, folder, "filled" if fills else "null",
        [f"driver=null-co,node-name=d0,size=1073741824,read-zeroes={'on' if fills else 'off'}"], 1)
    output = os.path.join(folder, "bench.json")
    client = processes.start(stack, [
        bounce_blk, "bench", "--socket", socket, "--op", ",".join(ops), "--qd", ",".join(map(str, DEPTHS)), "--bs", "4K",
        "--wait", "poll", "--compare", "--destroy", "--seconds", str(seconds), "--quiet", "--json", output],
        os.path.join(folder, "bench.log"))
    processes.finish(client, "bounce-blk bench", 60 + 30 * seconds)
    processes.stop(device)
    return ratios(read_json(output)["results"], ops)


def typical(rounds):
    """What each subject does in the rounds in which the machine did not change: a virtual machine may be another one a second
    later. Of rounds (a figure of each subject, taken next to each other) those are left out whose ratio of neighbouring
    subjects is in the lowest or highest quarter; the rest is averaged (geometric means, so that ratios of averages are
    averages of ratios)."""
    rounds = [r for r in rounds if min(r) > 0]
    if not rounds:
        raise processes.Failure("no round of the measurement in which every subject did something")
    kept = set(range(len(rounds)))
    for first in range(len(rounds[0]) - 1):
        order = sorted(range(len(rounds)), key=lambda i, at=first: rounds[i][at] / rounds[i][at + 1])
        cut = len(rounds) // 4
        kept &= set(order[cut:len(rounds) - cut])
    figures = zip(*(rounds[i] for i in kept or range(len(rounds))))
    return [statistics.geometric_mean(figure) for figure in figures]


def ratios(results, ops=OPS):
    """One row for each op and queue depth out of bounce-blk's results."""
    rounds = {(r["op"], r["qd"], r["subject"]): r["round_iops"] for r in results}
    rows = []
    for op in ops:
        for qd in DEPTHS:
            bounced, born, bare = typical(list(zip(*(rounds[(op, qd, subject)] for subject in SUBJECTS))))
            rows.append({"qd": qd, "op": op, "iops_bounced": round(bounced), "iops_born_shared": round(born),
                         "iops_bare": round(bare), "ratio": round(bounced / born, 4), "born_to_bare": round(born / bare, 4)})
    return rows


def show(out, rows):
    out.table(
        ("op", "QD", "bounced", "born shared", "bare loop", "bounced/born", "born/bare"),
        [(row["op"], row["qd"], *(report.thousands(row[f"iops_{s}"]) for s in ("bounced", "born_shared", "bare")),
          f"{row['ratio']:.3f}", f"{row['born_to_bare']:.3f}") for row in rows])
    out.line("  (I/Os per second; born shared: buffers made in the pool, no copy; bare loop: a hand-filled ring; averages of rounds of")
    out.line("  a tenth of a second next to each other, without those in which the machine changed)")
    if any(min(row["ratio"], row["born_to_bare"]) < GOOD_RATIO for row in rows):
        out.line(f"  A ratio is under {GOOD_RATIO:.2f}; the load average is {report.load_average()[0]}. On a busy machine, repeat "
                 "it when it is quiet.")
