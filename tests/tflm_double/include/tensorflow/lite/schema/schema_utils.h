/* tflm-double: see schema_generated.h. */
#ifndef TFLM_DOUBLE_SCHEMA_UTILS_H
#define TFLM_DOUBLE_SCHEMA_UTILS_H

#include "tensorflow/lite/schema/schema_generated.h"

namespace tflite {

inline BuiltinOperator GetBuiltinCode(const OperatorCode *code)
{
    return static_cast<BuiltinOperator>(code->builtin_code());
}

}  // namespace tflite

#endif /* TFLM_DOUBLE_SCHEMA_UTILS_H */
