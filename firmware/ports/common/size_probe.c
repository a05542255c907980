/* Sizes that `kit size` reports, as sizes of symbols in an object file that is never linked. */
#include "kit_app.h"

extern char kit_probe_app[sizeof(kit_app_t)];
extern char kit_probe_storage[sizeof(KIT_STORAGE_T)];
extern char kit_probe_encoder[sizeof(((KIT_STORAGE_T *)0)->engine)];
extern char kit_probe_samples[sizeof(((KIT_STORAGE_T *)0)->ring)];

char kit_probe_app[sizeof(kit_app_t)];
char kit_probe_storage[sizeof(KIT_STORAGE_T)];
char kit_probe_encoder[sizeof(((KIT_STORAGE_T *)0)->engine)];
char kit_probe_samples[sizeof(((KIT_STORAGE_T *)0)->ring)];

#if defined(KIT_ENGINE_TFLM)
extern char kit_probe_arena[sizeof(((KIT_STORAGE_T *)0)->engine.arena)];
char kit_probe_arena[sizeof(((KIT_STORAGE_T *)0)->engine.arena)];
#endif
