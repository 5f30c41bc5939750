# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""JSON in files."""
import json


def read_json(path):
    """The object in the file once it is there as a whole, else None."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def write_json(path, result):
    """False when that cannot be done."""
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
    except OSError:
        return False
    return True
