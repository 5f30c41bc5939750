#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Tests of the layering check: every rule has a planted offence that must be found, and a neighbour that must pass."""
import contextlib
import io
import pathlib
import tempfile
import unittest

import layering

BASE = {
    "api/include/bounce/bounce.h": "#include <stddef.h>\n",
    "allocator/base/types.hpp": "#include <cstdint>\n",
    "allocator/topology/nodes.hpp": '#include "allocator/base/types.hpp"\n',
    "allocator/region/region.hpp": '#include "allocator/topology/nodes.hpp"\n#include <sys/mman.h>\n',
    "allocator/slab/slab.hpp": '#include "allocator/base/types.hpp"\n#include <atomic>\n',
    "allocator/pool/pool.hpp": '#include "allocator/slab/slab.hpp"\n#include "allocator/region/region.hpp"\n',
    "api/dma/device.hpp": '#include "allocator/pool/pool.hpp"\n#include "bounce/bounce.h"\n',
    "api/virtio/ring.hpp": '#include "api/dma/device.hpp"\n#include "allocator/base/types.hpp"\n',
    "api/vhost/frontend.hpp": '#include "api/virtio/ring.hpp"\n#include <bounce/bounce.h>\n',
    "api/abi/abi.cpp": '#include "api/vhost/frontend.hpp"\n',
    "tools/bounce-blk/args.hpp": "#include <CLI/CLI.hpp>\n",
    "tools/bounce-blk/main.cpp": '#include "args.hpp"\n#include "bounce/bounce.h"\n',
    "tests/unit/slab_test.cpp": '#include "allocator/slab/slab.hpp"\n#include <gtest/gtest.h>\n',
    "bench/harness/main.cpp": '#include "allocator/slab/slab.hpp"\n#include <benchmark/benchmark.h>\n',
}

# What is planted (path, line) and a word of the finding.
OFFENCES = [
    ("allocator/base/bits.hpp", '#include "allocator/slab/slab.hpp"', "allocator/base may not include"),
    ("allocator/slab/core.cpp", '#include "allocator/region/region.hpp"', "allocator/slab may not include"),
    ("allocator/slab/core.cpp", '#include "../region/region.hpp"', "allocator/slab may not include"),
    ("allocator/slab/core.cpp", "#include <sys/mman.h>", "system header"),
    ("allocator/slab/core.cpp", "#include <hwloc.h>", "belongs into allocator/topology"),
    ("allocator/topology/nodes.cpp", '#include "allocator/region/region.hpp"', "allocator/topology may not include"),
    ("allocator/region/region.cpp", '#include "allocator/pool/pool.hpp"', "allocator/region may not include"),
    ("allocator/region/region.cpp", "#include <hwloc/linux.h>", "belongs into allocator/topology"),
    ("allocator/pool/pool.cpp", '#include "api/dma/device.hpp"', "allocator/pool may not include"),
    ("allocator/pool/pool.cpp", "#include <tbb/parallel_for.h>", "belongs into allocator/components/tbb"),
    ("allocator/pool/pool.cpp", "#include <jemalloc/jemalloc.h>", "belongs into allocator/components/jemalloc"),
    ("allocator/pool/pool.cpp", "#include <boost/intrusive/list.hpp>", "no place in the table"),
    ("allocator/pool/pool.cpp", '#include "gone.hpp"', "no file of this project"),
    ("allocator/pool/pool.cpp", "#include POOL_HEADER", "cannot read"),
    ("allocator/pool/pool.cpp", "  #  include   <gtest/gtest.h> // why", "belongs into tests"),
    ("allocator/pool/pool.cpp", "#inc\\\nlude <tbb/tbb.h>", "belongs into allocator/components/tbb"),
    ("allocator/huge/huge.hpp", "#include <cstdint>", "not in the layering table"),
    ("api/dma/device.cpp", '#include "api/virtio/ring.hpp"', "api/dma may not include"),
    ("api/virtio/ring.cpp", '#include "api/vhost/frontend.hpp"', "api/virtio may not include"),
    ("api/virtio/ring.cpp", '#include "allocator/pool/pool.hpp"', "api/virtio may not include"),
    ("api/vhost/frontend.cpp", '#include "api/abi/abi.cpp"', "api/vhost may not include"),
    ("api/include/bounce/bounce.hpp", '#include "api/dma/device.hpp"', "a public header includes"),
    ("api/include/bounce/bounce.hpp", "#include <sys/mman.h>", "standard library only"),
    ("api/include/bounce/bounce.hpp", "#include <hwloc.h>", "standard library only"),
    ("tools/bounce-blk/bench.cpp", '#include "api/virtio/ring.hpp"', "tools may not include"),
    ("tools/bounce-blk/bench.cpp", "#include <gtest/gtest.h>", "belongs into tests"),
    ("bench/other.cpp", '#include "tests/unit/slab_test.cpp"', "bench may not include"),
]


class LayeringTest(unittest.TestCase):
    def test_a_clean_tree_has_no_findings(self):
        findings, seen = layering.check_tree(BASE)
        self.assertEqual(findings, [])
        self.assertEqual(seen, sum(text.count("#include") for text in BASE.values()))

    def test_every_offence_is_found_and_nothing_else(self):
        for path, line, words in OFFENCES:
            with self.subTest(path=path, line=line):
                findings, _ = layering.check_tree({**BASE, path: "// one\n" + line + "\n"})
                self.assertEqual(len(findings), 1, findings)
                self.assertIn(words, findings[0])
                self.assertRegex(findings[0], rf"^{path}:[12]: ")

    def test_probes_header_is_included_once(self):
        one = {**BASE, "api/dma/probes.hpp": "#include <sys/sdt.h>\n"}
        self.assertEqual(layering.check_tree(one)[0], [])
        two = {**one, "api/virtio/probes.hpp": "#include <sys/sdt.h>\n"}
        self.assertIn("more than one file", layering.check_tree(two)[0][0])

    def test_tbb_is_included_in_one_file_of_its_component_and_in_peers(self):
        one = {**BASE, "allocator/components/tbb/run.cpp": "#include <tbb/info.h>\n#include <tbb/task_arena.h>\n",
               "bench/peers/fixed_pool.cpp": "#include <tbb/memory_pool.h>\n"}
        self.assertEqual(layering.check_tree(one)[0], [])
        two = {**one, "allocator/components/tbb/zero.cpp": "#include <oneapi/tbb/parallel_for.h>\n"}
        self.assertIn("more than one file", layering.check_tree(two)[0][0])

    def test_comments_are_no_includes(self):
        text = '/* one\n#include "api/dma/device.hpp"\n*/\n// #include "api/dma/device.hpp"\n'
        self.assertEqual(layering.check_tree({**BASE, "allocator/base/x.hpp": text})[0], [])

    def test_the_program_reads_a_tree_and_says_so_by_its_exit_status(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)

            def run():
                with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
                    return layering.main(["layering.py", folder]), out.getvalue()

            self.assertEqual(run()[0], 2)
            for path, text in BASE.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            self.assertEqual(run()[0], 0)
            (root / "allocator/base/bad.hpp").write_text("#include <hwloc.h>\n")
            status, out = run()
            self.assertEqual(status, 1)
            self.assertIn("allocator/base/bad.hpp:1: ", out)


if __name__ == "__main__":
    unittest.main()
