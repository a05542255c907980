/* What the application's jobs share; for its own files only. One job at a time has the codec; a notice is what is to be
 * said about it as soon as the line is free, and the next job waits until it was said. */
#ifndef KIT_APP_JOBS_H
#define KIT_APP_JOBS_H

#include <stdint.h>

#include "kit_app.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { KIT_JOB_NONE, KIT_JOB_ENCODE, KIT_JOB_SELF_TEST, KIT_JOB_STREAM, KIT_JOB_PROFILE };
enum {
    KIT_NOTICE_NONE,
    KIT_NOTICE_ERROR,
    KIT_NOTICE_SELF_TEST_RESULT,
    KIT_NOTICE_STREAM_FINISHED,
    KIT_NOTICE_PROFILE
};

static inline kit_codec_t *kit_app_codec(kit_app_t *app)
{
    return KIT_CODEC(&app->storage);
}

/* Give the codec, emptied, to a job that was asked for under this request number. */
void kit_app_begin_job(kit_app_t *app, uint8_t job, uint8_t request);

/* The codec failed with `status`: the host is told. */
void kit_app_fail_job(kit_app_t *app, int status);

#ifdef __cplusplus
}
#endif

#endif /* KIT_APP_JOBS_H */
