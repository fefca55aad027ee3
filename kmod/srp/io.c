// SPDX-License-Identifier: GPL-2.0
/* Commands: sending them, what the target answers, and how they end. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/unaligned.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_eh.h>
#include <scsi/scsi_tcq.h>

#include "srp.h"

#define TM_SLOT		0xffffffffU	/* in the tag of a task management function */
#define PING_SLOT	0xfffffffeU	/* in that of a ping */
#define NO_TASK		0xffffffffU

static u64 make_tag(u32 life, u32 index)
{
	return (u64)life << 32 | index;
}

/* Ends of commands */

static void unmap(struct srp_slot *slot, struct scsi_cmnd *cmd)
{
	if (slot->nents)
		ib_dma_unmap_sg(slot->ch->conn->dev, scsi_sglist(cmd), scsi_sg_count(cmd),
				slot->dir);
	slot->nents = 0;
}

/* Nothing of the device refers to the slot any more. */
static void finish(struct srp_slot *slot)
{
	struct srp_port *port = slot->ch->conn->port;
	struct scsi_cmnd *cmd = slot->ending;

	unmap(slot, cmd);
	slot->registered = false;
	smp_store_release(&slot->ending, NULL); /* pairs with slot_idle() */
	scsi_done(cmd);
	if (waitqueue_active(&port->idle))
		wake_up_all(&port->idle);
}

static bool slot_idle(struct srp_slot *slot)
{
	return !READ_ONCE(slot->cmd) && !smp_load_acquire(&slot->ending); /* pairs with finish() */
}

static void put_slot(struct srp_slot *slot)
{
	if (atomic_dec_and_test(&slot->waits))
		finish(slot);
}

/* Takes the key away from the target before its memory is given back (Clause SRP-DATA-004). */
static int post_invalidate(struct srp_slot *slot)
{
	struct ib_send_wr wr = {
		.wr_cqe = &slot->inv,
		.opcode = IB_WR_LOCAL_INV,
		.send_flags = IB_SEND_SIGNALED,
		.ex.invalidate_rkey = slot->mr->rkey,
	};

	return ib_post_send(slot->ch->id->qp, &wr, NULL);
}

/*
 * Begins to end a command, whose result has been set; the lock of the channel is held. A command with
 * memory that is registered ends with the completion of the invalidation, behind that of its SEND.
 * If that cannot be posted, the queue pair is dead, and the command is ended with all others.
 */
static struct scsi_cmnd *claim(struct srp_slot *slot)
{
	struct scsi_cmnd *cmd = slot->cmd;

	slot->ending = cmd;
	WRITE_ONCE(slot->cmd, NULL);
	return cmd;
}

/* Without the lock, for a command may end in it. */
static void release(struct srp_slot *slot)
{
	int err;

	if (!slot->registered) {
		put_slot(slot);
		return;
	}
	err = post_invalidate(slot);
	if (err)
		srp_conn_fail(slot->ch->conn, err, "an invalidation cannot be posted");
}

static void failed(struct srp_conn *conn, struct ib_wc *wc, const char *what)
{
	if (wc->status != IB_WC_WR_FLUSH_ERR && !READ_ONCE(conn->err))
		dev_warn(&conn->port->host->shost_gendev, "%s: %s\n", what,
			 ib_wc_status_msg(wc->status));
	srp_conn_fail(conn, -ECONNRESET, ib_wc_status_msg(wc->status));
}

/*
 * Completions with an error only let the connection fail: all commands are ended when its queue pairs
 * have been drained. A slot may be counted down by then, but nobody else looks at it any more.
 */
static void send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_slot *slot = container_of(wc->wr_cqe, struct srp_slot, send);
	struct srp_channel *ch = cq->cq_context;

	if (wc->status != IB_WC_SUCCESS) {
		failed(ch->conn, wc, "send of a command");
		return;
	}
	ch->heard = jiffies;
	put_slot(slot);
}

static void reg_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_channel *ch = cq->cq_context;

	if (wc->status != IB_WC_SUCCESS)
		failed(ch->conn, wc, "registration of memory");
}

static void inv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_slot *slot = container_of(wc->wr_cqe, struct srp_slot, inv);
	struct srp_channel *ch = cq->cq_context;

	if (wc->status != IB_WC_SUCCESS) {
		failed(ch->conn, wc, "invalidation of a key");
		return;
	}
	finish(slot);
}

void srp_slot_init(struct srp_slot *slot)
{
	slot->send.done = send_done;
	slot->reg.done = reg_done;
	slot->inv.done = inv_done;
}

/**
 * srp_end_all - end all commands of a connection
 * @conn:	closed, so that nobody else ends any
 * @result:	of those that the target has not answered
 */
void srp_end_all(struct srp_conn *conn, int result)
{
	u32 i;

	for (i = 0; i < conn->depth; i++) {
		struct srp_slot *slot = &conn->slots[i];

		if (slot->cmd) {
			slot->cmd->result = result;
			claim(slot);
		}
		if (slot->ending)
			finish(slot);
	}
}

/* Data buffers */

static void put_desc(struct srp_desc *desc, u64 addr, u32 key, u32 length)
{
	desc->addr = cpu_to_be64(addr);
	desc->key = cpu_to_be32(key);
	desc->length = cpu_to_be32(length);
}

static void put_format(struct srp_cmd *iu, enum dma_data_direction dir, u8 format, u8 count)
{
	if (dir == DMA_TO_DEVICE) {
		iu->formats = format << SRP_FMT_OUT_SHIFT;
		iu->out_count = count;
	} else {
		iu->formats = format;
		iu->in_count = count;
	}
}

/**
 * struct request_parts - what is posted for a command
 * @sges:	its unit, and immediate data
 * @nr_sges:	how many of them are used
 * @reg:	of memory, before it
 */
struct request_parts {
	struct ib_sge		sges[1 + SRP_IMM_SGES];
	int			nr_sges;
	struct ib_reg_wr	reg;
};

static bool fits_immediate(struct srp_channel *ch, struct scsi_cmnd *cmd, int nents)
{
	u32 length = scsi_bufflen(cmd);

	return ch->imm && cmd->sc_data_direction == DMA_TO_DEVICE && nents <= SRP_IMM_SGES &&
	       length <= srp_def.max_imm_data && SRP_IMM_OFFSET + length <= ch->max_iu;
}

static void put_immediate(struct srp_slot *slot, struct scsi_cmnd *cmd, int nents,
			  struct srp_cmd *iu, void *at, struct request_parts *parts)
{
	u32 lkey = slot->ch->conn->pd->local_dma_lkey;
	struct scatterlist *sg;
	int i;

	put_format(iu, DMA_TO_DEVICE, SRP_FMT_IMMEDIATE, 0);
	*(__be32 *)at = cpu_to_be32(scsi_bufflen(cmd));
	parts->sges[0].length = SRP_IMM_OFFSET; /* what is between is zero (Clause SRP-CMD-011) */
	for_each_sg(scsi_sglist(cmd), sg, nents, i)
		parts->sges[parts->nr_sges++] = (struct ib_sge){
			.addr = sg_dma_address(sg), .length = sg_dma_len(sg), .lkey = lkey,
		};
}

/* One region for the whole buffer, with a key that nobody has seen before. */
static int put_region(struct srp_slot *slot, struct scsi_cmnd *cmd, int nents, struct srp_cmd *iu,
		      void *at, struct request_parts *parts)
{
	struct ib_mr *mr = slot->mr;
	int n;

	ib_update_fast_reg_key(mr, ib_inc_rkey(mr->rkey));
	n = ib_map_mr_sg(mr, scsi_sglist(cmd), nents, NULL, SRP_PAGE_SIZE);
	if (n != nents)
		return n < 0 ? n : -EINVAL;
	parts->reg = (struct ib_reg_wr){
		.wr = { .wr_cqe = &slot->reg, .opcode = IB_WR_REG_MR },
		.mr = mr,
		.key = mr->rkey,
		.access = cmd->sc_data_direction == DMA_TO_DEVICE ?
			  IB_ACCESS_REMOTE_READ :
			  IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE,
	};
	slot->registered = true;
	put_format(iu, cmd->sc_data_direction, SRP_FMT_DIRECT, 0);
	put_desc(at, mr->iova, mr->rkey, mr->length);
	parts->sges[0].length += sizeof(struct srp_desc);
	return 0;
}

/* The global key is good for all memory, so each piece can be named as it is. */
static void put_pieces(struct srp_slot *slot, struct scsi_cmnd *cmd, int nents, struct srp_cmd *iu,
		       void *at, struct request_parts *parts)
{
	u32 key = slot->ch->conn->pd->unsafe_global_rkey;
	struct srp_indirect *list = at;
	struct scatterlist *sg;
	u32 size;
	int i;

	if (nents == 1) {
		sg = scsi_sglist(cmd);
		put_format(iu, cmd->sc_data_direction, SRP_FMT_DIRECT, 0);
		put_desc(at, sg_dma_address(sg), key, sg_dma_len(sg));
		parts->sges[0].length += sizeof(struct srp_desc);
		return;
	}
	size = nents * sizeof(struct srp_desc);
	put_format(iu, cmd->sc_data_direction, SRP_FMT_INDIRECT, nents);
	put_desc(&list->table, slot->dma + ((void *)list->entries - slot->buf), key, size);
	list->length = cpu_to_be32(scsi_bufflen(cmd));
	for_each_sg(scsi_sglist(cmd), sg, nents, i)
		put_desc(&list->entries[i], sg_dma_address(sg), key, sg_dma_len(sg));
	parts->sges[0].length += sizeof(*list) + size;
}

static int put_data(struct srp_slot *slot, struct scsi_cmnd *cmd, struct srp_cmd *iu, void *at,
		    struct request_parts *parts)
{
	struct srp_channel *ch = slot->ch;
	int nents;

	if (!scsi_sg_count(cmd) || cmd->sc_data_direction == DMA_NONE)
		return 0;
	nents = ib_dma_map_sg(ch->conn->dev, scsi_sglist(cmd), scsi_sg_count(cmd),
			      cmd->sc_data_direction);
	if (!nents)
		return -EIO;
	slot->nents = nents;
	slot->dir = cmd->sc_data_direction;
	if (fits_immediate(ch, cmd, nents))
		put_immediate(slot, cmd, nents, iu, at, parts);
	else if (slot->mr)
		return put_region(slot, cmd, nents, iu, at, parts);
	else
		put_pieces(slot, cmd, nents, iu, at, parts);
	return 0;
}

/* Requests */

static u32 put_command(struct srp_slot *slot, struct scsi_cmnd *cmd, u32 index)
{
	u32 more = cmd->cmd_len > SRP_CDB_LENGTH ? SRP_MAX_CDB - SRP_CDB_LENGTH : 0;
	struct srp_cmd *iu = slot->buf;

	/* Up to where immediate data or descriptors are written. */
	memset(iu, 0, sizeof(*iu) + SRP_MAX_CDB - SRP_CDB_LENGTH + sizeof(struct srp_indirect));
	slot->tag = make_tag(++slot->life, index);
	iu->type = SRP_CMD;
	iu->tag = slot->tag;
	int_to_scsilun(cmd->device->lun, (struct scsi_lun *)iu->lun);
	iu->more_cdb = more;
	memcpy(iu->cdb, cmd->cmnd, min_t(u32, cmd->cmd_len, SRP_CDB_LENGTH));
	if (more)
		memcpy(iu->more, cmd->cmnd + SRP_CDB_LENGTH, cmd->cmd_len - SRP_CDB_LENGTH);
	return sizeof(*iu) + more;
}

/* Posts a command if there is credit for it, and one more for task management. */
static int post_command(struct srp_slot *slot, struct scsi_cmnd *cmd, struct request_parts *parts)
{
	struct srp_channel *ch = slot->ch;
	struct ib_send_wr send = {
		.wr_cqe = &slot->send,
		.sg_list = parts->sges,
		.num_sge = parts->nr_sges,
		.opcode = IB_WR_SEND,
		/* The invalidation completes behind the SEND. */
		.send_flags = slot->registered ? 0 : IB_SEND_SIGNALED,
	};
	struct ib_send_wr *first = &send;
	unsigned long flags;
	int err;

	if (slot->registered) {
		parts->reg.wr.next = &send;
		first = &parts->reg.wr;
	}
	spin_lock_irqsave(&ch->lock, flags);
	if (ch->closed) {
		spin_unlock_irqrestore(&ch->lock, flags);
		return -ENOTCONN;
	}
	if (ch->credits < 2) {
		spin_unlock_irqrestore(&ch->lock, flags);
		return -EBUSY;
	}
	ch->credits--;
	slot->sent = jiffies;
	WRITE_ONCE(slot->cmd, cmd);
	err = ib_post_send(ch->id->qp, first, NULL);
	spin_unlock_irqrestore(&ch->lock, flags);
	/* A part may have been posted: the command ends with the connection. */
	if (err)
		srp_conn_fail(ch->conn, err, "a command cannot be posted");
	return 0;
}

static int send_command(struct srp_conn *conn, struct scsi_cmnd *cmd)
{
	u32 unique = blk_mq_unique_tag(scsi_cmd_to_rq(cmd));
	u32 index = blk_mq_unique_tag_to_tag(unique);
	struct srp_slot *slot = &conn->slots[index];
	struct request_parts parts;
	u32 length;
	int err;

	slot->ch = &conn->channels[blk_mq_unique_tag_to_hwq(unique) % conn->used];
	ib_dma_sync_single_for_cpu(conn->dev, slot->dma, sizeof(struct srp_cmd), DMA_TO_DEVICE);
	length = put_command(slot, cmd, index);
	parts.sges[0] = (struct ib_sge){ slot->dma, length, conn->pd->local_dma_lkey };
	parts.nr_sges = 1;
	err = put_data(slot, cmd, slot->buf, slot->buf + length, &parts);
	if (!err) {
		ib_dma_sync_single_for_device(conn->dev, slot->dma, parts.sges[0].length,
					      DMA_TO_DEVICE);
		/* The answer, and the acknowledge of the SEND unless the invalidation stands for it. */
		atomic_set(&slot->waits, slot->registered ? 1 : 2);
		err = post_command(slot, cmd, &parts);
	}
	if (err) {
		unmap(slot, cmd);
		slot->registered = false;
	}
	return err;
}

/* What becomes of a command for which there is no connection. */
static int refuse(struct srp_port *port, struct scsi_cmnd *cmd)
{
	switch (READ_ONCE(port->state)) {
	case SRP_FAIL_FAST:
		cmd->result = DID_TRANSPORT_FAILFAST << 16;
		break;
	case SRP_LOST:
		cmd->result = DID_NO_CONNECT << 16;
		break;
	default:
		return SCSI_MLQUEUE_HOST_BUSY; /* until the queues are blocked, or the port runs */
	}
	scsi_done(cmd);
	return 0;
}

int srp_queuecommand(struct Scsi_Host *host, struct scsi_cmnd *cmd)
{
	struct srp_port *port = host_port(host);
	struct srp_conn *conn;
	int err;

	rcu_read_lock(); /* the connection is taken apart a grace period after the port has lost it */
	conn = rcu_dereference(port->conn);
	err = conn ? send_command(conn, cmd) : -ENOTCONN;
	rcu_read_unlock();
	if (!err)
		return 0;
	if (err == -EBUSY) {
		port->zero_req_lim++;
		return SCSI_MLQUEUE_HOST_BUSY;
	}
	if (err == -ENOTCONN)
		return refuse(port, cmd);
	if (err == -EIO)
		return SCSI_MLQUEUE_HOST_BUSY;
	cmd->result = DID_ERROR << 16;
	scsi_done(cmd);
	return 0;
}

/* Units from the target */

int srp_post_recv(struct srp_channel *ch, struct srp_recv *recv)
{
	struct ib_sge sge = {
		.addr = recv->dma, .length = ch->conn->recv_size, .lkey = ch->conn->pd->local_dma_lkey,
	};
	struct ib_recv_wr wr = { .wr_cqe = &recv->cqe, .sg_list = &sge, .num_sge = 1 };

	return ib_post_recv(ch->id->qp, &wr, NULL);
}

/* The lock of the channel is held. A limit does not wrap (Clause SRP-CRED-014). */
static void add_credits(struct srp_channel *ch, __be32 delta)
{
	s64 sum = (s64)ch->credits + (s32)be32_to_cpu(delta);

	ch->credits = clamp_t(s64, sum, S32_MIN, S32_MAX);
}

/* A residual beyond the buffer means all of it. */
static void put_residual(struct scsi_cmnd *cmd, __be32 residual)
{
	scsi_set_resid(cmd, min(be32_to_cpu(residual), scsi_bufflen(cmd)));
}

/* Code of the response data; 0 if there are none, -1 if they are not whole. */
static int response_code(const struct srp_rsp *rsp, u32 length)
{
	if (!(rsp->flags & SRP_RSPVALID))
		return 0;
	if (be32_to_cpu(rsp->code_length) < SRP_CODE_LENGTH ||
	    length < sizeof(*rsp) + SRP_CODE_LENGTH)
		return -1;
	return rsp->data[SRP_CODE_LENGTH - 1];
}

static void put_result(struct scsi_cmnd *cmd, const struct srp_rsp *rsp, u32 length)
{
	u64 codes = rsp->flags & SRP_RSPVALID ? be32_to_cpu(rsp->code_length) : 0;
	u64 sense = rsp->flags & SRP_SNSVALID ? be32_to_cpu(rsp->sense_length) : 0;

	cmd->result = rsp->status;
	if (response_code(rsp, length))
		cmd->result = DID_ERROR << 16;
	if (sense && sizeof(*rsp) + codes + sense <= length)
		memcpy(cmd->sense_buffer, rsp->data + codes,
		       min_t(u64, sense, SCSI_SENSE_BUFFERSIZE));
	if (rsp->flags & SRP_DOUNDER)
		put_residual(cmd, rsp->out_residual);
	else if (rsp->flags & SRP_DIUNDER)
		put_residual(cmd, rsp->in_residual);
}

/* The slot that a tag names, if it is that of a command which is outstanding on the channel. */
static struct srp_slot *slot_of(struct srp_channel *ch, u64 tag)
{
	u32 index = lower_32_bits(tag);
	struct srp_slot *slot;

	if (index >= ch->conn->depth)
		return NULL;
	slot = &ch->conn->slots[index];
	return slot->cmd && slot->ch == ch && slot->tag == tag ? slot : NULL;
}

static void managed(struct srp_channel *ch, const struct srp_rsp *rsp, u32 length)
{
	struct srp_tm *tm = &ch->conn->tm;
	int code = response_code(rsp, length);

	if (!tm->busy || tm->tag != rsp->tag)
		return;
	tm->busy = false;
	tm->code = code < 0 ? 0xff : code;
	complete(&tm->done);
}

static void responded(struct srp_channel *ch, const struct srp_rsp *rsp, u32 length)
{
	struct srp_slot *slot;
	unsigned long flags;

	if (length < sizeof(*rsp)) {
		srp_conn_fail(ch->conn, -EPROTO, "a response is too short");
		return;
	}
	spin_lock_irqsave(&ch->lock, flags);
	add_credits(ch, rsp->delta);
	slot = slot_of(ch, rsp->tag);
	if (slot) {
		put_result(slot->cmd, rsp, length);
		claim(slot);
	} else if (lower_32_bits(rsp->tag) == TM_SLOT) {
		managed(ch, rsp, length);
	} else if (ch->ping.outstanding && rsp->tag == ch->ping.tag) {
		ch->ping.outstanding = false; /* whatever it says */
	} else {
		pr_info_ratelimited("a response has tag %#llx, which no command has\n", rsp->tag);
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	if (slot)
		release(slot);
}

static void answered(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_answer *answer = container_of(wc->wr_cqe, struct srp_answer, cqe);
	struct srp_channel *ch = cq->cq_context;

	if (wc->status != IB_WC_SUCCESS)
		failed(ch->conn, wc, "send of an answer");
	else
		WRITE_ONCE(answer->busy, false);
}

/* The lock of the channel is held. */
static struct srp_answer *free_answer(struct srp_channel *ch)
{
	int i;

	for (i = 0; i < SRP_ANSWERS; i++)
		if (!READ_ONCE(ch->answers[i].busy))
			return &ch->answers[i];
	return NULL;
}

/* Answers a request of the target. A target that asks on without awaiting answers breaks the rules. */
static void answer(struct srp_channel *ch, const struct srp_short *req, u8 type)
{
	struct ib_sge sge = { .length = sizeof(*req), .lkey = ch->conn->pd->local_dma_lkey };
	struct ib_send_wr wr = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};
	struct srp_answer *answer;
	unsigned long flags;
	int err = -EPROTO;

	spin_lock_irqsave(&ch->lock, flags);
	add_credits(ch, req->delta);
	answer = free_answer(ch);
	if (answer && !ch->closed) {
		memset(answer->iu, 0, sizeof(*answer->iu));
		answer->iu->type = type;
		answer->iu->tag = req->tag;
		answer->busy = true;
		answer->cqe.done = answered;
		ib_dma_sync_single_for_device(ch->conn->dev, answer->dma, sizeof(*req),
					      DMA_TO_DEVICE);
		wr.wr_cqe = &answer->cqe;
		sge.addr = answer->dma;
		err = ib_post_send(ch->id->qp, &wr, NULL);
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	if (err)
		srp_conn_fail(ch->conn, err, "a request of the target cannot be answered");
	queue_work(srp_wq, &ch->conn->port->kick_work);
}

static void received(struct srp_channel *ch, const void *iu, u32 length)
{
	const struct srp_short *req = iu;

	switch (*(const u8 *)iu) {
	case SRP_RSP:
		responded(ch, iu, length);
		break;
	case SRP_CRED_REQ:
		if (length >= sizeof(*req))
			answer(ch, req, SRP_CRED_RSP);
		break;
	case SRP_AER_REQ:
		if (length >= SRP_AER_REQ_LENGTH)
			answer(ch, req, SRP_AER_RSP);
		break;
	case SRP_T_LOGOUT:
		pr_info("the target logs out, reason %u\n",
			length >= sizeof(*req) ? be32_to_cpu(req->delta) : 0);
		srp_conn_fail(ch->conn, -ECONNRESET, "the target logs out");
		break;
	default:
		pr_warn_ratelimited("a unit of type %#x is ignored\n", req->type);
	}
}

void srp_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_recv *recv = container_of(wc->wr_cqe, struct srp_recv, cqe);
	struct srp_channel *ch = cq->cq_context;
	struct srp_conn *conn = ch->conn;
	int err;

	if (wc->status != IB_WC_SUCCESS) {
		failed(conn, wc, "receive");
		return;
	}
	ch->heard = jiffies;
	ch->answered = jiffies;
	ib_dma_sync_single_for_cpu(conn->dev, recv->dma, conn->recv_size, DMA_FROM_DEVICE);
	if (wc->byte_len)
		received(ch, recv->buf, wc->byte_len);
	ib_dma_sync_single_for_device(conn->dev, recv->dma, conn->recv_size, DMA_FROM_DEVICE);
	err = srp_post_recv(ch, recv);
	if (err)
		srp_conn_fail(conn, err, "a receive cannot be posted");
}

/* Pings */

static void ping_sent(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_channel *ch = cq->cq_context;

	if (wc->status != IB_WC_SUCCESS)
		failed(ch->conn, wc, "send of a ping");
	else
		WRITE_ONCE(ch->ping.sending, false);
}

void srp_ping_init(struct srp_ping *ping)
{
	ping->cqe.done = ping_sent;
}

/* INQUIRY for no bytes, which takes no unit attention away from those whom it concerns. */
static void put_ping(struct srp_ping *ping, const u8 *lun)
{
	struct srp_cmd *iu = ping->iu;

	memset(iu, 0, sizeof(*iu));
	ping->tag = make_tag(++ping->life, PING_SLOT);
	iu->type = SRP_CMD;
	iu->tag = ping->tag;
	memcpy(iu->lun, lun, sizeof(iu->lun));
	iu->cdb[0] = INQUIRY;
}

/**
 * srp_send_ping - ask a target whether it answers
 * @ch:		channel
 * @lun:	of a unit that has been silent
 *
 * One is outstanding at a time. None is sent if the credit for it were the last, which is for task
 * management.
 */
int srp_send_ping(struct srp_channel *ch, const u8 *lun)
{
	struct srp_ping *ping = &ch->ping;
	struct ib_sge sge = {
		.addr = ping->dma, .length = sizeof(*ping->iu), .lkey = ch->conn->pd->local_dma_lkey,
	};
	struct ib_send_wr wr = {
		.wr_cqe = &ping->cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};
	unsigned long flags;
	int err = 0;

	spin_lock_irqsave(&ch->lock, flags);
	if (!ch->closed && !READ_ONCE(ping->sending) && !ping->outstanding && ch->credits >= 2) {
		put_ping(ping, lun);
		ib_dma_sync_single_for_device(ch->conn->dev, ping->dma, sizeof(*ping->iu),
					      DMA_TO_DEVICE);
		ch->credits--;
		ping->sending = true;
		ping->outstanding = true;
		err = ib_post_send(ch->id->qp, &wr, NULL);
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	return err;
}

/* Task management and error handling */

static void tm_sent(struct ib_cq *cq, struct ib_wc *wc)
{
	struct srp_channel *ch = cq->cq_context;

	if (wc->status != IB_WC_SUCCESS)
		failed(ch->conn, wc, "send of task management");
}

void srp_tm_init(struct srp_tm *tm)
{
	tm->cqe.done = tm_sent;
	init_completion(&tm->done);
}

/* Posts a function, with the last credit if need be. */
static int post_tm(struct srp_channel *ch, u8 function, u64 lun, u64 task)
{
	struct srp_conn *conn = ch->conn;
	struct srp_tm *tm = &conn->tm;
	struct ib_sge sge = { tm->dma, sizeof(*tm->iu), conn->pd->local_dma_lkey };
	struct ib_send_wr wr = {
		.wr_cqe = &tm->cqe,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};
	unsigned long flags;
	int err = -ENOTCONN;

	memset(tm->iu, 0, sizeof(*tm->iu));
	tm->tag = make_tag(++tm->life, TM_SLOT);
	tm->iu->type = SRP_TSK_MGMT;
	tm->iu->tag = tm->tag;
	int_to_scsilun(lun, (struct scsi_lun *)tm->iu->lun);
	tm->iu->function = function;
	tm->iu->task_tag = task;
	reinit_completion(&tm->done);
	smp_mb(); /* srp_conn_fail() stores the error before it completes */
	if (READ_ONCE(conn->err))
		return -ENOTCONN;
	ib_dma_sync_single_for_device(conn->dev, tm->dma, sizeof(*tm->iu), DMA_TO_DEVICE);
	spin_lock_irqsave(&ch->lock, flags);
	if (!ch->closed && ch->credits >= 1) {
		ch->credits--;
		tm->busy = true;
		err = ib_post_send(ch->id->qp, &wr, NULL);
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	return err;
}

/*
 * Has the target carry out a function. The connection stays while tm_mutex is held, for it is destroyed
 * under that. A target that does not answer is lost (Clause SRP-TM-007).
 */
static int manage(struct srp_channel *ch, u8 function, u64 lun, u64 task)
{
	struct srp_conn *conn = ch->conn;
	unsigned long flags;
	long left;

	if (post_tm(ch, function, lun, task)) {
		srp_conn_fail(conn, -EIO, "a task management function cannot be sent");
		return -EIO;
	}
	left = wait_for_completion_timeout(&conn->tm.done, SRP_TM_SECONDS * HZ);
	spin_lock_irqsave(&ch->lock, flags);
	conn->tm.busy = false;
	spin_unlock_irqrestore(&ch->lock, flags);
	if (!left) {
		srp_conn_fail(conn, -ETIMEDOUT, "a task management function is not answered");
		return -ETIMEDOUT;
	}
	return READ_ONCE(conn->err) ? -ENOTCONN : conn->tm.code;
}

/* The connection of a port that runs, for one who holds tm_mutex. */
static struct srp_conn *live_conn(struct srp_port *port)
{
	struct srp_conn *conn;

	conn = rcu_dereference_protected(port->conn, lockdep_is_held(&port->tm_mutex));
	return conn && !READ_ONCE(conn->err) ? conn : NULL;
}

/* Ends what a target that was told to forget a command will not answer any more. */
static void forget(struct srp_slot *slot, u64 tag)
{
	struct srp_channel *ch = slot->ch;
	unsigned long flags;
	bool mine = false;

	spin_lock_irqsave(&ch->lock, flags);
	if (!ch->closed && slot->cmd && slot->tag == tag) {
		slot->cmd->result = DID_ABORT << 16;
		claim(slot);
		mine = true;
	}
	spin_unlock_irqrestore(&ch->lock, flags);
	if (mine)
		release(slot);
}

/* A command whose connection is lost is ended with it, soon: no address is waited for. */
static int await_end(struct srp_port *port, u32 index)
{
	struct srp_conn *conn;
	bool idle;

	for (;;) {
		DEFINE_WAIT(wait);

		prepare_to_wait(&port->idle, &wait, TASK_UNINTERRUPTIBLE);
		rcu_read_lock();
		conn = rcu_dereference(port->conn);
		idle = !conn || slot_idle(&conn->slots[index]);
		rcu_read_unlock();
		if (!idle)
			schedule_timeout(HZ / 10);
		finish_wait(&port->idle, &wait);
		if (idle)
			return SUCCESS;
	}
}

int srp_abort(struct scsi_cmnd *cmd)
{
	u32 index = blk_mq_unique_tag_to_tag(blk_mq_unique_tag(scsi_cmd_to_rq(cmd)));
	struct srp_port *port = host_port(cmd->device->host);
	struct srp_conn *conn;
	struct srp_slot *slot;
	u64 tag;

	mutex_lock(&port->tm_mutex);
	conn = live_conn(port);
	slot = conn ? &conn->slots[index] : NULL;
	if (slot && READ_ONCE(slot->cmd) == cmd) {
		tag = slot->tag;
		/* Whatever the answer: the target is done with the command. */
		if (manage(slot->ch, SRP_TM_ABORT_TASK, cmd->device->lun, tag) >= 0)
			forget(slot, tag);
	}
	mutex_unlock(&port->tm_mutex);
	return await_end(port, index);
}

int srp_reset_lun(struct scsi_cmnd *cmd)
{
	struct srp_port *port = host_port(cmd->device->host);
	struct scsi_device *sdev = cmd->device;
	struct srp_conn *conn;
	int code = -ENOTCONN;
	u32 i;

	mutex_lock(&port->tm_mutex);
	conn = live_conn(port);
	if (conn)
		code = manage(&conn->channels[0], SRP_TM_LUN_RESET, sdev->lun, NO_TASK);
	for (i = 0; !code && i < conn->depth; i++) {
		struct srp_slot *slot = &conn->slots[i];
		struct scsi_cmnd *other = READ_ONCE(slot->cmd);

		if (other && other->device == sdev)
			forget(slot, slot->tag);
	}
	mutex_unlock(&port->tm_mutex);
	return code ? FAILED : SUCCESS;
}

/* A port is reset by losing it: its commands wait in the queues for the next connection. */
int srp_reset_host(struct scsi_cmnd *cmd)
{
	struct srp_port *port = host_port(cmd->device->host);
	struct srp_conn *conn;

	rcu_read_lock();
	conn = rcu_dereference(port->conn);
	if (conn)
		srp_conn_fail(conn, -ETIMEDOUT, "reset by the error handler");
	rcu_read_unlock();
	flush_work(&port->loss_work);
	return SUCCESS;
}

/* On a port that does not run, no command is at the target, so there is nothing to abort. */
enum scsi_timeout_action srp_timed_out(struct scsi_cmnd *cmd)
{
	struct srp_port *port = host_port(cmd->device->host);
	struct srp_conn *conn;
	bool lost;

	rcu_read_lock();
	conn = rcu_dereference(port->conn);
	lost = !conn || READ_ONCE(conn->err);
	rcu_read_unlock();
	return lost ? SCSI_EH_RESET_TIMER : SCSI_EH_NOT_HANDLED;
}
