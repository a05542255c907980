CROSS :=
CPU_FLAGS :=
PORT_SOURCES := native-uart/uart_model.c native-uart/uart_port.c
