// SPDX-License-Identifier: GPL-2.0
/* What sessions have open: from OPEN to CLOSE. */
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "server.h"

static const char sessname[] = "%SESSNAME%";

static LIST_HEAD(targets);	/* under targets_mutex */

/* Paths */

static void collapse_slashes(char *path)
{
	char *to = path;

	for (; *path; path++)
		if (path[0] != '/' || path[1] != '/')
			*to++ = *path;
	*to = '\0';
}

/*
 * Where a device path leads. What follows %SESSNAME% in the search path is dropped (Clauses
 * IBNBD-OPEN-005, -006, -016 and -017).
 */
static char *full_path(const struct server_session *sess, const char *path)
{
	const char *search = ibnbd_search_path(), *cut = strstr(search, sessname);
	char *full;

	if (strlen(search) + strlen(path) > MAX_FULL_PATH || strstr(path, ".."))
		return ERR_PTR(-EINVAL);
	if (cut)
		full = kasprintf(GFP_KERNEL, "%.*s/%s/%s", (int)(cut - search), search, sess->name,
				 path);
	else
		full = kasprintf(GFP_KERNEL, "%s/%s", search, path);
	if (!full)
		return ERR_PTR(-ENOMEM);
	if (strlen(full) > MAX_FULL_PATH) {
		kfree(full);
		return ERR_PTR(-EINVAL);
	}
	collapse_slashes(full);
	return full;
}

/* Targets. All of these need targets_mutex. */

/* Clauses IBNBD-OPEN-007 to IBNBD-OPEN-012, and -025 */
static int may_use(const struct target *target, enum ibnbd_access_mode access,
		   enum ibnbd_io_mode io_mode)
{
	if (target && target->io_mode != io_mode)
		return -EPERM;
	switch (access) {
	case IBNBD_ACCESS_RO:
		return 0;
	case IBNBD_ACCESS_RW:
		return target && target->writers ? -EPERM : 0;
	case IBNBD_ACCESS_MIGRATION:
		return target && target->writers > 1 ? -EPERM : 0;
	}
	return -EINVAL;
}

static struct target *find_target(dev_t dev)
{
	struct target *target;

	list_for_each_entry(target, &targets, entry)
		if (target->dev == dev)
			return target;
	return NULL;
}

static struct target *create_target(struct block_device *bdev, enum ibnbd_io_mode io_mode)
{
	struct target *target = kzalloc(sizeof(*target), GFP_KERNEL);
	int err;

	if (!target)
		return ERR_PTR(-ENOMEM);
	kobject_init(&target->kobj, &target_ktype);
	target->dev = bdev->bd_dev;
	target->io_mode = io_mode;
	snprintf(target->name, sizeof(target->name), "%pg", bdev);
	ibtrs_order_init(&target->order);
	err = target_show(target, bdev);
	if (err) {
		kobject_put(&target->kobj);
		return ERR_PTR(err);
	}
	list_add_tail(&target->entry, &targets);
	return target;
}

/* Gives the target of a block device with one more user. */
static struct target *target_get(struct block_device *bdev, enum ibnbd_access_mode access,
				 enum ibnbd_io_mode io_mode)
{
	struct target *target = find_target(bdev->bd_dev);
	int err = may_use(target, access, io_mode);

	lockdep_assert_held(&targets_mutex);
	if (err)
		return ERR_PTR(err);
	if (!target)
		target = create_target(bdev, io_mode);
	if (IS_ERR(target))
		return target;
	target->users++;
	if (access != IBNBD_ACCESS_RO)
		target->writers++;
	return target;
}

static void target_put(struct target *target, enum ibnbd_access_mode access)
{
	lockdep_assert_held(&targets_mutex);
	if (access != IBNBD_ACCESS_RO)
		target->writers--;
	if (--target->users)
		return;
	list_del(&target->entry);
	target_hide(target);
	kobject_put(&target->kobj);
}

/* Devices */

/**
 * device_get - the device of an identifier, with one more use
 * @sess:	session
 * @id:		identifier
 *
 * Return: the device, which device_put() gives back; NULL if there is none, or it is closed.
 */
struct server_device *device_get(struct server_session *sess, u32 id)
{
	struct server_device *dev;

	rcu_read_lock();
	dev = xa_load(&sess->devices, id);
	if (dev && !refcount_inc_not_zero(&dev->users))
		dev = NULL;
	rcu_read_unlock();
	return dev;
}

/* In any context. */
void device_put(struct server_device *dev)
{
	if (refcount_dec_and_test(&dev->users))
		complete_all(&dev->idle);
}

/* Whether the caller is the first that ends a device, and therefore is who does. */
bool device_begin_end(struct server_device *dev)
{
	struct server_session *sess = dev->sess;
	bool first;

	mutex_lock(&sess->mutex);
	first = !dev->ending;
	dev->ending = true;
	mutex_unlock(&sess->mutex);
	return first;
}

/* Waits for the I/O of a device and lets go of what it has. Its identifier stays taken. */
void device_end(struct server_device *dev)
{
	device_put(dev);
	wait_for_completion(&dev->idle);
	mutex_lock(&targets_mutex);
	device_hide(dev);
	target_put(dev->target, dev->access_mode);
	mutex_unlock(&targets_mutex);
	fput(dev->file);
	pr_info_ratelimited("ibnbd_server: %s: %s is closed\n", dev->sess->name, dev->path);
	complete_all(&dev->ended);
}

/* Frees the identifier of a device that has ended. */
static void forget(struct server_device *dev)
{
	xa_erase(&dev->sess->devices, dev->id);
	kobject_put(&dev->kobj);
}

/* Answers a CLOSE; an identifier that is not in use is no error (Clause IBNBD-OPEN-022). */
void device_close(struct server_session *sess, u32 id)
{
	struct server_device *dev = device_get(sess, id);

	if (!dev)
		return;
	/* The use of who ends it keeps the device; so we need ours only until here. */
	if (!device_begin_end(dev)) {
		device_put(dev);
		return;
	}
	device_put(dev);
	device_end(dev);
	forget(dev);
}

/* Closes all that a session has open, when no request of it comes any more. */
void devices_close(struct server_session *sess)
{
	struct server_device *dev;
	unsigned long id;

	xa_for_each(&sess->devices, id, dev) {
		if (device_begin_end(dev))
			device_end(dev);
		else
			wait_for_completion(&dev->ended);
		forget(dev);
	}
}

static struct server_device *find_open(struct server_session *sess, const char *path)
{
	struct server_device *dev;
	unsigned long id;

	lockdep_assert_held(&sess->mutex);
	xa_for_each(&sess->devices, id, dev)
		if (!dev->ending && !strcmp(dev->path, path))
			return dev;
	return NULL;
}

/* A directory of that name would exist (see the specification, 8.3). */
static bool has_target(struct server_session *sess, const struct target *target)
{
	struct server_device *dev;
	unsigned long id;

	xa_for_each(&sess->devices, id, dev)
		if (dev->target == target && dev->shown)
			return true;
	return false;
}

static int join_target(struct server_device *dev, enum ibnbd_io_mode io_mode)
{
	struct target *target;
	int err = 0;

	mutex_lock(&targets_mutex);
	target = target_get(dev->bdev, dev->access_mode, io_mode);
	if (IS_ERR(target)) {
		err = PTR_ERR(target);
		goto unlock;
	}
	dev->target = target;
	if (has_target(dev->sess, target))
		err = -EEXIST;
	if (!err)
		err = device_show(dev);
	if (!err)
		err = xa_alloc(&dev->sess->devices, &dev->id, dev, xa_limit_32b, GFP_KERNEL);
	if (err) {
		device_hide(dev);
		target_put(target, dev->access_mode);
	}
unlock:
	mutex_unlock(&targets_mutex);
	return err;
}

static struct file *open_file(struct server_session *sess, const char *path,
			      enum ibnbd_access_mode access)
{
	char *full = full_path(sess, path);
	struct file *file;

	if (IS_ERR(full))
		return ERR_CAST(full);
	file = bdev_file_open_by_path(full,
				      BLK_OPEN_READ |
					      (access == IBNBD_ACCESS_RO ? 0 : BLK_OPEN_WRITE),
				      NULL, NULL);
	kfree(full);
	return file;
}

static struct server_device *create_device(struct server_session *sess,
					   const struct ibnbd_open *msg,
					   enum ibnbd_io_mode io_mode)
{
	struct server_device *dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	int err;

	if (!dev)
		return ERR_PTR(-ENOMEM);
	kobject_init(&dev->kobj, &device_ktype);
	dev->sess = sess;
	dev->access_mode = msg->access_mode;
	strscpy(dev->path, msg->device_path, sizeof(dev->path));
	refcount_set(&dev->users, 1);
	init_completion(&dev->idle);
	init_completion(&dev->ended);
	dev->file = open_file(sess, dev->path, dev->access_mode);
	if (IS_ERR(dev->file)) {
		err = PTR_ERR(dev->file);
		goto put;
	}
	dev->bdev = file_bdev(dev->file);
	err = join_target(dev, io_mode);
	if (!err)
		return dev;
	fput(dev->file);
put:
	kobject_put(&dev->kobj);
	return ERR_PTR(err);
}

/* The mode that the client asks for, where its profile gives the byte a meaning. */
static enum ibnbd_io_mode chosen_io_mode(const struct server_session *sess,
					 const struct ibnbd_open *msg)
{
	const struct agreement *a = &sess->agreement;

	if ((a->original || a->features & IBNBD_FEATURE_IO_MODE) && msg->io_mode < IBNBD_IO_AUTO)
		return msg->io_mode;
	return ibnbd_default_io_mode();
}

/* Sizes of blocks have 16 bits on the wire. */
static __le16 wire_block_size(unsigned int bytes)
{
	return cpu_to_le16(min(bytes, 1U << 15));
}

static u8 cache_policy(const struct server_device *dev)
{
	/* In file I/O mode each write is on the disk when it is answered. */
	if (dev->target->io_mode == IBNBD_IO_FILE || !bdev_write_cache(dev->bdev))
		return 0;
	return IBNBD_CACHE_WRITEBACK | (bdev_fua(dev->bdev) ? IBNBD_CACHE_FUA : 0);
}

static void describe(const struct server_device *dev, struct ibnbd_open_rsp *rsp)
{
	const struct agreement *a = &dev->sess->agreement;
	struct block_device *bdev = dev->bdev;
	enum ibnbd_io_mode io_mode = dev->target->io_mode;

	*rsp = (struct ibnbd_open_rsp){
		.type = cpu_to_le16(IBNBD_MSG_OPEN_RSP),
		.device_id = cpu_to_le32(dev->id),
		.capacity = cpu_to_le64(bdev_nr_sectors(bdev)),
		.max_hw_sectors = cpu_to_le32(ibtrs_server_max_io_size() >> SECTOR_SHIFT),
		.physical_block_size = wire_block_size(bdev_physical_block_size(bdev)),
		.logical_block_size = wire_block_size(bdev_logical_block_size(bdev)),
		.max_segments = cpu_to_le16(MAX_SEGMENTS),
		.cache_policy = a->original ? io_mode : cache_policy(dev),
	};
	if (a->original || a->features & IBNBD_FEATURE_IO_MODE)
		rsp->rotational = !bdev_nonrot(bdev);
	if (a->features & IBNBD_FEATURE_IO_MODE)
		rsp->io_mode = io_mode;
	if (io_mode == IBNBD_IO_FILE)
		return; /* it knows reads, writes and flushes alone */
	if (!a->original)
		rsp->max_write_zeroes_sectors = cpu_to_le32(bdev_write_zeroes_sectors(bdev));
	rsp->max_discard_sectors = cpu_to_le32(bdev_max_discard_sectors(bdev));
	rsp->discard_granularity = cpu_to_le32(bdev_discard_granularity(bdev));
	rsp->discard_alignment = cpu_to_le32(bdev_discard_alignment(bdev));
	rsp->secure_erase = cpu_to_le16(!!bdev_max_secure_erase_sectors(bdev));
}

/**
 * device_open - answer an OPEN
 * @sess:	session
 * @msg:	message, of its whole length
 * @rsp:	gets the answer
 */
int device_open(struct server_session *sess, const struct ibnbd_open *msg,
		struct ibnbd_open_rsp *rsp)
{
	size_t length = strnlen(msg->device_path, sizeof(msg->device_path));
	struct server_device *dev;
	int err = 0;

	if (!length || length == sizeof(msg->device_path))
		return -EINVAL;
	mutex_lock(&sess->mutex);
	dev = find_open(sess, msg->device_path);
	if (!dev)
		dev = create_device(sess, msg, chosen_io_mode(sess, msg));
	if (IS_ERR(dev))
		err = PTR_ERR(dev);
	else
		describe(dev, rsp);
	mutex_unlock(&sess->mutex);
	if (err)
		pr_info_ratelimited("ibnbd_server: %s: cannot open %s: %d\n", sess->name,
				    msg->device_path, err);
	return err;
}
