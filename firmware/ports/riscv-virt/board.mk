include ports/common/riscv.mk
# The compiler looks for its libraries under exactly this name; by version 2.2 of the ISA it includes Zicsr.
CPU_FLAGS := -march=rv32imac -misa-spec=2.2 -mabi=ilp32 -mcmodel=medany
PORT_SOURCES := riscv-virt/virt_port.c
CYCLES_SOURCE := common/riscv_cycles.c
QEMU_MACHINE := virt
QEMU_FLAGS := -cpu rv32 -bios none
