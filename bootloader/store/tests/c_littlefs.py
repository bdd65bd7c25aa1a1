"""The C implementation of littlefs on a NOR flash, driven by lines on standard input; one line comes back for each."""

import sys

from littlefs import LittleFS, UserContext, errors

BLOCK = 4096


class Nor(UserContext):
    """Programs only clear bits. After `left` operations the supply is gone."""

    left = None

    def step(self):
        if self.left is not None:
            if self.left == 0:
                return False
            self.left -= 1
        return True

    def read(self, cfg, block, off, size):
        at = block * BLOCK + off
        return self.buffer[at : at + size]

    def prog(self, cfg, block, off, data):
        if not self.step():
            return -5
        at = block * BLOCK + off
        for n, byte in enumerate(data):
            self.buffer[at + n] &= byte
        return 0

    def erase(self, cfg, block):
        if not self.step():
            return -5
        self.buffer[block * BLOCK : (block + 1) * BLOCK] = b"\xff" * BLOCK
        return 0


nor = None
fs = None


def mount(cycles, version, fmt):
    global fs
    fs = LittleFS(
        context=nor,
        mount=False,
        block_size=BLOCK,
        block_count=len(nor.buffer) // BLOCK,
        read_size=1,
        prog_size=256,
        cache_size=256,
        lookahead_size=256,
        block_cycles=int(cycles),
        disk_version=int(version, 16),
    )
    if fmt:
        fs.format()
    fs.mount()


def run(command, *args):
    global nor
    if command == "load":
        with open(args[0], "rb") as file:
            nor = Nor(buffer=bytearray(file.read()))
    elif command == "blank":
        nor = Nor(buffsize=int(args[0]) * BLOCK)
    elif command == "save":
        with open(args[0], "wb") as file:
            file.write(nor.buffer)
    elif command == "format":
        mount(args[0], args[1], True)
    elif command == "mount":
        mount(args[0], args[1], False)
    elif command == "cut":
        nor.left = None if args[0] == "never" else int(args[0])
    elif command == "write":
        with fs.open(args[0], "wb") as file:
            file.write(bytes.fromhex(args[1] if len(args) > 1 else ""))
    elif command == "read":
        with fs.open(args[0], "rb") as file:
            return file.read().hex()
    elif command == "append":
        with fs.open(args[0], "ab") as file:
            file.write(bytes.fromhex(args[1]))
    elif command == "remove":
        fs.remove(args[0])
    elif command == "rename":
        fs.rename(args[0], args[1])
    elif command == "mkdir":
        fs.mkdir(args[0])
    elif command == "setattr":
        fs.setattr(args[0], int(args[1]), bytes.fromhex(args[2]))
    elif command == "getattr":
        return fs.getattr(args[0], int(args[1])).hex()
    elif command == "list":
        return " ".join(f"{file}" for file in sorted(fs.listdir(args[0] if args else "/")))
    elif command == "version":
        return f"{fs.fs_stat().disk_version:x}"
    elif command == "used":
        return str(fs.used_block_count)
    else:
        raise ValueError(command)
    return ""


for line in sys.stdin:
    try:
        print("ok", run(*line.split()), flush=True)
    except errors.LittleFSError as error:
        print("error", error.code, flush=True)
