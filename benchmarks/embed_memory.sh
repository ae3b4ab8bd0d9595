#!/bin/sh
# The peak memory of `fastemb embed` on a large file: at most 400 MB of 5 GB are asked for.
# usage: benchmarks/embed_memory.sh [GIGABYTES, default 5] [FOLDER, default a temporary one]
set -eu
gigabytes=${1:-5}
folder=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/embed_memory.XXXXXX")
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" - "$folder/texts.txt" "$gigabytes" <<'END'
import random, sys

draw = random.Random(0)
words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 9))) for _ in range(20_000)]
lines = [" ".join(draw.choices(words, k=draw.randint(5, 40))) for _ in range(40_000)]
with open(sys.argv[1], "w") as file:
    while file.tell() < float(sys.argv[2]) * 1e9:
        draw.shuffle(lines)
        file.write("\n".join(lines) + "\n")
END
/usr/bin/time -v "${PYTHON:-python3}" -m fastemb embed "$folder/texts.txt" -q --dim 32 -o "$folder/vectors.npy" 2>"$folder/time"
grep -E 'Maximum resident|Elapsed|User time|System time' "$folder/time"
