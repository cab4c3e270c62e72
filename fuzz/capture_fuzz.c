// SPDX-License-Identifier: MIT
/* What a capture consists of. By the first byte: records of a stream, a request, or captured bytes for the intake, each with a byte of how
 * it passed (bits 0 and 1: in, out, lo; bit 2: summed) and two of length before it. */
#include "capture/intake.h"
#include "capture/pcap.h"
#include "capture/record.h"

#include <netinet/in.h>
#include <string.h>

#include "fuzz.h"
#include "net/bytes.h"

static void read_records(const uint8_t *data, size_t size)
{
	uint8_t header[RECORD_HEADER], pcap[PCAP_PACKET_HEADER];
	struct record r;
	long used;

	while ((used = record_decode(data, size, &r)) > 0) {
		fuzz_check((size_t)used <= size && r.data == data + RECORD_HEADER && r.len == (size_t)used - RECORD_HEADER);
		record_encode_header(&r, header);
		fuzz_check(memcmp(header, data, sizeof(header)) == 0);
		pcap_packet_header(&r, pcap);
		fuzz_check(get32(pcap + 8) == r.len + 20);
		for (size_t cut = 0; cut < (size_t)used && cut < 64; cut++)
			fuzz_check(record_decode(data, cut, &r) == 0);
		data += used;
		size -= (size_t)used;
	}
}

static void read_request(const uint8_t *data, size_t size)
{
	static struct capture_request request, again;
	uint8_t bytes[CAPTURE_REQUEST_MAX];
	int used = capture_request_decode(data, size, &request);

	if (used <= 0)
		return;
	fuzz_check((size_t)used <= size && capture_request_encode(&request, bytes) == (size_t)used && memcmp(bytes, data, (size_t)used) == 0);
	for (int cut = 0; cut < used && cut < 64; cut++)
		fuzz_check(capture_request_decode(data, (size_t)cut, &again) == 0);
}

static bool is_watched(void *arg, uint8_t protocol, uint16_t port)
{
	return port % 2 == 0;
}

static void on_packet(void *arg, const struct packet *p, enum side from)
{
	size_t *n = arg;

	fuzz_check(!packet_is_fragment(p) && p->transport && (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP));
	fuzz_check((from == SIDE_CLIENT ? p->dst.port : p->src.port) % 2 == 0);
	*n += 1;
}

static void take_in(const uint8_t *data, size_t size)
{
	static const struct intake_events events = { is_watched, on_packet };
	size_t n = 0, given = 0, len;
	struct intake *in = intake_new(&events, &n);

	for (uint64_t now = 0; size >= 3; now += 100, given++) {
		len = get16(data + 1) < size - 3 ? get16(data + 1) : size - 3;
		intake_add(in, &(struct captured){ .data = data + 3, .len = len, .wire_len = len + (data[0] & 8 ? 66000 : 0), .passage = data[0] % 3u,
						   .summed = data[0] & 4, .now_ms = now });
		data += 3 + len;
		size -= 3 + len;
	}
	fuzz_check(n + intake_unusable(in) <= given);
	intake_free(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && data[0] % 3 == 0)
		take_in(data + 1, size - 1);
	else if (size && data[0] % 3 == 1)
		read_records(data + 1, size - 1);
	else if (size)
		read_request(data + 1, size - 1);
	return 0;
}
