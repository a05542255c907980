/* tflm-double: operators by number. */
#ifndef TFLM_DOUBLE_OP_RESOLVER_H
#define TFLM_DOUBLE_OP_RESOLVER_H

#include "tensorflow/lite/schema/schema_generated.h"

struct TFLMRegistration {
    bool depthwise;
    int32_t builtin_code;
};

namespace tflite {

class MicroOpResolver {
public:
    virtual const TFLMRegistration *FindOp(BuiltinOperator op) const = 0;

protected:
    ~MicroOpResolver() = default;
};

}  // namespace tflite

#endif /* TFLM_DOUBLE_OP_RESOLVER_H */
