CROSS :=
CROSS_PACKAGES := gcc libc6-dev
CXX_PACKAGES := g++
CPU_FLAGS :=
PORT_SOURCES := native/native_port.c
