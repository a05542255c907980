/* API double of a CMSIS project. See ../README.md. */
#ifndef RTE_COMPONENTS_H
#define RTE_COMPONENTS_H

#define CMSIS_device_header "device_double.h"

#endif /* RTE_COMPONENTS_H */
