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

/* Where the next input column of a layer goes. A layer that is not ready has room for it. */
static int8_t *input_slot(const kit_engine_t *engine, const kit_aot_layer_t *layer, const kit_aot_progress_t *progress)
{
    return window_of(engine, layer) + (uint32_t)progress->held * layer->in_channels;
}

/* The column at the input slot is complete. */
static void take(kit_aot_progress_t *progress)
{
    if (progress->skip != 0) {
        progress->skip--;
    } else {
        progress->held++;
    }
}

static void received(kit_aot_progress_t *progress)
{
    progress->received++;
    take(progress);
}

static void pad(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress)
{
    memset(input_slot(engine, layer, progress), layer->in_zero_point, layer->in_channels);
    take(progress);
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
}

/* Can the layer compute its next output column? Right padding enters here, behind the last input column. */
static bool is_ready(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress)
{
    if (progress->produced == layer->out_columns) {
        return false;
    }
    if (progress->received == layer->in_columns) {
        while (progress->held < layer->kernel) {
            pad(engine, layer, progress);
        }
    }
    return progress->held == layer->kernel;
}

/* Compute the next output column of a layer into `column` and move its window on. */
static void produce(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress, int8_t *column)
{
    int8_t *window = window_of(engine, layer);
    if (layer->depthwise) {
        kit_aot_depthwise(layer, window, column);
    } else {
        kit_aot_conv(layer, window, column);
    }
    progress->produced++;
    if (layer->stride < layer->kernel) {
        progress->held = (uint8_t)(layer->kernel - layer->stride);
        memmove(window, window + (uint32_t)layer->stride * layer->in_channels,
                (uint32_t)progress->held * layer->in_channels);
    } else {
        progress->held = 0;
        progress->skip = (uint8_t)(layer->stride - layer->kernel);
    }
}

int kit_engine_step(kit_engine_t *engine)
{
    const kit_aot_model_t *model = engine->model;
    unsigned i = model->layer_count - 1u;
    if (engine->progress[i].produced == model->layers[i].out_columns) {
        return KIT_ENGINE_DONE;
    }
    /* The deepest layer that is ready goes first, so that the layer behind it is never ready and its window has room. */
    if (is_ready(engine, &model->layers[i], &engine->progress[i])) {
        produce(engine, &model->layers[i], &engine->progress[i], engine->activations + model->output);
        return KIT_ENGINE_COLUMN;
    }
    while (i != 0) {
        i--;
        if (is_ready(engine, &model->layers[i], &engine->progress[i])) {
            const kit_aot_layer_t *behind = &model->layers[i + 1u];
            kit_aot_progress_t *behind_progress = &engine->progress[i + 1u];
            produce(engine, &model->layers[i], &engine->progress[i], input_slot(engine, behind, behind_progress));
            received(behind_progress);
            return KIT_ENGINE_BUSY;
        }
    }
    return KIT_ENGINE_NEED_INPUT;
}

void kit_engine_put(kit_engine_t *engine, int8_t sample)
{
    const kit_aot_layer_t *layer = &engine->model->layers[0];
    *input_slot(engine, layer, &engine->progress[0]) = sample;
    received(&engine->progress[0]);
}

const int8_t *kit_engine_column(const kit_engine_t *engine)
{
    return engine->activations + engine->model->output;
}
