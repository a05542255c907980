include ports/common/cortexm.mk
CPU_FLAGS := -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard
PORT_SOURCES := common/cmsdk_port.c
CYCLES_SOURCE := common/cortexm_cycles.c
QEMU_MACHINE := mps2-an386
