// SPDX-License-Identifier: GPL-2.0
/* Requests: sending them, and what comes back. */
#include "client.h"
#include "client_trace.h"

/* Choosing a path. All of these are called under rcu_read_lock(). */

static struct build *least_inflight(struct ibtrs_session *sess)
{
	struct build *build, *best = NULL;
	struct ibtrs_path *path;

	list_for_each_entry_rcu(path, &sess->paths, entry) {
		build = rcu_dereference(path->build);
		if (build &&
		    (!best || atomic_read(&build->inflight) < atomic_read(&best->inflight)))
			best = build;
	}
	return best;
}

static struct build *least_latency(struct ibtrs_session *sess)
{
	struct build *build, *best = NULL;
	struct ibtrs_path *path;

	list_for_each_entry_rcu(path, &sess->paths, entry) {
		build = rcu_dereference(path->build);
		if (build && (!best || READ_ONCE(build->heartbeat.latency) <
					       READ_ONCE(best->heartbeat.latency)))
			best = build;
	}
	return best;
}

/* The position of a CPU is a number, not a path: nothing has to be told to it when a path goes. */
static struct build *next_in_turn(struct ibtrs_session *sess)
{
	u32 turn = this_cpu_inc_return(*sess->turn);
	struct build *build, *first = NULL;
	struct ibtrs_path *path;
	u32 n = 0;

	list_for_each_entry_rcu(path, &sess->paths, entry)
		if (rcu_access_pointer(path->build))
			n++;
	if (!n)
		return NULL;
	turn %= n;
	list_for_each_entry_rcu(path, &sess->paths, entry) {
		build = rcu_dereference(path->build);
		if (!build)
			continue;
		if (!first)
			first = build;
		if (!turn--)
			return build;
	}
	return first; /* a path was lost between the two walks */
}

static struct build *pick(struct ibtrs_session *sess)
{
	switch (READ_ONCE(sess->policy)) {
	case POLICY_ROUND_ROBIN:
		return next_in_turn(sess);
	case POLICY_MIN_LATENCY:
		return least_latency(sess);
	default:
		return least_inflight(sess);
	}
}

/* The end of a call */

static enum dma_data_direction dma_direction(const struct ibtrs_request *rq)
{
	return rq->direction == IBTRS_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
}

/* Gives the memory back to the caller. The build's adapter does not touch it any more. */
static void release_memory(struct build *build, const struct ibtrs_request *rq)
{
	if (rq->data_len)
		ib_dma_unmap_sg(build->dev, rq->sg, rq->nents, dma_direction(rq));
}

/*
 * Gives the permit back and tells the caller. Nobody else may hold the call: its lock is dropped
 * here.
 */
static void call_end(struct ibtrs_session *sess, struct call *call, int err) __releases(&call->lock)
{
	u32 k = call - sess->calls;
	struct ibtrs_request *rq = call->rq;

	lockdep_assert_held(&call->lock);
	call->state = CALL_FREE;
	call->rq = NULL;
	call->build = NULL;
	spin_unlock(&call->lock);
	trace_ibtrs_call_done(sess->name, k, err);
	clear_bit_unlock(k, sess->permits);
	smp_mb__after_atomic(); /* pairs with the barrier of prepare_to_wait() */
	if (waitqueue_active(&sess->permit_wait))
		wake_up(&sess->permit_wait);
	rq->done(rq, err);
}

/* Ends a call that has come back from its build. Drops the lock. */
static void call_finish(struct build *build, struct call *call) __releases(&call->lock)
{
	release_memory(build, call->rq);
	atomic_dec(&build->inflight);
	call_end(build->sess, call, call->err);
}

/* Sending */

static void count_request(struct ibtrs_path *path, const struct ibtrs_request *rq, bool again)
{
	struct path_counts *counts = get_cpu_ptr(path->counts);

	if (rq->direction == IBTRS_READ) {
		counts->reads++;
		counts->read_bytes += rq->data_len + rq->header_len;
	} else {
		counts->writes++;
		counts->write_bytes += rq->data_len + rq->header_len;
	}
	counts->failed_over += again;
	put_cpu_ptr(path->counts);
}

static struct client_con *con_for(struct build *build, const struct ibtrs_request *rq)
{
	if (rq->admin)
		return &build->cons[0];
	return &build->cons[1 + raw_smp_processor_id() % (build->nr_cons - 1)];
}

static int map_data(struct build *build, const struct ibtrs_request *rq)
{
	int count = ib_dma_map_sg(build->dev, rq->sg, rq->nents, dma_direction(rq));

	return count ?: -ENOMEM;
}

/* Lays out user header and transport message, and gives their length. */
static u32 lay_out(struct slot *slot, const struct ibtrs_request *rq)
{
	struct ibtrs_write_message *write = slot->header + rq->header_len;
	struct ibtrs_read_message *read = slot->header + rq->header_len;

	memcpy(slot->header, rq->header, rq->header_len);
	if (rq->direction == IBTRS_WRITE) {
		write->type = cpu_to_le16(IBTRS_MSG_WRITE);
		write->header_length = cpu_to_le16(rq->header_len);
		return rq->header_len + sizeof(*write);
	}
	read->type = cpu_to_le16(IBTRS_MSG_READ);
	read->header_length = cpu_to_le16(rq->header_len);
	if (!rq->data_len) {
		read->flags = 0;
		read->count = 0;
		return rq->header_len + sizeof(*read);
	}
	read->flags = cpu_to_le16(IBTRS_READ_INVALIDATE);
	read->count = cpu_to_le16(1);
	read->descriptor[0].address = cpu_to_le64(slot->mr->iova);
	read->descriptor[0].rkey = cpu_to_le32(slot->mr->rkey);
	read->descriptor[0].length = cpu_to_le32(rq->data_len);
	return rq->header_len + struct_size(read, descriptor, 1);
}

static bool too_big(struct build *build, const struct ibtrs_request *rq)
{
	u32 message = rq->direction == IBTRS_WRITE ?
			      sizeof(struct ibtrs_write_message) :
			      sizeof(struct ibtrs_read_message) + sizeof(struct ibtrs_descriptor);

	return rq->header_len > IBTRS_MAX_USER_HEADER ||
	       rq->header_len + message > build->max_header_size ||
	       rq->data_len > build->max_io_size;
}

static int register_data(struct slot *slot, const struct ibtrs_request *rq, int count,
			 struct ib_reg_wr *reg)
{
	/*
	 * The key changes from use to use, so that a late write with the old one fails (Clause
	 * IBTRS-IO-017).
	 */
	ib_update_fast_reg_key(slot->mr, ib_inc_rkey(slot->mr->rkey));
	if (ib_map_mr_sg(slot->mr, rq->sg, count, NULL, REG_PAGE_SIZE) != count ||
	    slot->mr->length != rq->data_len)
		return -EINVAL;
	*reg = (struct ib_reg_wr){
		.wr.opcode = IB_WR_REG_MR,
		.mr = slot->mr,
		.key = slot->mr->rkey,
		.access = IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE,
	};
	return 0;
}

/*
 * One scatter element for each piece of the data that is sent, and one for header and message
 * behind it.
 */
static u32 fill_sges(struct build *build, const struct ibtrs_request *rq, int count,
		     struct ib_sge *sge)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(rq->sg, sg, count, i) {
		sge[i].addr = sg_dma_address(sg);
		sge[i].length = sg_dma_len(sg);
		sge[i].lkey = build->pd->local_dma_lkey;
	}
	return count;
}

/*
 * A send is signalled if its completion is waited for, or now and then, so that the queue does not
 * fill up.
 */
static void sign(struct client_con *con, struct slot *slot, bool waited_for, struct ib_send_wr *wr)
{
	if (waited_for) {
		wr->wr_cqe = &slot->send;
		wr->send_flags = IB_SEND_SIGNALED;
		return;
	}
	wr->wr_cqe = &con->send;
	spin_lock_bh(&con->post_lock);
	if (++con->reads >= min(SIGNAL_PERIOD, con->build->queue_depth)) {
		con->reads = 0;
		wr->send_flags = IB_SEND_SIGNALED;
	}
	spin_unlock_bh(&con->post_lock);
}

static int post_call(struct client_con *con, u32 k, struct ibtrs_request *rq, int count)
{
	struct build *build = con->build;
	struct slot *slot = &build->slots[k];
	bool data_out = rq->direction == IBTRS_WRITE && rq->data_len;
	struct ib_sge sge[MAX_SEGMENTS + 1];
	struct ib_reg_wr reg;
	struct ib_send_wr *first;
	struct ib_rdma_wr write = {
		.wr = {
			.opcode = IB_WR_RDMA_WRITE_WITH_IMM,
			.sg_list = sge,
		},
		.remote_addr = build->chunks[k].addr,
		.rkey = build->chunks[k].rkey,
	};
	u32 n = 0;
	int err;

	first = &write.wr;
	if (data_out) {
		n = fill_sges(build, rq, count, sge);
	} else if (rq->data_len) {
		err = register_data(slot, rq, count, &reg);
		if (err)
			return err;
		reg.wr.next = &write.wr;
		first = &reg.wr;
		write.remote_addr += rq->data_len;
	}
	sge[n].addr = slot->header_dma;
	sge[n].length = lay_out(slot, rq);
	sge[n].lkey = build->pd->local_dma_lkey;
	write.wr.num_sge = n + 1;
	write.wr.ex.imm_data = cpu_to_be32(
		ibtrs_imm(IBTRS_IMM_REQUEST, k << build->shift | (rq->data_len + rq->header_len)));
	sign(con, slot, data_out, &write.wr);
	ib_dma_sync_single_for_device(build->dev, slot->header_dma, HEADER_ROOM, DMA_TO_DEVICE);
	ibtrs_con_sends(&con->con);
	if (ib_post_send(con->con.id->qp, first, NULL))
		build_fail(build, -ECONNRESET, "cannot post a request");
	/*
	 * In either case the call is the build's: if it has failed, calls_failover() finds it
	 * there.
	 */
	return 0;
}

/* Sends call @k over a build. An error says that nothing was sent. */
static int send_call(struct build *build, u32 k, bool again)
{
	struct call *call = &build->sess->calls[k];
	struct ibtrs_request *rq = call->rq;
	int count = 0, err;

	if (too_big(build, rq))
		return -EMSGSIZE;
	if (rq->data_len) {
		count = map_data(build, rq);
		if (count < 0)
			return count;
		if (rq->direction == IBTRS_WRITE && count > build->max_segments) {
			release_memory(build, rq);
			return -EINVAL;
		}
	}
	atomic_inc(&build->inflight);
	spin_lock_bh(&call->lock);
	call->state = CALL_SENT;
	call->build = build;
	call->send_done = rq->direction == IBTRS_READ || !rq->data_len;
	call->err = 0;
	spin_unlock_bh(&call->lock);
	/* The answer may come, and the call be used anew, before the post returns. */
	count_request(build->path, rq, again);
	trace_ibtrs_call_sent(build->sess->name, build->path->name, k, rq->direction == IBTRS_WRITE,
			      rq->data_len, again);
	err = post_call(con_for(build, rq), k, rq, count);
	if (err) {
		spin_lock_bh(&call->lock);
		call->build = NULL;
		spin_unlock_bh(&call->lock);
		atomic_dec(&build->inflight);
		release_memory(build, rq);
	}
	return err;
}

/*
 * Tries the other paths in their order, each once, when one has refused a call. What is too long for
 * one is so for all.
 */
static int send_elsewhere(struct ibtrs_session *sess, u32 k, bool again, struct build *refused,
			  int err)
{
	struct ibtrs_path *path;
	struct build *build;

	list_for_each_entry_rcu(path, &sess->paths, entry) {
		if (!err || err == -EMSGSIZE)
			break;
		build = rcu_dereference(path->build);
		if (build && build != refused)
			err = send_call(build, k, again);
	}
	return err;
}

/**
 * call_dispatch - send a call over the path that the policy prefers
 * @sess:	session
 * @k:		permit, whose call has a request
 * @again:	it was sent before, over a path that is lost; else its caller is asked whether it is
 * still to be sent
 *
 * Return: 0 if it was sent; then it is completed by its answer, or by the failover of its path.
 * -ECONNABORTED if there is no path.
 */
int call_dispatch(struct ibtrs_session *sess, u32 k, bool again)
{
	struct ibtrs_request *rq = sess->calls[k].rq;
	struct build *build;
	int err = -ECONNABORTED;

	rcu_read_lock();
	build = pick(sess);
	if (build && !again && rq->still && !rq->still(rq))
		err = -ENOTCONN;
	else if (build)
		err = send_elsewhere(sess, k, again, build, send_call(build, k, again));
	rcu_read_unlock();
	return err;
}

/* Permits */

static int take_permit(struct ibtrs_session *sess)
{
	unsigned long k;

	do {
		k = find_first_zero_bit(sess->permits, sess->queue_depth);
		if (k >= sess->queue_depth)
			return -EBUSY;
	} while (test_and_set_bit_lock(k, sess->permits));
	return k;
}

/**
 * ibtrs_submit - send a request
 * @sess:	session
 * @rq:		request
 * @wait:	for a permit, if all are in use; needs process context
 *
 * Return: 0 if the request is under way, and will be completed by its callback. Else it is still
 * the caller's: -EBUSY if there is no permit, -ECONNABORTED if no path is connected, -ENOTCONN if
 * it is not to be sent any more, -EMSGSIZE or -EINVAL if it cannot be sent in this form.
 */
int ibtrs_submit(struct ibtrs_session *sess, struct ibtrs_request *rq, bool wait)
{
	int k, err;

	k = take_permit(sess);
	if (k < 0 && wait)
		wait_event(sess->permit_wait, (k = take_permit(sess)) >= 0);
	if (k < 0)
		return k;
	sess->calls[k].rq = rq;
	err = call_dispatch(sess, k, false);
	if (err) {
		sess->calls[k].state = CALL_FREE;
		sess->calls[k].rq = NULL;
		clear_bit_unlock(k, sess->permits);
		wake_up(&sess->permit_wait);
	}
	return err;
}
EXPORT_SYMBOL_GPL(ibtrs_submit);

/* Completions of our own work */

void con_send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct client_con *con = cq->cq_context;

	if (wc->status != IB_WC_SUCCESS)
		build_fail(con->build, -ECONNRESET, ib_wc_status_msg(wc->status));
	else
		ibtrs_con_carries(&con->con);
}

/* Whether a call is in flight on a build, and in this state. */
static bool in_flight(const struct call *call, const struct build *build, enum call_state state)
{
	lockdep_assert_held(&call->lock);
	return call->build == build && call->state == state;
}

void slot_send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct slot *slot = container_of(wc->wr_cqe, struct slot, send);
	struct build *build = slot->build;
	struct call *call = &build->sess->calls[slot - build->slots];

	if (wc->status != IB_WC_SUCCESS) {
		build_fail(build, -ECONNRESET, ib_wc_status_msg(wc->status));
		return;
	}
	ibtrs_con_carries(cq->cq_context);
	spin_lock(&call->lock);
	if (in_flight(call, build, CALL_ANSWERED)) {
		call_finish(build, call);
		return;
	}
	if (in_flight(call, build, CALL_SENT))
		call->send_done = true;
	spin_unlock(&call->lock);
}

void slot_inv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct slot *slot = container_of(wc->wr_cqe, struct slot, inv);
	struct build *build = slot->build;
	struct call *call = &build->sess->calls[slot - build->slots];

	if (wc->status != IB_WC_SUCCESS) {
		build_fail(build, -ECONNRESET, ib_wc_status_msg(wc->status));
		return;
	}
	ibtrs_con_carries(cq->cq_context);
	spin_lock(&call->lock);
	if (in_flight(call, build, CALL_ANSWERED))
		call_finish(build, call);
	else
		spin_unlock(&call->lock);
}

/* Answers */

static void invalidate(struct client_con *con, struct slot *slot)
{
	struct ib_send_wr wr = {
		.wr_cqe = &slot->inv,
		.opcode = IB_WR_LOCAL_INV,
		.send_flags = IB_SEND_SIGNALED,
		.ex.invalidate_rkey = slot->mr->rkey,
	};

	if (ib_post_send(con->con.id->qp, &wr, NULL))
		build_fail(con->build, -ECONNRESET, "cannot post an invalidation");
}

/*
 * A response. The memory of a read is the caller's again when its key is invalid: the server has
 * seen to that, which the SEND in front of the response has shown, or we do. One that was not asked
 * for is ignored (Clauses IBTRS-IMM-009 and -010).
 */
static void answered(struct client_con *con, u32 payload, bool invalidated)
{
	struct build *build = con->build;
	u32 k = FIELD_GET(IBTRS_IMM_ID, payload);
	struct call *call;

	if (k >= build->queue_depth) {
		pr_warn_ratelimited("ibtrs_client: %s: response for chunk %u of %u\n",
				    build->sess->name, k, build->queue_depth);
		return;
	}
	call = &build->sess->calls[k];
	spin_lock(&call->lock);
	if (!in_flight(call, build, CALL_SENT)) {
		spin_unlock(&call->lock);
		pr_warn_ratelimited(
			"ibtrs_client: %s: response for chunk %u, which has no request\n",
			build->sess->name, k);
		return;
	}
	call->state = CALL_ANSWERED;
	call->err = -(int)FIELD_GET(IBTRS_IMM_ERRNO, payload);
	if (call->rq->direction == IBTRS_READ && call->rq->data_len &&
	    !(invalidated && con->invalidated == build->slots[k].mr->rkey)) {
		spin_unlock(&call->lock);
		invalidate(con, &build->slots[k]);
	} else if (call->send_done) {
		call_finish(build, call);
	} else {
		spin_unlock(&call->lock);
	}
}

static void protocol_error(struct client_con *con, const char *what)
{
	build_fail(con->build, -EPROTO, what);
}

static void take_immediate(struct client_con *con, struct ib_wc *wc)
{
	struct build *build = con->build;
	u32 imm = be32_to_cpu(wc->ex.imm_data);

	switch (FIELD_GET(IBTRS_IMM_TYPE, imm)) {
	case IBTRS_IMM_RESPONSE:
	case IBTRS_IMM_RESPONSE_INVALIDATED:
		if (build->key_refresh)
			protocol_error(con, "response without a key");
		else
			answered(con, imm,
				 FIELD_GET(IBTRS_IMM_TYPE, imm) == IBTRS_IMM_RESPONSE_INVALIDATED);
		break;
	case IBTRS_IMM_HEARTBEAT:
		if (ibtrs_post_empty_write(&build->cons[0].con, &build->cons[0].con.beat,
					   ibtrs_imm(IBTRS_IMM_HEARTBEAT_ACK, 0)))
			build_fail(build, -ECONNRESET, "cannot acknowledge a heartbeat");
		break;
	case IBTRS_IMM_HEARTBEAT_ACK:
		ibtrs_heartbeat_acknowledged(&build->heartbeat);
		break;
	}
}

/* The new key is stored before the permit is free (Clause IBTRS-INV-007). */
static void take_key(struct client_con *con, struct ib_wc *wc, const struct ibtrs_key_response *key)
{
	struct build *build = con->build;
	u32 imm = be32_to_cpu(wc->ex.imm_data);
	u32 type = FIELD_GET(IBTRS_IMM_TYPE, imm);
	u16 chunk = le16_to_cpu(key->chunk);

	if (!build->key_refresh || wc->byte_len < sizeof(*key) ||
	    le16_to_cpu(key->type) != IBTRS_MSG_KEY_RESPONSE || chunk >= build->queue_depth) {
		protocol_error(con, "malformed key response");
		return;
	}
	if (type != IBTRS_IMM_RESPONSE && type != IBTRS_IMM_RESPONSE_INVALIDATED)
		return;
	if (FIELD_GET(IBTRS_IMM_ID, imm) != chunk) {
		protocol_error(con, "key response for another chunk");
		return;
	}
	build->chunks[chunk].rkey = le32_to_cpu(key->rkey);
	answered(con, imm, type == IBTRS_IMM_RESPONSE_INVALIDATED);
}

/* Whatever has come: a SEND that invalidates a key or brings one, or immediate data. */
static void take(struct client_con *con, struct ib_wc *wc, const struct ibtrs_key_response *key)
{
	if (wc->opcode == IB_WC_RECV_RDMA_WITH_IMM)
		take_immediate(con, wc);
	else if (wc->wc_flags & IB_WC_WITH_INVALIDATE)
		con->invalidated = wc->ex.invalidate_rkey;
	else if (wc->wc_flags & IB_WC_WITH_IMM && key)
		take_key(con, wc, key);
	else
		protocol_error(con, "unexpected SEND");
}

static bool received(struct client_con *con, struct ib_wc *wc)
{
	if (wc->status != IB_WC_SUCCESS) {
		build_fail(con->build, -ECONNRESET, ib_wc_status_msg(wc->status));
		return false;
	}
	ibtrs_heartbeat_heard(&con->build->heartbeat);
	return true;
}

void con_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct client_con *con = cq->cq_context;

	if (!received(con, wc))
		return;
	if (ibtrs_post_empty_recv(&con->con, &con->recv))
		build_fail(con->build, -ECONNRESET, "cannot post a receive");
	take(con, wc, NULL);
}

void key_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct client_con *con = cq->cq_context;
	struct build *build = con->build;
	u32 i = container_of(wc->wr_cqe, struct key_recv, cqe) - con->key_recvs;
	u64 dma = con->keys_dma + i * sizeof(*con->keys);
	struct ibtrs_key_response key;

	if (!received(con, wc))
		return;
	ib_dma_sync_single_for_cpu(build->dev, dma, sizeof(key), DMA_FROM_DEVICE);
	key = con->keys[i];
	ib_dma_sync_single_for_device(build->dev, dma, sizeof(key), DMA_FROM_DEVICE);
	if (ibtrs_post_recv(&con->con, &con->key_recvs[i].cqe, build->pd, dma, sizeof(key)))
		build_fail(build, -ECONNRESET, "cannot post a receive");
	take(con, wc, &key);
}

/* Failover */

/* Drops the lock. */
static void resend(struct build *build, struct call *call) __releases(&call->lock)
{
	struct ibtrs_session *sess = build->sess;
	u32 k = call - sess->calls;
	int err;

	release_memory(build, call->rq);
	atomic_dec(&build->inflight);
	call->build = NULL;
	spin_unlock(&call->lock);
	err = call_dispatch(sess, k, true);
	if (err) {
		spin_lock(&call->lock);
		call_end(sess, call, err);
	}
}

/**
 * calls_failover - deal with what a lost build had in flight, in the order of the permits
 * @build:	drained: no completion of it is handled any more
 * @writes:	calls that write; else the others, and those that were answered
 *
 * A call that was answered ends with its answer. Any other goes to another path, or fails if there
 * is none.
 */
void calls_failover(struct build *build, bool writes)
{
	struct call *call;
	u32 k;

	if (!build->slots)
		return;
	local_bh_disable();
	for (k = 0; k < build->queue_depth; k++) {
		call = &build->sess->calls[k];
		spin_lock(&call->lock);
		if (in_flight(call, build, CALL_ANSWERED))
			call_finish(build, call);
		else if (in_flight(call, build, CALL_SENT) &&
			 (call->rq->direction == IBTRS_WRITE) == writes)
			resend(build, call);
		else
			spin_unlock(&call->lock);
	}
	local_bh_enable();
}
