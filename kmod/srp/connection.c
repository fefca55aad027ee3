// SPDX-License-Identifier: GPL-2.0
/* Connections: making one, its failure, and taking it apart. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include <rdma/ib_cm.h>

#include "srp.h"

/* Waits */

static bool interrupted(struct srp_conn *conn)
{
	return conn->interruptible && signal_pending(current);
}

static bool ended(struct srp_conn *conn)
{
	return READ_ONCE(conn->err) || interrupted(conn);
}

static unsigned long time_left(struct srp_conn *conn)
{
	unsigned long now = jiffies;

	return time_before(now, conn->deadline) ? conn->deadline - now : 0;
}

static u32 ms_left(struct srp_conn *conn)
{
	return max(jiffies_to_msecs(time_left(conn)), 1U);
}

/* What a handler has stored before is seen by who finds the step reached. */
static void tell_step(struct srp_channel *ch, int step)
{
	smp_store_release(&ch->step, step); /* pairs with at_step() */
	wake_up_all(&ch->conn->wait);
}

static bool at_step(struct srp_channel *ch, int step)
{
	return smp_load_acquire(&ch->step) == step; /* pairs with tell_step() */
}

/* Waits for a step of the connection manager, until the attempt fails or lasts too long. */
static int await_step(struct srp_channel *ch, int step)
{
	struct srp_conn *conn = ch->conn;

	if (conn->interruptible)
		wait_event_interruptible_timeout(conn->wait, at_step(ch, step) || ended(conn),
						 time_left(conn));
	else
		wait_event_timeout(conn->wait, at_step(ch, step) || ended(conn), time_left(conn));
	if (READ_ONCE(conn->err))
		return conn->err;
	if (at_step(ch, step))
		return 0;
	if (interrupted(conn))
		return -EINTR;
	return step == RDMA_CM_EVENT_ESTABLISHED ? -EHOSTUNREACH : -ENXIO;
}

/**
 * srp_conn_fail - a connection, or the attempt to make it, cannot go on
 * @conn:	connection
 * @err:	why, for the port's last_error
 * @why:	the same in words, for the log
 *
 * May be called in any context, and often; the first call counts. The port takes the connection
 * apart in its own time.
 */
void srp_conn_fail(struct srp_conn *conn, int err, const char *why)
{
	struct srp_port *port = conn->port;

	if (cmpxchg(&conn->err, 0, err))
		return;
	complete(&conn->tm.done);
	if (smp_load_acquire(&conn->ready)) { /* pairs with attach() */
		dev_warn(&port->host->shost_gendev, "connection lost: %s\n", why);
		queue_work(srp_wq, &port->loss_work);
	}
	wake_up_all(&conn->wait);
}

/* Events of the connection manager */

/* What a command needs at least: one descriptor, or a list of all pieces where none is registered. */
static u32 shortest_limit(struct srp_conn *conn)
{
	u32 list = sizeof(struct srp_indirect) +
		   conn->port->host->sg_tablesize * sizeof(struct srp_desc);

	return sizeof(struct srp_cmd) + SRP_MAX_CDB - SRP_CDB_LENGTH +
	       (srp_def.never_register ? list : sizeof(struct srp_desc));
}

static void check_login(struct srp_channel *ch, const struct rdma_conn_param *param)
{
	const struct srp_login_rsp *rsp = param->private_data;
	struct srp_conn *conn = ch->conn;
	u32 it, ti;

	if (!rsp || param->private_data_len < sizeof(*rsp) || rsp->type != SRP_LOGIN_RSP) {
		srp_conn_fail(conn, -ECONNRESET, "the answer to the login is no SRP_LOGIN_RSP");
		return;
	}
	ch->credits = (s32)be32_to_cpu(rsp->delta);
	it = be32_to_cpu(rsp->it_length);
	ti = be32_to_cpu(rsp->ti_length);
	ch->imm = rsp->flags & SRP_IMMEDIATE;
	ch->max_iu = min(it, conn->iu_size);
	if (ch->credits < 2)
		srp_conn_fail(conn, -ECONNRESET, "a request limit below 2 leaves none for task management");
	else if (ch->max_iu < shortest_limit(conn))
		srp_conn_fail(conn, -ECONNRESET, "the target takes no unit as long as a command");
	else if (ti > conn->recv_size)
		srp_conn_fail(conn, -ECONNRESET, "the target sends longer units than there is room for");
}

static void rejected(struct srp_channel *ch, struct rdma_cm_event *event)
{
	struct srp_conn *conn = ch->conn;
	const struct srp_login_rej *rej;
	u8 length;

	ch->rej_cm = event->status;
	rej = rdma_consumer_reject_data(ch->id, event, &length);
	if (rej && length >= sizeof(*rej) && rej->type == SRP_LOGIN_REJ) {
		conn->reject = be32_to_cpu(rej->reason);
		pr_info("login rejected: reason 0x%08x\n", conn->reject);
	} else if (rej) {
		pr_info("login rejected, by what is no SRP_LOGIN_REJ\n");
	} else {
		pr_info("login rejected: %s\n", rdma_reject_msg(ch->id, event->status));
	}
	srp_conn_fail(conn, -ECONNRESET, "rejected");
}

static int cm_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct srp_channel *ch = id->context;
	struct srp_conn *conn = ch->conn;

	switch (event->event) {
	case RDMA_CM_EVENT_ESTABLISHED:
		ch->heard = jiffies;
		check_login(ch, &event->param.conn);
		fallthrough;
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		tell_step(ch, event->event);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
		srp_conn_fail(conn, -ENXIO, rdma_event_msg(event->event));
		break;
	case RDMA_CM_EVENT_UNREACHABLE:
		srp_conn_fail(conn, -EHOSTUNREACH, rdma_event_msg(event->event));
		break;
	case RDMA_CM_EVENT_REJECTED:
		rejected(ch, event);
		break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		srp_conn_fail(conn, -ENODEV, "the RDMA device is removed");
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		WRITE_ONCE(ch->disconnected, true);
		wake_up_all(&conn->wait);
		srp_conn_fail(conn, -ECONNRESET, "disconnected by the target");
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		break;
	default:
		srp_conn_fail(conn, -ECONNRESET, rdma_event_msg(event->event));
	}
	/* The identifier is destroyed by channel_destroy(), never by returning an error here. */
	return 0;
}

/* Buffers */

static void free_buf(struct srp_conn *conn, void *buf, u64 dma, size_t size,
		     enum dma_data_direction dir)
{
	if (!buf)
		return;
	ib_dma_unmap_single(conn->dev, dma, size, dir);
	kfree(buf);
}

static void *alloc_buf(struct srp_conn *conn, u64 *dma, size_t size, enum dma_data_direction dir)
{
	void *buf = kzalloc(size, GFP_KERNEL);

	if (!buf)
		return NULL;
	*dma = ib_dma_map_single(conn->dev, buf, size, dir);
	if (ib_dma_mapping_error(conn->dev, *dma)) {
		kfree(buf);
		return NULL;
	}
	return buf;
}

/* How much of a request is in a slot's buffer: everything but immediate data. */
static size_t slot_size(struct srp_conn *conn)
{
	return sizeof(struct srp_cmd) + SRP_MAX_CDB - SRP_CDB_LENGTH + sizeof(struct srp_indirect) +
	       conn->port->params.cmd_sg_entries * sizeof(struct srp_desc);
}

static u32 mr_pages(struct srp_conn *conn)
{
	return conn->port->host->max_sectors * SECTOR_SIZE / SRP_PAGE_SIZE + 2;
}

static int alloc_slots(struct srp_conn *conn)
{
	u32 i;

	conn->slots = kvcalloc(conn->depth, sizeof(*conn->slots), GFP_KERNEL);
	if (!conn->slots)
		return -ENOMEM;
	for (i = 0; i < conn->depth; i++) {
		struct srp_slot *slot = &conn->slots[i];

		srp_slot_init(slot);
		slot->buf = alloc_buf(conn, &slot->dma, slot_size(conn), DMA_TO_DEVICE);
		if (!slot->buf)
			return -ENOMEM;
		if (conn->pd->flags & IB_PD_UNSAFE_GLOBAL_RKEY)
			continue;
		slot->mr = ib_alloc_mr(conn->pd, IB_MR_TYPE_MEM_REG, mr_pages(conn));
		if (IS_ERR(slot->mr)) {
			int err = PTR_ERR(slot->mr);

			slot->mr = NULL;
			return err;
		}
	}
	conn->tm.iu = alloc_buf(conn, &conn->tm.dma, sizeof(*conn->tm.iu), DMA_TO_DEVICE);
	return conn->tm.iu ? 0 : -ENOMEM;
}

static void free_slots(struct srp_conn *conn)
{
	u32 i;

	for (i = 0; conn->slots && i < conn->depth; i++) {
		struct srp_slot *slot = &conn->slots[i];

		if (slot->mr)
			ib_dereg_mr(slot->mr);
		free_buf(conn, slot->buf, slot->dma, slot_size(conn), DMA_TO_DEVICE);
	}
	free_buf(conn, conn->tm.iu, conn->tm.dma, sizeof(*conn->tm.iu), DMA_TO_DEVICE);
	kvfree(conn->slots);
}

static u32 recv_count(struct srp_conn *conn)
{
	return conn->depth + 3;	/* task management, a ping, a request of the target */
}

static int alloc_channel(struct srp_channel *ch)
{
	struct srp_conn *conn = ch->conn;
	int i;

	ch->recvs = kvcalloc(recv_count(conn), sizeof(*ch->recvs), GFP_KERNEL);
	if (!ch->recvs)
		return -ENOMEM;
	for (i = 0; i < recv_count(conn); i++) {
		ch->recvs[i].cqe.done = srp_recv_done;
		ch->recvs[i].buf = alloc_buf(conn, &ch->recvs[i].dma, conn->recv_size,
					     DMA_FROM_DEVICE);
		if (!ch->recvs[i].buf)
			return -ENOMEM;
	}
	for (i = 0; i < SRP_ANSWERS; i++) {
		ch->answers[i].iu = alloc_buf(conn, &ch->answers[i].dma, sizeof(struct srp_short),
					      DMA_TO_DEVICE);
		if (!ch->answers[i].iu)
			return -ENOMEM;
	}
	ch->ping.iu = alloc_buf(conn, &ch->ping.dma, sizeof(*ch->ping.iu), DMA_TO_DEVICE);
	return ch->ping.iu ? 0 : -ENOMEM;
}

static void free_channel(struct srp_channel *ch)
{
	struct srp_conn *conn = ch->conn;
	int i;

	for (i = 0; ch->recvs && i < recv_count(conn); i++)
		free_buf(conn, ch->recvs[i].buf, ch->recvs[i].dma, conn->recv_size,
			 DMA_FROM_DEVICE);
	for (i = 0; i < SRP_ANSWERS; i++)
		free_buf(conn, ch->answers[i].iu, ch->answers[i].dma, sizeof(struct srp_short),
			 DMA_TO_DEVICE);
	free_buf(conn, ch->ping.iu, ch->ping.dma, sizeof(*ch->ping.iu), DMA_TO_DEVICE);
	ch->ping.iu = NULL;
	kvfree(ch->recvs);
}

/* Channels */

static void probe_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_channel *ch = cq->cq_context;

	if (wc->status == IB_WC_SUCCESS)
		ch->heard = jiffies;
	else
		srp_conn_fail(ch->conn, -ECONNRESET, ib_wc_status_msg(wc->status));
	WRITE_ONCE(ch->probing, false);
}

static void bye_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_channel *ch = cq->cq_context;

	complete(&ch->said_bye);
}

static int create_qp(struct srp_channel *ch, int index)
{
	struct srp_conn *conn = ch->conn;
	u32 sends = 3 * conn->depth + SRP_ANSWERS + 4, recvs = recv_count(conn);
	struct ib_qp_init_attr attr = {
		.qp_type = IB_QPT_RC,
		.sq_sig_type = IB_SIGNAL_REQ_WR,
		.cap = {
			.max_send_wr = sends + 1,
			.max_recv_wr = recvs + 1,
			.max_send_sge = 1 + SRP_IMM_SGES,
			.max_recv_sge = 1,
		},
	};
	int vector = (conn->port->params.comp_vector + index) % conn->dev->num_comp_vectors;
	int err;

	ch->cq = ib_alloc_cq(conn->dev, ch, sends + recvs + 2, vector, IB_POLL_SOFTIRQ);
	if (IS_ERR(ch->cq)) {
		err = PTR_ERR(ch->cq);
		ch->cq = NULL;
		return err;
	}
	attr.send_cq = ch->cq;
	attr.recv_cq = ch->cq;
	return rdma_create_qp(ch->id, conn->pd, &attr);
}

/* What all channels share, once the first has found its device. */
static int prepare(struct srp_conn *conn, struct rdma_cm_id *id)
{
	struct srp_port *port = conn->port;
	union ib_gid gid;
	int err;

	if (strcmp(dev_name(&id->device->dev), port->ib_name) || id->port_num != port->ib_port)
		return -ENODEV;
	spin_lock_irq(&srp_lists);
	conn->dev = id->device;
	conn->port_num = id->port_num;
	spin_unlock_irq(&srp_lists);
	/* Whoever marks the device as removed looks at the list afterwards. */
	if (!srp_device_usable(port->ib_name))
		return -ENODEV;
	err = rdma_query_gid(conn->dev, conn->port_num, 0, &gid);
	if (err)
		return err;
	port->sgid = gid;
	conn->pd = ib_alloc_pd(conn->dev, srp_def.never_register ? IB_PD_UNSAFE_GLOBAL_RKEY : 0);
	if (IS_ERR(conn->pd)) {
		err = PTR_ERR(conn->pd);
		conn->pd = NULL;
		return err;
	}
	return alloc_slots(conn);
}

static void put_port_id(u8 *id, u64 ext, u64 guid, u16 io_class)
{
	bool swapped = io_class == 0xff00;

	put_unaligned_be64(swapped ? guid : ext, id);
	put_unaligned_be64(swapped ? ext : guid, id + 8);
}

static int send_login(struct srp_channel *ch, int index)
{
	struct srp_conn *conn = ch->conn;
	struct srp_port *port = conn->port;
	struct srp_params *p = &port->params;
	struct srp_login_req req = {
		.formats = cpu_to_be16(SRP_BUF_DIRECT | SRP_BUF_INDIRECT),
		.flags = index ? SRP_MULTICHAN_MULTI : SRP_MULTICHAN_SINGLE,
		.type = SRP_LOGIN_REQ,
		.it_length = cpu_to_be32(conn->iu_size),
	};
	struct rdma_conn_param param = {
		.private_data = &req,
		.private_data_len = sizeof(req),
		.responder_resources = min_t(int, SRP_READ_DEPTH, conn->dev->attrs.max_qp_rd_atom),
		.flow_control = 1,
		.retry_count = p->retry_count,
		.rnr_retry_count = SRP_RNR_FOR_EVER,
	};

	if (srp_def.use_imm_data) {
		req.flags |= SRP_IMMEDIATE;
		req.imm_offset = cpu_to_be16(SRP_IMM_OFFSET);
	}
	put_port_id(port->initiator_id, p->initiator_ext,
		    be64_to_cpu(port->sgid.global.interface_id), p->io_class);
	put_port_id(port->target_id, p->id_ext, p->ioc_guid, p->io_class);
	memcpy(req.initiator_port, port->initiator_id, sizeof(req.initiator_port));
	memcpy(req.target_port, port->target_id, sizeof(req.target_port));
	return rdma_connect(ch->id, &param);
}

static int resolve(struct srp_channel *ch)
{
	struct srp_conn *conn = ch->conn;
	struct srp_params *p = &conn->port->params;
	int err;

	ch->id = rdma_create_id(&init_net, cm_event, ch, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(ch->id)) {
		err = PTR_ERR(ch->id);
		ch->id = NULL;
		return err;
	}
	if (p->ack_timeout)
		rdma_set_ack_timeout(ch->id, p->ack_timeout);
	err = rdma_resolve_addr(ch->id, p->has_src ? (struct sockaddr *)&p->src : NULL,
				(struct sockaddr *)&p->dst, min(ms_left(conn), SRP_RESOLVE_MS));
	err = err ?: await_step(ch, RDMA_CM_EVENT_ADDR_RESOLVED);
	if (err)
		return err;
	err = rdma_resolve_route(ch->id, ms_left(conn));
	return err ?: await_step(ch, RDMA_CM_EVENT_ROUTE_RESOLVED);
}

static int post_recvs(struct srp_channel *ch)
{
	int i, err = 0;

	for (i = 0; i < recv_count(ch->conn) && !err; i++)
		err = srp_post_recv(ch, &ch->recvs[i]);
	return err;
}

static void init_channel(struct srp_conn *conn, struct srp_channel *ch)
{
	ch->conn = conn;
	ch->step = -1;
	spin_lock_init(&ch->lock);
	srp_ping_init(&ch->ping);
	ch->probe.done = probe_done;
	ch->bye.done = bye_done;
	init_completion(&ch->said_bye);
	ch->heard = jiffies;
	ch->answered = jiffies;
}

static int connect_channel(struct srp_conn *conn, int index)
{
	struct srp_channel *ch = &conn->channels[index];
	int err;

	err = resolve(ch);
	if (!err && !index)
		err = prepare(conn, ch->id);
	if (!err && ch->id->device != conn->dev)
		err = -ENODEV;
	err = err ?: alloc_channel(ch);
	err = err ?: create_qp(ch, index);
	err = err ?: post_recvs(ch);
	err = err ?: send_login(ch, index);
	return err ?: await_step(ch, RDMA_CM_EVENT_ESTABLISHED);
}

static void channel_destroy(struct srp_channel *ch)
{
	if (ch->id && ch->id->qp)
		rdma_destroy_qp(ch->id);
	if (ch->cq)
		ib_free_cq(ch->cq);
	ch->cq = NULL;
	if (ch->conn->dev)
		free_channel(ch);
	ch->recvs = NULL;
	memset(ch->answers, 0, sizeof(ch->answers));
}

static struct srp_conn *alloc_conn(struct srp_port *port, bool interruptible)
{
	struct srp_conn *conn = kzalloc(sizeof(*conn), GFP_KERNEL);
	int i;

	if (!conn)
		return NULL;
	conn->port = port;
	conn->interruptible = interruptible;
	conn->nr_channels = port->params.channels;
	conn->depth = port->params.queue_size;
	conn->iu_size = port->params.max_iu;
	conn->recv_size = max_t(u32, SRP_MIN_RECV, conn->iu_size);
	conn->deadline = jiffies + msecs_to_jiffies(srp_def.attempt_ms);
	init_waitqueue_head(&conn->wait);
	srp_tm_init(&conn->tm);
	conn->channels = kcalloc(conn->nr_channels, sizeof(*conn->channels), GFP_KERNEL);
	if (!conn->channels) {
		kfree(conn);
		return NULL;
	}
	for (i = 0; i < conn->nr_channels; i++)
		init_channel(conn, &conn->channels[i]);
	spin_lock_irq(&srp_lists);
	list_add_tail(&conn->entry, &srp_conns);
	spin_unlock_irq(&srp_lists);
	return conn;
}

/*
 * A further channel that the target refuses is done without: the first login decides how many there
 * are, and a target that has fewer resources later is better than none.
 */
static bool do_without(struct srp_conn *conn, int index, int err)
{
	struct srp_channel *ch = &conn->channels[index];
	struct rdma_cm_id *id = ch->id;

	if (!index || err != -ECONNRESET || !ch->rej_cm)
		return false;
	channel_destroy(ch);
	ch->id = NULL;
	rdma_destroy_id(id);
	conn->nr_channels = index;
	/* Another channel may have failed meanwhile; its error would come back with the first use. */
	WRITE_ONCE(conn->err, 0);
	return true;
}

/**
 * srp_connect - log in to a target
 * @port:		which to connect; holds the gate
 * @interruptible:	a signal ends the attempt
 *
 * No lock is held, and the attempt ends as soon as somebody lets it fail (srp_conn_fail()).
 *
 * Return: a connection that no command uses yet, or an error of which the log tells more; -EAGAIN if the
 * target has found that the request is one of long ago (Clause SRP-LOGIN-034).
 */
struct srp_conn *srp_connect(struct srp_port *port, bool interruptible)
{
	struct srp_conn *conn = alloc_conn(port, interruptible);
	int i, err = 0;

	if (!conn)
		return ERR_PTR(-ENOMEM);
	mutex_lock(&port->mutex);
	port->attempt = conn;
	if (port->removing)
		conn->err = -ECANCELED;
	mutex_unlock(&port->mutex);
	for (i = 0; i < conn->nr_channels; i++) {
		err = READ_ONCE(conn->err) ?: connect_channel(conn, i);
		if (err && !do_without(conn, i, err))
			break;
		if (!err)
			conn->used++;
		err = 0;
	}
	mutex_lock(&port->mutex);
	port->attempt = NULL;
	mutex_unlock(&port->mutex);
	port->last_reject = conn->reject;
	port->last_error = err;
	if (err == -ECONNRESET && conn->channels[0].rej_cm == IB_CM_REJ_STALE_CONN)
		err = -EAGAIN;
	if (!err)
		return conn;
	srp_conn_destroy(conn);
	return ERR_PTR(err);
}

/**
 * srp_conn_close - end all work of a connection
 * @conn:	no new command comes, because the port does not have it any more
 *
 * Afterwards the target reaches no memory through it, and no completion is, or will be, handled.
 */
void srp_conn_close(struct srp_conn *conn)
{
	int i;

	for (i = 0; i < conn->nr_channels; i++) {
		struct srp_channel *ch = &conn->channels[i];

		spin_lock_irq(&ch->lock);
		ch->closed = true;
		spin_unlock_irq(&ch->lock);
		if (ch->id && ch->id->qp)
			ib_drain_qp(ch->id->qp);
	}
}

/* Says good-bye, where there is somebody to hear it, and waits for a bounded time. */
static void log_out(struct srp_channel *ch)
{
	struct srp_answer *answer = &ch->answers[0];
	struct ib_sge sge;
	struct ib_send_wr wr = {
		.wr_cqe = &ch->bye,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};

	spin_lock_irq(&ch->lock);
	ch->closed = true;
	spin_unlock_irq(&ch->lock);
	/* The queue pair works as long as the device is being removed. */
	if ((READ_ONCE(ch->conn->err) && ch->conn->err != -ENODEV) || READ_ONCE(answer->busy))
		return;
	memset(answer->iu, 0, sizeof(*answer->iu));
	answer->iu->type = SRP_I_LOGOUT;
	ib_dma_sync_single_for_device(ch->conn->dev, answer->dma, sizeof(*answer->iu),
				      DMA_TO_DEVICE);
	sge = (struct ib_sge){ answer->dma, sizeof(*answer->iu), ch->conn->pd->local_dma_lkey };
	if (!ib_post_send(ch->id->qp, &wr, NULL))
		wait_for_completion_timeout(&ch->said_bye, msecs_to_jiffies(SRP_LOGOUT_MS));
}

static void disconnect(struct srp_conn *conn)
{
	int i;

	for (i = 0; i < conn->nr_channels; i++)
		if (conn->channels[i].id && conn->channels[i].id->qp)
			rdma_disconnect(conn->channels[i].id);
}

/**
 * srp_conn_log_out - end a connection in order
 * @conn:	has no commands any more, and gets none
 *
 * Neither the logout nor the answer to the disconnect is waited for longer than a second (Clause
 * SRP-LOGOUT-001).
 */
void srp_conn_log_out(struct srp_conn *conn)
{
	int i;

	for (i = 0; i < conn->used; i++)
		log_out(&conn->channels[i]);
	disconnect(conn);
	wait_event_timeout(conn->wait, READ_ONCE(conn->channels[0].disconnected),
			   msecs_to_jiffies(SRP_LOGOUT_MS));
}

/**
 * srp_conn_destroy - take a connection apart
 * @conn:	which; commands that were outstanding have been ended by srp_end_all(), after
 *		srp_conn_close()
 */
void srp_conn_destroy(struct srp_conn *conn)
{
	int i;

	disconnect(conn);
	srp_conn_close(conn);
	for (i = 0; i < conn->nr_channels; i++)
		channel_destroy(&conn->channels[i]);
	if (conn->dev)
		free_slots(conn);
	if (conn->pd)
		ib_dealloc_pd(conn->pd);
	for (i = 0; i < conn->nr_channels; i++)
		if (conn->channels[i].id)
			rdma_destroy_id(conn->channels[i].id);
	spin_lock_irq(&srp_lists);
	list_del(&conn->entry);
	spin_unlock_irq(&srp_lists);
	wake_up_all(&srp_conns_wait);
	kfree(conn->channels);
	kfree(conn);
}

/* Watching */

static bool overdue(unsigned long since, u32 ms)
{
	return time_after(jiffies, since + msecs_to_jiffies(ms));
}

/* A write of nothing needs no key and no credit, and completes when the target's adapter has it. */
static int post_probe(struct srp_channel *ch)
{
	struct ib_rdma_wr wr = {
		.wr = {
			.wr_cqe = &ch->probe,
			.opcode = IB_WR_RDMA_WRITE,
			.send_flags = IB_SEND_SIGNALED,
		},
	};
	int err;

	spin_lock_irq(&ch->lock);
	if (ch->closed) {
		spin_unlock_irq(&ch->lock);
		return 0;
	}
	WRITE_ONCE(ch->probing, true);
	ch->probed = jiffies;
	err = ib_post_send(ch->id->qp, &wr.wr, NULL);
	spin_unlock_irq(&ch->lock);
	return err;
}

static bool watch_channel(struct srp_channel *ch, u32 probe_ms, u32 deadline_ms)
{
	if (READ_ONCE(ch->probing)) {
		if (!overdue(ch->probed, deadline_ms))
			return true;
		srp_conn_fail(ch->conn, -ETIMEDOUT, "the target's adapter does not answer");
		return false;
	}
	if (probe_ms && overdue(READ_ONCE(ch->heard), probe_ms) && post_probe(ch)) {
		srp_conn_fail(ch->conn, -ECONNRESET, "a probe cannot be sent");
		return false;
	}
	return true;
}

/*
 * A command may take its time as long as the target answers something. Half the deadline before it would
 * be taken for lost, it is asked for what any target answers at once.
 */
static bool watch_command(struct srp_slot *slot, u32 deadline_ms)
{
	struct srp_channel *ch = slot->ch;
	unsigned long since;
	int err = 0;

	if (!READ_ONCE(slot->cmd))
		return true;
	since = READ_ONCE(slot->sent);
	if (time_after(READ_ONCE(ch->answered), since))
		since = ch->answered;
	if (overdue(since, deadline_ms))
		err = -ETIMEDOUT;
	else if (overdue(since, deadline_ms / 2))
		err = srp_send_ping(ch, ((struct srp_cmd *)slot->buf)->lun);
	if (err)
		srp_conn_fail(ch->conn, err, "the target does not answer");
	return !err;
}

/**
 * srp_conn_watch - look for what a queue pair does not tell
 * @conn:		connection
 * @probe_ms:		a channel that was not heard for so long is asked; 0 never
 * @deadline_ms:	what is not answered for so long means that the connection is lost
 *
 * Return: whether it is in order.
 */
bool srp_conn_watch(struct srp_conn *conn, u32 probe_ms, u32 deadline_ms)
{
	int i;

	for (i = 0; i < conn->used; i++)
		if (!watch_channel(&conn->channels[i], probe_ms, deadline_ms))
			return false;
	for (i = 0; i < conn->depth; i++)
		if (!watch_command(&conn->slots[i], deadline_ms))
			return false;
	return true;
}
