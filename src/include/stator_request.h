/*
 * stator_request.h: what the host's own storages know of a request. It is not
 * installed: plugins stand on stator_plugin.h, and this may change with every
 * version of the host.
 */
#ifndef STATOR_REQUEST_H
#define STATOR_REQUEST_H

#include "stator_plugin.h"

/* Extension "stator.request/1". What it gives is borrowed until the end of the
 * run. */
typedef struct stator_request_api {
	uint32_t abi;
	uint32_t size;
	/* Who sent the request, a row of sys.RequestSubject: OK, or NONE when
	 * the request does not say. [run] */
	int32_t (*subject)(const stator_run *run, stator_row *subject);
	/* Where it came from: OK, or NONE. [run] */
	int32_t (*origin)(const stator_run *run, stator_slice *origin);
} stator_request_api;

/* The fields of sys.RequestSubject. */
enum {
	STATOR_SUBJECT_PROFILE,
	STATOR_SUBJECT_KIND,
	STATOR_SUBJECT_NAME,
	STATOR_SUBJECT_TOKEN,
	STATOR_SUBJECT_COUNT
};

#endif
