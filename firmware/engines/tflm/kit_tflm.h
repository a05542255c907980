/* TensorFlow Lite Micro as the engine: the encoder's .tflite runs in a MicroInterpreter, a whole frame in one step.
 *
 * This header is plain C, because the codec's storage, which holds the interpreter, is: the C++ objects live in bytes
 * that are reserved here and constructed in place. Nothing is taken from a heap, and nothing is ever destroyed. What the
 * renderer recorded of the model is checked before it runs; each failure has a status of its own (kit_status.h). */
#ifndef KIT_TFLM_H
#define KIT_TFLM_H

#include <stdint.h>

#include "kit_common.h"
#include "kit_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Room for the C++ objects, in pointers; releases of TensorFlow Lite Micro differ. Compilation says when one of them
 * outgrows it: then define these larger. */
#ifndef KIT_TFLM_INTERPRETER_WORDS
#define KIT_TFLM_INTERPRETER_WORDS 64
#endif
#ifndef KIT_TFLM_RESOLVER_WORDS
#define KIT_TFLM_RESOLVER_WORDS 8
#endif
#ifndef KIT_TFLM_OPERATOR_WORDS
#define KIT_TFLM_OPERATOR_WORDS 14 /* for each operator of a resolver */
#endif

#define KIT_TFLM_ALIGN 16 /* of model and arena, as TensorFlow Lite Micro wants it */

/* Types of kit_tflm_tensor_t: numbers of TfLiteType. */
#define KIT_TFLM_INT8 9

/* A tensor as the renderer saw it. */
typedef struct {
    int32_t dims[4];     /* batch, height, columns, channels */
    uint32_t scale_bits; /* its scale, a float32, bit for bit: equality needs no arithmetic */
    int32_t zero_point;
    uint8_t type;        /* KIT_TFLM_INT8 */
} kit_tflm_tensor_t;

/* An int8 output of an operator, of the shape [1][1][columns][channels]. Read only with KIT_TAPS. */
typedef struct {
    uint16_t tensor;   /* its number in the model */
    uint16_t columns;
    uint16_t channels;
    uint8_t layer;     /* number of the operator, in the order of execution */
} kit_tflm_tap_t;

/* One encoder, in flash. */
typedef struct {
    const uint8_t *data;          /* the .tflite, at a multiple of KIT_TFLM_ALIGN */
    uint32_t bytes;               /* its length */
    uint32_t crc32;               /* check value of all its bytes */
    uint32_t schema_version;      /* of TensorFlow Lite's file format */
    uint32_t arena_bytes;         /* of the arena */
    uint32_t arena_needed_bytes;  /* a smaller arena is refused without trying */
    kit_tflm_tensor_t input;      /* int8 [1][1][T][1] */
    kit_tflm_tensor_t output;     /* int8 [1][1][P][D] */
    const kit_tflm_tap_t *taps;
    uint16_t tap_count;
} kit_tflm_model_t;

/* The engine's state; the rendered <prefix>_engine_t holds it with the memory it points to. */
struct kit_engine {
    const kit_tflm_model_t *model;
    void *interpreter;    /* tflite::MicroInterpreter, in the caller's memory */
    int8_t *input;        /* the frame, int8 [T], in the arena */
    const int8_t *output; /* latents, int8 [P][D], in the arena; valid after a run */
    uint32_t arena_used_bytes;
    kit_engine_failure_t failure;
    uint16_t received;    /* samples of the frame so far */
    uint16_t column;      /* latent positions handed out */
    uint8_t ran;          /* the frame has been through the interpreter */
};

#ifdef __cplusplus
}

namespace tflite {
class MicroOpResolver;
}

/* Memory of one engine besides its state. */
struct kit_tflm_memory_t {
    void *interpreter;         /* KIT_TFLM_INTERPRETER_WORDS pointers, aligned like one */
    uint8_t *arena;            /* arena_bytes of the model, at a multiple of KIT_TFLM_ALIGN */
};

/* Check the model, start an interpreter on it and check its tensors. `resolver` knows the model's operators (nullptr: one
 * of them could not be registered) and stays as long as the engine. On failure kit_engine_failure has the numbers. */
kit_status_t kit_tflm_init(kit_engine_t *engine, const kit_tflm_model_t *model,
                           const tflite::MicroOpResolver *resolver, const kit_tflm_memory_t &memory);
#endif

#endif /* KIT_TFLM_H */
