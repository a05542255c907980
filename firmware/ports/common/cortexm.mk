# What every Cortex-M board shares; its board.mk includes this file. Paths are relative to ports/.
CROSS := arm-none-eabi-
CROSS_PACKAGES := gcc-arm-none-eabi libnewlib-arm-none-eabi
CXX_PACKAGES := gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib
SPECS := --specs=nano.specs
START_SOURCES := common/cortexm_start.c
LINKER_SCRIPT := common/cortexm.ld
QEMU := qemu-system-arm
QEMU_PACKAGES := qemu-system-arm
