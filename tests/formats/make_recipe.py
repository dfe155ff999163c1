"""Writes the link of tests/formats/recipe/version_1.json, from the layout that
crate/src/recipe/link.rs describes.

Run it only to add a version: links that were published must be read for ever.
"""

import base64
import hashlib
import json
import os
import struct
from pathlib import Path

FOLDER = Path(__file__).parent / "recipe"


def number(value: int) -> bytes:
    """LEB128."""
    if value < 0x80:
        return bytes([value])
    return bytes([value & 0x7F | 0x80]) + number(value >> 7)


def text(value: str) -> bytes:
    data = value.encode()
    return number(len(data)) + data


def digest(value: str) -> bytes:
    return number(len(value) // 2) + bytes.fromhex(value)


def version_1(recipe: dict) -> bytes:
    instruction = recipe["instruction"]
    flags = (
        (recipe["merge"] == "delta")
        + 2 * (recipe["precision"] == "int8")
        + 4 * (instruction is not None)
    )
    data = bytes([flags]) + text(recipe["registry"])
    data += text(recipe["base"]["id"]) + digest(recipe["base"]["hash"])
    data += number(len(recipe["modules"]))
    previous = ""
    for module in recipe["modules"]:
        shared = len(os.path.commonprefix([previous, module["id"]]))
        data += number(shared) + text(module["id"][shared:]) + digest(module["hash"])
        data += struct.pack("<f", module["weight"])
        previous = module["id"]
    data += text(recipe["title"])
    if instruction is not None:
        data += text(instruction)
    data += number(len(recipe["examples"]))
    for example in recipe["examples"]:
        data += text(example["input"]) + text(example["output"])
    return data


def main() -> None:
    recipe = version_1(json.loads((FOLDER / "version_1.json").read_text()))
    data = bytes([1]) + number(len(recipe)) + recipe
    data += hashlib.sha256(data).digest()[:4]
    link = base64.urlsafe_b64encode(data).decode().rstrip("=")
    (FOLDER / "version_1.txt").write_text(link + "\n")


if __name__ == "__main__":
    main()
