include ports/common/cortexm.mk
CPU_FLAGS := -mthumb -mcpu=cortex-m3 -mfloat-abi=soft
PORT_SOURCES := common/cmsdk_port.c
CYCLES_SOURCE := common/cortexm_cycles.c
QEMU_MACHINE := mps2-an385
