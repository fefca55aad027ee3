// SPDX-License-Identifier: GPL-2.0
/* Requests: what comes in, and responses to it. */
#include <linux/random.h>
#include <linux/unaligned.h>

#include "server.h"
#include "server_trace.h"

static u32 chunk_of(const struct server_request *request)
{
	return request - request->path->requests;
}

static struct region *region_of(const struct server_request *request, u32 *offset)
{
	struct server_path *path = request->path;
	u32 per_region = ibtrs_server_params->queue_depth / path->nr_regions;
	u32 k = chunk_of(request);

	*offset = k % per_region * ibtrs_server_params->chunk_size;
	return &path->regions[k / per_region];
}

/* Hands a chunk from the device to us, or back. */
static void sync_chunk(const struct server_request *request, bool for_cpu)
{
	struct ib_device *dev = request->path->dev;

	if (ib_uses_virt_dma(dev))
		return;
	if (for_cpu)
		dma_sync_sg_for_cpu(dev->dma_device, request->sg, request->nents,
				    DMA_BIDIRECTIONAL);
	else
		dma_sync_sg_for_device(dev->dma_device, request->sg, request->nents,
				       DMA_BIDIRECTIONAL);
}

/* The end of a request */

/* The chunk can be used again. */
static void release(struct server_request *request)
{
	sync_chunk(request, false);
	clear_bit_unlock(0, &request->busy);
}

/* The path may be gone when a grace period has passed. */
static void count_down(struct server_path *path)
{
	if (atomic_dec_and_test(&path->inflight))
		wake_up_all(&path->wait);
}

/* Ends a request without a response. */
static void drop(struct server_request *request)
{
	struct server_path *path = request->path;

	rcu_read_lock();
	release(request);
	count_down(path);
	rcu_read_unlock();
}

/* Responses */

/* One of SIGNAL_PERIOD responses is signalled, so that the queue does not fill up. */
static bool signalled(struct server_con *con)
{
	u32 period = min(SIGNAL_PERIOD, ibtrs_server_params->queue_depth);

	return !(atomic_inc_return(&con->sends) % period);
}

/*
 * All work requests of a response. They are posted as one chain, on the connection on which the
 * request came (Clause IBTRS-IO-008): the data, the invalidation of the client's key, and the
 * response itself, each where it has a place.
 */
struct response {
	struct ib_rdma_wr	data;
	struct ib_send_wr	invalidate;
	struct ib_rdma_wr	answer;
	struct ib_sge		data_sge, key_sge;
};

/* The write of what lies at @offset in the chunk to where a descriptor says. */
static void fill_data(struct response *r, const struct server_request *request,
		      const struct ibtrs_descriptor *to, u32 offset)
{
	u32 chunk;
	struct ib_mr *mr = region_of(request, &chunk)->mr;

	r->data_sge = (struct ib_sge){
		.addr = (request->dma ?: mr->iova + chunk) + offset,
		.length = le32_to_cpu(to->length),
		.lkey = request->dma ? request->path->pd->local_dma_lkey : mr->lkey,
	};
	r->data = (struct ib_rdma_wr){
		.wr = {
			.wr_cqe = &request->con->send,
			.sg_list = &r->data_sge,
			.num_sge = 1,
			.opcode = IB_WR_RDMA_WRITE,
		},
		.remote_addr = le64_to_cpu(to->address),
		.rkey = le32_to_cpu(to->rkey),
	};
}

/*
 * Only original clients have more descriptors than one: all but the last are served here, each by
 * itself. Gives where the data of the last begin.
 */
static int send_pieces(struct response *r, const struct server_request *request, u32 *offset)
{
	int i, err;

	*offset = 0;
	for (i = 0; i < request->nr_descriptors - 1; i++) {
		fill_data(r, request, &request->descriptors[i], *offset);
		err = ib_post_send(request->con->con.id->qp, &r->data.wr, NULL);
		if (err)
			return err;
		*offset += le32_to_cpu(request->descriptors[i].length);
	}
	return 0;
}

/* With key refresh a SEND of the chunk's new key, else a write of nothing. */
static void add_answer(struct response *r, const struct server_request *request, u32 imm)
{
	struct server_path *path = request->path;
	u32 k = chunk_of(request);

	r->answer = (struct ib_rdma_wr){
		.wr = {
			.wr_cqe = &request->con->send,
			.opcode = IB_WR_RDMA_WRITE_WITH_IMM,
			.ex.imm_data = cpu_to_be32(imm),
			.send_flags = signalled(request->con) ? IB_SEND_SIGNALED : 0,
		},
	};
	if (!path->keys)
		return;
	path->keys[k].rkey = cpu_to_le32(request->new_key);
	r->key_sge = (struct ib_sge){
		.addr = path->keys_dma + k * sizeof(*path->keys),
		.length = sizeof(*path->keys),
		.lkey = path->pd->local_dma_lkey,
	};
	ib_dma_sync_single_for_device(path->dev, r->key_sge.addr, r->key_sge.length, DMA_TO_DEVICE);
	r->answer.wr.opcode = IB_WR_SEND_WITH_IMM;
	r->answer.wr.sg_list = &r->key_sge;
	r->answer.wr.num_sge = 1;
}

/* Puts the chain together, and gives its first link. Data begin at @offset. */
static const struct ib_send_wr *chain(struct response *r, const struct server_request *request,
				      int err, u32 offset)
{
	const struct ib_send_wr *first = &r->answer.wr;
	u32 payload = FIELD_PREP(IBTRS_IMM_ERRNO, ibtrs_wire_errno(err)) | chunk_of(request);

	add_answer(r, request,
		   ibtrs_imm(request->invalidate ? IBTRS_IMM_RESPONSE_INVALIDATED :
						   IBTRS_IMM_RESPONSE,
			     payload));
	if (request->invalidate) {
		r->invalidate = (struct ib_send_wr){
			.wr_cqe = &request->con->send,
			.opcode = IB_WR_SEND_WITH_INV,
			.ex.invalidate_rkey = le32_to_cpu(request->descriptors[0].rkey),
			.next = &r->answer.wr,
		};
		first = &r->invalidate;
	}
	if (!err && request->nr_descriptors) {
		fill_data(r, request, &request->descriptors[request->nr_descriptors - 1], offset);
		r->data.wr.next = (struct ib_send_wr *)first;
		first = &r->data.wr;
	}
	return first;
}

static int post_response(struct server_request *request, int err)
{
	struct ib_qp *qp = request->con->con.id->qp;
	const struct ib_send_wr *first;
	struct response r;
	u32 offset = 0;
	int failed = 0;

	ibtrs_con_sends(&request->con->con);
	if (!err)
		failed = send_pieces(&r, request, &offset);
	first = chain(&r, request, err, offset);
	/* The client may use the chunk again before the post returns. */
	release(request);
	return failed ?: ib_post_send(qp, first, NULL);
}

/**
 * ibtrs_server_respond - end a request
 * @rq:		request; the user must not touch it any more
 * @err:	0, or a negative errno
 *
 * In any context. A request whose path is not connected any more ends without a response.
 */
void ibtrs_server_respond(struct ibtrs_server_request *rq, int err)
{
	struct server_request *request = container_of(rq, struct server_request, rq);
	struct server_path *path = request->path;

	rcu_read_lock();
	if (server_path_connected(path)) {
		trace_ibtrs_server_response(path->sess->name, path->name, chunk_of(request), err);
		if (post_response(request, err))
			server_path_fail(path, "cannot post a response");
	} else {
		release(request);
	}
	count_down(path);
	rcu_read_unlock();
}
EXPORT_SYMBOL_GPL(ibtrs_server_respond);

/**
 * ibtrs_server_abandoned - whether the path of a request is lost
 * @rq:	request
 *
 * One that has not been begun must then not be executed any more: the client may have sent it again
 * over another path (Clause IBTRS-PATH-020). It must be responded to all the same.
 */
bool ibtrs_server_abandoned(const struct ibtrs_server_request *rq)
{
	const struct server_request *request = container_of(rq, struct server_request, rq);

	return !server_path_connected(request->path);
}
EXPORT_SYMBOL_GPL(ibtrs_server_abandoned);

void server_send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct server_con *con = cq->cq_context;

	if (wc->status != IB_WC_SUCCESS)
		server_path_fail(con->path, ib_wc_status_msg(wc->status));
	else
		ibtrs_con_carries(&con->con);
}

/* Requests */

enum verdict {
	PROCEED,
	ANSWERED,	/* with EINVAL: it is malformed */
	FATAL,		/* its path closes */
};

/*
 * Takes a read message apart. With keys that are kept the client can change it at any time: each
 * field is read once.
 */
static enum verdict parse_read(struct server_request *request, const void *at)
{
	u32 room = ibtrs_server_params->chunk_size - request->offset;
	struct ibtrs_read_message message;
	u32 size;
	u16 count;

	if (room < sizeof(message))
		return FATAL;
	memcpy(&message, at, sizeof(message));
	count = le16_to_cpu(message.count);
	size = count * sizeof(struct ibtrs_descriptor);
	if (room - sizeof(message) < size)
		return FATAL;
	if (count > (ibtrs_server_params->legacy_clients ? MAX_DESCRIPTORS : 1))
		return ANSWERED;
	memcpy(request->descriptors, at + sizeof(message), size);
	request->nr_descriptors = count;
	request->invalidate = count && le16_to_cpu(message.flags) & IBTRS_READ_INVALIDATE;
	return PROCEED;
}

/* Clauses IBTRS-IO-024 and IBTRS-IO-025 */
static enum verdict check_descriptors(const struct server_request *request)
{
	u64 total = 0;
	u32 length;
	int i;

	for (i = 0; i < request->nr_descriptors; i++) {
		length = le32_to_cpu(request->descriptors[i].length);
		if (!length || length > ibtrs_server_params->chunk_size)
			return FATAL;
		total += length;
	}
	return total > request->rq.data_len ? ANSWERED : PROCEED;
}

/* Clauses IBTRS-IO-021 to IBTRS-IO-026 */
static enum verdict parse(struct server_request *request)
{
	void *chunk = request->path->chunks[chunk_of(request)];
	const void *at = chunk + request->offset;
	struct ibtrs_server_request *rq = &request->rq;
	u16 type, header_len;
	enum verdict verdict = PROCEED;

	request->nr_descriptors = 0;
	request->invalidate = false;
	if (ibtrs_server_params->chunk_size - request->offset < sizeof(struct ibtrs_write_message))
		return FATAL;
	type = get_unaligned_le16(at);
	header_len = get_unaligned_le16(at + offsetof(struct ibtrs_write_message, header_length));
	switch (type) {
	case IBTRS_MSG_WRITE:
		rq->direction = IBTRS_WRITE;
		break;
	case IBTRS_MSG_READ:
		rq->direction = IBTRS_READ;
		verdict = parse_read(request, at);
		break;
	default:
		return FATAL;
	}
	if (verdict != PROCEED)
		return verdict;
	if (header_len > request->offset)
		return ANSWERED;
	rq->data = chunk;
	rq->data_len = request->offset - header_len;
	rq->header_len = header_len;
	verdict = check_descriptors(request);
	if (verdict != PROCEED)
		return verdict;
	memcpy(request->header, chunk + rq->data_len, min_t(u32, header_len, IBTRS_MAX_USER_HEADER));
	return PROCEED;
}

static void count(struct server_path *path, const struct ibtrs_server_request *rq)
{
	u32 bytes = rq->data_len + rq->header_len;

	if (rq->direction == IBTRS_WRITE) {
		this_cpu_inc(path->counts->writes);
		this_cpu_add(path->counts->write_bytes, bytes);
	} else {
		this_cpu_inc(path->counts->reads);
		this_cpu_add(path->counts->read_bytes, bytes);
	}
}

/* Goes on with a request when nobody who keeps to the protocol can change its chunk any more. */
static void begin(struct server_request *request)
{
	struct server_path *path = request->path;

	if (!server_path_connected(path)) {
		drop(request);
		return;
	}
	sync_chunk(request, true);
	switch (parse(request)) {
	case FATAL:
		server_path_fail(path, "malformed request");
		drop(request);
		return;
	case ANSWERED:
		pr_info_ratelimited("ibtrs_server: %s: path %s: malformed request in chunk %u\n",
				    path->sess->name, path->name, chunk_of(request));
		ibtrs_server_respond(&request->rq, -EINVAL);
		return;
	case PROCEED:
		break;
	}
	count(path, &request->rq);
	trace_ibtrs_server_request(path->sess->name, path->name, chunk_of(request),
				   request->rq.direction == IBTRS_WRITE, request->rq.data_len);
	path->srv->ops->request(path->sess->user, &request->rq);
}

void server_key_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct server_request *request = container_of(wc->wr_cqe, struct server_request, key);

	if (wc->status != IB_WC_SUCCESS) {
		server_path_fail(request->path, ib_wc_status_msg(wc->status));
		drop(request);
		return;
	}
	ibtrs_con_carries(&request->con->con);
	begin(request);
}

/*
 * Takes back the key by which the client has filled the chunk, and makes a new one, which the
 * client learns from the response. Who guesses it could write to the chunk before that, so its
 * changing part is not the next number but any.
 *
 * Both are posted here and not with the response, and wait until all that was sent before has
 * arrived. Soft-RoCE repeats what is behind a lost packet in the send queue, registrations that
 * were done included, and those then fail (Clause IBTRS-INV-016). So there must never be one behind
 * data that may be lost.
 */
static void renew_key(struct server_request *request)
{
	u32 offset;
	struct ib_mr *mr = region_of(request, &offset)->mr;
	struct ib_reg_wr reg = {
		.wr = {
			.wr_cqe = &request->key,
			.opcode = IB_WR_REG_MR,
			.send_flags = IB_SEND_SIGNALED,
		},
		.mr = mr,
		.access = IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE,
	};
	struct ib_send_wr inv = {
		.wr_cqe = &request->con->send,
		.opcode = IB_WR_LOCAL_INV,
		.send_flags = IB_SEND_FENCE,
		.ex.invalidate_rkey = mr->rkey,
		.next = &reg.wr,
	};

	ib_update_fast_reg_key(mr, (u8)(mr->rkey + 1 + get_random_u32_below(U8_MAX)));
	request->new_key = mr->rkey;
	reg.key = mr->rkey;
	if (ib_post_send(request->con->con.id->qp, &inv, NULL)) {
		server_path_fail(request->path, "cannot post a registration");
		drop(request);
	}
}

/* A request in a chunk, as the immediate says (Clauses IBTRS-IMM-006 and -007). */
static void take_request(struct server_con *con, u32 payload)
{
	struct server_path *path = con->path;
	unsigned int shift = ibtrs_imm_shift(ibtrs_server_params->queue_depth);
	u32 k = payload >> shift, offset = payload & (BIT(shift) - 1);
	struct server_request *request;

	if (k >= ibtrs_server_params->queue_depth || offset >= ibtrs_server_params->chunk_size) {
		server_path_fail(path, "request for a place that does not exist");
		return;
	}
	request = &path->requests[k];
	if (test_and_set_bit_lock(0, &request->busy)) {
		server_path_fail(path, "request in a chunk whose request is not answered");
		return;
	}
	request->con = con;
	request->offset = offset;
	atomic_inc(&path->inflight);
	if (ibtrs_server_params->key_refresh)
		renew_key(request);
	else
		begin(request);
}

static void take_immediate(struct server_con *con, u32 imm)
{
	struct server_path *path = con->path;
	struct ibtrs_con *admin = &path->cons[0]->con;

	switch (FIELD_GET(IBTRS_IMM_TYPE, imm)) {
	case IBTRS_IMM_REQUEST:
		take_request(con, FIELD_GET(IBTRS_IMM_PAYLOAD, imm));
		break;
	case IBTRS_IMM_HEARTBEAT:
		if (ibtrs_post_empty_write(admin, &admin->beat,
					   ibtrs_imm(IBTRS_IMM_HEARTBEAT_ACK, 0)))
			server_path_fail(path, "cannot acknowledge a heartbeat");
		break;
	case IBTRS_IMM_HEARTBEAT_ACK:
		ibtrs_heartbeat_acknowledged(&path->heartbeat);
		break;
	}
}

void server_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct server_con *con = cq->cq_context;
	struct server_path *path = con->path;

	if (wc->status != IB_WC_SUCCESS) {
		server_path_fail(path, ib_wc_status_msg(wc->status));
		return;
	}
	/* Too early, or too late: the client may have sent it again over another path. */
	if (!server_path_connected(path))
		return;
	if (ibtrs_post_empty_recv(&con->con, &con->recv))
		server_path_fail(path, "cannot post a receive");
	ibtrs_heartbeat_heard(&path->heartbeat);
	if (wc->opcode == IB_WC_RECV_RDMA_WITH_IMM)
		take_immediate(con, be32_to_cpu(wc->ex.imm_data));
}
