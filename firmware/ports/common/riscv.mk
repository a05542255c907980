# What every 32-bit RISC-V board shares; its board.mk includes this file. Paths are relative to ports/.
CROSS := riscv64-unknown-elf-
CROSS_PACKAGES := gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf
SPECS := --specs=picolibc.specs
START_SOURCES := common/riscv_start.c
LINKER_SCRIPT := common/riscv.ld
QEMU := qemu-system-riscv32
QEMU_PACKAGES := qemu-system-misc
