/* Status codes of the runtime: one table for C, for the serial protocol and for the documentation. */
#ifndef KIT_STATUS_H
#define KIT_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, text). Errors are negative and fit int8; results of kit_codec_poll are 0 and above. */
#define KIT_STATUS_LIST(X)                                                                               \
    X(OK, 0, "done; nothing to do")                                                                      \
    X(BUSY, 1, "one step done; more to do")                                                              \
    X(COLUMN, 2, "one latent position is coded")                                                         \
    X(PACKET, 3, "a packet is ready")                                                                    \
    X(ERR_ARGUMENT, -1, "null pointer or value out of range")                                            \
    X(ERR_MODEL, -2, "model, engine and storage do not fit together")                                    \
    X(ERR_ENGINE, -3, "the encoder engine failed")                                                       \
    X(ERR_COMMAND, -4, "unknown message type")                                                           \
    X(ERR_LENGTH, -5, "message has the wrong length")                                                    \
    X(ERR_PROTOCOL, -6, "another protocol version")                                                      \
    X(ERR_STATE, -7, "not possible in this state")                                                       \
    X(ERR_ALIGNMENT, -8, "the model array does not start at a multiple of 16 bytes")                     \
    X(ERR_DAMAGED, -9, "the model array is truncated or changed")                                        \
    X(ERR_SCHEMA, -10, "the model has another schema version than TensorFlow Lite Micro reads")          \
    X(ERR_OPERATOR, -11, "the model has an operator that was not registered")                            \
    X(ERR_ARENA, -12, "the tensor arena is too small")                                                   \
    X(ERR_PREPARE, -13, "TensorFlow Lite Micro cannot prepare the model")                                \
    X(ERR_TENSOR_TYPE, -14, "input or output tensor is not of the type rendered for")                    \
    X(ERR_TENSOR_SHAPE, -15, "input or output tensor has another shape than rendered for")               \
    X(ERR_TENSOR_QUANTIZATION, -16, "input or output tensor has another quantization than rendered for")

typedef enum {
#define KIT_STATUS_ENUM(name, value, text) KIT_##name = (value),
    KIT_STATUS_LIST(KIT_STATUS_ENUM)
#undef KIT_STATUS_ENUM
    KIT_IDLE = 0 /* KIT_OK as a result of kit_codec_poll: waits for samples */
} kit_status_t;

#ifdef __cplusplus
}
#endif

#endif /* KIT_STATUS_H */
