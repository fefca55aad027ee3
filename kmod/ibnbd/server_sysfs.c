// SPDX-License-Identifier: GPL-2.0
/* The server's files: /sys/devices/virtual/ibnbd-server/ctl/devices/. */
#include <linux/device.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "server.h"

DEFINE_MUTEX(targets_mutex);

static const struct class ibnbd_server_class = { .name = "ibnbd-server" };
static struct device *ctl;
static struct kobject *ctl_devices;

/* A device of a session */

struct device_file {
	struct attribute attr;
	ssize_t (*show)(struct server_device *dev, char *buf);
	ssize_t (*store)(struct server_device *dev, const char *buf, size_t count);
};

#define FILE_RO(_name) \
	static struct device_file file_##_name = { .attr = { #_name, 0444 }, .show = _name##_show }

static ssize_t read_only_show(struct server_device *dev, char *buf)
{
	return sysfs_emit(buf, "%d\n", dev->access_mode == IBNBD_ACCESS_RO);
}
FILE_RO(read_only);

static ssize_t mapping_path_show(struct server_device *dev, char *buf)
{
	return sysfs_emit(buf, "%s\n", dev->path);
}
FILE_RO(mapping_path);

static ssize_t access_mode_show(struct server_device *dev, char *buf)
{
	static const char * const names[] = {
		[IBNBD_ACCESS_RO] = "ro",
		[IBNBD_ACCESS_RW] = "rw",
		[IBNBD_ACCESS_MIGRATION] = "migration",
	};

	return sysfs_emit(buf, "%s\n", names[dev->access_mode]);
}
FILE_RO(access_mode);

static ssize_t force_close_show(struct server_device *dev, char *buf)
{
	return sysfs_emit(buf, "Usage: echo 1 > force_close\n");
}

static struct device_file file_force_close;

/*
 * The first that ends a device does it, and others wait for it or have nothing to do: so the
 * session, and the module, are there until this is over.
 */
static ssize_t force_close_store(struct server_device *dev, const char *buf, size_t count)
{
	if (!sysfs_streq(buf, "1")) {
		pr_err("ibnbd_server: force_close: \"%.*s\" is not 1\n",
		       (int)min_t(size_t, strcspn(buf, "\n"), 32), buf);
		return -EINVAL;
	}
	if (!device_begin_end(dev))
		return count;
	sysfs_remove_file_self(&dev->kobj, &file_force_close.attr);
	device_end(dev);
	return count;
}

static struct device_file file_force_close = {
	.attr = { "force_close", 0644 },
	.show = force_close_show,
	.store = force_close_store,
};

static struct attribute *device_attrs[] = {
	&file_read_only.attr,	&file_mapping_path.attr, &file_access_mode.attr,
	&file_force_close.attr, NULL,
};
ATTRIBUTE_GROUPS(device);

static struct server_device *device_of(struct kobject *kobj)
{
	return container_of(kobj, struct server_device, kobj);
}

static ssize_t file_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	return container_of(attr, struct device_file, attr)->show(device_of(kobj), buf);
}

static ssize_t file_store(struct kobject *kobj, struct attribute *attr, const char *buf,
			  size_t count)
{
	ssize_t n;

	/* The file that closes the device is gone before it returns. */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	kobject_get(kobj);
	n = container_of(attr, struct device_file, attr)->store(device_of(kobj), buf, count);
	kobject_put(kobj);
	module_put(THIS_MODULE);
	return n;
}

static const struct sysfs_ops device_sysfs_ops = { .show = file_show, .store = file_store };

/* Who looks a device up by its identifier may still do so. */
static void device_release(struct kobject *kobj)
{
	kfree_rcu(device_of(kobj), rcu);
}

const struct kobj_type device_ktype = {
	.release = device_release,
	.sysfs_ops = &device_sysfs_ops,
	.default_groups = device_groups,
};

int device_show(struct server_device *dev)
{
	int err = kobject_add(&dev->kobj, dev->target->sessions_dir, "%s", dev->sess->name);

	dev->shown = !err;
	return err;
}

void device_hide(struct server_device *dev)
{
	if (dev->shown)
		kobject_del(&dev->kobj);
	dev->shown = false;
}

/* A target */

static void target_release(struct kobject *kobj)
{
	kfree(container_of(kobj, struct target, kobj));
}

const struct kobj_type target_ktype = {
	.release = target_release,
	.sysfs_ops = &kobj_sysfs_ops,
};

/* The link of a partition leads to its disk. */
int target_show(struct target *target, struct block_device *bdev)
{
	int err = kobject_add(&target->kobj, ctl_devices, "%s", target->name);

	if (err)
		return err;
	err = sysfs_create_link(&target->kobj, &disk_to_dev(bdev->bd_disk)->kobj, "block_dev");
	if (!err) {
		target->sessions_dir = kobject_create_and_add("sessions", &target->kobj);
		err = target->sessions_dir ? 0 : -ENOMEM;
	}
	if (err)
		kobject_del(&target->kobj);
	return err;
}

void target_hide(struct target *target)
{
	kobject_del(target->sessions_dir);
	kobject_put(target->sessions_dir);
	kobject_del(&target->kobj);
}

/* ctl */

int server_ctl_create(void)
{
	int err = class_register(&ibnbd_server_class);

	if (err)
		return err;
	ctl = device_create(&ibnbd_server_class, NULL, MKDEV(0, 0), NULL, "ctl");
	if (IS_ERR(ctl)) {
		err = PTR_ERR(ctl);
		goto unregister;
	}
	ctl_devices = kobject_create_and_add("devices", &ctl->kobj);
	if (ctl_devices)
		return 0;
	err = -ENOMEM;
	device_unregister(ctl);
unregister:
	class_unregister(&ibnbd_server_class);
	return err;
}

void server_ctl_destroy(void)
{
	kobject_put(ctl_devices);
	device_unregister(ctl);
	class_unregister(&ibnbd_server_class);
}
