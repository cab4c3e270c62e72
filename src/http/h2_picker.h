// SPDX-License-Identifier: MIT
/* Of the copy of what a client sends by HTTP/2, the requests that a filter wants, made anew for a program: what was compressed with the others can't
 * be passed on as it came. A part of picker.h's; bytes in, bytes out. */
#pragma once

#include "http/picker.h"

struct h2_picker;

enum { H2_PICKED = 1024 }; /* streams of a connection that are looked at or copied at a time */

/* Arguments and events as those of picker_new(). */
struct h2_picker *h2_picker_new(struct http_filter *filter, size_t body_max, const struct ip *client, const struct picker_events *events, void *arg);
void h2_picker_free(struct h2_picker *p);
/* The client's bytes, from its preface on. False: they can't be read any further. */
bool h2_picker_data(struct h2_picker *p, const uint8_t *data, size_t len);
bool h2_picker_gap(struct h2_picker *p, size_t len);
void h2_picker_end(struct h2_picker *p);
size_t h2_picker_kept(const struct h2_picker *p);

/* The program's side, as in picker.h. */
bool h2_picker_answer(struct h2_picker *p, const uint8_t *data, size_t len);
size_t h2_picker_pull(struct h2_picker *p, const uint8_t **ret_data);
bool h2_picker_has_spoken(const struct h2_picker *p);
bool h2_picker_is_left(const struct h2_picker *p);
bool h2_picker_is_over(const struct h2_picker *p);
void h2_picker_disconnect(struct h2_picker *p);
void h2_picker_forget(struct h2_picker *p);
