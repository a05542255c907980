#include "kit_tflm.h"

#include <cstddef>
#include <cstring>
#include <new>

#include "kit_crc.h"
#include "kit_probe.h"
#include "kit_tflm_checks.h"
#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#if defined(KIT_TAPS)
#include "kit_tap.h"
#endif

static_assert(sizeof(tflite::MicroInterpreter) <= KIT_TFLM_INTERPRETER_WORDS * sizeof(void *),
              "this TensorFlow Lite Micro has a larger MicroInterpreter: define KIT_TFLM_INTERPRETER_WORDS");
static_assert(alignof(tflite::MicroInterpreter) <= alignof(void *), "the reserved memory is aligned like a pointer");
static_assert(kTfLiteInt8 == KIT_TFLM_INT8, "types are recorded by their numbers");

namespace {

#if defined(KIT_TAPS)
constexpr bool kPreserveAllTensors = true;
#else
constexpr bool kPreserveAllTensors = false;
#endif

tflite::MicroInterpreter *interpreter_of(const kit_engine_t *engine)
{
    return static_cast<tflite::MicroInterpreter *>(engine->interpreter);
}

/* Construct the interpreter and have it lay out the arena; one that is known to be too small is not tried, because
 * kernels write where an allocation failed. */
kit_status_t start(kit_engine_t *engine, const tflite::MicroOpResolver &resolver, const kit_tflm_memory_t &memory)
{
    const kit_tflm_model_t *model = engine->model;
    if (model->arena_bytes < model->arena_needed_bytes) {
        return kit_tflm_failed(engine, KIT_ERR_ARENA, model->arena_needed_bytes, model->arena_bytes);
    }
    auto *interpreter =
        new (memory.interpreter) tflite::MicroInterpreter(tflite::GetModel(model->data), resolver, memory.arena,
                                                          model->arena_bytes, nullptr, nullptr, kPreserveAllTensors);
    engine->interpreter = interpreter;
    if (interpreter->initialization_status() != kTfLiteOk || interpreter->AllocateTensors() != kTfLiteOk) {
        return kit_tflm_failed(engine, KIT_ERR_PREPARE, 0, model->arena_bytes);
    }
    engine->arena_used_bytes = static_cast<uint32_t>(interpreter->arena_used_bytes());
    return KIT_OK;
}

/* Input and output must be what the renderer saw: they alone cross the seam. */
kit_status_t bind(kit_engine_t *engine)
{
    tflite::MicroInterpreter *interpreter = interpreter_of(engine);
    if (interpreter->inputs_size() != 1 || interpreter->outputs_size() != 1) {
        return kit_tflm_failed(engine, KIT_ERR_TENSOR_SHAPE, 1, static_cast<uint32_t>(interpreter->inputs_size()));
    }
    TfLiteTensor *input = interpreter->input(0);
    TfLiteTensor *output = interpreter->output(0);
    kit_status_t status = kit_tflm_check_tensor(engine, input, engine->model->input);
    if (status == KIT_OK) {
        status = kit_tflm_check_tensor(engine, output, engine->model->output);
    }
    if (status == KIT_OK) {
        engine->input = input->data.int8;
        engine->output = output->data.int8;
    }
    return status;
}

#if defined(KIT_TAPS)

void tap(const kit_engine_t *engine)
{
    for (unsigned i = 0; i < engine->model->tap_count; i++) {
        const kit_tflm_tap_t &at = engine->model->taps[i];
        const TfLiteEvalTensor *tensor = interpreter_of(engine)->GetTensor(at.tensor);
        const int8_t *columns = tensor == nullptr ? nullptr : tensor->data.int8;
        for (unsigned position = 0; columns != nullptr && position < at.columns; position++) {
            kit_tap(at.layer, static_cast<uint16_t>(position), columns + position * at.channels, at.channels);
        }
    }
}

#endif

}  // namespace

kit_status_t kit_tflm_init(kit_engine_t *engine, const kit_tflm_model_t *model,
                           const tflite::MicroOpResolver *resolver, const kit_tflm_memory_t &memory)
{
    if (engine == nullptr || model == nullptr || memory.interpreter == nullptr || memory.arena == nullptr) {
        return KIT_ERR_ARGUMENT;
    }
    *engine = {};
    engine->model = model;
    kit_status_t status = kit_tflm_check_model(engine, resolver);
    if (status == KIT_OK) {
        status = start(engine, *resolver, memory);
    }
    if (status == KIT_OK) {
        status = bind(engine);
    }
    return status;
}

kit_engine_failure_t kit_engine_failure(const kit_engine_t *engine)
{
    return engine->failure;
}

kit_engine_info_t kit_engine_info(const kit_engine_t *engine)
{
    const kit_tflm_model_t *model = engine->model;
    kit_engine_info_t info;
    info.frame_samples = static_cast<uint16_t>(model->input.dims[2]);
    info.positions = static_cast<uint16_t>(model->output.dims[2]);
    info.input_channels = static_cast<uint8_t>(model->input.dims[3]);
    info.channels = static_cast<uint8_t>(model->output.dims[3]);
    info.scratch_bytes = engine->arena_used_bytes;
    return info;
}

const char *kit_engine_name(void)
{
#if defined(KIT_TFLM_DOUBLE)
    return "double"; /* the API double of the tests, which is not TensorFlow Lite Micro */
#else
    return "tflm";
#endif
}

void kit_engine_begin(kit_engine_t *engine)
{
    engine->received = 0;
    engine->column = 0;
    engine->ran = 0;
}

int kit_engine_step(kit_engine_t *engine)
{
    if (engine->received != engine->model->input.dims[2]) {
        return KIT_ENGINE_NEED_INPUT;
    }
    if (engine->ran == 0) {
        if (interpreter_of(engine)->Invoke() != kTfLiteOk) {
            return KIT_ERR_ENGINE;
        }
        engine->ran = 1;
#if defined(KIT_TAPS)
        tap(engine);
#endif
        return KIT_ENGINE_BUSY;
    }
    if (engine->column == engine->model->output.dims[2]) {
        return KIT_ENGINE_DONE;
    }
    engine->column++;
    return KIT_ENGINE_COLUMN;
}

int kit_engine_put(kit_engine_t *engine, const int8_t *column)
{
    const int channels = engine->model->input.dims[3];
    memcpy(engine->input + engine->received * channels, column, static_cast<size_t>(channels));
    engine->received++;
    return engine->received != engine->model->input.dims[2] ? KIT_ENGINE_NEED_INPUT : KIT_ENGINE_BUSY;
}

const int8_t *kit_engine_column(const kit_engine_t *engine)
{
    return engine->output + (engine->column - 1) * engine->model->output.dims[3];
}
