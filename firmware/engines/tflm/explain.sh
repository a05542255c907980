#!/bin/sh
# What a failed compilation or link of the tflm engine means, in one line where it is known; else what the tool said.
#
#   explain.sh LOG BOARD LIBRARY
set -eu
log=$1 board=$2 library=$3

say() {
    echo "TensorFlow Lite Micro error: $1"
    exit 0
}

kernel=$(sed -n "s/.*undefined reference to .*Register_\([A-Z0-9_]*\).*/\1/p" "$log" | sort -u | head -n 3 | tr '\n' ' ')
method=$(sed -n "s/.*\(no member named\|has no member named\) .\(Add[A-Za-z0-9]*\).*/\2/p" "$log" | head -n 1)
outgrown=$(sed -n "s/.*\(this TensorFlow Lite Micro has larger[^\"]*\).*/\1/p" "$log" | head -n 1)
missing=$(sed -n "s/.*undefined reference to .\([^'\`]*\)['\`].*/\1/p" "$log" | head -n 1)
header=$(sed -n "s/.*fatal error: '\{0,1\}\([^:']*\)'\{0,1\}\(: No such file\| file not found\).*/\1/p" "$log" | head -n 1)

if grep -q -e 'ile format not recogni[sz]ed' -e 'incompatible with' -e 'skipping incompatible' -e 'wrong format' \
    -e 'uses VFP register arguments' -e 'failed to merge target specific data' -e 'ABI is incompatible' \
    -e 'elocations in generic ELF' -e 'conflicting CPU architectures' "$log"; then
    say "$library is for another processor or float ABI than BOARD=$board; set TFLM_ROOT to a build for that board"
fi
[ -z "$kernel" ] || say "$library lacks the kernel of ${kernel% }; build it with these kernels, or with the flags that \
TFLM_FLAGS names (-DCMSIS_NN only where it has them)"
[ -z "$method" ] || say "the headers of TFLM_ROOT have no $method: this TensorFlow Lite Micro lacks an operator of the model"
[ -z "$outgrown" ] || say "$outgrown"
[ -z "$header" ] || say "$header is not in TFLM_INCLUDES; see docs/tflm.md of the kit"
[ -z "$missing" ] || say "$library lacks $missing; header and library must be of one build (kit doctor --tflm tells)"
cat "$log"
