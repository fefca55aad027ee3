// SPDX-License-Identifier: GPL-2.0
/* I/O: what is checked of a message, and how it is carried out. */
#include <linux/bio.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <linux/mm.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>

#include "server.h"

/* Checks */

static bool changes_blocks(enum ibnbd_op op)
{
	return op != IBNBD_OP_READ && op != IBNBD_OP_FLUSH;
}

/* Clauses IBNBD-IO-003, IBNBD-IO-011, IBNBD-IO-013 and IBNBD-IO-014 */
static int check_form(const struct operation *io)
{
	const struct ibtrs_server_request *rq = io->rq;

	if (io->op > IBNBD_OP_WRITE_ZEROES)
		return -EOPNOTSUPP;
	if (io->op != IBNBD_OP_FLUSH &&
	    (io->op == IBNBD_OP_READ) != (rq->direction == IBTRS_READ))
		return -EINVAL;
	/* With data it is a write-same, which is not offered. */
	if (io->op == IBNBD_OP_WRITE_ZEROES && rq->data_len)
		return -EOPNOTSUPP;
	if (rq->data_len && rq->data_len != io->size)
		return -EINVAL;
	if (!rq->data_len && io->size && (io->op == IBNBD_OP_READ || io->op == IBNBD_OP_WRITE))
		return -EINVAL;
	return 0;
}

/* A flush is about the whole device, whatever its sector says (Clauses IBNBD-IO-004, -016). */
static int check_range(const struct operation *io)
{
	struct block_device *bdev = io->dev->bdev;
	u64 sectors = io->size >> SECTOR_SHIFT;

	if (io->op == IBNBD_OP_FLUSH)
		return 0;
	if ((io->size | io->sector << SECTOR_SHIFT) & (bdev_logical_block_size(bdev) - 1))
		return -EINVAL;
	if (io->sector > bdev_nr_sectors(bdev) || sectors > bdev_nr_sectors(bdev) - io->sector)
		return -EIO;
	return 0;
}

static int check(const struct operation *io)
{
	int err = check_form(io) ?: check_range(io);

	if (!err && changes_blocks(io->op) && io->dev->access_mode == IBNBD_ACCESS_RO)
		return -EROFS;
	return err;
}

/* Schedulers take a priority for granted that the system calls have let through. */
static u16 legal_priority(u16 priority)
{
	return IOPRIO_PRIO_CLASS(priority) > IOPRIO_CLASS_IDLE ? 0 : priority;
}

static void take_message(struct operation *io)
{
	const struct ibnbd_io *msg = io->rq->header;
	u32 op_flags = le32_to_cpu(msg->op_flags);

	io->op = op_flags & IBNBD_OP_MASK;
	io->flags = op_flags & ~(u32)IBNBD_OP_MASK;
	io->sector = le64_to_cpu(msg->sector);
	io->size = le32_to_cpu(msg->size);
	io->priority = 0;
	if (io->rq->header_len >= sizeof(*msg) &&
	    READ_ONCE(io->sess->agreement.version) >= IBNBD_VERSION)
		io->priority = legal_priority(le16_to_cpu(msg->priority));
}

/* The end */

/* Answers an operation, and starts those that have waited for it. */
static void finish(struct operation *io, int err)
{
	struct operation *next, *after;
	struct server_device *dev = io->dev;
	LIST_HEAD(ready);

	/* What is not begun any more because its path is lost has not failed. */
	if (err && !ibtrs_server_abandoned(io->rq))
		pr_info_ratelimited("ibnbd_server: %s: %s: operation %u of %u bytes at sector %llu failed: %d\n",
				    io->sess->name, dev->target->name, io->op, io->size, io->sector,
				    err);
	ibtrs_order_leave(&dev->target->order, &io->place, &ready);
	/* The others have uses of their devices; ours may be the last of its own. */
	ibtrs_server_respond(io->rq, err);
	device_put(dev);
	list_for_each_entry_safe(next, after, &ready, place.ready) {
		list_del(&next->place.ready);
		queue_work(ibnbd_server_wq, &next->work);
	}
}

/* Block I/O */

static void bio_done(struct operation *io)
{
	if (atomic_dec_and_test(&io->bios))
		finish(io, blk_status_to_errno(io->status));
}

static void end_io(struct bio *bio)
{
	struct operation *io = bio->bi_private;

	if (bio->bi_status)
		WRITE_ONCE(io->status, bio->bi_status);
	bio_put(bio);
	bio_done(io);
}

static blk_opf_t opf_of(const struct operation *io)
{
	bool flags = READ_ONCE(io->sess->agreement.features) & IBNBD_FEATURE_FLAGS;
	blk_opf_t opf = io->op == IBNBD_OP_READ ? REQ_OP_READ : REQ_OP_WRITE;

	if (io->op == IBNBD_OP_FLUSH)
		return opf | REQ_PREFLUSH | REQ_SYNC;
	if (io->flags & IBNBD_FLAG_SYNC)
		opf |= REQ_SYNC;
	if (io->op == IBNBD_OP_WRITE && io->flags & IBNBD_FLAG_FUA)
		opf |= REQ_FUA;
	if (io->op == IBNBD_OP_WRITE && flags && io->flags & IBNBD_FLAG_PREFLUSH)
		opf |= REQ_PREFLUSH;
	return opf;
}

static struct bio *new_bio(struct operation *io, u32 left, blk_opf_t opf)
{
	/* Memory of the page allocator is one piece. */
	u32 pieces = is_vmalloc_addr(io->rq->data) ? DIV_ROUND_UP(left, PAGE_SIZE) : !!left;
	struct bio *bio = bio_alloc(io->dev->bdev, min(pieces, BIO_MAX_VECS), opf, GFP_NOIO);

	bio->bi_iter.bi_sector = io->sector + ((io->size - left) >> SECTOR_SHIFT);
	bio->bi_ioprio = io->priority;
	bio->bi_private = io;
	bio->bi_end_io = end_io;
	atomic_inc(&io->bios);
	return bio;
}

/* Adds what fits of the data, and gives how much that was. */
static u32 fill_bio(struct bio *bio, void *data, u32 left)
{
	u32 done = 0;

	if (!is_vmalloc_addr(data))
		return bio_add_page(bio, virt_to_page(data), left, 0);
	while (done < left) {
		u32 length = min_t(u32, left - done, PAGE_SIZE);

		if (!bio_add_page(bio, vmalloc_to_page(data + done), length, 0))
			break;
		done += length;
	}
	return done;
}

static void run_blockio(struct operation *io)
{
	blk_opf_t opf = opf_of(io);
	u32 left = io->op == IBNBD_OP_FLUSH ? 0 : io->size;
	struct bio *bio;

	io->status = BLK_STS_OK;
	atomic_set(&io->bios, 1);
	do {
		bio = new_bio(io, left, opf);
		if (left)
			left -= fill_bio(bio, io->rq->data + io->size - left, left);
		submit_bio(bio);
		opf &= ~REQ_PREFLUSH; /* once is enough */
	} while (left);
	bio_done(io);
}

/* File I/O: reads go through the page cache, writes go through it to the disk. */

static int run_fileio(struct operation *io)
{
	loff_t pos = io->sector << SECTOR_SHIFT;
	struct kvec vec = { .iov_base = io->rq->data, .iov_len = io->size };
	struct iov_iter iter;
	ssize_t done;

	switch (io->op) {
	case IBNBD_OP_READ:
		iov_iter_kvec(&iter, ITER_DEST, &vec, 1, io->size);
		done = vfs_iter_read(io->dev->file, &iter, &pos, 0);
		break;
	case IBNBD_OP_WRITE:
		iov_iter_kvec(&iter, ITER_SOURCE, &vec, 1, io->size);
		done = vfs_iter_write(io->dev->file, &iter, &pos, RWF_DSYNC);
		break;
	case IBNBD_OP_FLUSH:
		return vfs_fsync(io->dev->file, 1);
	default:
		return -EOPNOTSUPP; /* Clause IBNBD-IO-022 */
	}
	if (done < 0)
		return done;
	return done == io->size ? 0 : -EIO;
}

/* Operations on a range, which have no data. */
static int run_range(struct operation *io)
{
	struct block_device *bdev = io->dev->bdev;
	sector_t sectors = io->size >> SECTOR_SHIFT;
	bool nounmap = io->flags & IBNBD_FLAG_NOUNMAP &&
		       READ_ONCE(io->sess->agreement.features) & IBNBD_FEATURE_FLAGS;

	switch (io->op) {
	case IBNBD_OP_DISCARD:
		return blkdev_issue_discard(bdev, io->sector, sectors, GFP_NOIO);
	case IBNBD_OP_SECURE_ERASE:
		if (!bdev_max_secure_erase_sectors(bdev))
			return -EOPNOTSUPP;
		return blkdev_issue_secure_erase(bdev, io->sector, sectors, GFP_NOIO);
	default:
		return blkdev_issue_zeroout(bdev, io->sector, sectors, GFP_NOIO,
					    nounmap ? BLKDEV_ZERO_NOUNMAP : 0);
	}
}

static bool waits(const struct operation *io)
{
	return io->dev->target->io_mode == IBNBD_IO_FILE ||
	       io->op == IBNBD_OP_DISCARD || io->op == IBNBD_OP_SECURE_ERASE ||
	       io->op == IBNBD_OP_WRITE_ZEROES;
}

/*
 * What has not begun when its path is lost is not begun any more: its client may have sent it again
 * over another path (Clause IBTRS-PATH-020).
 */
static void start(struct operation *io)
{
	if (ibtrs_server_abandoned(io->rq))
		finish(io, -EIO);
	else if (!io->size && io->op != IBNBD_OP_FLUSH)
		finish(io, 0);
	else if (io->dev->target->io_mode == IBNBD_IO_FILE)
		finish(io, run_fileio(io));
	else if (waits(io))
		finish(io, run_range(io));
	else
		run_blockio(io);
}

static void io_work(struct work_struct *work)
{
	start(container_of(work, struct operation, work));
}

/* Begins an I/O, or refuses it at once. */
void io_begin(struct server_session *sess, struct ibtrs_server_request *rq)
{
	const struct ibnbd_io *msg = rq->header;
	struct operation *io = rq->scratch;
	int err;

	if (rq->header_len < IBNBD_IO_SHORT_SIZE) {
		ibtrs_server_respond(rq, -EINVAL);
		return;
	}
	io->rq = rq;
	io->sess = sess;
	io->dev = device_get(sess, le32_to_cpu(msg->device_id));
	if (!io->dev) {
		ibtrs_server_respond(rq, -ENOTCONN);
		return;
	}
	take_message(io);
	err = check(io);
	if (err) {
		device_put(io->dev);
		ibtrs_server_respond(rq, err);
		return;
	}
	INIT_WORK(&io->work, io_work);
	io->place.listed = false;
	io->place.write = changes_blocks(io->op);
	io->place.start = io->sector << SECTOR_SHIFT;
	io->place.last = io->place.start + io->size - 1;
	if (io->size && io->op != IBNBD_OP_FLUSH &&
	    !ibtrs_order_enter(&io->dev->target->order, &io->place))
		return; /* an earlier write begins it */
	if (waits(io))
		queue_work(ibnbd_server_wq, &io->work);
	else
		start(io);
}
