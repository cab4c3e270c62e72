// SPDX-License-Identifier: MIT
/* The three formats. Text and hex share their headings; a line of JSON is a whole object. Bytes that are no valid UTF-8 are base64 in
 * JSON and \xNN in text, where a terminal must not be given control characters. */
#include "cli/dump_print.h"

#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "base/base64.h"
#include "config/utf8.h"

static const char *const sides[SIDES] = { [SIDE_CLIENT] = "client", [SIDE_SERVER] = "target" };

enum { HEX_LINE = 16 };

static void print_time(enum dump_format format, uint64_t time)
{
	time_t seconds = (time_t)(time / 1000000000);
	struct tm tm;
	char text[64];

	if (format == DUMP_JSON) {
		strftime(text, sizeof(text), "%FT%T", gmtime_r(&seconds, &tm));
		printf("{\"time\":\"%s.%06uZ\"", text, (unsigned int)(time % 1000000000 / 1000));
		return;
	}
	strftime(text, sizeof(text), "%T", localtime_r(&seconds, &tm));
	printf("%s.%06u", text, (unsigned int)(time % 1000000000 / 1000));
}

/* The beginning of an event: JSON goes on with more fields or its brace, text with what happened. */
static void print_head(enum dump_format format, uint64_t time, const struct dump_flow *f, const char *event)
{
	char client[ENDPOINT_TEXT], server[ENDPOINT_TEXT];

	endpoint_format(&f->ends[SIDE_CLIENT], client);
	endpoint_format(&f->ends[SIDE_SERVER], server);
	print_time(format, time);
	if (format == DUMP_JSON)
		printf(",\"protocol\":\"%s\",\"flow\":%llu,\"client\":\"%s\",\"target\":\"%s\",\"event\":\"%s\"", f->datagrams ? "udp" : "tcp",
		       (unsigned long long)f->number, client, server, event);
	else
		printf(" %s#%llu %s > %s ", f->datagrams ? "udp " : "", (unsigned long long)f->number, client, server);
}

void dump_print_open(enum dump_format format, uint64_t time, const struct dump_flow *f, bool middle)
{
	print_head(format, time, f, "open");
	if (format == DUMP_JSON)
		printf(",\"middle\":%s}\n", middle ? "true" : "false");
	else
		printf(middle ? "was open before\n" : "opened\n");
}

static bool is_utf8(const uint8_t *data, size_t len)
{
	for (size_t i = 0, n; i < len; i += n)
		if (!(n = utf8_length(data + i, len - i)))
			return false;
	return true;
}

static void print_json_text(const uint8_t *data, size_t len)
{
	printf(",\"text\":\"");
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '"' || data[i] == '\\')
			printf("\\%c", data[i]);
		else if (data[i] == '\n')
			printf("\\n");
		else if (data[i] == '\r')
			printf("\\r");
		else if (data[i] == '\t')
			printf("\\t");
		else if (data[i] < 0x20 || data[i] == 0x7f)
			printf("\\u%04x", data[i]);
		else
			putchar(data[i]);
	}
	printf("\"}\n");
}

static void print_base64(const uint8_t *data, size_t len)
{
	enum { PIECE = 3072 }; /* of three: without padding in between */
	char text[BASE64_ROOM(PIECE)];

	printf(",\"base64\":\"");
	for (size_t i = 0; i < len; i += PIECE) {
		base64_encode(data + i, len - i < PIECE ? len - i : PIECE, text);
		fputs(text, stdout);
	}
	printf("\"}\n");
}

/* Two columns in, lines as they are. */
static void print_text(const uint8_t *data, size_t len)
{
	bool at_start = true;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_length(data + i, len - i);
		if (at_start)
			printf("  ");
		at_start = false;
		if (data[i] == '\r' && i + 1 < len && data[i + 1] == '\n') {
			n = 1;
		} else if (data[i] == '\n') {
			putchar('\n');
			at_start = true;
		} else if (!n || (data[i] < 0x20 && data[i] != '\t') || data[i] == 0x7f || (n == 2 && data[i] == 0xc2 && data[i + 1] < 0xa0)) {
			printf("\\x%02x", data[i]);
			n = 1;
		} else {
			fwrite(data + i, n, 1, stdout);
		}
	}
	if (!at_start)
		putchar('\n');
}

static void print_hex(const uint8_t *data, size_t len)
{
	for (size_t at = 0; at < len; at += HEX_LINE) {
		size_t n = len - at < HEX_LINE ? len - at : HEX_LINE;

		printf("  %08zx ", at);
		for (size_t i = 0; i < HEX_LINE; i++) {
			if (i < n)
				printf("%s%02x", i == HEX_LINE / 2 ? "  " : " ", data[at + i]);
			else
				printf("%s", i == HEX_LINE / 2 ? "    " : "   ");
		}
		printf("  |");
		for (size_t i = 0; i < n; i++)
			putchar(data[at + i] < 0x7f && isprint(data[at + i]) ? data[at + i] : '.');
		printf("|\n");
	}
}

void dump_print_data(enum dump_format format, uint64_t time, const struct dump_flow *f, enum side from, const uint8_t *data, size_t len)
{
	print_head(format, time, f, f->datagrams ? "datagram" : "data");
	if (format != DUMP_JSON) {
		printf("%zu bytes from the %s\n", len, sides[from]);
		if (format == DUMP_HEX)
			print_hex(data, len);
		else
			print_text(data, len);
		return;
	}
	printf(",\"from\":\"%s\",\"length\":%zu", sides[from], len);
	if (is_utf8(data, len))
		print_json_text(data, len);
	else
		print_base64(data, len);
}

void dump_print_gap(enum dump_format format, uint64_t time, const struct dump_flow *f, enum side from, size_t len)
{
	print_head(format, time, f, "missing");
	if (format == DUMP_JSON)
		printf(",\"from\":\"%s\",\"length\":%zu}\n", sides[from], len);
	else
		printf("%zu bytes from the %s are missing\n", len, sides[from]);
}

void dump_print_end(enum dump_format format, uint64_t time, const struct dump_flow *f, enum side from)
{
	print_head(format, time, f, "end");
	if (format == DUMP_JSON)
		printf(",\"from\":\"%s\"}\n", sides[from]);
	else
		printf("end from the %s\n", sides[from]);
}

void dump_print_close(enum dump_format format, uint64_t time, const struct dump_flow *f, enum reassembly_close why)
{
	static const char *const words[] = { [CLOSE_ENDED] = "closed", [CLOSE_RESET] = "reset", [CLOSE_FORGOTTEN] = "forgotten" };

	print_head(format, time, f, words[why]);
	printf(format == DUMP_JSON ? "}\n" : "%s\n", words[why]);
}
