#include "kit_aot.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kit_aot_kernels.h"
#include "kit_aot_value.h"
#include "kit_probe.h"
#include "kit_tap.h"

#if defined(KIT_ISA_HELIUM)
#include <arm_mve.h>
#endif

#if defined(__GNUC__)
#define KIT_AOT_WORD(at) __builtin_assume_aligned(at, 4)
#else
#define KIT_AOT_WORD(at) (at)
#endif

#define FRAME_DONE UINT16_MAX /* in place of a number of wanted samples, which a window never holds so many of */

kit_status_t kit_aot_init(kit_engine_t *engine, const kit_aot_model_t *model, kit_aot_progress_t *progress,
                          uint16_t progress_count, int8_t *activations, uint16_t activation_bytes)
{
    if (engine == NULL || model == NULL || progress == NULL || activations == NULL) {
        return KIT_ERR_ARGUMENT;
    }
    if (model->layer_count == 0 || progress_count != model->layer_count ||
        activation_bytes != model->activation_bytes || model->layers[0].in_pitch > UINT8_MAX ||
        model->layers[0].in_channels > KIT_INPUT_CHANNELS_MAX) {
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
    info.input_channels = (uint8_t)model->layers[0].in_channels;
    info.channels = (uint8_t)last->out_channels;
    info.scratch_bytes = model->activation_bytes;
    return info;
}

kit_engine_failure_t kit_engine_failure(const kit_engine_t *engine)
{
    const kit_engine_failure_t none = {0, 0};
    (void)engine;
    return none;
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
    return window_of(engine, layer) + (uint32_t)progress->held * layer->in_pitch;
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

static inline uint32_t word_at(const int8_t *at)
{
    uint32_t word;
    memcpy(&word, KIT_AOT_WORD(at), sizeof word);
    return word;
}

static inline void set_word(int8_t *at, uint32_t word)
{
    memcpy(KIT_AOT_WORD(at), &word, sizeof word);
}

/* Fill a column with the zero point; by whole words where columns are made of them. */
static void pad(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress)
{
    int8_t *column = input_slot(engine, layer, progress);
    if (layer->in_wide || layer->in_pitch % 4u != 0) {
        for (unsigned at = 0; at < layer->in_channels; at++) {
            kit_aot_set(column, at, layer->in_wide, layer->in_zero_point);
        }
    } else {
        const uint32_t word = (uint8_t)layer->in_zero_point * 0x01010101u;
        for (unsigned at = 0; at < layer->in_pitch; at += 4u) {
            set_word(column + at, word);
        }
    }
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
    engine->input = engine->activations;
    engine->input_form = (uint8_t)((model->layers[0].in_wide ? KIT_AOT_INPUT_WIDE : 0u) |
                                   (model->layers[0].in_channels > 1u ? KIT_AOT_INPUT_PAIR : 0u));
    engine->layer = 0;
    engine->wanted = 0;
    engine->pending = 0;
    engine->column = 0;
}

/* Output columns of a layer's next batch; 0 behind the last one. */
static unsigned next_batch(const kit_aot_layer_t *layer, const kit_aot_progress_t *progress)
{
    const unsigned left = (unsigned)layer->out_columns - progress->produced;
    return left < layer->batch ? left : layer->batch;
}

/* Right padding, behind the last input column, as far as the next `count` output columns read it. */
static void pad_right(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress, unsigned count)
{
    const unsigned needed = layer->columns - (layer->batch - count) * layer->stride;
    while (progress->held < needed) {
        pad(engine, layer, progress);
    }
}

/* A layer that can do nothing without more input columns, of which some are to come. */
static bool waits(const kit_aot_layer_t *layer, const kit_aot_progress_t *progress)
{
    return progress->held != layer->columns && progress->received != layer->in_columns;
}

/* Output columns that a layer can compute now: a whole batch once its window is full, what is left once the last input
 * column is there; 0 while it waits for input, and behind its last output column. */
static unsigned ready(kit_engine_t *engine, const kit_aot_layer_t *layer, kit_aot_progress_t *progress)
{
    if (progress->held == layer->columns) {
        return next_batch(layer, progress);
    }
    if (progress->received != layer->in_columns) {
        return 0;
    }
    const unsigned count = next_batch(layer, progress);
    if (count != 0) {
        pad_right(engine, layer, progress, count);
    }
    return count;
}

/* Nothing can be done without more samples. They are counted as received at once; kit_engine_put fills them in. */
static void want_samples(kit_engine_t *engine)
{
    const kit_aot_layer_t *layer = &engine->model->layers[0];
    kit_aot_progress_t *progress = &engine->progress[0];
    const unsigned left = (unsigned)layer->in_columns - progress->received;
    unsigned wanted;
    engine->input = input_slot(engine, layer, progress);
    if (progress->skip == 0) {
        wanted = (unsigned)layer->columns - progress->held;
        wanted = wanted < left ? wanted : left;
        engine->input_pitch = (uint8_t)layer->in_pitch;
        progress->held = (uint8_t)(progress->held + wanted);
    } else {
        wanted = progress->skip < left ? progress->skip : left;
        engine->input_pitch = 0;
        progress->skip = (uint8_t)(progress->skip - wanted);
    }
    engine->wanted = (uint16_t)wanted;
    progress->received = (uint16_t)(progress->received + wanted);
}

#if defined(KIT_ISA_HELIUM)

/* Move the last `bytes` of a window to its start, by whole vectors as far as they go. */
static void slide(int8_t *window, unsigned by, unsigned bytes)
{
    const int8_t *from = window + by;
    for (unsigned vectors = bytes / 16u; vectors != 0; vectors--, window += 16, from += 16) {
        vstrbq_s8(window, vldrbq_s8(from));
    }
    if (bytes % 16u != 0) {
        const mve_pred16_t rest = vctp8q(bytes % 16u);
        vstrbq_p_s8(window, vldrbq_z_s8(from, rest), rest);
    }
}

#else

/* Move the last `bytes` of a window to its start. Nearly always by whole words, which the C library's memmove for small
 * machines would do byte by byte. Up to three bytes behind the last are moved with it; what was there is free by now. */
static void slide(int8_t *window, unsigned by, unsigned bytes)
{
    const int8_t *from = window + by;
    if (by % 4u != 0) {
        for (; bytes != 0; bytes--) {
            *window++ = *from++;
        }
        return;
    }
    unsigned words = (bytes + 3u) / 4u;
    for (; words >= 4u; words -= 4u, window += 16, from += 16) {
        const uint32_t a = word_at(from);
        const uint32_t b = word_at(from + 4);
        const uint32_t c = word_at(from + 8);
        const uint32_t d = word_at(from + 12);
        set_word(window, a);
        set_word(window + 4, b);
        set_word(window + 8, c);
        set_word(window + 12, d);
    }
    for (; words != 0; words--, window += 4, from += 4) {
        set_word(window, word_at(from));
    }
}

#endif

#if defined(KIT_TAPS)

/* Hand out `count` output columns that a layer has just completed, the first of them number `position`. */
static void tap(const kit_aot_layer_t *layer, unsigned number, unsigned position, const int8_t *columns, unsigned count)
{
#if defined(KIT_ISA_DSP)
    static int8_t narrow[KIT_TAP_CHANNELS_MAX]; /* what the kernels keep as int16 */
#endif
    for (; count != 0; count--, position++, columns += layer->out_pitch) {
        const int8_t *column = columns;
#if defined(KIT_ISA_DSP)
        if (layer->out_wide) {
            for (unsigned channel = 0; channel < layer->out_channels; channel++) {
                narrow[channel] = (int8_t)kit_aot_get(columns, channel, 1u);
            }
            column = narrow;
        }
#endif
        kit_tap((uint8_t)number, (uint16_t)position, column, layer->out_channels);
    }
}

#endif

/* Compute the next `count` output columns of a layer and move its window on. */
static inline void produce(kit_engine_t *engine, unsigned number, kit_aot_progress_t *progress, int8_t *columns,
                           unsigned count)
{
    const kit_aot_layer_t *layer = &engine->model->layers[number];
    int8_t *window = window_of(engine, layer);
    KIT_PROBE_ENTER_LAYER(number);
    if (layer->depthwise) {
        kit_aot_depthwise(layer, window, columns, count);
    } else {
        kit_aot_conv(layer, window, columns, count);
    }
#if defined(KIT_TAPS)
    tap(layer, number, progress->produced, columns, count);
#endif
    progress->produced = (uint16_t)(progress->produced + count);
    const unsigned passed = count * layer->stride;
    if (passed < progress->held) {
        progress->held = (uint8_t)(progress->held - passed);
        slide(window, passed * layer->in_pitch, (unsigned)progress->held * layer->in_pitch);
    } else {
        progress->skip = (uint8_t)(passed - progress->held);
        progress->held = 0;
    }
    KIT_PROBE_LEAVE_LAYER();
}

/* A column of the last layer goes out; `pending` more wait. Behind the last one of the frame nothing is wanted any more,
 * even where samples are left that no tap reads. */
static void hand_out(kit_engine_t *engine, unsigned pending)
{
    const unsigned last = engine->model->layer_count - 1u;
    engine->pending = (uint8_t)pending;
    if (pending == 0 && engine->progress[last].produced == engine->model->layers[last].out_columns) {
        engine->wanted = FRAME_DONE;
    }
}

int kit_engine_step(kit_engine_t *engine)
{
    if (engine->wanted != 0) {
        return engine->wanted == FRAME_DONE ? KIT_ENGINE_DONE : KIT_ENGINE_NEED_INPUT;
    }
    const kit_aot_model_t *model = engine->model;
    const unsigned last = model->layer_count - 1u;
    if (engine->pending != 0) {
        engine->column++;
        hand_out(engine, (unsigned)engine->pending - 1u);
        return KIT_ENGINE_COLUMN;
    }
    /* The deepest layer that is ready goes first, so that whatever lies behind a layer waits and its window has room. */
    for (unsigned i = engine->layer;; i--) {
        const kit_aot_layer_t *layer = &model->layers[i];
        kit_aot_progress_t *progress = &engine->progress[i];
        unsigned count = ready(engine, layer, progress);
        if (count != 0) {
            int8_t *columns = engine->activations + model->output;
            if (i != last) {
                const unsigned fits = room(layer + 1, progress + 1);
                count = count < fits ? count : fits;
                columns = input_slot(engine, layer + 1, progress + 1);
            }
            produce(engine, i, progress, columns, count);
            if (i == last) {
                engine->layer = (uint16_t)i;
                engine->column = 1;
                hand_out(engine, count - 1u);
                return KIT_ENGINE_COLUMN;
            }
            received(progress + 1, count);
            engine->layer = (uint16_t)(i + 1u);
            if (i == 0 && progress->received != layer->in_columns && waits(layer + 1, progress + 1)) {
                engine->layer = 0; /* as the next step would find out */
                want_samples(engine);
            }
            return KIT_ENGINE_BUSY;
        }
        if (i == 0) {
            engine->layer = 0;
            want_samples(engine);
            return KIT_ENGINE_NEED_INPUT;
        }
    }
}

int kit_engine_put(kit_engine_t *engine, const int8_t *column)
{
    int8_t *input = engine->input;
    kit_aot_set(input, 0, engine->input_form & KIT_AOT_INPUT_WIDE, column[0]);
    if ((engine->input_form & KIT_AOT_INPUT_PAIR) != 0) {
        kit_aot_set(input, 1u, engine->input_form & KIT_AOT_INPUT_WIDE, column[1]);
    }
    engine->input = input + engine->input_pitch;
    engine->wanted--;
    return engine->wanted != 0 ? KIT_ENGINE_NEED_INPUT : KIT_ENGINE_BUSY;
}

const int8_t *kit_engine_column(const kit_engine_t *engine)
{
    const kit_aot_model_t *model = engine->model;
    const unsigned at = engine->column - 1u;
    return engine->activations + model->output + at * model->layers[model->layer_count - 1u].out_channels;
}
