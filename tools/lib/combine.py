#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Usage: combine.py OUT CONFIGURATION...

Joins the tests of several build directories into one CTest directory OUT, so that one run of ctest covers them all and
its summary names every failure. A configuration is seven fields, separated by ";":

    name ; build directory ; targets ; labels to take (regex, may be empty) ; labels to leave out ; timeout factor ; prefix

The prefix is a command in front of each test. Every test is called NAME/TEST. Each configuration gets a test NAME/build
besides, which builds the targets (there is nothing to do when that went well, and it fails when it did not); what was
not built or listed is not there to pass.
"""
import json
import pathlib
import shutil
import subprocess
import sys

# Properties that hold names of tests or fixtures; these get the name of the configuration, too.
NAMES = {"DEPENDS", "FIXTURES_REQUIRED", "FIXTURES_SETUP", "FIXTURES_CLEANUP"}


def quote(value):
    """A CMake argument with exactly this content."""
    text = str(value)
    fence = "="
    while f"]{fence}]" in text:
        fence += "="
    return f"[{fence}[{text}]{fence}]"


def add_test(name, command, properties):
    """The CMake text of one test."""
    text = [f"add_test({' '.join(quote(word) for word in [name, *command])})"]
    for key, value in properties.items():
        if isinstance(value, bool):
            value = "TRUE" if value else "FALSE"
        elif isinstance(value, list):
            value = ";".join(str(item) for item in value)
        elif isinstance(value, float):
            value = f"{value:g}"
        text.append(f"set_tests_properties({quote(name)} PROPERTIES {key} {quote(value)})")
    return "\n".join(text) + "\n"


def translate(prefix, test, factor, wrap):
    """One test of ctest's JSON as CMake text."""
    properties = {entry["name"]: entry["value"] for entry in test.get("properties", [])}
    for key in NAMES & properties.keys():
        properties[key] = [f"{prefix}/{name}" for name in properties[key]]
    if "TIMEOUT" in properties:
        properties["TIMEOUT"] = float(properties["TIMEOUT"]) * factor
    properties["LABELS"] = [prefix, *properties.get("LABELS", [])]
    # A program that is missing has no command here: a test that cannot start fails by its name.
    command = test.get("command") or [f"not-built/{test['name']}"]
    return add_test(f"{prefix}/{test['name']}", [*wrap, *command], properties)


def listed(build, include, exclude):
    command = ["ctest", "--test-dir", build, "--show-only=json-v1"]
    command += ["-L", include] if include else []
    command += ["-LE", exclude] if exclude else []
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(result.stdout)["tests"] if result.returncode == 0 and result.stdout.strip() else []


def combine(specification):
    name, build, targets, include, exclude, factor, wrap = [field.strip() for field in specification.split(";")]
    build_test = add_test(f"{name}/build",
                          [shutil.which("cmake") or "cmake", "--build", build, "--target", *targets.split()],
                          {"LABELS": [name, "build"], "TIMEOUT": 1800.0, "RUN_SERIAL": True})
    tests = listed(build, include, exclude)
    if not tests:
        why = f"the configuration {name} has no tests in {build} (labels: {include or 'all'})"
        return build_test + add_test(f"{name}/tests", ["sh", "-c", 'echo "$0" >&2; exit 1', why], {"LABELS": [name]})
    return build_test + "".join(translate(name, test, float(factor), wrap.split()) for test in tests)


def main(argv):
    if len(argv) < 3 or argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(argv) > 1 and argv[1] in ("-h", "--help") else 2
    out = pathlib.Path(argv[1])
    out.mkdir(parents=True, exist_ok=True)
    (out / "CTestTestfile.cmake").write_text("".join(combine(spec) for spec in argv[2:]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
