#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Tests of the parts of tools/demo: each thing that it must notice is planted once."""
import contextlib
import ctypes
import mmap
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tools/lib"))
# pylint: disable=wrong-import-position
import image
import isolation
import memory
import null_co
import processes

LIBRARY = "7f0000000000-7f0000001000 r-xp 00000000 fe:00 11 /usr/lib/libc.so.6\n"
WRITABLE = "7f0000001000-7f0000002000 rw-p 00001000 fe:00 11 /usr/lib/libc.so.6\n"
CACHE = "7f0000003000-7f0000004000 r--s 00000000 fe:00 12 /usr/lib/gconv/gconv-modules.cache\n"
POOL = "7f0000010000-7f0000020000 rw-s 00000000 00:01 21 /memfd:bounce:blk (deleted)\n"
OTHER = "7f0000020000-7f0000030000 rw-s 00000000 00:01 22 /memfd:secret (deleted)\n"
READ_ONLY = "7f0000020000-7f0000030000 r--p 00000000 00:01 22 /memfd:secret (deleted)\n"
FILE = "7f0000030000-7f0000040000 rw-s 00000000 fe:00 23 /tmp/private\n"
ANONYMOUS = "7f0000040000-7f0000050000 rw-p 00000000 00:00 0 \n7f0000050000-7f0000051000 rw-p 00000000 00:00 0 [stack]\n"
POOL_KEYS = {(0, 1, 21)}


class MapsTest(unittest.TestCase):
    def foreign(self, device, before, client):
        return memory.foreign(*(memory.parse_maps(text) for text in (device, before, client)), POOL_KEYS)

    def test_the_pool_and_programs_are_not_foreign(self):
        common = LIBRARY + WRITABLE + CACHE + POOL + ANONYMOUS
        self.assertEqual(self.foreign(common, LIBRARY, common), [])

    def test_shared_memory_of_the_client_is_foreign(self):
        for planted in (OTHER, READ_ONLY, FILE):
            with self.subTest(planted):
                found = self.foreign(POOL + planted, LIBRARY, POOL + OTHER + FILE)
                self.assertEqual([m.inode for m in found], [memory.parse_maps(planted)[0].inode])

    def test_it_is_foreign_also_when_the_client_does_not_map_it_itself(self):
        self.assertEqual(len(self.foreign(POOL + OTHER, LIBRARY, POOL)), 1)

    def test_what_the_device_had_of_its_own_is_not(self):
        self.assertEqual(self.foreign(POOL + OTHER, OTHER, POOL), [])

    def test_a_line_that_cannot_be_read_is_an_error(self):
        with self.assertRaises(ValueError):
            memory.parse_maps("nonsense")
        self.assertGreater(len(memory.maps_of(os.getpid())), 10)


class ScanTest(unittest.TestCase):
    def test_hits_are_found_across_pieces_and_holes_pass(self):
        needle = os.urandom(32)
        with tempfile.TemporaryFile() as file:
            file.truncate(3 * memory.STEP)
            for at in (0, memory.STEP - 16, 2 * memory.STEP, 3 * memory.STEP - 32):
                os.pwrite(file.fileno(), needle, at)
            self.assertEqual(memory.count_in_file(file, 0, 3 * memory.STEP, needle), (3 * memory.STEP, 4))
            self.assertEqual(memory.count_in_file(file, 1, 3 * memory.STEP - 2, needle)[1], 2)
            self.assertEqual(memory.count_in_file(file, 0, memory.STEP, os.urandom(32))[1], 0)

    def test_the_memory_of_a_process_is_searched(self):
        needle = os.urandom(32)
        area = mmap.mmap(-1, 1 << 16)
        area[4096:4128] = needle
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        mine = [m for m in memory.maps_of(os.getpid()) if m.start <= address < m.end]
        self.assertEqual(memory.scan(os.getpid(), mine, needle)[1], 1)

    def test_judgement(self):
        observer = isolation.Observer(os.getpid(), os.urandom(32))
        with self.assertRaisesRegex(processes.Failure, "search is worth nothing"):
            observer.judge()
        observer.findings.private_hits = 1
        observer.judge()
        observer.findings.canary_hits = 1
        with self.assertRaisesRegex(processes.Failure, "1 private canaries"):
            observer.judge()
        observer.findings.foreign[1] = "that one"
        with self.assertRaisesRegex(processes.Failure, "that one"):
            observer.judge()

    def test_a_planted_memfd_and_canary_are_seen(self):
        """This process plays device and client: one pool, one memfd too many, a canary in the pool."""
        canary = os.urandom(32)
        observer = isolation.Observer(os.getpid(), canary)
        with contextlib.ExitStack() as stack:
            areas = []
            for name in ("bounce:blk", "secret"):
                fd = os.memfd_create(name)
                stack.callback(os.close, fd)
                os.ftruncate(fd, 65536)
                areas.append((fd, stack.enter_context(mmap.mmap(fd, 65536))))
            areas[0][1][100:132] = canary
            shown = observer.look_at_hold(os.getpid(), [f"/proc/{os.getpid()}/fd/{areas[0][0]}"])
        self.assertEqual([m.bytes for m in shown], [65536])
        self.assertEqual(len(observer.findings.foreign), 1)
        self.assertGreaterEqual(observer.findings.canary_hits, 1)


class ImageTest(unittest.TestCase):
    def test_compare_counts_blocks(self):
        with tempfile.TemporaryDirectory() as folder:
            one, two = os.path.join(folder, "one"), os.path.join(folder, "two")
            image.fill(one, 1 << 20)
            image.fill(two, 1 << 20)
            self.assertEqual(image.compare(one, two), (1 << 20, 0))
            with open(two, "r+b") as file:
                os.pwrite(file.fileno(), b"x", 5000)
            self.assertEqual(image.compare(one, two), ((1 << 20) - 4096, 1))
            os.truncate(two, (1 << 20) - 4096)
            self.assertEqual(image.compare(one, two)[1], 2)
            self.assertNotEqual(image.sha256(one), image.sha256(two))
            self.assertNotEqual(image.check(two), "clean")

    def test_choice_keeps_to_the_budget_and_has_small_files(self):
        found = [(1 << 20, f"/big/{n}") for n in range(300)] + [(4096, f"/small/{n}") for n in range(300)]
        chosen, total = image.choose(found, 256 << 20)
        self.assertLessEqual(total, 256 << 20)
        self.assertGreater(total, 250 << 20)
        self.assertEqual(sum(p.startswith("/small") for p in chosen), 300)
        self.assertEqual(len(set(chosen)), len(chosen))


class ProcessTest(unittest.TestCase):
    def test_a_process_that_fails_says_why(self):
        with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
            process = processes.start(stack, ["sh", "-c", "echo no luck >&2; exit 3"], os.path.join(folder, "log"))
            with self.assertRaisesRegex(processes.Failure, "status 3: no luck"):
                processes.wait_for(lambda: False, process, "it", 10)
            with self.assertRaisesRegex(processes.Failure, "cannot start"):
                processes.start(stack, ["/no/such/program"], os.path.join(folder, "log"))

    def test_what_was_started_is_gone_afterwards(self):
        with contextlib.ExitStack() as stack:
            folder = processes.make_folder(stack)
            process = processes.start(stack, ["sleep", "600"], os.path.join(folder, "log"))
            self.assertIsNone(process.poll())
        self.assertIsNotNone(process.returncode)
        self.assertFalse(os.path.exists(folder))


class RatioTest(unittest.TestCase):
    def test_a_machine_that_changes_between_rounds_does_not_count(self):
        """It is three times as slow half of the time, and at some moments in the middle of a round."""
        slow = [3 if i % 7 < 3 else 1 for i in range(30)]
        rounds = [(980 / s, 1000 / s, 1050 / s) for s in slow]
        for i, at in ((4, 0), (11, 1), (20, 2), (29, 0)):
            rounds[i] = tuple(figure / (3 if n == at else 1) for n, figure in enumerate(rounds[i]))
        bounced, born, bare = null_co.typical(rounds)
        self.assertAlmostEqual(bounced / born, 0.98)
        self.assertAlmostEqual(born / bare, 1000 / 1050)
        self.assertTrue(980 / 3 < bounced < 980)

    def test_a_difference_in_all_rounds_counts(self):
        bounced, born, bare = null_co.typical([(500, 1000, 2000)] * 20)
        self.assertAlmostEqual(bounced / born, 0.5)
        self.assertAlmostEqual(born / bare, 0.5)

    def test_few_rounds(self):
        self.assertEqual([round(figure) for figure in null_co.typical([(1, 2, 3), (0, 5, 5), (1, 2, 3)])], [1, 2, 3])
        with self.assertRaises(processes.Failure):
            null_co.typical([(0, 1, 1)])


if __name__ == "__main__":
    unittest.main()
