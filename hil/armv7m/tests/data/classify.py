#!/usr/bin/env python3
"""Records what LLVM's disassembler makes of encodings: classes.txt.

    tests/data/classify.py > tests/data/classes.txt

Needs llvm-mc. The encodings are a function of the first halfword, which src/decode/tests.rs computes as well. One letter
for each: v valid, p "potentially undefined" (LLVM's word for UNPREDICTABLE), u invalid. A line is a string of letters and
the first halfwords that have it; for 16-bit instructions the string has one letter.
"""
import re
import subprocess
from itertools import groupby

M64 = (1 << 64) - 1
SAMPLES = 16


def mix(x):
    z = (x + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def second_halfword(hw1, n):
    """Random, with the fields that decide about the class biased towards what is valid."""
    r = mix(hw1 * SAMPLES + n)
    hw2, choice = r & 0xFFFF, r >> 32
    return [hw2, hw2 | 0xF000, hw2 & 0x7FFF, hw2 & 0xF0FF | 0x0A00, hw2 & 0xF02F | 0x0A00 | (choice & 3) << 6 | 0x10,
            hw2 & 0xFF0F | (choice & 15) << 4, hw2 | 0x0F00, hw2 & 0x0F0F | 0xF000 | (choice & 15) << 4][n % 8]


def classify(encodings):
    lines = []
    for e in encodings:
        halfwords = [e] if e < 0x10000 else [e >> 16, e & 0xFFFF]
        lines.append("[" + " ".join("0x%02x 0x%02x" % (h & 255, h >> 8) for h in halfwords) + "]")
        # Past the reach of an IT.
        lines += ["[0x00 0xbf]"] * 5
    p = subprocess.run(["llvm-mc", "--disassemble", "--triple=thumbv7em-none-eabihf", "-mcpu=cortex-m4"],
                       input="\n".join(lines) + "\n", capture_output=True, text=True)
    warned = {int(m.group(1)): m.group(2) for m in re.finditer(r"<stdin>:(\d+):\d+: warning: (\w+)", p.stderr)}
    return ["u" if w == "invalid" else "p" if w else "v" for w in (warned.get(6 * i + 1) for i in range(len(encodings)))]


def main():
    classes = {}
    for hw1, letter in enumerate(classify(range(0xE800))):
        classes.setdefault(letter, []).append(hw1)
    for start in range(0xE800, 0x10000, 1024):
        firsts = range(start, start + 1024)
        letters = classify([hw1 << 16 | second_halfword(hw1, n) for hw1 in firsts for n in range(SAMPLES)])
        for i, hw1 in enumerate(firsts):
            classes.setdefault("".join(letters[i * SAMPLES:(i + 1) * SAMPLES]), []).append(hw1)
    version = subprocess.run(["llvm-mc", "--version"], capture_output=True, text=True).stdout
    print("# Recorded by tests/data/classify.py from LLVM %s, cortex-m4." % re.search(r"version (\S+)", version).group(1))
    for string, firsts in sorted(classes.items()):
        runs = [[hw1 for _, hw1 in run] for _, run in groupby(enumerate(firsts), lambda pair: pair[1] - pair[0])]
        print(string, " ".join("%04x-%04x" % (run[0], run[-1]) if len(run) > 1 else "%04x" % run[0] for run in runs))


main()
