/* The seam between the application and a sensor: where the samples of a stream come from. One folder of
 * firmware/sources/ implements it; `replay`, the default, plays the embedded recording by the sample clock. For a real
 * sensor write these functions and build with `make app SOURCE=path/to/folder` (docs/sensor.md has an example).
 *
 * Nothing here blocks, and nothing here knows of frames, packets or the line: the application asks in every turn of its
 * main loop and takes as much as the codec has room for. Between two turns lies at most one step of the encoder, so a
 * sensor's FIFO, or a driver's own ring filled by its interrupt, must hold the samples of that time (COUNTERS.pass_us_max
 * shows the longest); then frames follow each other without a gap while packets are encoded and sent. */
#ifndef KIT_SOURCE_H
#define KIT_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "kit_common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A stream begins (also anew, without kit_source_end before): start sampling, forget samples from before. `mode` is a
 * KIT_STREAM_MODE_*: realtime at the sample rate; fast for sources that have their samples already. A sensor has no
 * fast mode and may treat both alike. */
void kit_source_begin(uint8_t mode);

/* Move up to `samples_max` samples that have arrived, oldest first, into `samples`; returns how many. `samples_max` may
 * be 0 while the codec has no room: what arrives then has to wait in the source, or is lost and counted by it. */
size_t kit_source_read(kit_sample_t *samples, size_t samples_max);

/* The rest may be left out (runtime/kit_source.c).
 *
 * A stream ended: the sensor may sleep. Default: nothing. */
void kit_source_end(void);

/* Samples lost because they were not read in time, since boot, modulo 2^32. Default: 0. */
uint32_t kit_source_dropped(void);

/* When the newest sample that kit_source_read ever returned had arrived, by the clock of kit_port_time_us. It becomes the
 * time stamp of packets. Default: now, which is late by up to one turn of the main loop. */
uint32_t kit_source_time_us(void);

#ifdef __cplusplus
}
#endif

#endif /* KIT_SOURCE_H */
