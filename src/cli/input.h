/*
 * input.h: the lines of stdin, until they end, or until the process is asked to
 * end by SIGTERM or SIGINT.
 */
#ifndef STATOR_CLI_INPUT_H
#define STATOR_CLI_INPUT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct input input;

/* Why there are no more lines. */
typedef enum input_state {
	INPUT_OPEN,
	INPUT_ENDED,
	INPUT_ASKED,  /* by a signal */
	INPUT_CLOSED, /* by `input_close` */
	INPUT_FAILED,
} input_state;

/*
 * Before any other thread is made. The signals end the process as ever before
 * the first line is asked for, behind `input_release`, and when there was one
 * already.
 */
input *input_new(void);
/* The next line, without its end, borrowed until the one after; false when
 * there are no more. */
bool input_line(input *in, const char **line, size_t *size);
/* No more lines from now on. [any-thread] */
void input_close(input *in);
/* What was read is answered. */
void input_release(input *in);
input_state input_why(const input *in);
void input_free(input *in);

#endif
