CROSS :=
CROSS_PACKAGES := gcc libc6-dev
CPU_FLAGS :=
PORT_SOURCES := native/native_port.c
