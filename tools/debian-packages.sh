#!/bin/sh
# Installs the Debian packages that hold the given commands, where it may; otherwise says the one command to run.
# Usage: debian-packages.sh COMMAND=PACKAGE[,PACKAGE...] ...    A command that is already there costs nothing.
set -eu

# A command counts as there when it works: a venv needs pip's wheels, a compiler its library's headers, clang its
# sanitizers' runtime.
there() {
    case "$1" in
        python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null ;;
        # Its libraries are another package, which only this option finds.
        riscv64-unknown-elf-gcc)
            printf '#include <stdint.h>\n#include <string.h>\n' | "$1" --specs=picolibc.specs -E - >/dev/null 2>&1 ;;
        *gcc) printf '#include <stdint.h>\n#include <string.h>\n' | "$1" -E - >/dev/null 2>&1 ;;
        *g++) printf '#include <cstddef>\n#include <new>\n' | "$1" -x c++ -fsyntax-only - >/dev/null 2>&1 ;;
        clang) echo 'int main(void) { return 0; }' | clang -x c -fsanitize=address - -o /dev/null 2>/dev/null ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

wanted=""
for pair in "$@"; do
    if there "${pair%%=*}"; then
        continue
    fi
    wanted="$wanted $(echo "${pair#*=}" | tr ',' ' ')"
done
[ -n "$wanted" ] || exit 0

install="apt-get install -y --no-install-recommends$wanted"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "kit: this is no Debian-like machine; install these packages' equivalents:$wanted" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    echo "kit: to install what is missing, run: sudo sh -c 'apt-get update && $install'" >&2
    exit 0
fi
echo "kit: installing Debian packages:$wanted"
if ! { $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo $install -qq >/dev/null; }; then
    echo "kit: that failed; going on with what is there. To repeat it: $install" >&2
fi
