/* tflm-double: registrations. The one for int8 alone is declared as optimised kernels do, and the double's library does
 * not have it: it stands for a library that was built without them. */
#ifndef TFLM_DOUBLE_DEPTHWISE_CONV_2D_H
#define TFLM_DOUBLE_DEPTHWISE_CONV_2D_H

#include "tensorflow/lite/micro/micro_op_resolver.h"

namespace tflite {

TFLMRegistration Register_DEPTHWISE_CONV_2D();
#if defined(CMSIS_NN)
TFLMRegistration Register_DEPTHWISE_CONV_2D_INT8();
#else
inline TFLMRegistration Register_DEPTHWISE_CONV_2D_INT8()
{
    return Register_DEPTHWISE_CONV_2D();
}
#endif

}  // namespace tflite

#endif /* TFLM_DOUBLE_DEPTHWISE_CONV_2D_H */
