/* How operators are registered with a MicroMutableOpResolver: KIT_TFLM_ADD_<OPERATOR>(resolver). Included by rendered C++
 * only. Where the optimised kernels (CMSIS-NN) have a registration for int8 alone, KIT_TFLM_ADD_<OPERATOR>_INT8 takes
 * it, because the general one links the kernels of every data type; with the reference kernels there is only one. */
#ifndef KIT_TFLM_OPERATORS_H
#define KIT_TFLM_OPERATORS_H

#include "tensorflow/lite/micro/kernels/conv.h"
#include "tensorflow/lite/micro/kernels/depthwise_conv.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

/* Headers of some releases and vendors lack these two. */
#if defined(__has_include)
#if __has_include("tensorflow/lite/micro/kernels/add.h") && defined(CMSIS_NN)
#include "tensorflow/lite/micro/kernels/add.h"
#define KIT_TFLM_HAS_ADD_INT8
#endif
#if __has_include("tensorflow/lite/micro/kernels/mul.h") && defined(CMSIS_NN)
#include "tensorflow/lite/micro/kernels/mul.h"
#define KIT_TFLM_HAS_MUL_INT8
#endif
#endif

#if defined(CMSIS_NN)
#define KIT_TFLM_ADD_CONV_2D_INT8(resolver) (resolver).AddConv2D(tflite::Register_CONV_2D_INT8())
#define KIT_TFLM_ADD_DEPTHWISE_CONV_2D_INT8(resolver) \
    (resolver).AddDepthwiseConv2D(tflite::Register_DEPTHWISE_CONV_2D_INT8())
#else
#define KIT_TFLM_ADD_CONV_2D_INT8(resolver) (resolver).AddConv2D()
#define KIT_TFLM_ADD_DEPTHWISE_CONV_2D_INT8(resolver) (resolver).AddDepthwiseConv2D()
#endif

#if defined(KIT_TFLM_HAS_ADD_INT8)
#define KIT_TFLM_ADD_ADD_INT8(resolver) (resolver).AddAdd(tflite::Register_ADD_INT8())
#else
#define KIT_TFLM_ADD_ADD_INT8(resolver) (resolver).AddAdd()
#endif
#if defined(KIT_TFLM_HAS_MUL_INT8)
#define KIT_TFLM_ADD_MUL_INT8(resolver) (resolver).AddMul(tflite::Register_MUL_INT8())
#else
#define KIT_TFLM_ADD_MUL_INT8(resolver) (resolver).AddMul()
#endif

#endif /* KIT_TFLM_OPERATORS_H */
