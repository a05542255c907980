/* tflm-double: the parts of the file format that the harness reads. */
#ifndef TFLM_DOUBLE_SCHEMA_H
#define TFLM_DOUBLE_SCHEMA_H

#include <algorithm>

#include "tflm_double/table.h"

namespace tflite {

enum BuiltinOperator { BuiltinOperator_CONV_2D = 3, BuiltinOperator_DEPTHWISE_CONV_2D = 4 };

/* These are laid over the bytes of the model. */
class OperatorCode {
public:
    int builtin_code() const { return std::max<int>(table().scalar<int8_t>(0, 0), table().scalar<int32_t>(3, 0)); }

private:
    tflm_double::Table table() const { return tflm_double::Table(reinterpret_cast<const uint8_t *>(this)); }
};

class OperatorCodes {
public:
    uint32_t size() const { return vector().size(); }
    const OperatorCode *Get(uint32_t index) const
    {
        return reinterpret_cast<const OperatorCode *>(vector().table(index));
    }

private:
    tflm_double::Vector vector() const { return tflm_double::Vector(reinterpret_cast<const uint8_t *>(this)); }
};

class Model {
public:
    uint32_t version() const { return table().scalar<uint32_t>(0, 0); }
    const OperatorCodes *operator_codes() const
    {
        return reinterpret_cast<const OperatorCodes *>(table().vector(1).at());
    }
    tflm_double::Table table() const { return tflm_double::root(reinterpret_cast<const uint8_t *>(this)); }
};

inline const Model *GetModel(const void *data)
{
    return static_cast<const Model *>(data);
}

}  // namespace tflite

#endif /* TFLM_DOUBLE_SCHEMA_H */
