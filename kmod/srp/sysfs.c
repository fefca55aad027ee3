// SPDX-License-Identifier: GPL-2.0
/* The files of ports and of their SCSI hosts. */
#include <linux/sysfs.h>
#include <scsi/scsi_device.h>

#include "srp.h"

static struct srp_port *to_port(struct device *dev)
{
	return container_of(dev, struct srp_port, dev);
}

/* Identity and state of a port */

static ssize_t port_id_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%16phC\n", to_port(dev)->target_id);
}
static DEVICE_ATTR_RO(port_id);

static ssize_t roles_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "SRP Target\n");
}
static DEVICE_ATTR_RO(roles);

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", srp_state_name(READ_ONCE(to_port(dev)->state)));
}
static DEVICE_ATTR_RO(state);

static ssize_t failed_reconnects_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_port(dev)->failed_reconnects));
}
static DEVICE_ATTR_RO(failed_reconnects);

static ssize_t reconnecting_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_port(dev)->reconnecting));
}
static DEVICE_ATTR_RO(reconnecting);

static ssize_t last_error_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_port(dev)->last_error));
}
static DEVICE_ATTR_RO(last_error);

static ssize_t last_reject_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "0x%08x\n", READ_ONCE(to_port(dev)->last_reject));
}
static DEVICE_ATTR_RO(last_reject);

static ssize_t io_fail_bound_ms_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	s64 bound = srp_bound_ms(to_port(dev));

	return bound < 0 ? sysfs_emit(buf, "off\n") : sysfs_emit(buf, "%lld\n", bound);
}
static DEVICE_ATTR_RO(io_fail_bound_ms);

static ssize_t delete_store(struct device *dev, struct device_attribute *attr, const char *buf,
			    size_t count)
{
	srp_port_delete(to_port(dev));
	return count;
}
static DEVICE_ATTR_WO(delete);

static ssize_t reconnect_now_store(struct device *dev, struct device_attribute *attr,
				   const char *buf, size_t count)
{
	srp_port_kick(to_port(dev));
	return count;
}
static DEVICE_ATTR_WO(reconnect_now);

/* Timers: seconds, or "off". */

static ssize_t show_tmo(char *buf, int value)
{
	return value < 0 ? sysfs_emit(buf, "off\n") : sysfs_emit(buf, "%d\n", value);
}

static int parse_tmo(const char *buf, int *value)
{
	if (sysfs_streq(buf, "off")) {
		*value = SRP_OFF;
		return 0;
	}
	if (kstrtoint(buf, 0, value))
		return -EINVAL;
	*value = max(*value, SRP_OFF);
	return 0;
}

#define TIMER(name, rd, ff, dl)								\
static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf)	\
{											\
	return show_tmo(buf, READ_ONCE(to_port(dev)->name));				\
}											\
static ssize_t name##_store(struct device *dev, struct device_attribute *attr,		\
			    const char *buf, size_t count)				\
{											\
	struct srp_port *port = to_port(dev);						\
	int value, err = parse_tmo(buf, &value);					\
											\
	if (err)									\
		return err;								\
	mutex_lock(&port->mutex);							\
	if (srp_tmo_legal(rd, ff, dl)) {						\
		port->name = value;							\
		srp_timers_changed(port);						\
	} else {									\
		err = -EINVAL;								\
	}										\
	mutex_unlock(&port->mutex);							\
	return err ?: count;								\
}											\
static DEVICE_ATTR_RW(name)

TIMER(reconnect_delay, value, port->fast_io_fail_tmo, port->dev_loss_tmo);
TIMER(fast_io_fail_tmo, port->reconnect_delay, value, port->dev_loss_tmo);
TIMER(dev_loss_tmo, port->reconnect_delay, port->fast_io_fail_tmo, value);

/* Numbers with limits */

#define NUMBER(name, min, max)								\
static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf)	\
{											\
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_port(dev)->name));			\
}											\
static ssize_t name##_store(struct device *dev, struct device_attribute *attr,		\
			    const char *buf, size_t count)				\
{											\
	struct srp_port *port = to_port(dev);						\
	u32 value;									\
	int err = kstrtou32(buf, 0, &value);						\
											\
	if (err || value < (min) || value > (max))					\
		return -EINVAL;								\
	mutex_lock(&port->mutex);							\
	port->name = value;								\
	srp_timers_changed(port);							\
	mutex_unlock(&port->mutex);							\
	return count;									\
}											\
static DEVICE_ATTR_RW(name)

#define MOST_MS	600000

NUMBER(reconnect_delay_max, 1, 86400);
NUMBER(probe_ms, 0, MOST_MS);
NUMBER(deadline_ms, 100, MOST_MS);

/* The timer of commands, for all disks of the port. */
static ssize_t blk_rq_tmo_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return show_tmo(buf, READ_ONCE(to_port(dev)->command_tmo) ?: SRP_OFF);
}

static ssize_t blk_rq_tmo_store(struct device *dev, struct device_attribute *attr, const char *buf,
				size_t count)
{
	struct srp_port *port = to_port(dev);
	struct scsi_device *sdev;
	int value, err = parse_tmo(buf, &value);

	if (err || !value || value > 86400)
		return -EINVAL;
	port->command_tmo = value < 0 ? 0 : value;
	shost_for_each_device(sdev, port->host)
		srp_set_command_timer(port, sdev);
	return count;
}
static DEVICE_ATTR_RW(blk_rq_tmo);

static struct attribute *port_attrs[] = {
	&dev_attr_port_id.attr,
	&dev_attr_roles.attr,
	&dev_attr_state.attr,
	&dev_attr_fast_io_fail_tmo.attr,
	&dev_attr_dev_loss_tmo.attr,
	&dev_attr_reconnect_delay.attr,
	&dev_attr_reconnect_delay_max.attr,
	&dev_attr_failed_reconnects.attr,
	&dev_attr_reconnecting.attr,
	&dev_attr_reconnect_now.attr,
	&dev_attr_delete.attr,
	&dev_attr_probe_ms.attr,
	&dev_attr_deadline_ms.attr,
	&dev_attr_io_fail_bound_ms.attr,
	&dev_attr_blk_rq_tmo.attr,
	&dev_attr_last_error.attr,
	&dev_attr_last_reject.attr,
	NULL
};

static const struct attribute_group port_group = { .attrs = port_attrs };

const struct attribute_group *srp_port_groups[] = { &port_group, NULL };

/* Files of the SCSI host */

#define HOST_FILE(name, format, ...)								\
static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf)	\
{											\
	struct srp_port *port = host_port(class_to_shost(dev));				\
											\
	return sysfs_emit(buf, format "\n", __VA_ARGS__);				\
}											\
static DEVICE_ATTR_RO(name)

HOST_FILE(id_ext, "0x%016llx", port->params.id_ext);
HOST_FILE(ioc_guid, "0x%016llx", port->params.ioc_guid);
HOST_FILE(sgid, "%pI6", port->sgid.raw);
HOST_FILE(local_ib_device, "%s", port->ib_name);
HOST_FILE(local_ib_port, "%u", port->ib_port);
HOST_FILE(ch_count, "%u", port->host->nr_hw_queues);
HOST_FILE(comp_vector, "%u", port->params.comp_vector);
HOST_FILE(tl_retry_count, "%u", port->params.retry_count);
HOST_FILE(qp_retries, "%u", port->params.retry_count);
HOST_FILE(ack_timeout, "%u", port->ack_timeout);
HOST_FILE(cmd_sg_entries, "%u", port->params.cmd_sg_entries);
HOST_FILE(allow_ext_sg, "%s", port->params.allow_ext_sg ? "true" : "false");
HOST_FILE(zero_req_lim, "%u", READ_ONCE(port->zero_req_lim));

/* The least of all channels; nothing can be sent while there are none. */
static ssize_t req_lim_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct srp_port *port = host_port(class_to_shost(dev));
	struct srp_conn *conn;
	s32 least = 0;
	int i;

	rcu_read_lock();
	conn = rcu_dereference(port->conn);
	if (conn)
		least = S32_MAX;
	for (i = 0; conn && i < conn->used; i++)
		least = min(least, READ_ONCE(conn->channels[i].credits));
	rcu_read_unlock();
	return sysfs_emit(buf, "%d\n", least);
}
static DEVICE_ATTR_RO(req_lim);

/* What only the connection manager of InfiniBand has. */
static ssize_t none_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return -ENOENT;
}

static struct device_attribute dev_attr_service_id = __ATTR(service_id, 0444, none_show, NULL);
static struct device_attribute dev_attr_pkey = __ATTR(pkey, 0444, none_show, NULL);
static struct device_attribute dev_attr_dgid = __ATTR(dgid, 0444, none_show, NULL);
static struct device_attribute dev_attr_orig_dgid = __ATTR(orig_dgid, 0444, none_show, NULL);

static struct attribute *host_attrs[] = {
	&dev_attr_id_ext.attr,
	&dev_attr_ioc_guid.attr,
	&dev_attr_service_id.attr,
	&dev_attr_pkey.attr,
	&dev_attr_dgid.attr,
	&dev_attr_orig_dgid.attr,
	&dev_attr_sgid.attr,
	&dev_attr_req_lim.attr,
	&dev_attr_zero_req_lim.attr,
	&dev_attr_local_ib_device.attr,
	&dev_attr_local_ib_port.attr,
	&dev_attr_ch_count.attr,
	&dev_attr_comp_vector.attr,
	&dev_attr_tl_retry_count.attr,
	&dev_attr_qp_retries.attr,
	&dev_attr_ack_timeout.attr,
	&dev_attr_cmd_sg_entries.attr,
	&dev_attr_allow_ext_sg.attr,
	NULL
};

static const struct attribute_group host_group = { .attrs = host_attrs };

const struct attribute_group *srp_host_groups[] = { &host_group, NULL };
