include ports/common/cortexm.mk
CPU_FLAGS := -mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard
PORT_SOURCES := common/cmsdk_port.c
QEMU_MACHINE := mps2-an386
