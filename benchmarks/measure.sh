#!/usr/bin/env bash
# Measure everything that BENCHMARKS.md shows, write benchmarks/*.json and make the page: `bash benchmarks/measure.sh`.
# It takes about 15 minutes and needs a quiet machine and Chromium. `MEDIA=FOLDER` names a folder with LivePortrait's
# examples d3.mp4, d12.mp4, d18.mp4, s0.jpg, s3.jpg, s10.jpg; without it the built-in portrait and driver are measured.
# Words limit it to some results, as in `bash benchmarks/measure.sh latency_h264 latency_vp8`.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
media=${MEDIA:+$(realpath "$MEDIA")}
git -C "$root" diff --quiet HEAD || { echo "Commit first: each result names the commit that was measured."; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # so that the recorded commands name no folder of this machine
export PYTHONPATH=$root
only=" $* "
failed=0

# step NAME SECONDS WORDS: one command, at most so long.
step() {
    local name=$1 limit=$2
    shift 2
    [[ $only == "  " || $only == *" $name "* ]] || return 0
    echo "== $name: $*"
    [[ $* != *"--weights weights"* || -d weights ]] || "${PYTHON:-python}" -m tests.support.stand_in_weights weights
    timeout --signal=INT --kill-after=10 "$limit" "${PYTHON:-python}" "$@" --json "$name.json" || { failed=1; rm -f "$name.json"; }
}

echo "Load: $(cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo unknown); it should be below 0.5."
clips=()
if [ -n "$media" ]; then
    ln -s "$root/pipeline/assets/astronaut.jpg" "$media"/{d3,d12,d18}.mp4 "$media"/{s0,s3,s10}.jpg .
    clips=(--driving d3.mp4 d18.mp4 d12.mp4 --source astronaut.jpg s0.jpg s3.jpg s10.jpg)
fi
ln -s "$root/run.py" run.py
step meshwarp 600 run.py benchmark --animator meshwarp "${clips[@]}"
step latency_h264 120 run.py latency --animator meshwarp --codec h264
step latency_vp8 120 run.py latency --animator meshwarp --codec vp8
step latency_h264_loss 120 run.py latency --animator meshwarp --codec h264 --loss 2 --delay 40
step latency_vp8_loss 120 run.py latency --animator meshwarp --codec vp8 --loss 2 --delay 40
step stock_latency 400 -m tests.tools.stock_latency --rounds 1
step device_cpu 400 run.py benchmark --device cpu --frames 3 --weights weights
step precision_cpu 300 run.py benchmark --precision-table --weights weights
step compare_cpu 600 run.py compare --quick --weights weights
cp ./*.json "$root/benchmarks/"
cd "$root" && "${PYTHON:-python}" -m tests.tools.benchmarks_page
exit "$failed"
