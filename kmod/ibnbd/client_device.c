// SPDX-License-Identifier: GPL-2.0
/* Devices: mapping, what happens when the session is lost and comes back, and unmapping. */
#include <linux/idr.h>
#include <linux/slab.h>

#include "client.h"

#define MAX_DISK_INDEX ((1 << (20 - MINOR_BITS)) - 1)
#define VIRTUAL_BOUNDARY 4096

static DEFINE_IDA(disk_indices);

/* Reference counts */

static void device_release(struct kref *ref)
{
	struct ibnbd_device *dev = container_of(ref, struct ibnbd_device, ref);

	mutex_destroy(&dev->mutex);
	kfree(dev->link);
	kfree(dev);
}

void device_put(struct ibnbd_device *dev)
{
	kref_put(&dev->ref, device_release);
}

static struct ibnbd_device *device_new(struct ibnbd_session *sess, const struct map_request *map)
{
	struct ibnbd_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	kref_init(&dev->ref);
	mutex_init(&dev->mutex);
	ibtrs_order_init(&dev->order);
	dev->sess = sess;
	dev->state = DEVICE_INIT;
	dev->index = -1;
	dev->access_mode = map->access_mode;
	dev->io_mode = map->io_mode;
	strscpy(dev->path, map->device_path, sizeof(dev->path));
	return dev;
}

/* Lists a new device, unless its path is mapped in the session already. */
static int device_list(struct ibnbd_device *dev)
{
	struct ibnbd_session *sess = dev->sess;
	struct ibnbd_device *other;
	int err = 0;

	spin_lock(&sess->lock);
	list_for_each_entry(other, &sess->devices, entry)
		if (!strcmp(other->path, dev->path))
			err = -EEXIST;
	if (!err)
		list_add_tail(&dev->entry, &sess->devices);
	spin_unlock(&sess->lock);
	return err;
}

static void device_unlist(struct ibnbd_device *dev)
{
	spin_lock(&dev->sess->lock);
	list_del(&dev->entry);
	spin_unlock(&dev->sess->lock);
}

/* Opening on the server */

static void send_close(struct ibnbd_device *dev, u32 remote_id, bool only_while_open)
{
	struct ibnbd_close msg = { .type = cpu_to_le16(IBNBD_MSG_CLOSE),
				   .device_id = cpu_to_le32(remote_id) };
	int err = admin_exchange(dev->sess, IBTRS_WRITE, &msg, sizeof(msg), NULL, 0,
				 only_while_open ? dev : NULL);

	/* If the session is lost the server closes the device by itself. */
	if (err)
		pr_info("ibnbd_client: %s: device %s was not closed on the server: %d\n",
			dev->sess->name, dev->path, err);
}

/*
 * Sends an OPEN. A good answer makes the device open, unless the link was lost since @losses was
 * read: then the identifier in the answer may mean nothing any more.
 */
static int open_remote(struct ibnbd_device *dev, u32 losses)
{
	struct ibnbd_session *sess = dev->sess;
	struct ibnbd_open msg = {
		.type = cpu_to_le16(IBNBD_MSG_OPEN),
		.access_mode = dev->access_mode,
		.io_mode = dev->io_mode,
	};
	struct ibnbd_open_rsp *rsp;
	int err;

	lockdep_assert_held(&dev->mutex);
	rsp = kzalloc(sizeof(*rsp), GFP_KERNEL);
	if (!rsp)
		return -ENOMEM;
	strscpy(msg.device_path, dev->path, sizeof(msg.device_path));
	err = admin_exchange(sess, IBTRS_READ, &msg, sizeof(msg), rsp, sizeof(*rsp), NULL);
	if (err)
		goto free;
	if (le16_to_cpu(rsp->type) != IBNBD_MSG_OPEN_RSP || !rsp->logical_block_size) {
		pr_err("ibnbd_client: %s: OPEN of %s answered with type %u, logical block size %u\n",
		       sess->name, dev->path, le16_to_cpu(rsp->type),
		       le16_to_cpu(rsp->logical_block_size));
		send_close(dev, le32_to_cpu(rsp->device_id), false);
		err = -EINVAL;
		goto free;
	}
	spin_lock(&sess->lock);
	if (sess->losses == losses) {
		dev->rsp = *rsp;
		dev->remote_id = le32_to_cpu(rsp->device_id);
		WRITE_ONCE(dev->state, DEVICE_OPEN);
	} else {
		err = -ECONNABORTED;
	}
	spin_unlock(&sess->lock);
free:
	kfree(rsp);
	return err;
}

static u32 losses_now(struct ibnbd_session *sess)
{
	u32 losses;

	spin_lock(&sess->lock);
	losses = sess->losses;
	spin_unlock(&sess->lock);
	return losses;
}

/* Limits of the disk */

/*
 * Early servers of version 2 did not clear the answer; then nothing in its last bytes can be
 * believed (Clause IBNBD-COMPAT-011).
 */
static bool tail_is_stale(const struct ibnbd_device *dev)
{
	const struct ibnbd_open_rsp *rsp = &dev->rsp;

	return !dev->sess->marker &&
	       (rsp->io_mode || memchr_inv(rsp->reserved, 0, sizeof(rsp->reserved)));
}

static bool is_original(const struct ibnbd_device *dev)
{
	return dev->sess->version <= IBNBD_VERSION_ORIGINAL;
}

enum ibnbd_io_mode io_mode_in_use(const struct ibnbd_device *dev)
{
	bool file = false;

	if (is_original(dev))
		file = dev->rsp.cache_policy == IBNBD_IO_FILE;
	else if (dev->sess->features & IBNBD_FEATURE_IO_MODE)
		file = dev->rsp.io_mode == IBNBD_IO_FILE;
	return file ? IBNBD_IO_FILE : IBNBD_IO_BLOCK;
}

/* An original server does not tell of its cache: flushes are sent (Clause IBNBD-COMPAT-008). */
static blk_features_t cache_features(const struct ibnbd_device *dev)
{
	u8 policy = dev->rsp.cache_policy;

	if (is_original(dev))
		return BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA;
	if (tail_is_stale(dev))
		return BLK_FEAT_WRITE_CACHE;
	if (!(policy & IBNBD_CACHE_WRITEBACK))
		return 0;
	return BLK_FEAT_WRITE_CACHE | (policy & IBNBD_CACHE_FUA ? BLK_FEAT_FUA : 0);
}

/* The lower of two limits of which the server's may be missing. */
static u32 lower(u32 ours, u32 servers)
{
	return servers ? min(ours, servers) : ours;
}

static void fill_limits(const struct ibnbd_device *dev, struct queue_limits *lim)
{
	const struct ibnbd_open_rsp *rsp = &dev->rsp;
	u32 discard = le32_to_cpu(rsp->max_discard_sectors);
	struct ibtrs_limits limits;

	ibtrs_get_limits(dev->sess->ibtrs, &limits);
	lim->features = cache_features(dev);
	if ((is_original(dev) || dev->sess->features & IBNBD_FEATURE_IO_MODE) && rsp->rotational)
		lim->features |= BLK_FEAT_ROTATIONAL;
	lim->logical_block_size = le16_to_cpu(rsp->logical_block_size);
	lim->physical_block_size = le16_to_cpu(rsp->physical_block_size);
	lim->max_hw_sectors =
		lower(limits.max_io_size >> SECTOR_SHIFT, le32_to_cpu(rsp->max_hw_sectors));
	lim->max_segments = lower(limits.max_segments, le16_to_cpu(rsp->max_segments));
	lim->virt_boundary_mask = VIRTUAL_BOUNDARY - 1;
	lim->max_hw_discard_sectors = discard;
	lim->discard_granularity = le32_to_cpu(rsp->discard_granularity);
	lim->discard_alignment = le32_to_cpu(rsp->discard_alignment);
	lim->max_secure_erase_sectors = rsp->secure_erase ? discard : 0;
	if (!is_original(dev) && !tail_is_stale(dev))
		lim->max_write_zeroes_sectors = le32_to_cpu(rsp->max_write_zeroes_sectors);
}

/* Mapping */

static int add_disk_of(struct ibnbd_device *dev)
{
	struct queue_limits limits = {};
	int err;

	dev->index = ida_alloc_max(&disk_indices, MAX_DISK_INDEX, GFP_KERNEL);
	if (dev->index < 0)
		return dev->index;
	fill_limits(dev, &limits);
	dev->disk = device_alloc_disk(dev, &limits);
	if (IS_ERR(dev->disk)) {
		err = PTR_ERR(dev->disk);
		dev->disk = NULL;
		goto free_index;
	}
	set_capacity(dev->disk, le64_to_cpu(dev->rsp.capacity));
	err = add_disk(dev->disk);
	if (!err)
		return 0;
	put_disk(dev->disk);
	dev->disk = NULL;
	device_put(dev); /* the disk's reference: a disk that was never added does not drop it */
free_index:
	ida_free(&disk_indices, dev->index);
	dev->index = -1;
	return err;
}

static void remove_disk_of(struct ibnbd_device *dev)
{
	del_gendisk(dev->disk);
	ida_free(&disk_indices, dev->index);
	put_disk(dev->disk);
}

static void set_unmapped(struct ibnbd_device *dev)
{
	spin_lock(&dev->sess->lock);
	WRITE_ONCE(dev->state, DEVICE_UNMAPPED);
	spin_unlock(&dev->sess->lock);
}

/* Opens a device that is listed, and makes its disk. */
static int device_begin(struct ibnbd_device *dev)
{
	int err = open_remote(dev, losses_now(dev->sess));

	if (err)
		return err;
	err = add_disk_of(dev);
	if (err)
		goto close;
	err = device_show(dev);
	if (!err)
		return 0;
	set_unmapped(dev);
	remove_disk_of(dev);
close:
	send_close(dev, dev->remote_id, false);
	return err;
}

/**
 * device_map - map a device
 * @map:	what was asked for
 *
 * Return: 0 when the disk is there, or the error of whoever has refused.
 */
int device_map(const struct map_request *map)
{
	struct ibnbd_session *sess = session_get(map);
	struct ibnbd_device *dev;
	int err;

	if (IS_ERR(sess))
		return PTR_ERR(sess);
	dev = device_new(sess, map);
	if (!dev) {
		session_put(sess);
		return -ENOMEM;
	}
	mutex_lock(&dev->mutex);
	err = device_list(dev);
	if (!err) {
		err = device_begin(dev);
		if (err) {
			set_unmapped(dev);
			device_unlist(dev);
		}
	}
	mutex_unlock(&dev->mutex);
	if (err) {
		pr_err("ibnbd_client: %s: cannot map %s: %d\n", sess->name, map->device_path, err);
		device_put(dev);
		session_put(sess);
		return err;
	}
	pr_info("ibnbd_client: %s: %s is mapped as %s\n", sess->name, dev->path,
		dev->disk->disk_name);
	return 0;
}

/* The link */

/*
 * All devices are closed when this returns, and no request that has seen one open is still about to
 * be sent.
 */
void devices_lost(struct ibnbd_session *sess)
{
	struct ibnbd_device *dev;

	spin_lock(&sess->lock);
	sess->losses++;
	list_for_each_entry(dev, &sess->devices, entry)
		if (dev->state == DEVICE_OPEN)
			WRITE_ONCE(dev->state, DEVICE_CLOSED);
	spin_unlock(&sess->lock);
	synchronize_rcu();
}

static int reopen(struct ibnbd_device *dev, u32 losses)
{
	int err;

	lockdep_assert_held(&dev->mutex);
	err = open_remote(dev, losses);
	if (err) {
		pr_err("ibnbd_client: %s: cannot open %s again: %d\n", dev->sess->name, dev->path,
		       err);
		return err;
	}
	set_capacity_and_notify(dev->disk, le64_to_cpu(dev->rsp.capacity));
	kobject_uevent(&disk_to_dev(dev->disk)->kobj, KOBJ_ONLINE);
	return 0;
}

/* The next device that is closed and was not tried since the link came back, with a reference. */
static struct ibnbd_device *next_closed(struct ibnbd_session *sess, struct ibnbd_device *after)
{
	struct ibnbd_device *dev =
		after ? list_next_entry(after, entry) :
			list_first_entry(&sess->devices, struct ibnbd_device, entry);

	lockdep_assert_held(&sess->lock);
	list_for_each_entry_from(dev, &sess->devices, entry)
		if (dev->state == DEVICE_CLOSED) {
			kref_get(&dev->ref);
			return dev;
		}
	return NULL;
}

/*
 * Opens all devices again after the link came back. One that cannot be opened stays closed (Clause
 * IBNBD-FAIL-004).
 */
void resume_work(struct work_struct *work)
{
	struct ibnbd_session *sess = container_of(work, struct ibnbd_session, resume);
	struct ibnbd_device *dev, *next;
	u32 losses = losses_now(sess);

	if (session_info(sess))
		return;
	spin_lock(&sess->lock);
	dev = next_closed(sess, NULL);
	spin_unlock(&sess->lock);
	while (dev) {
		mutex_lock(&dev->mutex);
		if (!dev->unmapping && dev->state == DEVICE_CLOSED)
			reopen(dev, losses);
		spin_lock(&sess->lock);
		/*
		 * A device that was unlisted meanwhile has no place in the list any more: the walk
		 * begins anew.
		 */
		next = dev->unmapping ? next_closed(sess, NULL) : next_closed(sess, dev);
		spin_unlock(&sess->lock);
		mutex_unlock(&dev->mutex);
		device_put(dev);
		dev = next;
	}
}

int device_remap(struct ibnbd_device *dev)
{
	int err;

	mutex_lock(&dev->mutex);
	switch (READ_ONCE(dev->state)) {
	case DEVICE_CLOSED:
		err = reopen(dev, losses_now(dev->sess));
		break;
	case DEVICE_OPEN:
		err = -EALREADY;
		break;
	case DEVICE_INIT:
		err = -EBUSY;
		break;
	default:
		err = -ENODEV;
	}
	mutex_unlock(&dev->mutex);
	return err;
}

int device_resize(struct ibnbd_device *dev, u64 sectors)
{
	int err = -ENOENT;

	mutex_lock(&dev->mutex);
	if (READ_ONCE(dev->state) == DEVICE_OPEN) {
		set_capacity_and_notify(dev->disk, sectors);
		err = 0;
	}
	mutex_unlock(&dev->mutex);
	return err;
}

/* Unmapping */

/*
 * Has the device unmapped, for whoever comes first. Nobody opens the disk while it is decided
 * whether it is in use, and nobody opens it afterwards.
 */
static int begin_unmap(struct ibnbd_device *dev, bool force, bool *was_open)
{
	int err = 0;

	mutex_lock(&dev->mutex);
	mutex_lock(&dev->disk->open_mutex);
	if (dev->unmapping) {
		err = -EALREADY;
	} else if (!force && disk_openers(dev->disk)) {
		err = -EBUSY;
	} else {
		dev->unmapping = true;
		*was_open = READ_ONCE(dev->state) == DEVICE_OPEN;
		set_unmapped(dev);
	}
	mutex_unlock(&dev->disk->open_mutex);
	mutex_unlock(&dev->mutex);
	return err;
}

/**
 * device_unmap - take a device's disk away and close it on the server
 * @dev:	device, of which the caller has a reference
 * @force:	also while it is open; its I/O fails
 * @self:	the file below the disk that this was written to; NULL if there is none
 *
 * The answer to what is in flight is waited for: its memory belongs to the server until then.
 */
int device_unmap(struct ibnbd_device *dev, bool force, const struct attribute *self)
{
	struct ibnbd_session *sess = dev->sess;
	bool was_open;
	int err = begin_unmap(dev, force, &was_open);

	if (err)
		return err;
	if (self)
		sysfs_remove_file_self(dev->dir, self);
	mutex_lock(&dev->mutex);
	if (force)
		blk_mark_disk_dead(dev->disk);
	device_hide(dev);
	remove_disk_of(dev);
	if (was_open)
		send_close(dev, dev->remote_id, false);
	device_unlist(dev);
	mutex_unlock(&dev->mutex);
	pr_info("ibnbd_client: %s: %s is unmapped\n", sess->name, dev->path);
	device_put(dev); /* the list's */
	session_put(sess);
	return 0;
}

static struct ibnbd_device *any_device(void)
{
	struct ibnbd_device *dev = NULL;
	struct ibnbd_session *sess;

	mutex_lock(&ibnbd_sessions_mutex);
	list_for_each_entry(sess, &ibnbd_sessions, entry) {
		spin_lock(&sess->lock);
		if (!list_empty(&sess->devices)) {
			dev = list_first_entry(&sess->devices, struct ibnbd_device, entry);
			kref_get(&dev->ref);
		}
		spin_unlock(&sess->lock);
		if (dev)
			break;
	}
	mutex_unlock(&ibnbd_sessions_mutex);
	return dev;
}

/*
 * When the module goes. No device is mapped any more, and commands of sysfs keep the module while
 * they run.
 */
void unmap_all(void)
{
	struct ibnbd_device *dev;

	while ((dev = any_device())) {
		device_unmap(dev, true, NULL);
		device_put(dev);
	}
}
