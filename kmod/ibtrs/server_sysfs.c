// SPDX-License-Identifier: GPL-2.0
/*
 * The server's files: /sys/class/ibtrs-server/<session>/paths/<client>@<server>/.
 */
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "server.h"

struct path_attribute {
	struct attribute attr;
	ssize_t (*show)(struct server_path *path, char *buf);
	void (*store)(struct server_path *path); /* what has been asked for by writing 1 */
};

#define PATH_ATTR_RO(_name)                                                          \
	static struct path_attribute path_attr_##_name = { .attr = { #_name, 0444 }, \
							   .show = _name##_show }
#define PATH_ATTR_RW(_name)                                                          \
	static struct path_attribute path_attr_##_name = { .attr = { #_name, 0644 }, \
							   .show = _name##_show,     \
							   .store = _name##_store }

static struct server_path *path_of(struct kobject *kobj)
{
	return container_of(kobj, struct server_path, kobj);
}

static ssize_t disconnect_show(struct server_path *path, char *buf)
{
	return sysfs_emit(buf, "Usage: echo 1 > disconnect\n");
}

static void disconnect_store(struct server_path *path)
{
	server_path_fail(path, "disconnect was written");
}
PATH_ATTR_RW(disconnect);

static ssize_t hca_name_show(struct server_path *path, char *buf)
{
	return sysfs_emit(buf, "%s\n", path->dev->name);
}
PATH_ATTR_RO(hca_name);

static ssize_t hca_port_show(struct server_path *path, char *buf)
{
	return sysfs_emit(buf, "%u\n", path->port_num);
}
PATH_ATTR_RO(hca_port);

static ssize_t src_addr_show(struct server_path *path, char *buf)
{
	return ibtrs_emit_addr(buf, &path->client);
}
PATH_ATTR_RO(src_addr);

static ssize_t dst_addr_show(struct server_path *path, char *buf)
{
	return ibtrs_emit_addr(buf, &path->local);
}
PATH_ATTR_RO(dst_addr);

static struct attribute *path_attrs[] = {
	&path_attr_disconnect.attr, &path_attr_hca_name.attr, &path_attr_hca_port.attr,
	&path_attr_src_addr.attr,   &path_attr_dst_addr.attr, NULL,
};

static const struct attribute_group path_group = { .attrs = path_attrs };

static ssize_t rdma_show(struct server_path *path, char *buf)
{
	struct server_counts sum = {};
	int cpu;

	for_each_possible_cpu(cpu) {
		struct server_counts *c = per_cpu_ptr(path->counts, cpu);

		sum.reads += c->reads;
		sum.read_bytes += c->read_bytes;
		sum.writes += c->writes;
		sum.write_bytes += c->write_bytes;
	}
	return sysfs_emit(buf, "%llu %llu %llu %llu %d\n", sum.reads, sum.read_bytes, sum.writes,
			  sum.write_bytes, atomic_read(&path->inflight));
}

static void rdma_store(struct server_path *path)
{
	int cpu;

	for_each_possible_cpu(cpu)
		memset(per_cpu_ptr(path->counts, cpu), 0, sizeof(struct server_counts));
}
PATH_ATTR_RW(rdma);

static ssize_t reset_all_show(struct server_path *path, char *buf)
{
	return sysfs_emit(buf, "Usage: echo 1 > reset_all\n");
}

static void reset_all_store(struct server_path *path)
{
	rdma_store(path);
}
PATH_ATTR_RW(reset_all);

static struct attribute *stats_attrs[] = {
	&path_attr_rdma.attr,
	&path_attr_reset_all.attr,
	NULL,
};

static const struct attribute_group stats_group = { .name = "stats", .attrs = stats_attrs };

static const struct attribute_group *path_groups[] = { &path_group, &stats_group, NULL };

static ssize_t path_attr_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	return container_of(attr, struct path_attribute, attr)->show(path_of(kobj), buf);
}

static bool is_stats(const struct attribute *attr)
{
	return attr != &path_attr_disconnect.attr;
}

/*
 * Every file that can be written takes 1; statistics are also reset by 0, as their descriptions
 * have it.
 */
static ssize_t path_attr_store(struct kobject *kobj, struct attribute *attr, const char *buf,
			       size_t count)
{
	if (!sysfs_streq(buf, "1") && !(is_stats(attr) && sysfs_streq(buf, "0"))) {
		pr_err("ibtrs_server: %s: \"%.*s\" is not 1\n", attr->name,
		       (int)min_t(size_t, strcspn(buf, "\n"), 32), buf);
		return -EINVAL;
	}
	container_of(attr, struct path_attribute, attr)->store(path_of(kobj));
	return count;
}

static const struct sysfs_ops path_sysfs_ops = { .show = path_attr_show, .store = path_attr_store };

static void path_release(struct kobject *kobj)
{
	struct server_path *path = path_of(kobj);
	struct server_session *sess = path->sess;
	u32 cid;

	for (cid = 0; cid < path->nr_cons; cid++)
		kfree(path->cons[cid]);
	kvfree(path->cons);
	free_percpu(path->counts);
	kfree(path);
	put_device(&sess->dev);
}

const struct kobj_type server_path_ktype = {
	.release = path_release,
	.sysfs_ops = &path_sysfs_ops,
	.default_groups = path_groups,
};

/* Showing and hiding. All of these need srv->mutex. */

/* Shows a session when its first path is about to be connected; later calls do nothing. */
int server_session_show(struct server_session *sess)
{
	int err;

	lockdep_assert_held(&sess->srv->mutex);
	if (sess->shown)
		return 0;
	err = dev_set_name(&sess->dev, "%s", sess->name);
	if (err)
		return err;
	err = device_add(&sess->dev);
	if (err)
		return err;
	sess->paths_dir = kobject_create_and_add("paths", &sess->dev.kobj);
	if (!sess->paths_dir) {
		device_del(&sess->dev);
		return -ENOMEM;
	}
	sess->shown = true;
	return 0;
}

void server_session_hide(struct server_session *sess)
{
	lockdep_assert_held(&sess->srv->mutex);
	if (!sess->shown)
		return;
	kobject_del(sess->paths_dir);
	kobject_put(sess->paths_dir);
	device_del(&sess->dev);
	sess->shown = false;
}

int server_path_show(struct server_path *path)
{
	int err = kobject_add(&path->kobj, path->sess->paths_dir, "%s", path->name);

	path->shown = !err;
	return err;
}

void server_path_hide(struct server_path *path)
{
	lockdep_assert_held(&path->srv->mutex);
	if (path->shown)
		kobject_del(&path->kobj);
	path->shown = false;
}
