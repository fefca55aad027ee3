// SPDX-License-Identifier: Apache-2.0

//go:build verbs && linux

// Queue pairs: their life, and the way of work and completions through them.

#include "shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int alloc_arrays(struct shim_qp *q, const struct shim_sizes *s)
{
	q->sends = calloc(s->sends, sizeof(*q->sends));
	q->send_wrs = calloc(s->sends, sizeof(*q->send_wrs));
	q->send_sges = calloc((size_t)s->sends * s->send_sges, sizeof(*q->send_sges));
	q->recvs = calloc(s->recvs, sizeof(*q->recvs));
	q->recv_wrs = calloc(s->recvs, sizeof(*q->recv_wrs));
	q->recv_sges = calloc((size_t)s->recvs * s->recv_sges, sizeof(*q->recv_sges));
	q->done = calloc(s->batch, sizeof(*q->done));
	q->wcs = calloc(s->batch, sizeof(*q->wcs));
	q->batch = s->batch;
	q->kernel_flags = s->kernel_flags;
	q->chained_binds = s->chained_binds;
	if (!q->sends || !q->send_wrs || !q->send_sges || !q->recvs || !q->recv_wrs || !q->recv_sges || !q->done || !q->wcs)
		return ENOMEM;
	return 0;
}

static void free_arrays(struct shim_qp *q)
{
	free(q->sends);
	free(q->send_wrs);
	free(q->send_sges);
	free(q->recvs);
	free(q->recv_wrs);
	free(q->recv_sges);
	free(q->done);
	free(q->wcs);
}

static int create_objects(struct shim_qp *q, struct ibv_pd *pd, const struct shim_sizes *s)
{
	struct ibv_qp_init_attr attr = {
		.cap = {
			.max_send_wr = s->sends + 1, // and the marker
			.max_recv_wr = s->recvs,
			.max_send_sge = s->send_sges,
			.max_recv_sge = s->recv_sges,
		},
		.qp_type = IBV_QPT_RC,
	};
	int flags;

	errno = 0;
	q->channel = ibv_create_comp_channel(pd->context);
	if (!q->channel)
		return errno ? errno : ENOMEM;
	flags = fcntl(q->channel->fd, F_GETFL);
	if (flags < 0 || fcntl(q->channel->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return errno;
	q->cq = ibv_create_cq(pd->context, s->sends + s->recvs + 1, NULL, q->channel, 0);
	if (!q->cq)
		return errno ? errno : ENOMEM;
	attr.send_cq = q->cq;
	attr.recv_cq = q->cq;
	q->qp = ibv_create_qp(pd, &attr);
	if (!q->qp)
		return errno ? errno : ENOMEM;
	return 0;
}

// destroy_objects goes on after a failure, so that a device that is gone does not keep the rest, and returns the first.
static int destroy_objects(struct shim_qp *q)
{
	int first = 0, err;

	if (q->qp && (err = ibv_destroy_qp(q->qp)))
		first = err;
	if (q->cq && (err = ibv_destroy_cq(q->cq)) && !first)
		first = err;
	if (q->channel && (err = ibv_destroy_comp_channel(q->channel)) && !first)
		first = err;
	return first;
}

int shim_create_qp(struct ibv_pd *pd, const struct shim_sizes *sizes, struct shim_qp **out)
{
	struct shim_qp *q = calloc(1, sizeof(*q));
	int err;

	if (!q)
		return ENOMEM;
	err = alloc_arrays(q, sizes);
	if (!err)
		err = create_objects(q, pd, sizes);
	if (err) {
		shim_destroy_qp(q);
		return err;
	}
	*out = q;
	return 0;
}

int shim_destroy_qp(struct shim_qp *q)
{
	int err = destroy_objects(q);

	free_arrays(q);
	free(q);
	return err;
}

// propose asks connection management for the attributes of a state.
static int propose(struct rdma_cm_id *id, enum ibv_qp_state state, struct ibv_qp_attr *attr, int *mask)
{
	memset(attr, 0, sizeof(*attr));
	attr->qp_state = state;
	return rdma_init_qp_attr(id, attr, mask) ? errno : 0;
}

int shim_to_init(struct shim_qp *q, struct rdma_cm_id *id, const struct shim_qp_attr *a)
{
	struct ibv_qp_attr attr;
	int mask, err = propose(id, IBV_QPS_INIT, &attr, &mask);

	if (err)
		return err;
	// Connection management grants READ only where it knows already that the peer will ask for it.
	attr.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
	if (a->max_dest_rd_atomic)
		attr.qp_access_flags |= IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
	return ibv_modify_qp(q->qp, &attr, mask | IBV_QP_ACCESS_FLAGS);
}

static int to_rtr(struct shim_qp *q, struct rdma_cm_id *id, const struct shim_qp_attr *a)
{
	struct ibv_qp_attr attr;
	int mask, err = propose(id, IBV_QPS_RTR, &attr, &mask);

	if (err)
		return err;
	attr.max_dest_rd_atomic = a->max_dest_rd_atomic;
	attr.min_rnr_timer = a->min_rnr_timer;
	return ibv_modify_qp(q->qp, &attr, mask | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
}

static int to_rts(struct shim_qp *q, struct rdma_cm_id *id, const struct shim_qp_attr *a)
{
	struct ibv_qp_attr attr;
	int mask, err = propose(id, IBV_QPS_RTS, &attr, &mask);

	if (err)
		return err;
	attr.max_rd_atomic = a->max_rd_atomic;
	if (a->timeout)
		attr.timeout = a->timeout;
	return ibv_modify_qp(q->qp, &attr, mask | IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_TIMEOUT);
}

int shim_to_ready(struct shim_qp *q, struct rdma_cm_id *id, const struct shim_qp_attr *a)
{
	int err = to_rtr(q, id, a);

	return err ? err : to_rts(q, id, a);
}

int shim_to_error(struct shim_qp *q)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_ERR };

	return ibv_modify_qp(q->qp, &attr, IBV_QP_STATE);
}

static void fill_send(struct ibv_send_wr *wr, const struct shim_send *s, struct ibv_sge *sges)
{
	memset(wr, 0, sizeof(*wr));
	wr->wr_id = s->wr_id;
	wr->opcode = s->opcode;
	wr->send_flags = s->flags;
	wr->sg_list = sges;
	wr->num_sge = s->nsge;
	switch (s->opcode) {
	case IBV_WR_RDMA_WRITE_WITH_IMM:
		wr->imm_data = htonl(s->imm);
		/* fallthrough */
	case IBV_WR_RDMA_WRITE:
	case IBV_WR_RDMA_READ:
		wr->wr.rdma.remote_addr = s->remote_addr;
		wr->wr.rdma.rkey = s->key;
		break;
	case IBV_WR_SEND_WITH_IMM:
		wr->imm_data = htonl(s->imm);
		break;
	case IBV_WR_SEND_WITH_INV:
	case IBV_WR_LOCAL_INV:
		wr->invalidate_rkey = s->key;
		break;
	case IBV_WR_BIND_MW:
		wr->bind_mw.mw = s->mw;
		wr->bind_mw.rkey = s->key;
		wr->bind_mw.bind_info.mr = s->mr;
		wr->bind_mw.bind_info.addr = s->bind_addr;
		wr->bind_mw.bind_info.length = s->bind_length;
		wr->bind_mw.bind_info.mw_access_flags = s->bind_access;
		break;
	}
}

// A bind of a window of type 1 is no work request of a chain but a call of its own. Soft-RoCE makes a work request of that
// call, and takes it in a chain just as well.
static int is_direct(const struct shim_qp *q, const struct shim_send *s)
{
	return s->opcode == IBV_WR_BIND_MW && s->mw->type == IBV_MW_TYPE_1 && !q->chained_binds;
}

static int bind_direct(struct shim_qp *q, const struct shim_send *s)
{
	struct ibv_mw_bind bind = {
		.wr_id = s->wr_id,
		.send_flags = s->flags,
		.bind_info = {
			.mr = s->mr,
			.addr = s->bind_addr,
			.length = s->bind_length,
			.mw_access_flags = s->bind_access,
		},
	};
	int err = ibv_bind_mw(q->qp, s->mw, &bind);

	if (err)
		return err < 0 ? -err : err;
	// The key was foretold to the peer. A provider that gives another one cannot be used for windows.
	return s->mw->rkey == s->key ? 0 : EPROTO;
}

// binds_again tells whether a window is bound by a request of the run before request end. Providers read the window's
// present key when a bind is posted, so that it has to be posted after the one before it.
static int binds_again(const struct shim_send *sends, uint32_t begin, uint32_t end)
{
	uint32_t i;

	if (sends[end].opcode != IBV_WR_BIND_MW)
		return 0;
	for (i = begin; i < end; i++)
		if (sends[i].opcode == IBV_WR_BIND_MW && sends[i].mw == sends[end].mw)
			return 1;
	return 0;
}

// post_run posts requests begin to end-1, whose work requests are filled, and keeps the keys of windows up to date.
static int post_run(struct shim_qp *q, uint32_t begin, uint32_t end, uint32_t *posted)
{
	struct ibv_send_wr *bad = NULL;
	uint32_t i;
	int err;

	for (i = begin; i + 1 < end; i++)
		q->send_wrs[i].next = &q->send_wrs[i + 1];
	err = ibv_post_send(q->qp, &q->send_wrs[begin], &bad);
	*posted = err && bad ? (uint32_t)(bad - q->send_wrs) : end;
	for (i = begin; i < *posted; i++)
		if (q->sends[i].opcode == IBV_WR_BIND_MW)
			q->sends[i].mw->rkey = q->sends[i].key;
	return err < 0 ? -err : err;
}

int shim_post_send(struct shim_qp *q, uint32_t n, uint32_t *posted)
{
	struct ibv_sge *sges = q->send_sges;
	uint32_t begin = 0, i;
	int err;

	*posted = 0;
	for (i = 0; i < n; i++) {
		const struct shim_send *s = &q->sends[i];

		if (i > begin && (is_direct(q, s) || binds_again(q->sends, begin, i))) {
			err = post_run(q, begin, i, posted);
			if (err)
				return err;
			begin = i;
		}
		if (is_direct(q, s)) {
			err = bind_direct(q, s);
			if (err)
				return err;
			*posted = i + 1;
			begin = i + 1;
			continue;
		}
		fill_send(&q->send_wrs[i], s, sges);
		sges += s->nsge;
	}
	return begin < n ? post_run(q, begin, n, posted) : 0;
}

int shim_post_marker(struct shim_qp *q, uint64_t wr_id)
{
	struct ibv_send_wr wr = { .wr_id = wr_id, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED };
	struct ibv_send_wr *bad;
	int err = ibv_post_send(q->qp, &wr, &bad);

	return err < 0 ? -err : err;
}

int shim_post_recv(struct shim_qp *q, uint32_t n, uint32_t *posted)
{
	struct ibv_recv_wr *bad = NULL;
	struct ibv_sge *sges = q->recv_sges;
	uint32_t i;
	int err;

	for (i = 0; i < n; i++) {
		q->recv_wrs[i].wr_id = q->recvs[i].wr_id;
		q->recv_wrs[i].next = i + 1 < n ? &q->recv_wrs[i + 1] : NULL;
		q->recv_wrs[i].sg_list = sges;
		q->recv_wrs[i].num_sge = q->recvs[i].nsge;
		sges += q->recvs[i].nsge;
	}
	err = ibv_post_recv(q->qp, q->recv_wrs, &bad);
	*posted = err && bad ? (uint32_t)(bad - q->recv_wrs) : n;
	return err < 0 ? -err : err;
}

// restore_inv finds a key that the peer has taken back. Soft-RoCE passes the kernel's own flags to user space, where the
// bit for this is that of a checksum, which is not set for reliable connections.
static void restore_inv(struct shim_wc *wc)
{
	if (wc->status == IBV_WC_SUCCESS && wc->opcode == IBV_WC_RECV && wc->flags & IBV_WC_IP_CSUM_OK)
		wc->flags |= IBV_WC_WITH_INV;
}

static void copy_completion(struct shim_wc *to, const struct ibv_wc *from)
{
	to->wr_id = from->wr_id;
	to->status = from->status;
	to->opcode = from->opcode;
	to->vendor_err = from->vendor_err;
	to->length = from->byte_len;
	to->flags = from->wc_flags;
	to->imm = ntohl(from->imm_data);
	to->invalidated = from->invalidated_rkey;
}

int shim_poll(struct shim_qp *q, uint32_t most, int arm)
{
	int n, i, err;

	if (most > q->batch)
		most = q->batch;
	n = ibv_poll_cq(q->cq, most, q->wcs);
	if (!n && arm) {
		err = ibv_req_notify_cq(q->cq, 0);
		if (err)
			return err < 0 ? err : -err;
		n = ibv_poll_cq(q->cq, most, q->wcs);
	}
	if (n < 0)
		return -EIO;
	for (i = 0; i < n; i++) {
		copy_completion(&q->done[i], &q->wcs[i]);
		if (q->kernel_flags)
			restore_inv(&q->done[i]);
	}
	return n;
}

int shim_take_notice(struct shim_qp *q)
{
	struct ibv_cq *cq;
	void *context;

	if (ibv_get_cq_event(q->channel, &cq, &context))
		return errno;
	ibv_ack_cq_events(cq, 1);
	return 0;
}
