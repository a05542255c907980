include ports/common/cortexm.mk
# The core implies its FPU and Helium, which `+nomve` or `+nofp` behind its name would take away.
CPU_FLAGS := -mthumb -mcpu=cortex-m55 -mfloat-abi=hard
PORT_SOURCES := common/cmsdk_port.c
CYCLES_SOURCE := common/cortexm_cycles.c
QEMU_MACHINE := mps3-an547
