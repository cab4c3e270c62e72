// SPDX-License-Identifier: MIT
/* What a program gets of the copy of a client's HTTP/2: the copy comes whole, byte by byte, and at every split. The program is nghttp2. */
#include "http/picker.h"

#include "h2_script.h"
#include "tap.h"

enum { STREAMS = 64, TEXT = 4000, BODY_MAX = 1000 };

/* The program, the picker, and what was heard of both. */
struct scene {
	struct picker *picker;
	struct http_filter *filter;
	nghttp2_session *program;
	bool answers, grudging;	     /* the program answers at once; it takes one request at a time */
	bool connected;
	char events[TEXT];	     /* "[" wanted, "-" not, "2" no HTTP/2 any more, "o" a hole, "r" refused */
	char streams[STREAMS][TEXT]; /* of the program's: "METHOD PATH USER body{trailer}", and "." or "x" at the end */
};

static void add(char *text, const char *more, size_t len)
{
	size_t had = strlen(text);

	if (had + len >= TEXT)
		abort();
	memcpy(text + had, more, len);
	text[had + len] = '\0';
}

static void on_event(void *arg, enum picker_event what)
{
	static const char signs[] = { [PICKER_WANTED] = '[', [PICKER_OTHER] = '-', [PICKER_UNSAFE] = '!', [PICKER_CUT] = 'X', [PICKER_HTTP2] = '2',
				      [PICKER_HOLE] = 'o', [PICKER_REFUSED] = 'r' };
	struct scene *s = arg;

	add(s->events, &signs[what], 1);
	if (what == PICKER_WANTED && picker_is_left(s->picker)) {
		s->connected = false;
		picker_disconnect(s->picker);
	}
}

static void on_bytes(void *arg, const uint8_t *data, size_t len)
{
	abort();
}

static char *stream_text(void *arg, int32_t id)
{
	return ((struct scene *)arg)->streams[(id - 1) / 2 % STREAMS];
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
		     size_t value_len, uint8_t flags, void *arg)
{
	char *text = stream_text(arg, frame->hd.stream_id);
	bool trailer = name_len == 9 && memcmp(name, "x-trailer", 9) == 0;

	if (name_len == 7 && memcmp(name, ":scheme", 7) == 0)
		return 0;
	add(text, trailer ? "{" : "", trailer);
	add(text, (const char *)value, value_len);
	add(text, trailer ? "}" : " ", 1);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *arg)
{
	add(stream_text(arg, id), (const char *)data, len);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	const nghttp2_nv status = script_field(":status", "200");
	struct scene *s = arg;

	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	add(stream_text(arg, frame->hd.stream_id), ".", 1);
	if (s->answers)
		nghttp2_submit_response(session, frame->hd.stream_id, &status, 1, NULL);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	if (error)
		add(stream_text(arg, id), "x", 1);
	return 0;
}

static void start_program(struct scene *s)
{
	const nghttp2_settings_entry one = { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1 };
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		abort();
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_session_server_new(&s->program, callbacks, s);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(s->program, NGHTTP2_FLAG_NONE, &one, s->grudging ? 1 : 0);
}

/* What both have to say, until nothing is left. */
static void talk(struct scene *s)
{
	const uint8_t *data;
	ssize_t there, back;

	do {
		there = (ssize_t)picker_pull(s->picker, &data);
		s->connected |= there > 0;
		if (there && nghttp2_session_mem_recv(s->program, data, (size_t)there) < 0)
			abort();
		back = s->connected && picker_is_http2(s->picker) ? nghttp2_session_mem_send(s->program, &data) : 0;
		if (back > 0 && !picker_answer(s->picker, data, (size_t)back))
			abort();
	} while (there > 0 || back > 0);
}

static void begin(struct scene *s, const char *filter, bool answers, bool grudging)
{
	static const struct picker_events events = { on_event, on_bytes };
	const struct ip client = { 0 };
	struct error err = { 0 };

	*s = (struct scene){ .answers = answers, .grudging = grudging };
	s->filter = http_filter_parse(filter, &err);
	if (!s->filter)
		abort();
	s->picker = picker_new(s->filter, BODY_MAX, &client, &events, s);
	start_program(s);
}

static void end(struct scene *s)
{
	picker_free(s->picker);
	http_filter_free(s->filter);
	nghttp2_session_del(s->program);
}

static void give(struct scene *s, const uint8_t *data, size_t len)
{
	picker_data(s->picker, data, len);
	talk(s);
}

/* How much the program has got of one that was given up is chance, unless its frames came one by one. */
static const char *joined(const struct scene *s, bool given_up)
{
	static char text[STREAMS * TEXT];

	*text = '\0';
	for (int i = 0; i < STREAMS; i++) {
		size_t len = strlen(s->streams[i]);

		if (!len || (!given_up && s->streams[i][len - 1] == 'x'))
			continue;
		strcat(text, *text ? " | " : "");
		strcat(text, s->streams[i]);
	}
	return text;
}

#define USER "{\"header_filter\": \"^x-user: alice$\"}"
#define BODY "{\"body_filter\": {\"body\": \"json\", \"query\": \"$.a\", \"matches\": \"^1$\"}}"

static const struct {
	const char *name, *filter, *sent, *events, *got;
} rows[] = {
	{ "one that is wanted", USER, "h1:GET:/1:a.", "[", "GET /1 shop alice ." },
	{ "one that isn't", USER, "h1:GET:/1.", "-", "" },
	{ "behind those that aren't, compressed with them", USER, "h1:GET:/x h3:GET:/y. h5:GET:/x:a. h7:GET:/y:a.", "--[[",
	  "GET /x shop alice . | GET /y shop alice ." },
	{ "in parts, padded, with priorities", USER, "h1:POST:/1:apwc i d1:one d1:two. h3:GET:/3:cw. h5:GET:/5:acp.", "[-[",
	  "POST /1 shop alice onetwo. | GET /5 shop alice ." },
	{ "the table changes its size", USER, "h1:GET:/1:at. h3:GET:/3:at. h5:GET:/5:t. h7:GET:/7:a.", "[[-[",
	  "GET /1 shop alice . | GET /3 shop alice . | GET /7 shop alice ." },
	{ "bodies side by side", USER, "h1:POST:/1:a h3:POST:/3 h5:POST:/5:a d3:c d1:a d5:b d3:c. d1:a. d5:b.", "[-[",
	  "POST /1 shop alice aa. | POST /5 shop alice bb." },
	{ "trailers", USER, "h1:POST:/1:a d1:body t1:end h3:POST:/3 d3:x t3:end", "[-", "POST /1 shop alice body{end}." },
	{ "given up", USER, "h1:POST:/1:a d1:body r1 h3:GET:/3:a.", "[[", "GET /3 shop alice ." },
	{ "not ended", USER, "h1:POST:/1:a d1:body h3:GET:/3:a.", "[[", "GET /3 shop alice ." },
	{ "by its body", BODY, "h1:POST:/1 h3:POST:/3 d1:{\"a\" d3:{\"a\":2}. d1::1}.", "-[", "POST /1 shop bob {\"a\":1}." },
	{ "by a body with a trailer", BODY, "h1:POST:/1 d1:{\"a\":1} t1:end", "[", "POST /1 shop bob {\"a\":1}{end}." },
	{ "a body that doesn't end", BODY, "h1:POST:/1 d1:{\"a\":1} h3:GET:/3.", "-", "" },
	{ "a body that is given up", BODY, "h1:POST:/1 d1:{\"a\":1} r1", "", "" },
};

static bool run_row(size_t i, const struct h2_script *script, size_t split)
{
	static struct scene s;
	bool good;

	begin(&s, rows[i].filter, true, false);
	for (size_t at = 0, n; at < script->len; at += n) {
		n = split == SIZE_MAX ? 1 : at < split && split < script->len ? split - at : script->len - at;
		give(&s, script->bytes + at, n);
	}
	picker_end(s.picker);
	talk(&s);
	good = strcmp(s.events, rows[i].events) == 0 && strcmp(joined(&s, false), rows[i].got) == 0;
	good = good && picker_is_over(s.picker) && !picker_kept(s.picker);
	if (!good)
		printf("# split %zu: events \"%s\", streams \"%s\", kept %zu\n", split, s.events, joined(&s, true), picker_kept(s.picker));
	end(&s);
	return good;
}

static void test_row(size_t i)
{
	static struct h2_script script;
	size_t bad = 0;

	script_begin(&script);
	script_add(&script, rows[i].sent);
	script_end(&script);
	for (size_t split = 0; split <= script.len && bad < 3; split++)
		bad += !run_row(i, &script, split == script.len ? SIZE_MAX : split);
	tap_ok(!bad, "%s", rows[i].name);
}

/* Holes where they do no harm, where they cost one request, and where nothing can be read any more. */
static void test_holes(void)
{
	static struct h2_script script;
	static struct scene s;
	size_t at;

	script_begin(&script);
	begin(&s, USER, true, false);
	script_add(&script, "h1:POST:/1 h3:POST:/3:a d1:nobody's");
	give(&s, script.bytes, script.data_at);
	tap_ok(picker_gap(s.picker, script.data_len), "a hole in a body that nobody wants");
	at = script.data_at + script.data_len;
	script_add(&script, "d3:wanted");
	give(&s, script.bytes + at, script.data_at - at);
	tap_ok(picker_gap(s.picker, 3), "in one that is wanted");
	talk(&s);
	at = script.data_at + 3;
	script_add(&script, "h5:GET:/5:a. d3:more.");
	give(&s, script.bytes + at, script.len - at);
	tap_str(s.events, "-[o[", "what was heard");
	tap_str(joined(&s, true), "POST /3 shop alice x | GET /5 shop alice .", "the others go on");
	at = script.len;
	script_add(&script, "h7:GET:/7:a.");
	give(&s, script.bytes + at, 3);
	tap_ok(!picker_gap(s.picker, 1) && !picker_restart(s.picker), "in a frame's head: nothing can be read any more");
	give(&s, script.bytes + at + 4, script.len - at - 4);
	tap_str(s.events, "-[o[", "nothing is heard");
	tap_int(picker_kept(s.picker), 0, "and nothing kept");
	end(&s);
	script_end(&script);
}

/* A slow program holds nobody up, and what it hasn't taken is kept, until that is forgotten. */
static void test_slow(void)
{
	static struct h2_script script;
	static struct scene s;
	size_t at;

	script_begin(&script);
	begin(&s, USER, false, true);
	give(&s, script.bytes, script.len);
	at = script.len;
	script_add(&script, "h1:POST:/1:a d1:x h3:POST:/3:a h5:POST:/5:a d3:waits d5:waits d1:y. d3:. d5:.");
	give(&s, script.bytes + at, script.len - at);
	tap_str(joined(&s, true), "POST /1 shop alice xy.", "one at a time");
	tap_ok(picker_kept(s.picker) > 10, "the others are kept (%zu)", picker_kept(s.picker));
	tap_ok(!picker_is_over(s.picker), "it isn't over");
	at = script.len;
	script_add(&script, "r3 h7:GET:/7.");
	give(&s, script.bytes + at, script.len - at);
	tap_ok(picker_forget(s.picker), "what is on its way is forgotten, and the next ones can be picked");
	tap_int(picker_kept(s.picker), 0, "nothing is kept");
	at = script.len;
	script_add(&script, "h9:GET:/9:a. d5:late.");
	memset(s.streams, 0, sizeof(s.streams));
	nghttp2_session_del(s.program);
	s.grudging = s.connected = false;
	start_program(&s);
	give(&s, script.bytes + at, script.len - at);
	tap_str(joined(&s, true), "GET /9 shop alice .", "the next one, by a connection of its own");
	tap_str(s.events, "[[[-[", "what was heard");
	end(&s);
	script_end(&script);
}

/* GOAWAY: what is on its way is answered; a request that comes meanwhile is refused, one that comes later gets a connection of its own. */
static void test_leaving(void)
{
	static struct h2_script script;
	static struct scene s;
	size_t at;

	script_begin(&script);
	begin(&s, USER, true, false);
	script_add(&script, "h1:POST:/1:a");
	give(&s, script.bytes, script.len);
	nghttp2_submit_goaway(s.program, NGHTTP2_FLAG_NONE, 1, NGHTTP2_NO_ERROR, NULL, 0);
	talk(&s);
	tap_ok(!picker_is_left(s.picker), "the program has one to answer");
	at = script.len;
	script_add(&script, "h3:GET:/3:a. d1:body.");
	give(&s, script.bytes + at, script.len - at);
	tap_str(s.events, "[[r", "one is refused");
	tap_ok(picker_is_left(s.picker), "the program has answered");
	tap_str(joined(&s, true), "POST /1 shop alice body.", "what it got");
	nghttp2_session_del(s.program);
	start_program(&s);
	memset(s.streams, 0, sizeof(s.streams));
	at = script.len;
	script_add(&script, "h5:GET:/5:a.");
	give(&s, script.bytes + at, script.len - at);
	tap_str(joined(&s, true), "GET /5 shop alice .", "by another connection");
	end(&s);
	script_end(&script);
}

/* One that speaks HTTP/1: nothing but the beginning of HTTP/2 is sent to it. */
static void test_other_program(void)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	static struct h2_script script;
	static struct scene s;
	const uint8_t *data;
	size_t total = 0, n;

	script_begin(&script);
	begin(&s, USER, true, false);
	script_add(&script, "h1:GET:/1:a. h3:GET:/3:a.");
	picker_data(s.picker, script.bytes, script.len);
	while ((n = picker_pull(s.picker, &data)) > 0)
		total += n;
	tap_ok(total > SNIFF_PREFACE && total < SNIFF_PREFACE + 40, "how HTTP/2 begins (%zu bytes)", total);
	tap_ok(!picker_answer(s.picker, (const uint8_t *)answer, strlen(answer)), "its answer is none");
	tap_str(s.events, "[[2", "what was heard");
	tap_ok(!picker_is_http2(s.picker) && !picker_kept(s.picker), "it is over");
	end(&s);
	script_end(&script);
}

static void test_unreadable(void)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
	} bad[] = {
		{ "a field that no table has", "\0\0\1\1\5\0\0\0\1\xff", 10 },
		{ "padding longer than the frame", "\0\0\2\0\x8\0\0\0\1\x7x", 11 },
		{ "a promise of a client's", "\0\0\0\5\4\0\0\0\1", 9 },
		{ "continuation of nothing", "\0\0\0\x9\4\0\0\0\1", 9 },
		{ "something else inside of a head", "\0\0\0\1\0\0\0\0\1\0\0\0\6\0\0\0\0\0", 18 },
		{ "a head of no stream", "\0\0\0\1\5\0\0\0\0", 9 },
		{ "an error code of three bytes", "\0\0\3\3\0\0\0\0\1xyz", 12 },
		{ "a priority that is cut off", "\0\0\4\1\x25\0\0\0\1abcd", 13 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		static struct h2_script script;
		static struct scene s;

		script_begin(&script);
		begin(&s, USER, true, false);
		give(&s, script.bytes, script.len);
		give(&s, (const uint8_t *)bad[i].bytes, bad[i].len);
		tap_str(s.events, "2", "%s", bad[i].name);
		end(&s);
		script_end(&script);
	}
}

/* More streams at a time than are followed. */
static void test_many(void)
{
	static struct h2_script script;
	static struct scene s;
	char word[40];
	size_t at;

	script_begin(&script);
	begin(&s, BODY, true, false);
	give(&s, script.bytes, script.len);
	for (unsigned int n = 0; n < 1100; n++) {
		at = script.len = SNIFF_PREFACE + 9;
		snprintf(word, sizeof(word), "h%u:POST:/1", 2 * n + 1);
		script_add(&script, word);
		give(&s, script.bytes + at, script.len - at);
	}
	tap_int(strlen(s.events), 1100 - 1024, "streams that wait for their bodies are bounded");
	tap_int(strspn(s.events, "r"), 1100 - 1024, "others are counted");
	end(&s);
	script_end(&script);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		test_row(i);
	test_holes();
	test_slow();
	test_leaving();
	test_other_program();
	test_unreadable();
	test_many();
	return tap_done();
}
