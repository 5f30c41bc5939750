#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: package_test.py BUILD_DIR SOURCE_DIR CMAKE CC CXX

Installs what was built into a temporary prefix and uses it as a stranger would: from C and C++, by pkg-config and by
find_package, shared and static. Looks at what the shared library exports and needs.
"""
import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

if len(sys.argv) != 6:
    sys.exit(__doc__)
BUILD, SOURCE, CMAKE, CC, CXX = sys.argv[1:]
CONSUMER = pathlib.Path(SOURCE) / "tests/package/consumer"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LANGUAGES = {"c": [CC, "-std=c99"], "cpp": [CXX, "-std=c++20"]}
# All that the core may need; in particular neither jemalloc nor tbb.
NEEDED = re.compile(r"(libc|libm|libgcc_s|libstdc\+\+|libhwloc|libpthread|ld-linux[-a-z0-9_]*)\.so\.\d+$")


def run(command, **environment):
    result = subprocess.run([str(word) for word in command], env={**os.environ, **environment}, capture_output=True,
                            text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: status {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def declared(header):
    """The functions that bounce.h declares."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.S)
    return set(re.findall(r"^BOUNCE_API\b[^;(]*?\b(bounce_\w+)\(", text, re.M))


def dynamic(path, tag):
    return re.findall(rf"\({tag}\).*\[(.*)\]", run(["readelf", "-d", path]))


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="bounce-package-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.prefix = cls.folder / "prefix"
        run([CMAKE, "--install", BUILD, "--prefix", cls.prefix])
        cls.libdir = next(cls.prefix.rglob("libbounce.so")).parent
        cls.has_tbb = (cls.libdir / "libbounce-tbb.so").exists()
        cls.has_jemalloc = (cls.libdir / "libbounce-jemalloc.so").exists()

    def pkg_config(self, prefix, *words, package="bounce"):
        path = next(prefix.rglob("bounce.pc")).parent
        return run(["pkg-config", *words, package], PKG_CONFIG_PATH=str(path)).split()

    def configure_consumer(self, build, *words):
        run([CMAKE, "-S", CONSUMER, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}",
             f"-DCMAKE_C_COMPILER={CC}", f"-DCMAKE_CXX_COMPILER={CXX}", *words])

    def build_and_run(self, language, flags, name):
        program = self.folder / name
        run([*LANGUAGES[language], *WARNINGS, CONSUMER / f"consumer.{language}", "-o", program, *flags])
        self.assertEqual(run([program], LD_LIBRARY_PATH=str(self.libdir)), "answer\n")
        return program

    def test_pkg_config_shared(self):
        for language in LANGUAGES:
            with self.subTest(language):
                program = self.build_and_run(language, self.pkg_config(self.prefix, "--cflags", "--libs"), f"shared-{language}")
                self.assertTrue([n for n in dynamic(program, "NEEDED") if n.startswith("libbounce.so.")])

    def test_pkg_config_static(self):
        prefix = self.folder / "static"
        shutil.copytree(self.prefix, prefix, symlinks=True)
        for path in prefix.rglob("libbounce.so*"):
            path.unlink()
        for language in LANGUAGES:
            with self.subTest(language):
                flags = self.pkg_config(prefix, "--static", "--cflags", "--libs")
                program = self.build_and_run(language, flags, f"static-{language}")
                self.assertFalse([n for n in dynamic(program, "NEEDED") if "bounce" in n])

    def test_find_package(self):
        build = self.folder / "consumer"
        self.configure_consumer(build)
        run([CMAKE, "--build", build])
        for language in LANGUAGES:
            for library in ("shared", "static"):
                with self.subTest(language=language, library=library):
                    program = build / f"{language}_{library}"
                    self.assertEqual(run([program]), "answer\n")
                    self.assertEqual(bool([n for n in dynamic(program, "NEEDED") if "bounce" in n]), library == "shared")

    def test_exports_are_the_functions_of_the_header(self):
        symbols = run(["nm", "-D", "--defined-only", self.libdir / "libbounce.so"]).split("\n")
        exported = {line.split()[-1].split("@")[0] for line in symbols if line and " A " not in line}
        headers = (self.prefix / "include/bounce").glob("*.h")
        components = {"tbb.h", "jemalloc.h"}  # libraries of their own
        functions = set().union(*(declared(h) for h in headers if h.name not in components))
        self.assertGreater(len(functions), 40)
        self.assertEqual(exported, functions)

    def test_dependencies_and_soname(self):
        library = self.libdir / "libbounce.so"
        self.assertEqual(dynamic(library, "SONAME"), ["libbounce.so.0"])
        self.assertTrue((self.libdir / "libbounce.so.0").exists())
        for name in dynamic(library, "NEEDED"):
            self.assertRegex(name, NEEDED)

    def test_it_can_be_dlopened(self):
        library = ctypes.CDLL(str(self.libdir / "libbounce.so"))
        library.bounce_error_text.restype = ctypes.c_char_p
        self.assertGreater(library.bounce_version(), 0)
        self.assertTrue(library.bounce_error_text(-28))

    def test_public_headers_are_all_there(self):
        source = {p.name for p in (pathlib.Path(SOURCE) / "api/include/bounce").iterdir()}
        expected = source if self.has_tbb else source - {"tbb.h"}
        expected = expected if self.has_jemalloc else expected - {"jemalloc.h", "jemalloc.hpp"}
        self.assertEqual({p.name for p in (self.prefix / "include/bounce").iterdir()}, expected)
        self.assertIn("bounce.hpp", source)

    def test_the_component_tbb_is_used_and_found(self):
        if not self.has_tbb:
            self.skipTest("libbounce-tbb was not built: no TBB here")
        source, program = CONSUMER / "tbb.c", self.folder / "tbb"
        flags = self.pkg_config(self.prefix, "--cflags", "--libs", package="bounce-tbb")
        run([*LANGUAGES["c"], *WARNINGS, source, "-o", program, *flags])
        self.assertEqual(run([program], LD_LIBRARY_PATH=str(self.libdir)), "zeroed\n")
        library = self.libdir / "libbounce-tbb.so"
        self.assertEqual(dynamic(library, "SONAME"), ["libbounce-tbb.so.0"])
        self.assertIn("libbounce.so.0", dynamic(library, "NEEDED"))
        build = self.folder / "tbb-consumer"
        self.configure_consumer(build, "-DTBB=ON")
        run([CMAKE, "--build", build, "--target", "tbb_shared", "tbb_static"])
        for kind in ("shared", "static"):
            self.assertEqual(run([build / f"tbb_{kind}"]), "zeroed\n")

    def test_the_component_jemalloc_is_used_and_found(self):
        if not self.has_jemalloc:
            self.skipTest("libbounce-jemalloc was not built: no jemalloc here")
        source, program = CONSUMER / "jemalloc.c", self.folder / "jemalloc"
        flags = self.pkg_config(self.prefix, "--cflags", "--libs", package="bounce-jemalloc")
        run([*LANGUAGES["c"], *WARNINGS, source, "-o", program, *flags])
        self.assertEqual(run([program], LD_LIBRARY_PATH=str(self.libdir)), "allocated\n")
        library = self.libdir / "libbounce-jemalloc.so"
        self.assertEqual(dynamic(library, "SONAME"), ["libbounce-jemalloc.so.0"])
        self.assertFalse([n for n in dynamic(library, "NEEDED") if n.startswith("libjemalloc")], "it has its own inside")
        build = self.folder / "jemalloc-consumer"
        self.configure_consumer(build, "-DJEMALLOC=ON")
        run([CMAKE, "--build", build, "--target", "jemalloc_shared", "jemalloc_static"])
        for kind in ("shared", "static"):
            self.assertEqual(run([build / f"jemalloc_{kind}"]), "allocated\n")

    def test_the_component_jemalloc_can_be_installed_apart(self):
        if not self.has_jemalloc:
            self.skipTest("libbounce-jemalloc was not built: no jemalloc here")
        prefix = self.folder / "jemalloc-apart"
        run([CMAKE, "--install", BUILD, "--prefix", prefix, "--component", "jemalloc"])
        names = {p.name for p in prefix.rglob("*") if not p.is_dir()}
        self.assertLessEqual({"jemalloc.h", "jemalloc.hpp", "libbounce-jemalloc.so", "libbounce-jemalloc.a",
                              "bounce-jemalloc.pc"}, names)
        self.assertFalse({"bounce.h", "libbounce.so", "bounce.pc", "tbb.h"} & names)

    def test_the_core_has_no_jemalloc(self):
        symbols = run(["nm", "-a", self.libdir / "libbounce.so"])
        self.assertNotRegex(symbols, r"\b(bounce_je_|je_)\w+|\bmallctl\b")
        self.assertFalse([n for n in dynamic(self.libdir / "libbounce.so", "NEEDED") if "jemalloc" in n])

    def test_the_component_tbb_can_be_installed_apart(self):
        if not self.has_tbb:
            self.skipTest("libbounce-tbb was not built: no TBB here")
        prefix = self.folder / "apart"
        run([CMAKE, "--install", BUILD, "--prefix", prefix, "--component", "tbb"])
        names = {p.name for p in prefix.rglob("*") if not p.is_dir()}
        self.assertLessEqual({"tbb.h", "libbounce-tbb.so", "libbounce-tbb.a", "bounce-tbb.pc"}, names)
        self.assertFalse({"bounce.h", "libbounce.so", "bounce.pc"} & names)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
