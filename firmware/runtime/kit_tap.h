/* Taps: every layer's output as the engine computes it, for `kit validate --layers`. They exist only in images made with
 * KIT_TAPS (`make runner TAPS=1`); without it nothing of them is compiled, and the code is that which ships.
 *
 * An engine calls kit_tap once for every column of every int8 output of an operator, complete, requantized and clamped,
 * with the channels in the order of the model. The columns of one layer come in ascending order; in which order the
 * layers take turns is the engine's business. */
#ifndef KIT_TAP_H
#define KIT_TAP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(KIT_TAPS)

#define KIT_TAP_CHANNELS_MAX 4096 /* what the renderer lets a column have */

/* One output column; whoever links the engine defines it (the runner does).
 *     layer     number of the operator in the model, in the order of execution, from 0; an operator whose output is not
 *               int8 of the shape [1][1][columns][channels] is counted, but calls nothing
 *     position  0 .. columns - 1
 *     column    int8 [channels], valid during the call */
void kit_tap(uint8_t layer, uint16_t position, const int8_t *column, uint16_t channels);

#endif

#ifdef __cplusplus
}
#endif

#endif /* KIT_TAP_H */
