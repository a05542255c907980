/* tflm-double: a resolver of the operators that the double computes. */
#ifndef TFLM_DOUBLE_MUTABLE_OP_RESOLVER_H
#define TFLM_DOUBLE_MUTABLE_OP_RESOLVER_H

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/kernels/conv.h"
#include "tensorflow/lite/micro/kernels/depthwise_conv.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"

namespace tflite {

template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
public:
    TfLiteStatus AddConv2D(const TFLMRegistration &registration = Register_CONV_2D()) { return add(registration); }
    TfLiteStatus AddDepthwiseConv2D(const TFLMRegistration &registration = Register_DEPTHWISE_CONV_2D())
    {
        return add(registration);
    }
    const TFLMRegistration *FindOp(BuiltinOperator op) const override
    {
        for (unsigned i = 0; i < count_; i++) {
            if (registrations_[i].builtin_code == op) {
                return &registrations_[i];
            }
        }
        return nullptr;
    }

private:
    TfLiteStatus add(const TFLMRegistration &registration)
    {
        if (count_ == tOpCount) {
            return kTfLiteError;
        }
        registrations_[count_++] = registration;
        return kTfLiteOk;
    }
    TFLMRegistration registrations_[tOpCount] = {};
    unsigned count_ = 0;
};

}  // namespace tflite

#endif /* TFLM_DOUBLE_MUTABLE_OP_RESOLVER_H */
