#!/usr/bin/env python3
"""Writes docker-verdicts.txt: what Docker's default profile says of every system call, to judge our own profile by.

    tables/verdicts.py default.json > tables/docker-verdicts.txt

default.json is seccomp/default.json of github.com/moby/profiles (module seccomp v0.2.3, 2026-05-01). Nothing of our own
resolver or compiler is used here: the rules are applied as moby's seccomp_linux.go, runc and libseccomp do. Only the
names, numbers and private ranges of each architecture come from generated.rs.

A line `ARCH NONE DEFAULT ALL: NAME...` lists calls with their verdicts without any capability, with Docker's fourteen
and with all, on a kernel of this year. `arguments` stands for calls that are allowed with some arguments only, and
lines `ARCH CALL ARGUMENT VALUE: NONE DEFAULT ALL` tell these by example: the values that rules name, their neighbours,
each single bit of masks, and all of these with bit 32 set too, compared as 64-bit numbers as libseccomp does.
"""
import json
import pathlib
import re
import sys

PROFILE = json.load(open(sys.argv[1]))
ARCHES = {  # generated.rs -> the architecture of the kernel by Go's name, and its own private numbers, which are never new
    "X86_64": ("amd64", ()), "X86": ("amd64", ()), "X32": ("amd64", range(0x40000200, 0x40000224)),
    "AARCH64": ("arm64", ()), "ARM": ("arm64", range(0xF0000, 0x100000)), "RISCV64": ("riscv64", ()),
    "S390X": ("s390x", ()), "S390": ("s390x", ()), "PPC64": ("ppc64le", ()), "LOONGARCH64": ("loong64", ()),
}
DEFAULT = """CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
    AUDIT_WRITE""".split()
ERRNO = {1: "EPERM", 38: "ENOSYS"}


def tables():
    """Architecture -> name -> number."""
    text = (pathlib.Path(__file__).parent / "generated.rs").read_text()
    names = "".join(re.findall(r'^    "(.*)",$', text, re.M))
    offsets = [int(n) for n in re.findall(r"\d+", re.search(r"OFFSETS: .*? = \[(.*?)\];", text, re.S)[1])]
    names = [names[start:end] for start, end in zip(offsets, offsets[1:])]
    found = {}
    for arch in ARCHES:
        body = re.search(rf"static {arch}: \[Call; COUNT\] = \[(.*?)\];", text, re.S)[1]
        cells = re.findall(r"\bN,|c\((\d+), \d+\)", body)
        found[arch] = {name: int(cell) for name, cell in zip(names, cells) if cell}
    return found


def holds(constraint, has, whole):
    """Which parts of includes or excludes hold, put together by `whole`: all() or any()."""
    parts = []
    for key, value in (constraint or {}).items():
        if key == "caps":
            parts += [capability in has["caps"] for capability in value]
        elif key == "arches":
            parts.append(has["arch"] in value)
        elif key == "minKernel":
            parts.append(True)
    return whole(parts)


def entries(go, capabilities):
    has = {"caps": capabilities, "arch": go}
    for entry in PROFILE["syscalls"]:
        if holds(entry.get("includes"), has, all) and not holds(entry.get("excludes"), has, any):
            yield entry


def matches(arg, value):
    given = arg["value"]
    return {
        "SCMP_CMP_LT": value < given, "SCMP_CMP_EQ": value == given, "SCMP_CMP_GT": value > given,
        "SCMP_CMP_MASKED_EQ": value & given == arg.get("valueTwo", 0),
    }[arg["op"]]


def verdict(rules, name, argument=None, value=None):
    """A word; of several matching rules the allowing ones count, since every other rule has no argument here."""
    words = set()
    for entry in rules:
        if name in entry["names"]:
            args = entry.get("args") or []
            if args and argument is None:
                words.add("arguments")
            elif all(arg["index"] == argument and matches(arg, value) for arg in args):
                allow = entry["action"] == "SCMP_ACT_ALLOW"
                words.add("allow" if allow else ERRNO[entry["errnoRet"]])
    for word in ("ENOSYS", "allow", "arguments"):
        if word in words:
            return word
    return ERRNO[PROFILE["defaultErrnoRet"]]


def examples(rules, name):
    """(argument, value) to try."""
    found = set()
    for entry in rules:
        for arg in (entry.get("args") or []) if name in entry["names"] else []:
            given = arg["value"]
            near = {0, given - 1, given, given + 1}
            if arg["op"] == "SCMP_CMP_MASKED_EQ":
                near |= {1 << bit for bit in range(32) if given >> bit & 1}
            for value in (value for value in near if 0 <= value < 1 << 32):
                found |= {(arg["index"], value), (arg["index"], value | 1 << 32)}
    return found


def main():
    print("# Written by tables/verdicts.py from Docker's default profile; do not edit.")
    every = {cap for entry in PROFILE["syscalls"] for key in ("includes", "excludes")
             for cap in (entry.get(key) or {}).get("caps", [])}
    sets = [set(), {f"CAP_{name}" for name in DEFAULT}, every]
    for arch, calls in tables().items():
        go, private = ARCHES[arch]
        rules = [list(entries(go, capabilities)) for capabilities in sets]
        named = [{name for entry in each for name in entry["names"]} for each in rules]
        newest = [max(calls[n] for n in names if n in calls and calls[n] not in private) for names in named]
        groups, values = {}, {}
        for name, number in calls.items():
            new = [number > limit and number not in private for limit in newest]
            key = " ".join("ENOSYS" if n else verdict(each, name) for n, each in zip(new, rules))
            groups.setdefault(key, []).append(name)
            if "arguments" in key:
                for argument, value in set().union(*(examples(each, name) for each in rules)):
                    values[name, argument, value] = [verdict(each, name, argument, value) for each in rules]
        for key, names in sorted(groups.items()):
            line = f"{arch} {key}:"
            for name in names:
                if len(line) + len(name) > 118:
                    print(line)
                    line = f"{arch} {key}:"
                line += f" {name}"
            print(line)
        for (name, argument, value), words in sorted(values.items()):
            print(f"{arch} {name} {argument} {value:#x}: {' '.join(words)}")


main()
