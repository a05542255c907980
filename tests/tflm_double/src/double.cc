/* tflm-double: the library. The arithmetic is that of firmware/NUMERICS.md section 3. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>

#include "tensorflow/lite/micro/kernels/conv.h"
#include "tensorflow/lite/micro/kernels/depthwise_conv.h"
#include "tensorflow/lite/micro/micro_interpreter.h"

using tflm_double::Table;
using tflm_double::Vector;

namespace tflm_double {

/* One convolution, prepared. */
struct Operation {
    uint32_t input;
    uint32_t output;
    const int8_t *weights;
    const uint8_t *bias; /* int32 little-endian, or null */
    int32_t *multiplier;
    int32_t *shift;
    int32_t low;
    int32_t high;
    int kernel;
    int stride;
    int pad;
    bool depthwise;
};

namespace {

constexpr size_t kUnit = 16;

/* Fields by their place in the schema. */
enum { kModelSubgraphs = 2, kModelBuffers = 4 };
enum { kGraphTensors = 0, kGraphInputs = 1, kGraphOutputs = 2, kGraphOperators = 3 };
enum { kTensorShape = 0, kTensorType = 1, kTensorBuffer = 2, kTensorQuantization = 4 };
enum { kQuantizationScale = 2, kQuantizationZeroPoint = 3 };
enum { kOperatorCode = 0, kOperatorInputs = 1, kOperatorOutputs = 2, kOperatorOptions = 4 };
enum { kSchemaInt8 = 9, kSchemaInt32 = 2 };

size_t units(size_t bytes)
{
    return (bytes + kUnit - 1) / kUnit * kUnit;
}

bool refuse(const char *what)
{
    fprintf(stderr, "tflm-double: %s\n", what);
    return false;
}

Table subgraph(const tflite::Model *model)
{
    return Table(model->table().vector(kModelSubgraphs).table(0));
}

Table tensor_table(const tflite::Model *model, uint32_t number)
{
    return Table(subgraph(model).vector(kGraphTensors).table(number));
}

Vector constant(const tflite::Model *model, uint32_t number)
{
    const uint32_t buffer = tensor_table(model, number).scalar<uint32_t>(kTensorBuffer, 0);
    return Table(model->table().vector(kModelBuffers).table(buffer)).vector(0);
}

size_t elements(const TfLiteTensor &tensor)
{
    size_t count = 1;
    for (int i = 0; i < tensor.dims->size; i++) {
        count *= static_cast<size_t>(tensor.dims->data[i]);
    }
    return count;
}

/* factor ~ multiplier * 2^(shift - 31) */
void quantize_factor(double factor, int32_t *multiplier, int32_t *shift)
{
    int exponent = 0;
    const double significand = frexp(factor, &exponent);
    int64_t q = static_cast<int64_t>(floor(significand * 2147483648.0 + 0.5));
    if (q == (int64_t{1} << 31)) {
        q /= 2;
        exponent++;
    }
    const bool vanishes = factor == 0.0 || exponent < -31;
    *multiplier = vanishes ? 0 : static_cast<int32_t>(q);
    *shift = vanishes ? 0 : exponent;
}

/* Rounded after the high multiplication (halves up) and after the right shift (halves away from zero). */
int32_t requantize(int32_t value, int32_t multiplier, int32_t shift)
{
    const int64_t left = static_cast<int64_t>(value) * (int64_t{1} << std::max<int32_t>(shift, 0));
    const int64_t high = (left * multiplier + (int64_t{1} << 30)) >> 31;
    const int right = std::max<int32_t>(-shift, 0);
    if (right == 0) {
        return static_cast<int32_t>(high);
    }
    const int64_t half = int64_t{1} << (right - 1);
    return static_cast<int32_t>(high < 0 ? -((-high + half) >> right) : (high + half) >> right);
}

int32_t bias_of(const Operation &op, int channel)
{
    return op.bias == nullptr ? 0 : load<int32_t>(op.bias + 4 * channel);
}

/* One output value; taps outside the input are left out: they hold the zero point. */
int32_t accumulate(const Operation &op, const TfLiteTensor &in, int outputs, int column, int channel)
{
    const int length = in.dims->data[2], inputs = in.dims->data[3];
    int32_t sum = bias_of(op, channel);
    for (int tap = 0; tap < op.kernel; tap++) {
        const int at = column * op.stride - op.pad + tap;
        if (at < 0 || at >= length) {
            continue;
        }
        const int8_t *values = in.data.int8 + at * inputs;
        if (op.depthwise) {
            sum += (values[channel] - in.params.zero_point) * op.weights[tap * outputs + channel];
            continue;
        }
        const int8_t *weights = op.weights + (channel * op.kernel + tap) * inputs;
        for (int i = 0; i < inputs; i++) {
            sum += (values[i] - in.params.zero_point) * weights[i];
        }
    }
    return sum;
}

void run(const Operation &op, const TfLiteTensor &in, TfLiteTensor &out)
{
    const int columns = out.dims->data[2], outputs = out.dims->data[3];
    for (int column = 0; column < columns; column++) {
        for (int channel = 0; channel < outputs; channel++) {
            const int32_t sum = accumulate(op, in, outputs, column, channel);
            const int32_t value = requantize(sum, op.multiplier[channel], op.shift[channel]) + out.params.zero_point;
            out.data.int8[column * outputs + channel] = static_cast<int8_t>(std::clamp(value, op.low, op.high));
        }
    }
}

/* Clamp of a fused activation, number as in the schema. */
bool set_range(Operation *op, int activation, const TfLiteTensor &out)
{
    op->low = -128;
    op->high = 127;
    if (activation != 0) {
        op->low = std::max(-128, static_cast<int>(out.params.zero_point));
    }
    if (activation == 3) {
        const float six = floorf(6.0f / out.params.scale + 0.5f);
        op->high = std::min(127, static_cast<int>(out.params.zero_point) + static_cast<int>(six));
    }
    return activation == 0 || activation == 1 || activation == 3;
}

}  // namespace
}  // namespace tflm_double

namespace tflite {

using namespace tflm_double;

TFLMRegistration Register_CONV_2D()
{
    return {false, BuiltinOperator_CONV_2D};
}

TFLMRegistration Register_DEPTHWISE_CONV_2D()
{
    return {true, BuiltinOperator_DEPTHWISE_CONV_2D};
}

MicroInterpreter::MicroInterpreter(const Model *model, const MicroOpResolver &resolver, uint8_t *arena,
                                   size_t arena_bytes, void *, void *, bool preserve_all_tensors)
    : model_(model), resolver_(resolver), arena_(arena), arena_bytes_(arena_bytes), preserve_(preserve_all_tensors)
{
}

void *MicroInterpreter::persistent(size_t bytes)
{
    if (units(bytes) + tail_ + head_ > arena_bytes_) {
        refuse("the arena is too small");
        return nullptr;
    }
    tail_ += units(bytes);
    uint8_t *at = arena_ + arena_bytes_ / kUnit * kUnit - tail_;
    memset(at, 0, bytes);
    return at;
}

bool MicroInterpreter::read_tensors()
{
    const Vector tables = subgraph(model_).vector(kGraphTensors);
    tensor_count_ = tables.size();
    tensors_ = static_cast<TfLiteTensor *>(persistent(tensor_count_ * sizeof(TfLiteTensor)));
    auto *dims = static_cast<TfLiteIntArray *>(persistent(tensor_count_ * sizeof(TfLiteIntArray)));
    if (tensors_ == nullptr || dims == nullptr) {
        return false;
    }
    for (uint32_t i = 0; i < tensor_count_; i++) {
        const Table table(tables.table(i));
        const Vector shape = table.vector(kTensorShape);
        TfLiteTensor &tensor = tensors_[i];
        tensor.dims = &dims[i];
        dims[i].size = static_cast<int>(shape.size());
        for (uint32_t d = 0; d < shape.size() && d < 4; d++) {
            dims[i].data[d] = shape.value<int32_t>(d);
        }
        const int type = table.scalar<int8_t>(kTensorType, 0);
        tensor.type = type == kSchemaInt8 ? kTfLiteInt8 : type == kSchemaInt32 ? kTfLiteInt32 : kTfLiteFloat32;
        if (table.has(kTensorQuantization) && table.table(kTensorQuantization).vector(kQuantizationScale).size() != 0) {
            const Table quantization = table.table(kTensorQuantization);
            tensor.params.scale = quantization.vector(kQuantizationScale).value<float>(0);
            tensor.params.zero_point =
                static_cast<int32_t>(quantization.vector(kQuantizationZeroPoint).value<int64_t>(0));
        }
    }
    return true;
}

bool MicroInterpreter::read_operations()
{
    const Vector tables = subgraph(model_).vector(kGraphOperators);
    operation_count_ = tables.size();
    operations_ = static_cast<Operation *>(persistent(operation_count_ * sizeof(Operation)));
    for (uint32_t i = 0; operations_ != nullptr && i < operation_count_; i++) {
        const Table table(tables.table(i));
        const OperatorCode *code = model_->operator_codes()->Get(table.scalar<uint32_t>(kOperatorCode, 0));
        const TFLMRegistration *known = resolver_.FindOp(static_cast<BuiltinOperator>(code->builtin_code()));
        if (known == nullptr) {
            return refuse("the resolver lacks an operator of the model");
        }
        Operation &op = operations_[i];
        const Vector inputs = table.vector(kOperatorInputs);
        const Table options = table.table(kOperatorOptions);
        op.depthwise = known->depthwise;
        op.input = inputs.value<uint32_t>(0);
        op.output = table.vector(kOperatorOutputs).value<uint32_t>(0);
        const uint32_t weights = inputs.value<uint32_t>(1);
        const Vector values = constant(model_, weights);
        op.weights = reinterpret_cast<const int8_t *>(values.data());
        const bool biased = inputs.size() > 2 && inputs.value<int32_t>(2) >= 0;
        op.bias = biased ? constant(model_, inputs.value<uint32_t>(2)).data() : nullptr;
        const TfLiteTensor &in = tensors_[op.input], &out = tensors_[op.output];
        op.kernel = tensors_[weights].dims->data[2];
        op.stride = options.scalar<int32_t>(1, 1);
        const int needed = (out.dims->data[2] - 1) * op.stride + op.kernel - in.dims->data[2];
        op.pad = options.scalar<int8_t>(0, 0) == 0 ? std::max(0, needed) / 2 : 0;
        /* A depthwise convolution has its depth multiplier before the activation. */
        if (!set_range(&op, options.scalar<int8_t>(op.depthwise ? 4 : 3, 0), out)) {
            return refuse("a fused activation that it does not know");
        }
        const uint32_t channels = static_cast<uint32_t>(out.dims->data[3]);
        op.multiplier = static_cast<int32_t *>(persistent(channels * sizeof(int32_t)));
        op.shift = static_cast<int32_t *>(persistent(channels * sizeof(int32_t)));
        if (op.multiplier == nullptr || op.shift == nullptr) {
            return false;
        }
        const Vector scales = tensor_table(model_, weights).table(kTensorQuantization).vector(kQuantizationScale);
        for (uint32_t c = 0; c < channels; c++) {
            const double scale = static_cast<double>(scales.value<float>(scales.size() == 1 ? 0 : c));
            const double factor = static_cast<double>(in.params.scale) * scale / static_cast<double>(out.params.scale);
            quantize_factor(factor, &op.multiplier[c], &op.shift[c]);
        }
    }
    return operations_ != nullptr;
}

/* Each activation in a place of its own when they are kept, else in one of two halves in turn. */
bool MicroInterpreter::place_activations()
{
    size_t largest = 0, all = 0;
    const auto bytes_of = [this](uint32_t number) { return units(elements(tensors_[number])); };
    for (uint32_t i = 0; i <= operation_count_; i++) {
        const size_t bytes = bytes_of(i == 0 ? operations_[0].input : operations_[i - 1].output);
        largest = std::max(largest, bytes);
        all += bytes;
    }
    head_ = preserve_ ? all : 2 * largest;
    if (head_ + tail_ > arena_bytes_) {
        return refuse("the arena is too small");
    }
    size_t at = 0;
    for (uint32_t i = 0; i <= operation_count_; i++) {
        TfLiteTensor &tensor = tensors_[i == 0 ? operations_[0].input : operations_[i - 1].output];
        tensor.data.int8 = reinterpret_cast<int8_t *>(arena_ + (preserve_ ? at : (i % 2) * largest));
        at += units(elements(tensor));
    }
    return true;
}

TfLiteStatus MicroInterpreter::AllocateTensors()
{
    const Table graph = subgraph(model_);
    input_ = graph.vector(kGraphInputs).value<uint32_t>(0);
    output_ = graph.vector(kGraphOutputs).value<uint32_t>(0);
    return read_tensors() && read_operations() && place_activations() ? kTfLiteOk : kTfLiteError;
}

TfLiteStatus MicroInterpreter::Invoke()
{
    for (uint32_t i = 0; i < operation_count_; i++) {
        run(operations_[i], tensors_[operations_[i].input], tensors_[operations_[i].output]);
    }
    return kTfLiteOk;
}

TfLiteTensor *MicroInterpreter::input(size_t)
{
    return &tensors_[input_];
}

TfLiteTensor *MicroInterpreter::output(size_t)
{
    return &tensors_[output_];
}

TfLiteEvalTensor *MicroInterpreter::GetTensor(int tensor_index, int)
{
    const TfLiteTensor &tensor = tensors_[tensor_index];
    eval_ = {tensor.data, tensor.dims, tensor.type};
    return preserve_ ? &eval_ : nullptr;
}

}  // namespace tflite
