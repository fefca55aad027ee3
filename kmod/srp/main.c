// SPDX-License-Identifier: GPL-2.0
/* The module: its parameters, RDMA devices that come and go, login strings, and the gate. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/rwsem.h>
#include <linux/slab.h>

#include "srp.h"

struct srp_defaults srp_def = {
	.reconnect_delay = 10,
	.fast_io_fail_tmo = 5,
	.dev_loss_tmo = SRP_OFF,
	.reconnect_delay_max = 60,
	.probe_ms = 1000,
	.deadline_ms = 3000,
	.attempt_ms = 5000,
	.cmd_sg_entries = 12,
	.max_imm_data = 8192,
	.use_imm_data = true,
};

struct workqueue_struct *srp_wq;
struct workqueue_struct *srp_gate_wq;
struct device *srp_root;
DEFINE_SPINLOCK(srp_lists);
LIST_HEAD(srp_conns);
LIST_HEAD(srp_ports);
DECLARE_WAIT_QUEUE_HEAD(srp_conns_wait);
static LIST_HEAD(devices); /* under srp_lists */
bool srp_exiting; /* under srp_lists */
static DECLARE_RWSEM(adding); /* whoever adds a target reads */

/* Parameters */

static int set_tmo(const char *text, const struct kernel_param *kp)
{
	int *at = kp->arg, old = *at, value;

	if (sysfs_streq(text, "off"))
		value = SRP_OFF;
	else if (kstrtoint(text, 0, &value))
		return -EINVAL;
	*at = max(value, SRP_OFF);
	if (srp_tmo_legal(srp_def.reconnect_delay, srp_def.fast_io_fail_tmo, srp_def.dev_loss_tmo))
		return 0;
	*at = old;
	return -EINVAL;
}

static int get_tmo(char *buf, const struct kernel_param *kp)
{
	int value = *(int *)kp->arg;

	return value < 0 ? sysfs_emit(buf, "off\n") : sysfs_emit(buf, "%d\n", value);
}

static const struct kernel_param_ops tmo_ops = { .set = set_tmo, .get = get_tmo };

#define TMO_PARAM(name, text)						\
	module_param_cb(name, &tmo_ops, &srp_def.name, 0644);		\
	MODULE_PARM_DESC(name, text)

TMO_PARAM(reconnect_delay, "seconds from a loss to the first attempt to reconnect, or off; for new ports");
TMO_PARAM(fast_io_fail_tmo, "seconds from a loss until I/O fails, or off; for new ports");
TMO_PARAM(dev_loss_tmo, "seconds from a loss until disks are removed, or off; for new ports");

#define PARAM(name, type, mode, text)					\
	module_param_named(name, srp_def.name, type, mode);		\
	MODULE_PARM_DESC(name, text)

PARAM(reconnect_delay_max, uint, 0644, "seconds that the pause between attempts grows to; for new ports");
PARAM(probe_ms, uint, 0644, "a channel that was silent for so long is asked, 0 never; for new ports");
PARAM(deadline_ms, uint, 0644, "what is not answered for so long is a loss; for new ports");
PARAM(attempt_ms, uint, 0644, "how long one attempt to connect may take");
PARAM(cmd_sg_entries, uint, 0444, "descriptors in a command");
PARAM(indirect_sg_entries, uint, 0444, "pieces of a command, 0 for as many as are useful");
PARAM(ch_count, uint, 0444, "channels, 0 for as many as the machine can use");
PARAM(max_imm_data, uint, 0644, "bytes of a write that go with the command");
PARAM(use_imm_data, bool, 0644, "ask for immediate data");
PARAM(allow_ext_sg, bool, 0444, "allow lists of which a command holds a part");
PARAM(never_register, bool, 0444, "give targets one key for all memory");

/* Accepted for the sake of configurations that have them. */
static bool register_always = true;
module_param(register_always, bool, 0444);
MODULE_PARM_DESC(register_always, "has no effect: memory is always registered, unless never_register is set");
static uint topspin_workarounds = 1;
module_param(topspin_workarounds, uint, 0444);
MODULE_PARM_DESC(topspin_workarounds, "has no effect");

/* The gate: one attempt to connect at a time on this machine. Users go first. */

static DEFINE_MUTEX(gate);
static atomic_t users = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(gate_wait);

int srp_gate_enter_first(void)
{
	int err;

	atomic_inc(&users);
	err = mutex_lock_interruptible(&gate);
	if (atomic_dec_and_test(&users))
		wake_up_all(&gate_wait);
	return err;
}

void srp_gate_enter(void)
{
	wait_event(gate_wait, !atomic_read(&users));
	mutex_lock(&gate);
}

void srp_gate_leave(void)
{
	mutex_unlock(&gate);
}

/* Local ports */

static struct srp_local *to_local(struct device *dev)
{
	return container_of(dev, struct srp_local, dev);
}

static u32 default_channels(struct srp_device *device)
{
	u32 useful = max_t(u32, 4 * num_online_nodes(), device->ib->num_comp_vectors);

	return min3(srp_def.ch_count ?: useful, num_online_cpus(), (u32)SRP_MAX_CHANNELS);
}

static void default_params(struct srp_local *local, struct srp_params *p)
{
	*p = (struct srp_params){
		.io_class = 0x0100,
		.queue_size = 62,
		.cmd_sg_entries = srp_def.cmd_sg_entries,
		.sg_tablesize = srp_def.indirect_sg_entries,
		.retry_count = local->retries,
		.channels = default_channels(local->device),
		.allow_ext_sg = srp_def.allow_ext_sg,
	};
}

/* The longest unit that is sent: a command with immediate data or with all its descriptors. */
static u32 longest_unit(const struct srp_params *p)
{
	u32 list = SRP_IMM_OFFSET + sizeof(struct srp_indirect) +
		   p->cmd_sg_entries * sizeof(struct srp_desc);
	u32 imm = srp_def.use_imm_data ? SRP_IMM_OFFSET + srp_def.max_imm_data : 0;
	u32 longest = max(list, imm);

	return p->max_iu ? max(list, min(longest, p->max_iu)) : longest;
}

static ssize_t add_target_store(struct device *dev, struct device_attribute *attr, const char *buf,
				size_t count)
{
	struct srp_local *local = to_local(dev);
	struct srp_params params;
	int err;

	default_params(local, &params);
	err = srp_parse_login(buf, &params);
	if (err)
		return err;
	params.queue_size = min_t(u32, params.queue_size, 4096);
	if (params.target_can_queue)
		params.queue_size = min(params.queue_size, params.target_can_queue);
	params.channels = min_t(u32, params.channels, SRP_MAX_CHANNELS);
	params.max_iu = longest_unit(&params);
	down_read(&adding);
	err = srp_port_create(local, &params);
	up_read(&adding);
	return err ?: count;
}
static DEVICE_ATTR_WO(add_target);

static ssize_t ibdev_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", dev_name(&to_local(dev)->device->ib->dev));
}
static DEVICE_ATTR_RO(ibdev);

static ssize_t port_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", to_local(dev)->port_num);
}
static DEVICE_ATTR_RO(port);

static ssize_t def_qp_retries_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", READ_ONCE(to_local(dev)->retries));
}

static ssize_t def_qp_retries_store(struct device *dev, struct device_attribute *attr,
				    const char *buf, size_t count)
{
	u32 value;

	if (kstrtou32(buf, 0, &value) || value < 2 || value > 7)
		return -EINVAL;
	WRITE_ONCE(to_local(dev)->retries, value);
	return count;
}
static DEVICE_ATTR_RW(def_qp_retries);

static ssize_t last_reject_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "0x%08x\n", READ_ONCE(to_local(dev)->last_reject));
}
static DEVICE_ATTR_RO(last_reject);

static struct attribute *local_attrs[] = {
	&dev_attr_add_target.attr,
	&dev_attr_ibdev.attr,
	&dev_attr_port.attr,
	&dev_attr_def_qp_retries.attr,
	&dev_attr_last_reject.attr,
	NULL
};
ATTRIBUTE_GROUPS(local);

static void release_local(struct device *dev)
{
	kfree(to_local(dev));
}

const struct class srp_local_class = {
	.name = "infiniband_srp",
	.dev_groups = local_groups,
	.dev_release = release_local,
};

const struct class srp_port_class = { .name = "srp_remote_ports" };

static struct srp_local *add_local(struct srp_device *device, u32 port_num)
{
	struct srp_local *local = kzalloc(sizeof(*local), GFP_KERNEL);
	int err;

	if (!local)
		return NULL;
	local->device = device;
	local->port_num = port_num;
	local->retries = SRP_RNR_FOR_EVER;
	local->dev.class = &srp_local_class;
	local->dev.parent = device->ib->dev.parent;
	err = dev_set_name(&local->dev, "srp-%s-%u", dev_name(&device->ib->dev), port_num);
	if (err) {
		kfree(local);
		return NULL;
	}
	if (device_register(&local->dev)) {
		put_device(&local->dev);
		return NULL;
	}
	return local;
}

/* Devices */

/* Whether there is a device of the name, which nobody is removing. */
bool srp_device_usable(const char *name)
{
	struct srp_device *device;
	bool usable = false;

	spin_lock_irq(&srp_lists);
	list_for_each_entry(device, &devices, entry)
		if (!strcmp(dev_name(&device->ib->dev), name))
			usable = !device->removed;
	spin_unlock_irq(&srp_lists);
	return usable;
}

/* A @port_num of 0 means all. */
static void fail_conns(struct ib_device *ib, u32 port_num, int err, const char *why)
{
	struct srp_conn *conn;
	unsigned long flags;

	spin_lock_irqsave(&srp_lists, flags);
	list_for_each_entry(conn, &srp_conns, entry)
		if (conn->dev == ib && (!port_num || conn->port_num == port_num))
			srp_conn_fail(conn, err, why);
	spin_unlock_irqrestore(&srp_lists, flags);
}

static void kick_ports(struct ib_device *ib, u32 port_num)
{
	struct srp_port *port;
	unsigned long flags;

	spin_lock_irqsave(&srp_lists, flags);
	list_for_each_entry(port, &srp_ports, entry)
		if (!strcmp(port->ib_name, dev_name(&ib->dev)) && port->reconnect_delay > 0 &&
		    (!port_num || port->ib_port == port_num))
			srp_port_kick(port);
	spin_unlock_irqrestore(&srp_lists, flags);
}

static void device_event(struct ib_event_handler *handler, struct ib_event *event)
{
	switch (event->event) {
	case IB_EVENT_PORT_ERR:
		fail_conns(event->device, event->element.port_num, -ENETDOWN, "the local port is down");
		break;
	case IB_EVENT_DEVICE_FATAL:
		fail_conns(event->device, 0, -EIO, "the RDMA device has failed");
		break;
	case IB_EVENT_PORT_ACTIVE:
		kick_ports(event->device, event->element.port_num);
		break;
	default:
		break;
	}
}

static struct ib_client client;

static int add_device(struct ib_device *ib)
{
	struct srp_device *device = kzalloc(sizeof(*device), GFP_KERNEL);
	u32 port;

	if (!device)
		return -ENOMEM;
	device->nr_locals = ib->phys_port_cnt;
	device->locals = kcalloc(device->nr_locals, sizeof(*device->locals), GFP_KERNEL);
	if (!device->locals) {
		kfree(device);
		return -ENOMEM;
	}
	device->ib = ib;
	ib_set_client_data(ib, &client, device);
	spin_lock_irq(&srp_lists);
	list_add_tail(&device->entry, &devices);
	spin_unlock_irq(&srp_lists);
	rdma_for_each_port(ib, port)
		if (rdma_cap_ib_cm(ib, port))
			device->locals[port - 1] = add_local(device, port);
	INIT_IB_EVENT_HANDLER(&device->events, ib, device_event);
	ib_register_event_handler(&device->events);
	kick_ports(ib, 0); /* those that lost it */
	return 0;
}

static bool has_conns(struct ib_device *ib)
{
	struct srp_conn *conn;
	bool has = false;

	spin_lock_irq(&srp_lists);
	list_for_each_entry(conn, &srp_conns, entry)
		has |= conn->dev == ib;
	spin_unlock_irq(&srp_lists);
	return has;
}

/* Ports stay, without a connection, and look for the device again when one of its name comes. */
static void remove_device(struct ib_device *ib, void *data)
{
	struct srp_device *device = data;
	u32 i;

	ib_unregister_event_handler(&device->events);
	spin_lock_irq(&srp_lists);
	device->removed = true;
	spin_unlock_irq(&srp_lists);
	fail_conns(ib, 0, -ENODEV, "the RDMA device is removed");
	for (i = 0; i < device->nr_locals; i++)
		if (device->locals[i])
			device_unregister(&device->locals[i]->dev);
	wait_event(srp_conns_wait, !has_conns(ib));
	spin_lock_irq(&srp_lists);
	list_del(&device->entry);
	spin_unlock_irq(&srp_lists);
	kfree(device->locals);
	kfree(device);
}

static struct ib_client client = {
	.name = "srp",
	.add = add_device,
	.remove = remove_device,
};

/* The module */

/*
 * Neither an attempt nor a scan goes on for long, and no other begins. A file that is written to does not keep
 * the module.
 */
static void end_adding(void)
{
	struct srp_conn *conn;

	spin_lock_irq(&srp_lists);
	srp_exiting = true;
	list_for_each_entry(conn, &srp_conns, entry)
		if (!conn->ready || conn->port->scanning)
			srp_conn_fail(conn, -ENODEV, "the module is unloaded");
	spin_unlock_irq(&srp_lists);
	down_write(&adding);
	up_write(&adding);
}

static void delete_all(void)
{
	struct srp_port *port;

	/* With the list's lock a port cannot go; it is deleted in its own work. */
	for (;;) {
		spin_lock_irq(&srp_lists);
		list_for_each_entry(port, &srp_ports, entry)
			if (!READ_ONCE(port->removing))
				break;
		if (list_entry_is_head(port, &srp_ports, entry)) {
			spin_unlock_irq(&srp_lists);
			return;
		}
		get_device(&port->dev);
		spin_unlock_irq(&srp_lists);
		srp_port_delete(port);
		put_device(&port->dev);
	}
}

static int __init srp_init(void)
{
	int err = -ENOMEM;

	srp_root = root_device_register(KBUILD_MODNAME);
	if (IS_ERR(srp_root))
		return PTR_ERR(srp_root);
	srp_wq = alloc_workqueue("ib_srp", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!srp_wq)
		goto unroot;
	srp_gate_wq = alloc_ordered_workqueue("ib_srp_gate", WQ_MEM_RECLAIM);
	if (!srp_gate_wq)
		goto free_wq;
	err = class_register(&srp_port_class);
	if (err)
		goto free_gate;
	err = class_register(&srp_local_class);
	if (err)
		goto unclass;
	err = ib_register_client(&client);
	if (err)
		goto unclass_local;
	return 0;
unclass_local:
	class_unregister(&srp_local_class);
unclass:
	class_unregister(&srp_port_class);
free_gate:
	destroy_workqueue(srp_gate_wq);
free_wq:
	destroy_workqueue(srp_wq);
unroot:
	root_device_unregister(srp_root);
	return err;
}

static void __exit srp_exit(void)
{
	end_adding();
	delete_all();
	flush_workqueue(srp_wq);	/* all removals */
	ib_unregister_client(&client);
	destroy_workqueue(srp_gate_wq);
	destroy_workqueue(srp_wq);
	class_unregister(&srp_local_class);
	class_unregister(&srp_port_class);
	root_device_unregister(srp_root);
}

module_init(srp_init);
module_exit(srp_exit);

MODULE_DESCRIPTION("SRP initiator that keeps its disks");
MODULE_LICENSE("GPL");
