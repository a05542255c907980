#include "kit_tflm_checks.h"

#include <cstring>

#include "kit_crc.h"
#include "kit_protocol.h"
#include "tensorflow/lite/schema/schema_generated.h"
#include "tensorflow/lite/schema/schema_utils.h"
#include "tensorflow/lite/micro/micro_interpreter.h"

namespace {

uint32_t bits_of(float value)
{
    static_assert(sizeof value == sizeof(uint32_t), "a scale is a float32");
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

kit_status_t check_operators(kit_engine_t *engine, const tflite::Model *model, const tflite::MicroOpResolver *resolver)
{
    const auto *codes = model->operator_codes();
    for (uint32_t i = 0; codes != nullptr && i < codes->size(); i++) {
        const tflite::BuiltinOperator code = tflite::GetBuiltinCode(codes->Get(i));
        if (resolver == nullptr || resolver->FindOp(code) == nullptr) {
            return kit_tflm_failed(engine, KIT_ERR_OPERATOR, 0, static_cast<uint32_t>(code));
        }
    }
    return KIT_OK;
}

}  // namespace

kit_status_t kit_tflm_failed(kit_engine_t *engine, kit_status_t status, uint32_t expected, uint32_t found)
{
    engine->failure.expected = expected;
    engine->failure.found = found;
    return status;
}

kit_status_t kit_tflm_check_model(kit_engine_t *engine, const tflite::MicroOpResolver *resolver)
{
    const kit_tflm_model_t *model = engine->model;
    const uintptr_t address = reinterpret_cast<uintptr_t>(model->data);
    if (address % KIT_TFLM_ALIGN != 0) {
        return kit_tflm_failed(engine, KIT_ERR_ALIGNMENT, KIT_TFLM_ALIGN, static_cast<uint32_t>(address % KIT_TFLM_ALIGN));
    }
    const uint32_t crc = kit_crc32_update(KIT_CRC32_INITIAL, model->data, model->bytes) ^ KIT_CRC32_FINAL_XOR;
    if (crc != model->crc32) {
        return kit_tflm_failed(engine, KIT_ERR_DAMAGED, model->crc32, crc);
    }
    const tflite::Model *root = tflite::GetModel(model->data);
    if (root->version() != TFLITE_SCHEMA_VERSION || root->version() != model->schema_version) {
        return kit_tflm_failed(engine, KIT_ERR_SCHEMA, TFLITE_SCHEMA_VERSION, static_cast<uint32_t>(root->version()));
    }
    return check_operators(engine, root, resolver);
}

kit_status_t kit_tflm_check_tensor(kit_engine_t *engine, const TfLiteTensor *tensor, const kit_tflm_tensor_t &recorded)
{
    if (tensor == nullptr || tensor->dims == nullptr || tensor->type != recorded.type) {
        const int type = tensor == nullptr ? 0 : static_cast<int>(tensor->type);
        return kit_tflm_failed(engine, KIT_ERR_TENSOR_TYPE, recorded.type, static_cast<uint32_t>(type));
    }
    if (tensor->dims->size != 4) {
        return kit_tflm_failed(engine, KIT_ERR_TENSOR_SHAPE, 4, static_cast<uint32_t>(tensor->dims->size));
    }
    for (int i = 0; i < 4; i++) {
        if (tensor->dims->data[i] != recorded.dims[i]) {
            return kit_tflm_failed(engine, KIT_ERR_TENSOR_SHAPE, static_cast<uint32_t>(recorded.dims[i]),
                                   static_cast<uint32_t>(tensor->dims->data[i]));
        }
    }
    if (bits_of(tensor->params.scale) != recorded.scale_bits) {
        return kit_tflm_failed(engine, KIT_ERR_TENSOR_QUANTIZATION, recorded.scale_bits, bits_of(tensor->params.scale));
    }
    if (tensor->params.zero_point != recorded.zero_point) {
        return kit_tflm_failed(engine, KIT_ERR_TENSOR_QUANTIZATION, static_cast<uint32_t>(recorded.zero_point),
                               static_cast<uint32_t>(tensor->params.zero_point));
    }
    return KIT_OK;
}
