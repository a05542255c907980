include ports/common/cortexm.mk
CPU_FLAGS := -mthumb -mcpu=cortex-m0 -mfloat-abi=soft
PORT_SOURCES := microbit/nrf51_port.c
CYCLES_SOURCE := microbit/nrf51_cycles.c
QEMU_MACHINE := microbit
