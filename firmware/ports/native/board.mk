CROSS :=
CPU_FLAGS :=
PORT_SOURCES := native/native_port.c
