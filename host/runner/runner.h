/* Bulk runner: frames from a file through the codec, latents and packets into another, for bit-exact comparison.
 *
 *     IN:  "KITV" | version u32 = 1 | T u32 | frames u32 | samples, frame after frame, i16 or i32
 *     OUT: "KITR" | version u32 = 1 | build hash u8[8] | frames u32 | latent bytes u32 | packet bytes u32
 *          | per frame: latents i8[P][D], packet u8[]
 *
 * An image with probes (kit_probe.h) begins OUT with "KITP" and adds counts:
 *     OUT: "KITP" | ... as above ... | unit u32 (KIT_CYCLES_*) | stages u32
 *          | per frame: latents, packet, per stage: count u32, visits u32
 *
 * An image with taps (kit_tap.h) begins OUT with "KITT" and puts every layer's columns before the latents, in the order
 * in which the engine completes them:
 *     OUT: "KITT" | ... as above ...
 *          | per frame: per column: layer u8, position u16, channels u16, i8[channels]; layer u8 = 255; latents, packet
 *
 * Every integer is little-endian. Samples are i16 when the model has up to 16 sample bits, else i32. */
#ifndef KIT_RUNNER_H
#define KIT_RUNNER_H

/* Run file `input` into file `output`. Returns the exit code: 0, or 1 after one line that says what is wrong. */
int kit_runner_run(const char *input, const char *output);

#endif /* KIT_RUNNER_H */
