/* API double of ESP-IDF: what the exported example calls. See ../../README.md. */
#define SOC_USB_SERIAL_JTAG_SUPPORTED 1
