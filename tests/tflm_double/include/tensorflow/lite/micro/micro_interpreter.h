/* tflm-double: runs a chain of int8 convolutions of height 1. */
#ifndef TFLM_DOUBLE_INTERPRETER_H
#define TFLM_DOUBLE_INTERPRETER_H

#include <stddef.h>

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#define TFLITE_SCHEMA_VERSION (3)

namespace tflm_double {
struct Operation;
}

namespace tflite {

class MicroInterpreter {
public:
    MicroInterpreter(const Model *model, const MicroOpResolver &resolver, uint8_t *arena, size_t arena_bytes,
                     void *resource_variables = nullptr, void *profiler = nullptr, bool preserve_all_tensors = false);
    TfLiteStatus initialization_status() const { return kTfLiteOk; }
    TfLiteStatus AllocateTensors();
    TfLiteStatus Invoke();
    size_t inputs_size() const { return 1; }
    size_t outputs_size() const { return 1; }
    TfLiteTensor *input(size_t index);
    TfLiteTensor *output(size_t index);
    TfLiteEvalTensor *GetTensor(int tensor_index, int subgraph_index = 0);
    size_t arena_used_bytes() const { return head_ + tail_; }

private:
    void *persistent(size_t bytes);
    bool read_tensors();
    bool read_operations();
    bool place_activations();

    const Model *model_;
    const MicroOpResolver &resolver_;
    uint8_t *arena_;
    size_t arena_bytes_;
    bool preserve_;
    size_t head_ = 0; /* activations, from the start */
    size_t tail_ = 0; /* everything else, from the end */
    TfLiteTensor *tensors_ = nullptr;
    uint32_t tensor_count_ = 0;
    TfLiteEvalTensor eval_ = {};
    tflm_double::Operation *operations_ = nullptr;
    uint32_t operation_count_ = 0;
    uint32_t input_ = 0;
    uint32_t output_ = 0;
};

}  // namespace tflite

#endif /* TFLM_DOUBLE_INTERPRETER_H */
