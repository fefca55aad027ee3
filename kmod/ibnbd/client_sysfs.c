// SPDX-License-Identifier: GPL-2.0
/* The client's files: /sys/class/ibnbd-client/ctl/ and /sys/block/ibnbd<N>/ibnbd_client/. */
#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "client.h"

static const struct class ibnbd_client_class = { .name = "ibnbd-client" };
static struct device *ctl;
static struct kobject *ctl_devices;

/*
 * The files of a device. They hang on a kobject of their own, whose lifetime is not that of the
 * device: it has a reference.
 */

struct device_dir {
	struct kobject kobj;
	struct ibnbd_device *dev;
};

struct device_file {
	struct attribute attr;
	ssize_t (*show)(struct ibnbd_device *dev, char *buf);
	ssize_t (*store)(struct ibnbd_device *dev, const char *buf, size_t count);
};

#define FILE_RO(_name) \
	static struct device_file file_##_name = { .attr = { #_name, 0444 }, .show = _name##_show }
#define FILE_RW(_name)                                                       \
	static struct device_file file_##_name = { .attr = { #_name, 0644 }, \
						   .show = _name##_show,     \
						   .store = _name##_store }

static ssize_t refuse(const char *file, const char *buf, const char *limit)
{
	pr_err("ibnbd_client: %s: \"%.*s\" is not %s\n", file,
	       (int)min_t(size_t, strcspn(buf, "\n"), 32), buf, limit);
	return -EINVAL;
}

static ssize_t unmap_device_show(struct ibnbd_device *dev, char *buf)
{
	return sysfs_emit(buf, "Usage: echo <normal|force> > unmap_device\n");
}

static struct device_file file_unmap_device;

static ssize_t unmap_device_store(struct ibnbd_device *dev, const char *buf, size_t count)
{
	bool force = sysfs_streq(buf, "force");
	int err;

	if (!force && !sysfs_streq(buf, "normal"))
		return refuse("unmap_device", buf, "normal or force");
	err = device_unmap(dev, force, &file_unmap_device.attr);
	return err ?: count;
}

static struct device_file file_unmap_device = {
	.attr = { "unmap_device", 0644 },
	.show = unmap_device_show,
	.store = unmap_device_store,
};

static ssize_t state_show(struct ibnbd_device *dev, char *buf)
{
	static const char * const names[] = {
		[DEVICE_INIT] = "init",
		[DEVICE_OPEN] = "open",
		[DEVICE_CLOSED] = "closed",
		[DEVICE_UNMAPPED] = "unmapped",
	};

	return sysfs_emit(buf, "%s\n", names[READ_ONCE(dev->state)]);
}
FILE_RO(state);

static ssize_t session_show(struct ibnbd_device *dev, char *buf)
{
	return sysfs_emit(buf, "%s\n", dev->sess->name);
}
FILE_RO(session);

static ssize_t mapping_path_show(struct ibnbd_device *dev, char *buf)
{
	return sysfs_emit(buf, "%s\n", dev->path);
}
FILE_RO(mapping_path);

static ssize_t access_mode_show(struct ibnbd_device *dev, char *buf)
{
	return sysfs_emit(buf, "%s\n", access_mode_name(dev->access_mode));
}
FILE_RO(access_mode);

static ssize_t io_mode_show(struct ibnbd_device *dev, char *buf)
{
	return sysfs_emit(buf, "%s\n", io_mode_name(io_mode_in_use(dev)));
}
FILE_RO(io_mode);

static ssize_t resize_show(struct ibnbd_device *dev, char *buf)
{
	return sysfs_emit(buf, "Usage: echo <new size in sectors> > resize\n");
}

static ssize_t resize_store(struct ibnbd_device *dev, const char *buf, size_t count)
{
	u64 sectors;
	int err = kstrtou64(buf, 0, &sectors);

	if (err)
		return err;
	err = device_resize(dev, sectors);
	return err ?: count;
}
FILE_RW(resize);

static ssize_t remap_device_show(struct ibnbd_device *dev, char *buf)
{
	return sysfs_emit(buf, "Usage: echo <1> > remap_device\n");
}

static ssize_t remap_device_store(struct ibnbd_device *dev, const char *buf, size_t count)
{
	int err;

	if (!sysfs_streq(buf, "1"))
		return refuse("remap_device", buf, "1");
	err = device_remap(dev);
	return err ?: count;
}
FILE_RW(remap_device);

static struct attribute *device_attrs[] = {
	&file_unmap_device.attr, &file_state.attr,	  &file_session.attr,
	&file_mapping_path.attr, &file_access_mode.attr,  &file_io_mode.attr,
	&file_resize.attr,	 &file_remap_device.attr, NULL,
};
ATTRIBUTE_GROUPS(device);

static struct ibnbd_device *device_of(struct kobject *kobj)
{
	return container_of(kobj, struct device_dir, kobj)->dev;
}

static ssize_t file_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	return container_of(attr, struct device_file, attr)->show(device_of(kobj), buf);
}

/*
 * The file that unmaps is gone before the device is: the device, its directory and the module are
 * kept here.
 */
static ssize_t file_store(struct kobject *kobj, struct attribute *attr, const char *buf,
			  size_t count)
{
	struct ibnbd_device *dev = device_of(kobj);
	ssize_t n;

	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	kref_get(&dev->ref);
	kobject_get(kobj);
	n = container_of(attr, struct device_file, attr)->store(dev, buf, count);
	kobject_put(kobj);
	device_put(dev);
	module_put(THIS_MODULE);
	return n;
}

static const struct sysfs_ops device_sysfs_ops = { .show = file_show, .store = file_store };

static void dir_release(struct kobject *kobj)
{
	struct device_dir *dir = container_of(kobj, struct device_dir, kobj);

	device_put(dir->dev);
	kfree(dir);
}

static const struct kobj_type dir_ktype = {
	.release = dir_release,
	.sysfs_ops = &device_sysfs_ops,
	.default_groups = device_groups,
};

/*
 * The link below ctl/devices is named after the device's path; a second session that maps the same
 * path adds its own name.
 */
static int create_link(struct ibnbd_device *dev)
{
	struct kobject *disk = &disk_to_dev(dev->disk)->kobj;
	int err;

	dev->link = kstrdup(dev->path, GFP_KERNEL);
	if (!dev->link)
		return -ENOMEM;
	strreplace(dev->link, '/', '!');
	err = sysfs_create_link_nowarn(ctl_devices, disk, dev->link);
	if (err != -EEXIST)
		return err;
	kfree(dev->link);
	dev->link = kasprintf(GFP_KERNEL, "%s@%s", dev->path, dev->sess->name);
	if (!dev->link)
		return -ENOMEM;
	if (strlen(dev->link) > NAME_MAX)
		return -ENAMETOOLONG;
	strreplace(dev->link, '/', '!');
	return sysfs_create_link(ctl_devices, disk, dev->link);
}

static void remove_dir(struct ibnbd_device *dev)
{
	sysfs_remove_link(&disk_to_dev(dev->disk)->kobj, "ibnbd");
	kobject_del(dev->dir);
	kobject_put(dev->dir);
	dev->dir = NULL;
}

/* Shows a device below its disk, by two names, and below ctl. */
int device_show(struct ibnbd_device *dev)
{
	struct kobject *disk = &disk_to_dev(dev->disk)->kobj;
	struct device_dir *dir = kzalloc(sizeof(*dir), GFP_KERNEL);
	int err;

	if (!dir)
		return -ENOMEM;
	kref_get(&dev->ref);
	dir->dev = dev;
	err = kobject_init_and_add(&dir->kobj, &dir_ktype, disk, "ibnbd_client");
	if (err) {
		kobject_put(&dir->kobj);
		return err;
	}
	dev->dir = &dir->kobj;
	err = sysfs_create_link(disk, dev->dir, "ibnbd");
	if (!err)
		err = create_link(dev);
	if (err) {
		remove_dir(dev);
		return err;
	}
	kobject_uevent(disk, KOBJ_ONLINE);
	return 0;
}

void device_hide(struct ibnbd_device *dev)
{
	sysfs_remove_link(ctl_devices, dev->link);
	remove_dir(dev);
}

/* ctl */

static ssize_t map_device_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(
		buf,
		"Usage: echo \"sessname=<name of the ibtrs session> path=<[srcaddr,]dstaddr> [path=<[srcaddr,]dstaddr>] device_path=<full path on remote side> [access_mode=<ro|rw|migration>] [io_mode=<fileio|blockio>]\" > map_device\n\n"
		"addr ::= [ ip:<ipv4> | ip:<ipv6> | gid:<gid> ]\n");
}

static ssize_t map_device_store(struct device *dev, struct device_attribute *attr, const char *buf,
				size_t count)
{
	struct map_request *map;
	char *text;
	int err = -ENOMEM;

	map = kmalloc(sizeof(*map), GFP_KERNEL);
	text = kstrndup(buf, count, GFP_KERNEL);
	if (map && text) {
		err = map_parse(text, map);
		if (!err)
			err = device_map(map);
	}
	kfree(text);
	kfree(map);
	return err ?: count;
}
static DEVICE_ATTR_RW(map_device);

static struct attribute *ctl_attrs[] = { &dev_attr_map_device.attr, NULL };
ATTRIBUTE_GROUPS(ctl);

int ctl_create(void)
{
	int err = class_register(&ibnbd_client_class);

	if (err)
		return err;
	ctl = device_create(&ibnbd_client_class, NULL, MKDEV(0, 0), NULL, "ctl");
	if (IS_ERR(ctl)) {
		err = PTR_ERR(ctl);
		goto unregister;
	}
	ctl_devices = kobject_create_and_add("devices", &ctl->kobj);
	if (!ctl_devices) {
		err = -ENOMEM;
		goto destroy;
	}
	/* The last one: from now on somebody may map. */
	err = sysfs_create_groups(&ctl->kobj, ctl_groups);
	if (!err)
		return 0;
	kobject_put(ctl_devices);
destroy:
	device_unregister(ctl);
unregister:
	class_unregister(&ibnbd_client_class);
	return err;
}

/* No device is mapped any more when this returns. */
void ctl_stop(void)
{
	sysfs_remove_groups(&ctl->kobj, ctl_groups);
}

void ctl_destroy(void)
{
	kobject_put(ctl_devices);
	device_unregister(ctl);
	class_unregister(&ibnbd_client_class);
}
