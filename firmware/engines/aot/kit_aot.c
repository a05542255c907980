#include "kit_aot.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kit_aot_kernels.h"

kit_status_t kit_aot_init(kit_engine_t *engine, const kit_aot_model_t *model, kit_aot_progress_t *progress,
                          uint16_t progress_count, int8_t *activations, uint16_t activation_bytes)
{
    if (engine == NULL || model == NULL || progress == NULL || activations == NULL) {
        return KIT_ERR_ARGUMENT;
    }
    if (model->layer_count == 0 || progress_count != model->layer_count ||
        activation_bytes != model->activation_bytes) {
        return KIT_ERR_MODEL;
    }
    engine->model = model;
    engine->progress = progress;
    engine->activations = activations;
    kit_engine_begin(engine);
    return KIT_OK;
}

kit_engine_info_t kit_engine_info(const kit_engine_t *engine)
{
    const kit_aot_model_t *model = engine->model;
    const kit_aot_layer_t *last = &model->layers[model->layer_count - 1];
    kit_engine_info_t info;
    info.frame_samples = model->layers[0].in_columns;
    info.positions = last->out_columns;
    info.dims = (uint8_t)last->out_channels;
    info.scratch_bytes = model->activation_bytes;
    return info;
}

const char *kit_engine_name(void)
{
    return "aot";
}

static int8_t *window_of(const kit_engine_t *engine, const kit_aot_layer_t *layer)
{
    return engine->activations + layer->window;
}

/* Where the next input column of a layer goes. A layer that waits for input has room for it. */
static int8_t *input_slot(const kit_engine_t *engine, const kit_aot_layer_t *layer, const kit_aot_progress_t *progress)
{
    return window_of(engine, layer) + (uint32_t)progress->held * layer->in_channels;
}

/* Columns that fit behind each other at the input slot. A column to be skipped comes alone and is overwritten. */
static unsigned room(const kit_aot_layer_t *layer, const kit_aot_progress_t *progress)
{
    return progress->skip != 0 ? 1u : (unsigned)layer->columns - progress->held;
}

/* The columns at the input slot are complete. */
static void take(kit_aot_progress_t *progress, unsigned count)
{
    if (progress->skip != 0) {
        progress->skip--;
    } else {
        progress->held = (uint8_t)(progress->held + count);
    }
}

static void received(kit_aot_progress_t *progress, unsigned count)
{
    progress->received = (uint16_t)(progress->received + count);
    take(progress, count);
}

static void pad(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress)
{
    memset(input_slot(engine, layer, progress), layer->in_zero_point, layer->in_channels);
    take(progress, 1u);
}

void kit_engine_begin(kit_engine_t *engine)
{
    const kit_aot_model_t *model = engine->model;
    for (unsigned i = 0; i < model->layer_count; i++) {
        kit_aot_progress_t *progress = &engine->progress[i];
        progress->received = 0;
        progress->produced = 0;
        progress->held = 0;
        progress->skip = 0;
        while (progress->held < model->layers[i].pad_left) {
            pad(engine, &model->layers[i], progress);
        }
    }
    engine->layer = 0;
    engine->columns = 0;
    engine->column = 0;
}

/* Output columns of a layer's next batch, or 0 while it waits for input. Right padding enters here, behind the last
 * input column. */
static unsigned ready(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress)
{
    const unsigned left = (unsigned)layer->out_columns - progress->produced;
    const unsigned count = left < layer->batch ? left : layer->batch;
    if (count == 0) {
        return 0;
    }
    const unsigned needed = layer->columns - (layer->batch - count) * layer->stride;
    if (progress->received == layer->in_columns) {
        while (progress->held < needed) {
            pad(engine, layer, progress);
        }
    }
    return progress->held >= needed ? count : 0;
}

/* Compute the next `count` output columns of a layer and move its window on. */
static void produce(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress, int8_t *columns,
                    unsigned count)
{
    int8_t *window = window_of(engine, layer);
    if (layer->depthwise) {
        kit_aot_depthwise(layer, window, columns, count);
    } else {
        kit_aot_conv(layer, window, columns, count);
    }
    progress->produced = (uint16_t)(progress->produced + count);
    const unsigned passed = count * layer->stride;
    if (passed < progress->held) {
        progress->held = (uint8_t)(progress->held - passed);
        memmove(window, window + passed * layer->in_channels, (uint32_t)progress->held * layer->in_channels);
    } else {
        progress->skip = (uint8_t)(passed - progress->held);
        progress->held = 0;
    }
}

int kit_engine_step(kit_engine_t *engine)
{
    const kit_aot_model_t *model = engine->model;
    const unsigned last = model->layer_count - 1u;
    if (engine->column < engine->columns) {
        engine->column++;
        return KIT_ENGINE_COLUMN;
    }
    if (engine->progress[last].produced == model->layers[last].out_columns) {
        return KIT_ENGINE_DONE;
    }
    /* The deepest layer that is ready goes first, so that whatever lies behind a layer waits and its window has room. */
    for (unsigned i = engine->layer;; i--) {
        const kit_aot_layer_t *layer = &model->layers[i];
        kit_aot_progress_t *progress = &engine->progress[i];
        unsigned count = ready(engine, layer, progress);
        if (count != 0 && i == last) {
            produce(engine, layer, progress, engine->activations + model->output, count);
            engine->layer = (uint16_t)i;
            engine->columns = (uint8_t)count;
            engine->column = 1;
            return KIT_ENGINE_COLUMN;
        }
        if (count != 0) {
            const kit_aot_layer_t *behind = layer + 1;
            kit_aot_progress_t *behind_progress = progress + 1;
            const unsigned fits = room(behind, behind_progress);
            count = count < fits ? count : fits;
            produce(engine, layer, progress, input_slot(engine, behind, behind_progress), count);
            received(behind_progress, count);
            engine->layer = (uint16_t)(i + 1u);
            return KIT_ENGINE_BUSY;
        }
        if (i == 0) {
            engine->layer = 0;
            return KIT_ENGINE_NEED_INPUT;
        }
    }
}

void kit_engine_put(kit_engine_t *engine, int8_t sample)
{
    const kit_aot_layer_t *layer = &engine->model->layers[0];
    *input_slot(engine, layer, &engine->progress[0]) = sample;
    received(&engine->progress[0], 1u);
}

const int8_t *kit_engine_column(const kit_engine_t *engine)
{
    const kit_aot_model_t *model = engine->model;
    const unsigned at = engine->column - 1u;
    return engine->activations + model->output + at * model->layers[model->layer_count - 1u].out_channels;
}
