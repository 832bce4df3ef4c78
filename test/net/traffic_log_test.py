#!/usr/bin/env python3
"""What tshark makes of a traffic log: every byte of random conversations, and nothing to complain
about.

    python3 test/net/traffic_log_test.py traffic_log_talk=PATH

Prints TAP; without tshark one skipped test.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

number = failures = 0


def check(description, passed, details=""):
    global number, failures
    number += 1
    failures += not passed
    print(f"{'ok' if passed else 'not ok'} {number} - {description}", flush=True)
    if not passed:
        for line in str(details).rstrip("\n").split("\n")[:20]:
            print(f"#   {line}")


def tshark(log, *options):
    done = subprocess.run(
        ["tshark", "-n", "-r", log, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
         *options], text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=120)
    # As root it warns of that.
    complaints = [line for line in done.stderr.splitlines() if line and "Running as user" not in line]
    return done.stdout, done.returncode, "\n".join(complaints)


def follow(log, stream):
    """(what the client sent, what the server sent), as tshark puts the stream together"""
    text, code, complaints = tshark(log, "-q", "-z", f"follow,tcp,raw,{stream}")
    assert code == 0, complaints
    sent = [bytearray(), bytearray()]
    for line in text.split("\n"):
        word = line.strip()
        if word and all(c in "0123456789abcdef" for c in word):
            sent[line.startswith("\t")] += bytes.fromhex(word)
    return bytes(sent[0]), bytes(sent[1])


def check_log(talk, seed, folder):
    subprocess.run([talk, folder, str(seed)], check=True, timeout=120)
    log = folder / "log.pcapng"
    conversations = len(list(folder.glob("*-client")))

    summary, code, complaints = tshark(
        log, "-T", "fields", "-e", "frame.number", "-e", "tcp.stream", "-e", "_ws.malformed", "-e",
        "ip.checksum.status", "-e", "tcp.checksum.status", "-e", "_ws.expert.message", "-e",
        "_ws.expert.severity")
    check(f"seed {seed}: tshark reads the log and complains of nothing", code == 0 and not complaints,
          complaints)
    rows = [line.split("\t") for line in summary.splitlines()]
    check(f"seed {seed}: each conversation is a stream",
          len({row[1] for row in rows}) == conversations == 12, {row[1] for row in rows})
    check(f"seed {seed}: no packet is malformed", not any(row[2] for row in rows))
    wrong = [row for row in rows if row[3] not in ("", "1") or row[4] != "1"]
    check(f"seed {seed}: all checksums are right", not wrong and len(rows) > 100, wrong)
    # Severities: 0x200000 a chat, 0x400000 a note, 0x600000 a warning, 0x800000 an error.
    worse = [row for row in rows if "connection closing" not in row[5] and
             any(word and int(word, 0) >= 0x400000 for word in row[6].split(","))]
    check(f"seed {seed}: but for each FIN, no expert has a note, warning or error", not worse, worse)
    finished = sum("FIN" in row[5] for row in rows)
    check(f"seed {seed}: each side of each stream has finished", finished == 2 * conversations,
          finished)

    for stream in range(conversations):
        expected = tuple((folder / f"{stream}-{side}").read_bytes() for side in ("client", "server"))
        got = follow(log, stream)
        check(f"seed {seed}: stream {stream} has the bytes of both sides "
              f"({len(expected[0])}, {len(expected[1])})", got == expected,
              (len(got[0]), len(got[1])))


def main():
    programs = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if not shutil.which("tshark"):
        print("ok 1 - tshark reads the log # SKIP no tshark here\n1..1")
        return 0
    for seed in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            check_log(programs["traffic_log_talk"], seed, pathlib.Path(folder))
    print(f"1..{number}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
