// SPDX-License-Identifier: GPL-2.0
/* Requests of the block layer, and the messages that we send ourselves. */
#include <linux/slab.h>

#include "client.h"

/* Our own messages */

struct admin {
	struct ibtrs_request rq;
	struct completion done;
	int err;
	struct ibnbd_device *dev;
	struct scatterlist sg;
};

static void admin_done(struct ibtrs_request *rq, int err)
{
	struct admin *admin = container_of(rq, struct admin, rq);

	admin->err = err;
	complete(&admin->done);
}

static bool admin_still(struct ibtrs_request *rq)
{
	struct admin *admin = container_of(rq, struct admin, rq);

	return !admin->dev || READ_ONCE(admin->dev->state) == DEVICE_OPEN;
}

/**
 * admin_exchange - send a message and wait for its answer
 * @sess:	session
 * @direction:	IBTRS_READ if the answer has a body
 * @msg:	the message
 * @msg_len:	its length
 * @reply:	where the body goes; in memory of kmalloc()
 * @reply_len:	its length
 * @still_open:	device that must still be open when the message leaves; may be NULL
 */
int admin_exchange(struct ibnbd_session *sess, enum ibtrs_direction direction, const void *msg,
		   u16 msg_len, void *reply, u32 reply_len, struct ibnbd_device *still_open)
{
	struct admin admin = {
		.rq = {
			.direction = direction, .admin = true, .header = msg, .header_len = msg_len,
			.still = admin_still, .done = admin_done,
		},
		.dev = still_open,
	};
	int err;

	init_completion(&admin.done);
	if (reply_len) {
		sg_init_one(&admin.sg, reply, reply_len);
		admin.rq.sg = &admin.sg;
		admin.rq.nents = 1;
		admin.rq.data_len = reply_len;
	}
	err = ibtrs_submit(sess->ibtrs, &admin.rq, true);
	if (err)
		return err;
	wait_for_completion(&admin.done);
	return admin.err;
}

/* Requests of the block layer */

struct io {
	struct ibtrs_request rq;
	struct ibnbd_io msg;
	int err;
	struct ibtrs_place place;
	struct sg_table table;
	struct scatterlist first[INLINE_SEGMENTS];
};

static bool io_still(struct ibtrs_request *rq)
{
	struct io *io = container_of(rq, struct io, rq);
	struct ibnbd_device *dev = blk_mq_rq_from_pdu(io)->q->queuedata;

	if (READ_ONCE(dev->state) != DEVICE_OPEN)
		return false;
	io->msg.device_id = cpu_to_le32(READ_ONCE(dev->remote_id));
	return true;
}

/*
 * Takes a request that has ended out of the order, and has the block layer bring those that have
 * waited for it.
 */
static void leave_order(struct ibnbd_device *dev, struct io *io)
{
	struct io *next, *after;
	LIST_HEAD(ready);

	ibtrs_order_leave(&dev->order, &io->place, &ready);
	list_for_each_entry_safe(next, after, &ready, place.ready)
		blk_mq_requeue_request(blk_mq_rq_from_pdu(next), true);
}

static void io_done(struct ibtrs_request *rq, int err)
{
	struct io *io = container_of(rq, struct io, rq);
	struct request *request = blk_mq_rq_from_pdu(io);
	struct ibnbd_device *dev = request->q->queuedata;

	/* Whoever unmaps by force has been told that what is in progress fails. */
	io->err = READ_ONCE(dev->state) == DEVICE_UNMAPPED ? -EIO : err;
	leave_order(dev, io);
	blk_mq_complete_request(request);
}

static void unmap_data(struct io *io)
{
	if (io->rq.data_len)
		sg_free_table_chained(&io->table, INLINE_SEGMENTS);
}

static void complete_rq(struct request *rq)
{
	struct io *io = blk_mq_rq_to_pdu(rq);

	unmap_data(io);
	blk_mq_end_request(rq, errno_to_blk_status(io->err));
}

static int operation(struct request *rq)
{
	switch (req_op(rq)) {
	case REQ_OP_READ:
		return IBNBD_OP_READ;
	case REQ_OP_WRITE:
		return IBNBD_OP_WRITE;
	case REQ_OP_FLUSH:
		return IBNBD_OP_FLUSH;
	case REQ_OP_DISCARD:
		return IBNBD_OP_DISCARD;
	case REQ_OP_SECURE_ERASE:
		return IBNBD_OP_SECURE_ERASE;
	case REQ_OP_WRITE_ZEROES:
		return IBNBD_OP_WRITE_ZEROES;
	default:
		return -EOPNOTSUPP;
	}
}

static u32 flags_of(struct request *rq, int op)
{
	/* A flush carries what mainline's client sends with one. */
	if (op == IBNBD_OP_FLUSH)
		return IBNBD_FLAG_SYNC | IBNBD_FLAG_FUA;
	return (op_is_sync(rq->cmd_flags) ? IBNBD_FLAG_SYNC : 0) |
	       (op == IBNBD_OP_WRITE && rq->cmd_flags & REQ_FUA ? IBNBD_FLAG_FUA : 0) |
	       (op == IBNBD_OP_WRITE_ZEROES && rq->cmd_flags & REQ_NOUNMAP ? IBNBD_FLAG_NOUNMAP :
									     0);
}

static void fill_message(struct ibnbd_device *dev, struct request *rq, int op, struct ibnbd_io *msg)
{
	bool flush = op == IBNBD_OP_FLUSH;

	*msg = (struct ibnbd_io){
		.type = cpu_to_le16(IBNBD_MSG_IO),
		.sector = cpu_to_le64(flush ? IBNBD_FLUSH_SECTOR : blk_rq_pos(rq)),
		.op_flags = cpu_to_le32(op | flags_of(rq, op)),
		.size = cpu_to_le32(flush ? 0 : blk_rq_bytes(rq)),
		.priority = dev->sess->version >= IBNBD_VERSION ? cpu_to_le16(req_get_ioprio(rq)) :
								  0,
	};
}

static blk_status_t map_data(struct request *rq, struct io *io)
{
	io->table.sgl = io->first;
	if (sg_alloc_table_chained(&io->table, blk_rq_nr_phys_segments(rq), io->first,
				   INLINE_SEGMENTS))
		return BLK_STS_RESOURCE;
	io->rq.nents = blk_rq_map_sg(rq->q, rq, io->table.sgl);
	io->rq.sg = io->table.sgl;
	io->rq.data_len = blk_rq_bytes(rq);
	return BLK_STS_OK;
}

/*
 * Puts what changes blocks into the order of its device, when it comes for the first time.
 *
 * Return: whether it may leave. If not, it comes again.
 */
static bool enter_order(struct ibnbd_device *dev, struct request *rq, struct io *io, int op)
{
	if (rq->rq_flags & RQF_DONTPREP)
		return true;
	rq->rq_flags |= RQF_DONTPREP;
	io->place.listed = false;
	if (op == IBNBD_OP_READ || op == IBNBD_OP_FLUSH || !blk_rq_bytes(rq))
		return true;
	io->place.write = true;
	io->place.start = blk_rq_pos(rq) << SECTOR_SHIFT;
	io->place.last = io->place.start + blk_rq_bytes(rq) - 1;
	return ibtrs_order_enter(&dev->order, &io->place);
}

static blk_status_t queue_rq(struct blk_mq_hw_ctx *hctx, const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	struct ibnbd_device *dev = rq->q->queuedata;
	struct io *io = blk_mq_rq_to_pdu(rq);
	int op = operation(rq);
	blk_status_t status;
	int err;

	if (op < 0)
		return BLK_STS_NOTSUPP;
	blk_mq_start_request(rq);
	if (!enter_order(dev, rq, io, op))
		return BLK_STS_OK;
	io->rq = (struct ibtrs_request){
		/* A flush is a read of nothing (Clause IBNBD-IO-005). */
		.direction = op == IBNBD_OP_READ || op == IBNBD_OP_FLUSH ? IBTRS_READ : IBTRS_WRITE,
		.header = &io->msg,
		.header_len = sizeof(io->msg),
		.still = io_still,
		.done = io_done,
	};
	fill_message(dev, rq, op, &io->msg);
	if (op == IBNBD_OP_READ || op == IBNBD_OP_WRITE) {
		status = map_data(rq, io);
		if (status)
			return status;
	}
	err = ibtrs_submit(dev->sess->ibtrs, &io->rq, false);
	if (!err)
		return BLK_STS_OK;
	unmap_data(io);
	/* All permits are in use: the block layer comes again. */
	if (err == -EBUSY)
		return BLK_STS_RESOURCE;
	leave_order(dev, io);
	return BLK_STS_IOERR;
}

static const struct blk_mq_ops mq_ops = { .queue_rq = queue_rq, .complete = complete_rq };

/*
 * All devices of a session share its permits, so they share their tags as well.
 *
 * None has an I/O scheduler: with one, a request that comes again has no tag until then. A write in
 * the order would lack the tag that it needs to end, while those that wait for it hold all of them.
 */
int session_create_tags(struct ibnbd_session *sess)
{
	struct blk_mq_tag_set *tags = &sess->tags;
	struct ibtrs_limits limits;
	int err;

	ibtrs_get_limits(sess->ibtrs, &limits);
	tags->ops = &mq_ops;
	tags->nr_hw_queues = num_online_cpus();
	tags->queue_depth = min_t(u32, limits.queue_depth, BLK_MQ_MAX_DEPTH);
	tags->numa_node = NUMA_NO_NODE;
	tags->cmd_size = sizeof(struct io);
	tags->flags = BLK_MQ_F_SHOULD_MERGE | BLK_MQ_F_TAG_HCTX_SHARED | BLK_MQ_F_NO_SCHED;
	err = blk_mq_alloc_tag_set(tags);
	sess->has_tags = !err;
	return err;
}

/* Disks */

static int disk_open(struct gendisk *disk, blk_mode_t mode)
{
	struct ibnbd_device *dev = disk->private_data;

	if (READ_ONCE(dev->state) == DEVICE_UNMAPPED)
		return -EIO;
	if (mode & BLK_OPEN_WRITE && dev->access_mode == IBNBD_ACCESS_RO)
		return -EPERM;
	return 0;
}

static void disk_free(struct gendisk *disk)
{
	device_put(disk->private_data);
}

static const struct block_device_operations disk_ops = {
	.owner = THIS_MODULE,
	.open = disk_open,
	.free_disk = disk_free,
};

/*
 * Makes the disk of a device. It has a reference of the device, which it drops when its last user
 * is gone.
 */
struct gendisk *device_alloc_disk(struct ibnbd_device *dev, struct queue_limits *limits)
{
	struct gendisk *disk = blk_mq_alloc_disk(&dev->sess->tags, limits, dev);

	if (IS_ERR(disk))
		return disk;
	kref_get(&dev->ref);
	disk->major = ibnbd_major;
	disk->first_minor = dev->index << MINOR_BITS;
	disk->minors = 1 << MINOR_BITS;
	disk->fops = &disk_ops;
	disk->private_data = dev;
	snprintf(disk->disk_name, sizeof(disk->disk_name), "ibnbd%d", dev->index);
	set_disk_ro(disk, dev->access_mode == IBNBD_ACCESS_RO);
	return disk;
}
