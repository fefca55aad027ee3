// SPDX-License-Identifier: GPL-2.0
/*
 * The client's files: /sys/class/ibtrs-client/<session>/ and paths/<source>@<destination>/ below
 * it.
 */
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "client.h"

#define MAX_RECONNECT_ATTEMPTS 9999
#define DAY_MS (24 * 60 * 60 * 1000)

static struct ibtrs_session *session_of(struct device *dev)
{
	return container_of(dev, struct ibtrs_session, dev);
}

/* Session */

static ssize_t max_reconnect_attempts_show(struct device *dev, struct device_attribute *attr,
					   char *buf)
{
	return sysfs_emit(buf, "%d\n", session_of(dev)->max_reconnect_attempts);
}

static ssize_t max_reconnect_attempts_store(struct device *dev, struct device_attribute *attr,
					    const char *buf, size_t count)
{
	int value, err = kstrtoint(buf, 10, &value);

	if (err)
		return err;
	if (value < -1 || value > MAX_RECONNECT_ATTEMPTS) {
		dev_err(dev, "max_reconnect_attempts: %d is not -1 to %d\n", value,
			MAX_RECONNECT_ATTEMPTS);
		return -EINVAL;
	}
	WRITE_ONCE(session_of(dev)->max_reconnect_attempts, value);
	return count;
}
static DEVICE_ATTR_RW(max_reconnect_attempts);

static const struct {
	const char *name, *abbreviation, *number;
} policies[POLICIES] = {
	[POLICY_ROUND_ROBIN] = { "round-robin", "RR", "0" },
	[POLICY_MIN_INFLIGHT] = { "min-inflight", "MI", "1" },
	[POLICY_MIN_LATENCY] = { "min-latency", "ML", "2" },
};

static ssize_t mpath_policy_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	enum policy policy = session_of(dev)->policy;

	return sysfs_emit(buf, "%s (%s: %s)\n", policies[policy].name,
			  policies[policy].abbreviation, policies[policy].number);
}

static ssize_t mpath_policy_store(struct device *dev, struct device_attribute *attr,
				  const char *buf, size_t count)
{
	size_t length = strcspn(buf, "\n");
	int i;

	for (i = 0; length && i < POLICIES; i++) {
		const char *name = policies[i].name;

		if ((length == 1 && buf[0] == policies[i].number[0]) ||
		    (length == strlen(name) && !strncasecmp(buf, name, length)) ||
		    (length == 2 && !strncasecmp(buf, policies[i].abbreviation, 2))) {
			WRITE_ONCE(session_of(dev)->policy, i);
			return count;
		}
	}
	dev_err(dev, "mpath_policy: \"%.*s\" is none\n", (int)min_t(size_t, length, 32), buf);
	return -EINVAL;
}
static DEVICE_ATTR_RW(mpath_policy);

static ssize_t add_path_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "Usage: echo [<source addr>,]<destination addr> > add_path\n\n"
			       "*addr ::= [ ip:<ipv4|ipv6> | gid:<gid> ]\n");
}

static bool has_path(struct ibtrs_session *sess, const struct ibtrs_path_addr *addr)
{
	struct ibtrs_path *path;

	list_for_each_entry(path, &sess->paths, entry)
		if (ibtrs_same_addr(&path->src, &addr->src) &&
		    ibtrs_same_addr(&path->dst, &addr->dst))
			return true;
	return false;
}

static ssize_t add_path_store(struct device *dev, struct device_attribute *attr, const char *buf,
			      size_t count)
{
	struct ibtrs_session *sess = session_of(dev);
	char *text = kstrndup(buf, count, GFP_KERNEL);
	struct ibtrs_path_addr addr;
	int err;

	if (!text)
		return -ENOMEM;
	err = ibtrs_parse_path(strim(text), sess->port, &addr.src, &addr.dst);
	kfree(text);
	if (err) {
		dev_err(dev, "add_path: not a path: %d\n", err);
		return -EINVAL;
	}
	mutex_lock(&sess->mutex);
	err = has_path(sess, &addr) ? -EEXIST : session_add_path(sess, &addr);
	mutex_unlock(&sess->mutex);
	return err ?: count;
}
static DEVICE_ATTR_RW(add_path);

static struct attribute *session_attrs[] = {
	&dev_attr_max_reconnect_attempts.attr,
	&dev_attr_mpath_policy.attr,
	&dev_attr_add_path.attr,
	NULL,
};

static const struct attribute_group session_group = { .attrs = session_attrs };

/* Timers of the session, in milliseconds. They hold from the next connect of each path on. */

#define TIMER(_name, _field, _least, _most)                                                       \
	static ssize_t _name##_show(struct device *dev, struct device_attribute *attr, char *buf) \
	{                                                                                         \
		return sysfs_emit(buf, "%u\n", session_of(dev)->timers._field);                   \
	}                                                                                         \
	static ssize_t _name##_store(struct device *dev, struct device_attribute *attr,           \
				     const char *buf, size_t count)                               \
	{                                                                                         \
		u32 value;                                                                        \
		int err = kstrtou32(buf, 10, &value);                                             \
												  \
		if (err)                                                                          \
			return err;                                                               \
		if (value < (_least) || value > (_most)) {                                        \
			dev_err(dev, #_name ": %u is not %u to %u\n", value, (_least), (_most));  \
			return -EINVAL;                                                           \
		}                                                                                 \
		WRITE_ONCE(session_of(dev)->timers._field, value);                                \
		return count;                                                                     \
	}                                                                                         \
	static DEVICE_ATTR_RW(_name)

TIMER(heartbeat_ms, heartbeat, 1, DAY_MS);
TIMER(heartbeat_misses, misses, 1, 1000);
TIMER(answer_ms, answer, 1, DAY_MS);
TIMER(connect_ms, connect, 1, DAY_MS);
TIMER(packet_lifetime_ms, packet_lifetime, 0, DAY_MS);
TIMER(reconnect_delay_ms, reconnect_delay, 0, DAY_MS);
TIMER(reconnect_spread_ms, reconnect_spread, 0, DAY_MS);

/*
 * What follows from them. A look at the peer may come an eighth late, as timers of the kernel do. A
 * heartbeat may have left just before the peer fell silent, so an interval passes before the first
 * look that misses it.
 */

static u64 late(u64 ms)
{
	return ms + ms / 8;
}

static u64 stall_ms(const struct timers *t)
{
	return late((u64)t->heartbeat * (t->misses + 2)) + late(t->packet_lifetime);
}

static ssize_t worst_stall_ms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", stall_ms(&session_of(dev)->timers));
}
static DEVICE_ATTR_RO(worst_stall_ms);

static ssize_t worst_error_ms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", stall_ms(&session_of(dev)->timers));
}
static DEVICE_ATTR_RO(worst_error_ms);

/*
 * From a wire that is whole again to a connected path. At most the time of detection after that,
 * both sides know of the loss; the attempt that is under way then is in vain, and each other path of
 * the session may have one before the next, for attempts are made one at a time. Any of them may
 * last for the connect timeout: a patient one, and one whose server has answered. Lost paths of
 * other sessions have theirs, too, and are not counted here: how many there will be nobody knows.
 */
static u64 reconnect_ms(struct ibtrs_session *sess)
{
	const struct timers *t = &sess->timers;
	u64 attempts = (u64)READ_ONCE(sess->nr_paths) + 1;

	return late((u64)t->heartbeat * (t->misses + 2)) +
	       late((u64)t->packet_lifetime + t->reconnect_delay + t->reconnect_spread +
		    attempts * t->connect);
}

static ssize_t worst_reconnect_ms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", reconnect_ms(session_of(dev)));
}
static DEVICE_ATTR_RO(worst_reconnect_ms);

static struct attribute *timer_attrs[] = {
	&dev_attr_heartbeat_ms.attr,
	&dev_attr_heartbeat_misses.attr,
	&dev_attr_answer_ms.attr,
	&dev_attr_connect_ms.attr,
	&dev_attr_packet_lifetime_ms.attr,
	&dev_attr_reconnect_delay_ms.attr,
	&dev_attr_reconnect_spread_ms.attr,
	&dev_attr_worst_stall_ms.attr,
	&dev_attr_worst_error_ms.attr,
	&dev_attr_worst_reconnect_ms.attr,
	NULL,
};

static const struct attribute_group timer_group = { .name = "timers", .attrs = timer_attrs };

const struct attribute_group *ibtrs_session_groups[] = { &session_group, &timer_group, NULL };

/* Path */

struct path_attribute {
	struct attribute attr;
	ssize_t (*show)(struct ibtrs_path *path, char *buf);
	int (*store)(struct ibtrs_path *path); /* what has been asked for by writing 1 */
};

#define PATH_ATTR_RO(_name)                                                          \
	static struct path_attribute path_attr_##_name = { .attr = { #_name, 0444 }, \
							   .show = _name##_show }
#define PATH_ATTR_RW(_name)                                                          \
	static struct path_attribute path_attr_##_name = { .attr = { #_name, 0644 }, \
							   .show = _name##_show,     \
							   .store = _name##_store }

static struct ibtrs_path *path_of(struct kobject *kobj)
{
	return container_of(kobj, struct ibtrs_path, kobj);
}

static ssize_t state_show(struct ibtrs_path *path, char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  READ_ONCE(path->state) == PATH_CONNECTED ? "connected" : "disconnected");
}
PATH_ATTR_RO(state);

static ssize_t reconnect_show(struct ibtrs_path *path, char *buf)
{
	return sysfs_emit(buf, "Usage: echo 1 > reconnect\n");
}

static int reconnect_store(struct ibtrs_path *path)
{
	return path_reconnect(path);
}
PATH_ATTR_RW(reconnect);

static ssize_t disconnect_show(struct ibtrs_path *path, char *buf)
{
	return sysfs_emit(buf, "Usage: echo 1 > disconnect\n");
}

static int disconnect_store(struct ibtrs_path *path)
{
	path_disconnect(path);
	return 0;
}
PATH_ATTR_RW(disconnect);

static ssize_t remove_path_show(struct ibtrs_path *path, char *buf)
{
	return sysfs_emit(buf, "Usage: echo 1 > remove_path\n");
}

static struct path_attribute path_attr_remove_path;

static int remove_path_store(struct ibtrs_path *path)
{
	struct ibtrs_session *sess = path->sess;

	kobject_get(&path->kobj);
	/* Of several who write at the same time one removes the path. */
	if (sysfs_remove_file_self(&path->kobj, &path_attr_remove_path.attr)) {
		mutex_lock(&sess->mutex);
		if (!path->removed)
			path_remove(path);
		mutex_unlock(&sess->mutex);
	}
	kobject_put(&path->kobj);
	return 0;
}

static struct path_attribute path_attr_remove_path = {
	.attr = { "remove_path", 0644 },
	.show = remove_path_show,
	.store = remove_path_store,
};

static ssize_t hca_name_show(struct ibtrs_path *path, char *buf)
{
	return sysfs_emit(buf, "%s\n", path->hca_name);
}
PATH_ATTR_RO(hca_name);

static ssize_t hca_port_show(struct ibtrs_path *path, char *buf)
{
	return sysfs_emit(buf, "%u\n", path->hca_port);
}
PATH_ATTR_RO(hca_port);

static ssize_t src_addr_show(struct ibtrs_path *path, char *buf)
{
	return ibtrs_emit_addr(buf, &path->src);
}
PATH_ATTR_RO(src_addr);

static ssize_t dst_addr_show(struct ibtrs_path *path, char *buf)
{
	return ibtrs_emit_addr(buf, &path->dst);
}
PATH_ATTR_RO(dst_addr);

static ssize_t cur_latency_show(struct ibtrs_path *path, char *buf)
{
	struct build *build;
	s64 latency = 0;

	rcu_read_lock();
	build = rcu_dereference(path->build);
	if (build)
		latency = READ_ONCE(build->heartbeat.latency);
	rcu_read_unlock();
	return sysfs_emit(buf, "%lld ns\n", latency);
}
PATH_ATTR_RO(cur_latency);

static struct attribute *path_attrs[] = {
	&path_attr_state.attr,	     &path_attr_reconnect.attr,
	&path_attr_disconnect.attr,  &path_attr_remove_path.attr,
	&path_attr_hca_name.attr,    &path_attr_hca_port.attr,
	&path_attr_src_addr.attr,    &path_attr_dst_addr.attr,
	&path_attr_cur_latency.attr, NULL,
};

static const struct attribute_group path_group = { .attrs = path_attrs };

/* Statistics of a path */

static ssize_t reconnects_show(struct ibtrs_path *path, char *buf)
{
	return sysfs_emit(buf, "%d %d\n", atomic_read(&path->reconnected),
			  atomic_read(&path->failed));
}

static int reconnects_store(struct ibtrs_path *path)
{
	atomic_set(&path->reconnected, 0);
	atomic_set(&path->failed, 0);
	return 0;
}
PATH_ATTR_RW(reconnects);

static ssize_t rdma_show(struct ibtrs_path *path, char *buf)
{
	struct path_counts sum = {};
	struct build *build;
	int cpu, inflight = 0;

	for_each_possible_cpu(cpu) {
		struct path_counts *c = per_cpu_ptr(path->counts, cpu);

		sum.reads += c->reads;
		sum.read_bytes += c->read_bytes;
		sum.writes += c->writes;
		sum.write_bytes += c->write_bytes;
		sum.failed_over += c->failed_over;
	}
	rcu_read_lock();
	build = rcu_dereference(path->build);
	if (build)
		inflight = atomic_read(&build->inflight);
	rcu_read_unlock();
	return sysfs_emit(buf, "%llu %llu %llu %llu %d %llu\n", sum.reads, sum.read_bytes,
			  sum.writes, sum.write_bytes, inflight, sum.failed_over);
}

static int rdma_store(struct ibtrs_path *path)
{
	int cpu;

	for_each_possible_cpu(cpu)
		memset(per_cpu_ptr(path->counts, cpu), 0, sizeof(struct path_counts));
	return 0;
}
PATH_ATTR_RW(rdma);

static ssize_t reset_all_show(struct ibtrs_path *path, char *buf)
{
	return sysfs_emit(buf, "Usage: echo 1 > reset_all\n");
}

static int reset_all_store(struct ibtrs_path *path)
{
	reconnects_store(path);
	return rdma_store(path);
}
PATH_ATTR_RW(reset_all);

static struct attribute *stats_attrs[] = {
	&path_attr_reconnects.attr,
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
	struct attribute **a;

	for (a = stats_attrs; *a; a++)
		if (*a == attr)
			return true;
	return false;
}

/*
 * Every file that can be written takes 1; statistics are also reset by 0, as their descriptions
 * have it.
 */
static ssize_t path_attr_store(struct kobject *kobj, struct attribute *attr, const char *buf,
			       size_t count)
{
	int err;

	if (!sysfs_streq(buf, "1") && !(is_stats(attr) && sysfs_streq(buf, "0"))) {
		pr_err("ibtrs_client: %s: \"%.*s\" is not 1\n", attr->name,
		       (int)min_t(size_t, strcspn(buf, "\n"), 32), buf);
		return -EINVAL;
	}
	err = container_of(attr, struct path_attribute, attr)->store(path_of(kobj));
	return err ?: count;
}

static const struct sysfs_ops path_sysfs_ops = { .show = path_attr_show, .store = path_attr_store };

static void path_release(struct kobject *kobj)
{
	struct ibtrs_path *path = path_of(kobj);
	struct ibtrs_session *sess = path->sess;

	free_percpu(path->counts);
	mutex_destroy(&path->mutex);
	kfree(path);
	put_device(&sess->dev);
}

const struct kobj_type path_ktype = {
	.release = path_release,
	.sysfs_ops = &path_sysfs_ops,
	.default_groups = path_groups,
};

/* Showing and hiding */

/* Shows a session when its first path is connected; later calls do nothing. */
int session_show(struct ibtrs_session *sess)
{
	int err;

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

void session_hide(struct ibtrs_session *sess)
{
	if (!sess->shown)
		return;
	kobject_del(sess->paths_dir);
	kobject_put(sess->paths_dir);
	device_del(&sess->dev);
	sess->shown = false;
}

int path_show(struct ibtrs_path *path)
{
	int err = kobject_add(&path->kobj, path->sess->paths_dir, "%s", path->name);

	path->shown = !err;
	return err;
}

void path_hide(struct ibtrs_path *path)
{
	if (path->shown)
		kobject_del(&path->kobj);
	path->shown = false;
}
