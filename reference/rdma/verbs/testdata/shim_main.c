// SPDX-License-Identifier: Apache-2.0

// Tests of the shim without a device: a queue pair and a completion queue whose driver is in this file. It records what
// is posted. Built with sanitizers by TestShim, which fails on any output.

#include "../shim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What the interface promises about layouts.
_Static_assert(sizeof(((struct shim_cm_event *)0)->private_data) >= 196, "room for the data of a reply");
_Static_assert(sizeof(((struct shim_conn_param *)0)->private_data) >= 196, "room for the data of a reply");
_Static_assert(sizeof(((struct rdma_conn_param *)0)->private_data_len) == 1, "lengths of private data fit a byte");
_Static_assert(sizeof(struct ibv_sge) == 16, "buffers have no padding");

static int failures;

#define CHECK(condition)                                                   \
	do {                                                                   \
		if (!(condition)) {                                                \
			printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			failures++;                                                    \
		}                                                                  \
	} while (0)

enum { SENDS = 8, RECVS = 4, SGES = 3, BATCH = 4 };

// The driver.

static struct {
	int calls;                        // of post_send
	int sends;                        // requests taken, in all calls
	int lengths[SENDS];               // of the calls, in requests
	struct ibv_send_wr wrs[2 * SENDS]; // copies
	struct ibv_sge sges[2 * SENDS][SGES];
	uint32_t mw_keys[2 * SENDS]; // of the window, when its bind was posted
	int refuse;                  // the request that is refused, counted over all calls; -1 is none
	int recvs, recv_sges;
	int binds; // calls of bind_mw
	int armed;
	int ready; // completions
	struct ibv_wc wcs[2 * BATCH];
} driver;

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	(void)qp;
	for (; wr; wr = wr->next) {
		if (driver.sends == driver.refuse) {
			*bad = wr;
			return -ENOMEM; // soft-RoCE's driver negates
		}
		driver.wrs[driver.sends] = *wr;
		memcpy(driver.sges[driver.sends], wr->sg_list, wr->num_sge * sizeof(struct ibv_sge));
		if (wr->opcode == IBV_WR_BIND_MW)
			driver.mw_keys[driver.sends] = wr->bind_mw.mw->rkey;
		driver.sends++;
		driver.lengths[driver.calls]++;
	}
	driver.calls++;
	return 0;
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	(void)qp;
	(void)bad;
	for (; wr; wr = wr->next) {
		driver.recvs++;
		driver.recv_sges += wr->num_sge;
		for (int i = 0; i < wr->num_sge; i++)
			CHECK(wr->sg_list[i].addr == wr->wr_id * 10 + i);
	}
	return 0;
}

static int bind_mw(struct ibv_qp *qp, struct ibv_mw *mw, struct ibv_mw_bind *bind)
{
	(void)qp;
	(void)bind;
	driver.binds++;
	mw->rkey = ibv_inc_rkey(mw->rkey);
	return 0;
}

static int poll_cq(struct ibv_cq *cq, int most, struct ibv_wc *wc)
{
	int n = driver.ready < most ? driver.ready : most;

	(void)cq;
	memcpy(wc, driver.wcs, n * sizeof(*wc));
	memmove(driver.wcs, driver.wcs + n, (driver.ready - n) * sizeof(*wc));
	driver.ready -= n;
	return n;
}

static int req_notify_cq(struct ibv_cq *cq, int solicited)
{
	(void)cq;
	CHECK(!solicited);
	driver.armed++;
	return 0;
}

static struct ibv_context context = { .ops = {
	.post_send = post_send, .post_recv = post_recv, .bind_mw = bind_mw, .poll_cq = poll_cq, .req_notify_cq = req_notify_cq,
} };
static struct ibv_pd pd = { .context = &context };
static struct ibv_qp qp = { .context = &context };
static struct ibv_cq cq = { .context = &context };
static struct ibv_mr mr = { .context = &context, .pd = &pd };

// Every array ends where the shim must not go on, which is for the sanitizer to see.
static struct shim_qp *new_qp(void)
{
	struct shim_qp *q = calloc(1, sizeof(*q));

	memset(&driver, 0, sizeof(driver));
	driver.refuse = -1;
	q->qp = &qp;
	q->cq = &cq;
	q->batch = BATCH;
	q->sends = calloc(SENDS, sizeof(*q->sends));
	q->send_sges = calloc(SENDS * SGES, sizeof(*q->send_sges));
	q->send_wrs = calloc(SENDS, sizeof(*q->send_wrs));
	q->recvs = calloc(RECVS, sizeof(*q->recvs));
	q->recv_sges = calloc(RECVS * SGES, sizeof(*q->recv_sges));
	q->recv_wrs = calloc(RECVS, sizeof(*q->recv_wrs));
	q->done = calloc(BATCH, sizeof(*q->done));
	q->wcs = calloc(BATCH, sizeof(*q->wcs));
	return q;
}

static void free_qp(struct shim_qp *q)
{
	q->qp = NULL;
	q->cq = NULL;
	CHECK(shim_destroy_qp(q) == 0);
}

static void test_send_fields(void)
{
	static const uint32_t opcodes[SENDS] = {
		IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_SEND_WITH_INV, IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE_WITH_IMM,
		IBV_WR_RDMA_READ, IBV_WR_LOCAL_INV, IBV_WR_BIND_MW,
	};
	struct ibv_mw mw = { .context = &context, .pd = &pd, .type = IBV_MW_TYPE_2, .rkey = 0x1100 };
	struct shim_qp *q = new_qp();
	uint32_t posted, used = 0;

	for (uint32_t i = 0; i < SENDS; i++) {
		q->sends[i] = (struct shim_send){ .wr_id = 100 + i, .opcode = opcodes[i], .flags = IBV_SEND_SIGNALED,
			.remote_addr = 0x1000 + i, .key = 0x1101, .imm = 0x01020304, .mw = &mw, .mr = &mr, .bind_addr = 7,
			.bind_length = 8, .bind_access = IBV_ACCESS_REMOTE_READ, .nsge = i < 6 ? i % (SGES + 1) : 0 };
		for (uint32_t j = 0; j < q->sends[i].nsge; j++)
			q->send_sges[used++].addr = i * 10 + j;
	}
	CHECK(shim_post_send(q, SENDS, &posted) == 0);
	CHECK(posted == SENDS && driver.calls == 1 && driver.lengths[0] == SENDS);
	for (uint32_t i = 0; i < SENDS; i++) {
		const struct ibv_send_wr *wr = &driver.wrs[i];

		CHECK(wr->wr_id == 100 + i && wr->opcode == opcodes[i] && wr->send_flags == IBV_SEND_SIGNALED);
		CHECK((uint32_t)wr->num_sge == q->sends[i].nsge);
		for (int j = 0; j < wr->num_sge; j++)
			CHECK(driver.sges[i][j].addr == i * 10 + j);
	}
	CHECK(!memcmp(&driver.wrs[1].imm_data, "\1\2\3\4", 4) && !memcmp(&driver.wrs[4].imm_data, "\1\2\3\4", 4));
	CHECK(driver.wrs[2].invalidate_rkey == 0x1101 && driver.wrs[6].invalidate_rkey == 0x1101);
	for (int i = 3; i <= 5; i++)
		CHECK(driver.wrs[i].wr.rdma.remote_addr == 0x1000u + i && driver.wrs[i].wr.rdma.rkey == 0x1101);
	CHECK(driver.wrs[7].imm_data == 0); // soft-RoCE's driver refuses a bind with immediate data
	CHECK(driver.wrs[7].bind_mw.mw == &mw && driver.wrs[7].bind_mw.rkey == 0x1101);
	CHECK(driver.wrs[7].bind_mw.bind_info.mr == &mr && driver.wrs[7].bind_mw.bind_info.addr == 7 &&
	      driver.wrs[7].bind_mw.bind_info.length == 8 &&
	      driver.wrs[7].bind_mw.bind_info.mw_access_flags == IBV_ACCESS_REMOTE_READ);
	CHECK(driver.mw_keys[7] == 0x1100 && mw.rkey == 0x1101);
	free_qp(q);
}

static struct shim_send bind_of(struct ibv_mw *mw, uint32_t key)
{
	return (struct shim_send){ .opcode = IBV_WR_BIND_MW, .mw = mw, .mr = &mr, .key = key };
}

// The second bind of a window is posted after the first, because the driver reads the window's key.
static void test_bind_twice(void)
{
	struct ibv_mw mw = { .context = &context, .pd = &pd, .type = IBV_MW_TYPE_2, .rkey = 0x2200 };
	struct ibv_mw other = { .context = &context, .pd = &pd, .type = IBV_MW_TYPE_2, .rkey = 0x3300 };
	struct shim_qp *q = new_qp();
	uint32_t posted;

	q->sends[0] = bind_of(&mw, 0x2201);
	q->sends[1] = bind_of(&other, 0x3301);
	q->sends[2] = (struct shim_send){ .opcode = IBV_WR_LOCAL_INV, .key = 0x2201 };
	q->sends[3] = bind_of(&mw, 0x2202);
	CHECK(shim_post_send(q, 4, &posted) == 0);
	CHECK(posted == 4 && driver.calls == 2 && driver.lengths[0] == 3 && driver.lengths[1] == 1);
	CHECK(driver.mw_keys[0] == 0x2200 && driver.mw_keys[1] == 0x3300 && driver.mw_keys[3] == 0x2201);
	CHECK(mw.rkey == 0x2202 && other.rkey == 0x3301);
	free_qp(q);
}

// Binds of a window of type 1 are calls between the runs of a chain.
static void test_direct_bind(void)
{
	struct ibv_mw mw = { .context = &context, .pd = &pd, .type = IBV_MW_TYPE_1, .rkey = 0x44ff };
	struct shim_qp *q = new_qp();
	uint32_t posted;

	q->sends[0].wr_id = 1;
	q->sends[1] = bind_of(&mw, 0x4400);
	q->sends[2] = bind_of(&mw, 0x4401);
	q->sends[3].wr_id = 4;
	CHECK(shim_post_send(q, 4, &posted) == 0);
	CHECK(posted == 4 && driver.binds == 2 && driver.calls == 2);
	CHECK(driver.wrs[0].wr_id == 1 && driver.wrs[1].wr_id == 4);
	q->sends[0] = bind_of(&mw, 0x4499);
	CHECK(shim_post_send(q, 1, &posted) == EPROTO); // not the key that was foretold
	free_qp(q);
}

static void test_refusals(void)
{
	struct ibv_mw mw = { .context = &context, .pd = &pd, .type = IBV_MW_TYPE_2, .rkey = 0x2200 };

	for (int refuse = 0; refuse < SENDS; refuse++) {
		struct shim_qp *q = new_qp();
		uint32_t posted = 99;

		mw.rkey = 0x2200;
		q->sends[2] = bind_of(&mw, 0x2201);
		q->sends[5] = bind_of(&mw, 0x2202);
		driver.refuse = refuse;
		CHECK(shim_post_send(q, SENDS, &posted) == ENOMEM);
		CHECK(posted == (uint32_t)refuse);
		CHECK(mw.rkey == (refuse <= 2 ? 0x2200u : refuse <= 5 ? 0x2201u : 0x2202u));
		free_qp(q);
	}
}

static void test_recv(void)
{
	struct shim_qp *q = new_qp();
	uint32_t posted, used = 0;

	for (uint32_t i = 0; i < RECVS; i++) {
		q->recvs[i] = (struct shim_recv){ .wr_id = i, .nsge = i };
		for (uint32_t j = 0; j < i; j++)
			q->recv_sges[used++].addr = i * 10 + j;
	}
	CHECK(shim_post_recv(q, RECVS, &posted) == 0);
	CHECK(posted == RECVS && driver.recvs == RECVS && driver.recv_sges == 6);
	free_qp(q);
}

static void test_poll(void)
{
	struct shim_qp *q = new_qp();

	CHECK(shim_poll(q, BATCH, 0) == 0 && driver.armed == 0);
	CHECK(shim_poll(q, BATCH, 1) == 0 && driver.armed == 1);
	driver.ready = BATCH + 1;
	for (int i = 0; i <= BATCH; i++)
		driver.wcs[i] = (struct ibv_wc){ .wr_id = i, .opcode = IBV_WC_RECV, .byte_len = 5, .imm_data = htobe32(0x01020304),
			.wc_flags = IBV_WC_WITH_IMM };
	CHECK(shim_poll(q, 2 * BATCH, 1) == BATCH && driver.armed == 1);
	for (int i = 0; i < BATCH; i++)
		CHECK(q->done[i].wr_id == (uint64_t)i && q->done[i].length == 5 && q->done[i].imm == 0x01020304);
	CHECK(shim_poll(q, 1, 1) == 1 && q->done[0].wr_id == BATCH);
	free_qp(q);
}

// Soft-RoCE tells of a key that was taken back with the kernel's flag.
static void test_kernel_flags(void)
{
	struct shim_qp *q = new_qp();

	for (uint32_t quirk = 0; quirk < 2; quirk++) {
		q->kernel_flags = quirk;
		driver.ready = 1;
		driver.wcs[0] = (struct ibv_wc){ .opcode = IBV_WC_RECV, .wc_flags = IBV_WC_IP_CSUM_OK, .invalidated_rkey = 0x55 };
		CHECK(shim_poll(q, 1, 0) == 1);
		CHECK(!!(q->done[0].flags & IBV_WC_WITH_INV) == (int)quirk && q->done[0].invalidated == 0x55);
	}
	free_qp(q);
}

int main(void)
{
	test_send_fields();
	test_bind_twice();
	test_direct_bind();
	test_refusals();
	test_recv();
	test_poll();
	test_kernel_flags();
	return failures > 0;
}
