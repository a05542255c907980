/* Start-up checks of the TensorFlow Lite Micro engine: model and tensors against what the renderer recorded. */
#ifndef KIT_TFLM_CHECKS_H
#define KIT_TFLM_CHECKS_H

#include "kit_tflm.h"
#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"

/* The status itself, with its numbers noted for kit_engine_failure. */
kit_status_t kit_tflm_failed(kit_engine_t *engine, kit_status_t status, uint32_t expected, uint32_t found);

/* The model array: alignment, length and content, schema version, operators. None of it is read before its bytes are known
 * to be the rendered ones. */
kit_status_t kit_tflm_check_model(kit_engine_t *engine, const tflite::MicroOpResolver *resolver);

/* One tensor of the started interpreter. */
kit_status_t kit_tflm_check_tensor(kit_engine_t *engine, const TfLiteTensor *tensor, const kit_tflm_tensor_t &recorded);

#endif /* KIT_TFLM_CHECKS_H */
