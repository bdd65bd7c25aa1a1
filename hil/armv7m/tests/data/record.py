#!/usr/bin/env python3
"""Records what QEMU's Cortex-M4 makes of random instructions: instructions.txt.

    tests/data/record.py [SEED [INTEGER_LINES [FLOAT_LINES]]] > tests/data/instructions.txt

Needs llvm-mc, ld.lld (or rust-lld as LLD) and qemu-system-arm. Each line is a number, an encoding, its disassembly
and the registers that it changes. The inputs are a function of the number, which tests/core/recorded.rs computes as well.
Left out are instructions that fault, that are UNPREDICTABLE, or that touch memory, SP, LR or PC.
"""
import os
import random
import re
import shlex
import struct
import subprocess
import sys
import tempfile

M64 = (1 << 64) - 1
INTERESTING = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFF8000, 0x8000, 0xFFFF, 0x80, 0x7F]
FLOATS = [0, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0xFFC12345, 1,
          0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x4B000000, 0x4F000000, 0xCF000000, 0x3F000000, 0x33800000]


def mix(x):
    z = (x + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def core_register(line, n):
    z = mix(line * 64 + n)
    kind = z >> 60
    if kind < 4:
        return INTERESTING[(z >> 32) % len(INTERESTING)]
    return (z >> 32) & 63 if kind < 6 else z & 0xFFFFFFFF


def float_register(line, n):
    z = mix((line * 64 + n) | 1 << 40)
    kind = z >> 60
    sign = (z >> 31 & 1) << 31
    if kind < 5:
        return FLOATS[(z >> 32) % len(FLOATS)]
    if kind < 7:
        return z & 0xFFFFFFFF
    if kind == 7:
        return z & 0x807FFFFF
    mantissa = z & (0x7F0000 if kind & 1 else 0x7FFFFF)
    return sign | (100 + (z >> 32) % 55) << 23 | mantissa


def apsr(line):
    z = mix(line * 64 + 61)
    return (z & 31) << 27 | (z >> 8 & 15) << 16


def fpscr(line):
    z = mix(line * 64 + 60)
    kind = z >> 60
    mode = 0 if kind < 7 else 0x10 if kind < 9 else (z >> 32 & 31) << 22
    return mode | (z >> 40 & 15) << 28


def disassemble(encodings):
    lines = []
    for e in encodings:
        lines.append("[" + " ".join("0x%02x 0x%02x" % (h & 255, h >> 8) for h in e) + "]")
        lines += ["[0x00 0xbf]"] * 5
    p = subprocess.run(["llvm-mc", "--disassemble", "--triple=thumbv7em-none-eabihf", "-mcpu=cortex-m4"],
                       input="\n".join(lines) + "\n", capture_output=True, text=True)
    out = [l.strip() for l in p.stdout.splitlines() if l.strip() and not l.strip().startswith(".")]
    warned = {int(m.group(1)): m.group(2) for m in re.finditer(r"<stdin>:(\d+):\d+: warning: (\w+)", p.stderr)}
    k = 0
    for i, e in enumerate(encodings):
        warning, text = warned.get(i * 6 + 1), None
        if warning != "invalid":
            text = None if warning else out[k].replace("\t", " ")
            k += 1
        k += 5
        yield e, text


def candidate(floating):
    r = random.random()
    if floating:
        return (0xEE00 | random.randrange(256), random.getrandbits(16) & ~0xF00 | 0xA00)
    if r < 0.3:
        return (random.randrange(0x5000),)
    if r < 0.45:
        return (0xF000 | random.getrandbits(11) & 0x5FF, random.getrandbits(15))
    if r < 0.6:
        return (0xEA00 | random.randrange(512), random.getrandbits(15))
    if r < 0.75:
        return (0xFA00 | random.randrange(256), 0xF000 | random.getrandbits(12) & ~0x40)
    if r < 0.92:
        return (0xFB00 | random.randrange(256), random.getrandbits(16))
    return (0xF200 | random.randrange(512), random.getrandbits(15) & ~0x20)


SKIPPED = re.compile(r"^(b[a-z]{0,2}(\.w)?|bl|bx|blx|cb.*|svc|bkpt|wf.|sev|cps.*|udf.*|mrs|msr|it.*|hint.*|pld|pli|dsb|dmb|"
                     r"isb|clrex|ldc.*|stc.*|mcr.*|mrc.*|cdp.*|tb.|push|pop|yield|nop.*|dbg|vmsr|vmrs|str.*|ldr.*|adr.*)$")


def unpredictable(e, text):
    if len(e) == 1:
        return e[0] >> 8 == 0x45 and not e[0] & 0x88
    hw1, hw2 = e
    if hw1 & 0xFF80 == 0xFA80 and hw2 & 0xF080 == 0xF080 and hw1 & 15 != hw2 & 15 and "sel" not in text:
        return not re.match(r"^(q|s|u)", text) or hw1 & 0xFFF0 == 0xFA90
    if hw1 & 0xFF80 == 0xFB80 and hw2 >> 12 == hw2 >> 8 & 15:
        return True
    return hw1 & 0xFE00 == 0xF200 and hw1 & 0x10 or ", #-" in text


def choose(count, floating):
    found = []
    while len(found) < count:
        for e, text in disassemble([candidate(floating) for _ in range(4000)]):
            if text is None or SKIPPED.match(text.split(" ")[0]) and not text.startswith("bi"):
                continue
            if re.search(r"\b(sp|pc|lr)\b", text) or unpredictable(e, text) or "[" in text:
                continue
            if floating and re.match(r"vmov r(\d+), r\1", text):
                continue
            found.append((e, text))
    return found[:count]


def program(tests):
    s = [".syntax unified", ".thumb", ".cpu cortex-m4", ".fpu fpv4-sp-d16", ".global _start", ".word 0x20300000",
         ".word start"] + [".word fault"] * 14
    # The fault handler steps over the instruction and leaves CFSR in R12 as a mark.
    s += [".thumb_func", "fault: ldr r0,[sp,#24]", "ldrh r1,[r0]", "movw r2,#0xe800", "cmp r1,r2", "ite hs",
          "addhs r0,#4", "addlo r0,#2", "str r0,[sp,#24]", "movw r0,#0xed28", "movt r0,#0xe000", "ldr r1,[r0]",
          "str r1,[r0]", "str r1,[sp,#16]", "ldr r1,[r0,#4]", "str r1,[r0,#4]", "bx lr", ".balign 4", ".thumb_func",
          "start: movw r0,#0xed88", "movt r0,#0xe000", "movw r1,#0", "movt r1,#0xf0", "str r1,[r0]", "dsb", "isb"]
    data = []
    for i, (e, _) in enumerate(tests):
        s += ["movw r0,#:lower16:in%d" % i, "movt r0,#:upper16:in%d" % i, "vldmia r0!,{s0-s31}", "ldmia r0!,{r1,r2}",
              "vmsr fpscr,r1", "msr apsr_nzcvqg,r2", "ldmia r0,{r0-r12,lr}",
              ".inst.n 0x%04x" % e if len(e) == 1 else ".inst.w 0x%04x%04x" % e,
              "stmdb sp!,{r0-r12,lr}", "mrs r0,apsr", "vmrs r1,fpscr", "push {r0,r1}", "vpush {s16-s31}",
              "vpush {s0-s15}"]
        data += ["in%d: .word " % i + ",".join(hex(x) for x in inputs(i))]
    s += ["movs r0,#1", "ldr r1,=open", "bkpt 0xab", "mov r4,r0", "ldr r2,=0x20300000", "mov r3,sp", "subs r3,r2,r3",
          "ldr r5,=0x20310000", "str r4,[r5]", "str sp,[r5,#4]", "str r3,[r5,#8]", "mov r1,r5", "movs r0,#5",
          "bkpt 0xab", "movs r0,#0x18", "ldr r1,=0x20026", "bkpt 0xab", "b .", ".balign 4", 'name: .asciz "out"',
          ".balign 4", "open: .word name,5,3", ".ltorg", ".balign 4"]
    return "\n".join(s + data) + "\n"


def inputs(i):
    return ([float_register(i, n) for n in range(32)] + [fpscr(i), apsr(i)] + [core_register(i, n) for n in range(13)]
            + [0])


NAMES = ["s%d" % n for n in range(32)] + ["apsr", "fpscr"] + ["r%d" % n for n in range(13)] + ["lr"]


def main():
    arguments = [int(a) for a in sys.argv[1:]]
    seed, integer, floating = (arguments + [1, 1500, 700][len(arguments):])[:3]
    random.seed(seed)
    tests = choose(integer, False) + choose(floating, True)
    with tempfile.TemporaryDirectory() as d:
        open(d + "/t.s", "w").write(program(tests))
        open(d + "/t.ld", "w").write("SECTIONS { . = 0; .text : { *(.text) } }")
        subprocess.check_call(["llvm-mc", "-filetype=obj", "--triple=thumbv7em-none-eabihf", "-mcpu=cortex-m4", "t.s",
                               "-o", "t.o"], cwd=d)
        lld = shlex.split(os.environ.get("LLD", "ld.lld"))
        subprocess.check_call(lld + ["-T", "t.ld", "t.o", "-o", "t.elf", "--no-warnings"], cwd=d)
        subprocess.check_call(["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting-config",
                               "enable=on,target=native", "-kernel", "t.elf"], cwd=d)
        out = open(d + "/out", "rb").read()
    print("# Recorded by tests/data/record.py with seed %d from QEMU's Cortex-M4." % seed)
    for i, (e, text) in enumerate(tests):
        start = len(out) - (i + 1) * 4 * len(NAMES)
        after = struct.unpack("<48I", out[start:start + 4 * len(NAMES)])
        before = inputs(i)
        before[32], before[33] = before[33], before[32]
        changes = ["%s=%08x" % (n, a) for n, b, a in zip(NAMES, before, after) if a != b]
        if after[46] == 0x10000 != before[46]:
            continue
        print("%d %s | %s | %s" % (i, "".join("%04x" % h for h in e), text, " ".join(changes)))


main()
