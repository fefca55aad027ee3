// SPDX-License-Identifier: GPL-2.0
/* Ports: their states, the timers of a loss, reconnecting, and their beginning and end. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/module.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_transport.h>

#include "srp.h"

#define DEFAULT_ACK_CODE	17	/* of Linux 6.12 on RoCE */
#define SLACK_MS		500	/* in the bound: for works to run */
#define DISK_TIMEOUT		30	/* seconds, as disks have it */

/* Bounds */

/* The longest time until a loss is noticed while something is outstanding (IBTA 9.7.6.1.3). */
static u32 detect_ms(struct srp_port *port)
{
	u64 ack_ns = 4096ULL << port->ack_timeout;
	u64 ms = div_u64(4 * (port->params.retry_count + 1) * ack_ns, NSEC_PER_MSEC);

	return min_t(u64, ms, port->deadline_ms);
}

/**
 * srp_bound_ms - the longest time from a loss to the failure of I/O
 * @port:	port
 *
 * Return: -1 if there is no bound, because fast_io_fail_tmo or the idle probe is off.
 */
s64 srp_bound_ms(struct srp_port *port)
{
	if (port->fast_io_fail_tmo < 0 || !port->probe_ms)
		return -1;
	return (s64)port->probe_ms + detect_ms(port) + port->fast_io_fail_tmo * MSEC_PER_SEC +
	       SLACK_MS;
}

bool srp_tmo_legal(int reconnect_delay, int fast_io_fail_tmo, int dev_loss_tmo)
{
	if (reconnect_delay < 0 && fast_io_fail_tmo < 0 && dev_loss_tmo < 0)
		return false;
	if (!reconnect_delay || fast_io_fail_tmo > SRP_MAX_FAST_FAIL)
		return false;
	if (fast_io_fail_tmo < 0 && dev_loss_tmo > SRP_MAX_FAST_FAIL)
		return false;
	if (fast_io_fail_tmo >= 0 && dev_loss_tmo >= 0 && fast_io_fail_tmo >= dev_loss_tmo)
		return false;
	return dev_loss_tmo < (int)(LONG_MAX / HZ > INT_MAX ? INT_MAX : LONG_MAX / HZ);
}

void srp_set_command_timer(struct srp_port *port, struct scsi_device *sdev)
{
	u32 least = DIV_ROUND_UP(detect_ms(port), MSEC_PER_SEC) + 1;

	blk_queue_rq_timeout(sdev->request_queue,
			     (port->command_tmo ?: max_t(u32, DISK_TIMEOUT, least)) * HZ);
}

/* States */

static const char *const state_names[] = {
	[SRP_RUNNING] = "running",
	[SRP_BLOCKED] = "blocked",
	[SRP_FAIL_FAST] = "fail-fast",
	[SRP_LOST] = "lost",
};

const char *srp_state_name(enum srp_state state)
{
	return state_names[state];
}

static void set_state(struct srp_port *port, enum srp_state state)
{
	char text[32];
	char *env[] = { text, NULL };

	lockdep_assert_held(&port->mutex);
	if (port->state == state)
		return;
	WRITE_ONCE(port->state, state);
	if (!device_is_registered(&port->dev))
		return;
	sysfs_notify(&port->dev.kobj, NULL, "state");
	snprintf(text, sizeof(text), "SRP_PORT_STATE=%s", srp_state_name(state));
	kobject_uevent_env(&port->dev.kobj, KOBJ_CHANGE, env);
}

static bool lost(struct srp_port *port)
{
	return port->state == SRP_BLOCKED || port->state == SRP_FAIL_FAST;
}

static void unblock(struct srp_port *port, enum scsi_device_state state)
{
	scsi_target_unblock(&port->host->shost_gendev, state);
}

/* Disks on which the error handler has given up. */
static void revive_offline(struct srp_port *port)
{
	struct scsi_device *sdev;

	shost_for_each_device(sdev, port->host) {
		mutex_lock(&sdev->state_mutex);
		if (sdev->sdev_state == SDEV_OFFLINE)
			scsi_device_set_state(sdev, SDEV_RUNNING);
		mutex_unlock(&sdev->state_mutex);
	}
}

/* Timers */

static unsigned long since_loss(struct srp_port *port, int seconds)
{
	unsigned long at = port->lost_at + seconds * HZ;

	return time_after(at, jiffies) ? at - jiffies : 0;
}

static void arm(struct srp_port *port, struct delayed_work *work, int seconds)
{
	if (seconds < 0)
		cancel_delayed_work(work);
	else
		mod_delayed_work(srp_wq, work, since_loss(port, seconds));
}

/* How long to wait after so many failed attempts. */
static unsigned long pause(struct srp_port *port)
{
	int doublings = clamp(port->failed_reconnects - SRP_EAGER_FAILURES, 0, 16);
	u64 seconds = (u64)port->reconnect_delay << doublings;
	u64 most = max_t(u64, port->reconnect_delay_max, port->reconnect_delay);

	return min(seconds, most) * HZ;
}

/**
 * srp_timers_changed - have the settings of timers rule a loss that is under way
 * @port:	port, whose mutex is held
 */
void srp_timers_changed(struct srp_port *port)
{
	lockdep_assert_held(&port->mutex);
	if (!lost(port) || port->removing)
		return;
	if (port->state == SRP_BLOCKED)
		arm(port, &port->fast_fail_work, port->fast_io_fail_tmo);
	arm(port, &port->dev_loss_work, port->dev_loss_tmo);
	if (port->reconnect_delay < 0)
		cancel_delayed_work(&port->reconnect_work);
	else
		mod_delayed_work(srp_gate_wq, &port->reconnect_work, pause(port));
}

/**
 * srp_port_kick - attempt to reconnect as soon as the gate is free
 * @port:	port, which may run; any context
 */
void srp_port_kick(struct srp_port *port)
{
	if (READ_ONCE(port->state) == SRP_RUNNING || READ_ONCE(port->removing))
		return;
	mod_delayed_work(srp_gate_wq, &port->reconnect_work, 0);
}

static void fast_fail(struct work_struct *work)
{
	struct srp_port *port = container_of(work, struct srp_port, fast_fail_work.work);

	mutex_lock(&port->mutex);
	if (port->state == SRP_BLOCKED && !port->removing) {
		set_state(port, SRP_FAIL_FAST);
		unblock(port, SDEV_TRANSPORT_OFFLINE);
	}
	mutex_unlock(&port->mutex);
}

static void dev_loss(struct work_struct *work)
{
	struct srp_port *port = container_of(work, struct srp_port, dev_loss_work.work);
	bool remove;

	mutex_lock(&port->mutex);
	remove = lost(port);
	mutex_unlock(&port->mutex);
	if (!remove)
		return;
	dev_warn(&port->host->shost_gendev, "removed: away for longer than dev_loss_tmo\n");
	srp_port_delete(port);
}

/* A loss */

/* Takes a connection from the port; it is not used any more afterwards. */
static struct srp_conn *detach(struct srp_port *port)
{
	struct srp_conn *conn;

	conn = rcu_dereference_protected(port->conn, lockdep_is_held(&port->mutex));
	RCU_INIT_POINTER(port->conn, NULL);
	return conn;
}

/* What the port and its disks are after a loss, and what becomes of commands. */
static int lose(struct srp_port *port)
{
	port->lost_at = jiffies;
	if (port->scanning || port->removing) {
		set_state(port, SRP_LOST);
		return DID_NO_CONNECT << 16;
	}
	scsi_block_targets(port->host, &port->host->shost_gendev);
	set_state(port, SRP_BLOCKED);
	if (!port->fast_io_fail_tmo) {
		set_state(port, SRP_FAIL_FAST);
		unblock(port, SDEV_TRANSPORT_OFFLINE);
	}
	srp_timers_changed(port);
	/* They wait in the queues of the disks, or end there. */
	return (port->fast_io_fail_tmo ? DID_REQUEUE : DID_TRANSPORT_FAILFAST) << 16;
}

/* Whether the target can still be told that the connection ends. */
static bool can_log_out(struct srp_conn *conn)
{
	int err = READ_ONCE(conn->err);

	return !err || err == -ENODEV;
}

static void retire(struct srp_port *port, struct srp_conn *conn, int result)
{
	synchronize_rcu_expedited();
	mutex_lock(&port->tm_mutex); /* a function that is under way ends with the connection */
	if (can_log_out(conn))
		srp_conn_log_out(conn);
	srp_conn_close(conn);
	srp_end_all(conn, result);
	srp_conn_destroy(conn);
	mutex_unlock(&port->tm_mutex);
	wake_up_all(&port->idle);
}

static void loss(struct work_struct *work)
{
	struct srp_port *port = container_of(work, struct srp_port, loss_work);
	struct srp_conn *conn;
	int result = 0;

	mutex_lock(&port->mutex);
	conn = rcu_dereference_protected(port->conn, lockdep_is_held(&port->mutex));
	if (conn && READ_ONCE(conn->err)) {
		port->last_error = conn->err;
		detach(port);
		result = lose(port);
	} else {
		conn = NULL;
	}
	mutex_unlock(&port->mutex);
	if (conn)
		retire(port, conn, result);
}

static void watch(struct work_struct *work)
{
	struct srp_port *port = container_of(work, struct srp_port, watch_work.work);
	u32 deadline = port->removing ? min(port->deadline_ms, SRP_LOGOUT_MS) : port->deadline_ms;
	u32 look = clamp(min(port->probe_ms ?: deadline, deadline) / 10, 20U, 100U);
	struct srp_conn *conn;

	/* The connection is taken apart by loss_work or removal alone, and not under this mutex. */
	mutex_lock(&port->mutex);
	conn = rcu_dereference_protected(port->conn, lockdep_is_held(&port->mutex));
	if (conn && !READ_ONCE(conn->err))
		srp_conn_watch(conn, port->probe_ms, deadline);
	mutex_unlock(&port->mutex);
	queue_delayed_work(srp_wq, &port->watch_work, msecs_to_jiffies(look));
}

/* Credits have come by themselves, for which commands may wait. */
static void kick(struct work_struct *work)
{
	struct srp_port *port = container_of(work, struct srp_port, kick_work);

	scsi_unblock_requests(port->host);
}

/* Connecting */

static u32 ack_timeout_of(struct srp_conn *conn)
{
	struct ib_qp_init_attr init;
	struct ib_qp_attr attr;

	if (ib_query_qp(conn->channels[0].id->qp, &attr, IB_QP_TIMEOUT, &init) || !attr.timeout)
		return DEFAULT_ACK_CODE;
	return attr.timeout;
}

/* Has the port use a new connection, unless nobody wants it any more. */
static bool attach(struct srp_port *port, struct srp_conn *conn)
{
	bool wanted;

	mutex_lock(&port->mutex);
	wanted = !port->removing && (lost(port) || port->scanning);
	if (wanted) {
		cancel_delayed_work(&port->fast_fail_work);
		cancel_delayed_work(&port->dev_loss_work);
		port->failed_reconnects = 0;
		port->ack_timeout = ack_timeout_of(conn);
		rcu_assign_pointer(port->conn, conn);
		set_state(port, SRP_RUNNING);
		smp_store_release(&conn->ready, true); /* pairs with srp_conn_fail() */
	}
	mutex_unlock(&port->mutex);
	return wanted;
}

/* A failure before the port was told of failures is told now. */
static void check_attached(struct srp_port *port, struct srp_conn *conn)
{
	smp_mb(); /* srp_conn_fail() stores the error before it looks whether the port is told */
	rcu_read_lock();
	if (rcu_access_pointer(port->conn) == conn && READ_ONCE(conn->err))
		queue_work(srp_wq, &port->loss_work);
	rcu_read_unlock();
}

static void attempt_failed(struct srp_port *port, int err)
{
	mutex_lock(&port->mutex);
	if (lost(port) && !port->removing) {
		port->failed_reconnects++;
		dev_warn(&port->host->shost_gendev, "reconnect attempt %d failed (%d)\n",
			 port->failed_reconnects, err);
		if (port->reconnect_delay > 0)
			queue_delayed_work(srp_gate_wq, &port->reconnect_work, pause(port));
	}
	mutex_unlock(&port->mutex);
}

static void reconnected(struct srp_port *port, struct srp_conn *conn)
{
	if (!attach(port, conn)) {
		srp_conn_destroy(conn);
		return;
	}
	unblock(port, SDEV_RUNNING);
	revive_offline(port);
	dev_info(&port->host->shost_gendev, "reconnect succeeded\n");
	check_attached(port, conn);
}

/*
 * One attempt. The work queue is ordered: ports take turns as their pauses end, and while one
 * attempts, no other does.
 */
static void reconnect(struct work_struct *work)
{
	struct srp_port *port = container_of(work, struct srp_port, reconnect_work.work);
	struct srp_conn *conn;
	bool wanted;

	flush_work(&port->loss_work); /* nothing of the connection before is left */
	mutex_lock(&port->mutex);
	wanted = lost(port) && !port->removing;
	mutex_unlock(&port->mutex);
	/* A device that comes back starts the attempt. */
	if (!wanted || !srp_device_usable(port->ib_name))
		return;
	srp_gate_enter();
	WRITE_ONCE(port->reconnecting, true);
	conn = srp_connect(port, false);
	WRITE_ONCE(port->reconnecting, false);
	srp_gate_leave();
	if (IS_ERR(conn))
		attempt_failed(port, PTR_ERR(conn));
	else
		reconnected(port, conn);
	msleep(SRP_GAP_MS);
}

/* Beginning */

static int slave_configure(struct scsi_device *sdev)
{
	if (sdev->type == TYPE_DISK)
		srp_set_command_timer(host_port(sdev->host), sdev);
	return 0;
}

static int slave_alloc(struct scsi_device *sdev)
{
	struct srp_port *port = host_port(sdev->host);

	/* What is scanned for while nothing can be reached is not there. */
	return READ_ONCE(port->state) == SRP_RUNNING ? 0 : -ENXIO;
}

static const struct scsi_host_template host_template = {
	.module			= THIS_MODULE,
	.name			= "InfiniBand SRP initiator",
	.proc_name		= KBUILD_MODNAME,
	.queuecommand		= srp_queuecommand,
	.change_queue_depth	= scsi_change_queue_depth,
	.eh_timed_out		= srp_timed_out,
	.eh_abort_handler	= srp_abort,
	.eh_device_reset_handler = srp_reset_lun,
	.eh_host_reset_handler	= srp_reset_host,
	.slave_alloc		= slave_alloc,
	.slave_configure	= slave_configure,
	.skip_settle_delay	= true,
	.this_id		= -1,
	.host_tagset		= 1,
	.shost_groups		= srp_host_groups,
};

static void release_port(struct device *dev)
{
	struct srp_port *port = container_of(dev, struct srp_port, dev);

	scsi_host_put(port->host);
}

static void remove_port(struct work_struct *work);

static void init_port(struct srp_port *port, struct Scsi_Host *host, struct srp_local *local,
		      const struct srp_params *params)
{
	port->host = scsi_host_get(host);
	port->params = *params;
	strscpy(port->ib_name, dev_name(&local->device->ib->dev));
	port->ib_port = local->port_num;
	port->state = SRP_RUNNING;
	port->scanning = true;
	port->fast_io_fail_tmo = srp_def.fast_io_fail_tmo;
	port->dev_loss_tmo = srp_def.dev_loss_tmo;
	port->reconnect_delay = srp_def.reconnect_delay;
	port->reconnect_delay_max = srp_def.reconnect_delay_max;
	port->probe_ms = srp_def.probe_ms;
	port->deadline_ms = srp_def.deadline_ms;
	port->ack_timeout = DEFAULT_ACK_CODE;
	mutex_init(&port->mutex);
	mutex_init(&port->tm_mutex);
	init_waitqueue_head(&port->idle);
	INIT_LIST_HEAD(&port->entry);
	INIT_WORK(&port->loss_work, loss);
	INIT_WORK(&port->kick_work, kick);
	INIT_WORK(&port->remove_work, remove_port);
	INIT_DELAYED_WORK(&port->reconnect_work, reconnect);
	INIT_DELAYED_WORK(&port->fast_fail_work, fast_fail);
	INIT_DELAYED_WORK(&port->dev_loss_work, dev_loss);
	INIT_DELAYED_WORK(&port->watch_work, watch);
	device_initialize(&port->dev);
	port->dev.class = &srp_port_class;
	port->dev.parent = &host->shost_gendev;
	port->dev.release = release_port;
	port->dev.groups = srp_port_groups;
}

/* As much as one region takes, of any list that begins and ends inside of a page. */
static u32 most_sectors(struct ib_device *ib)
{
	u32 pages = max(ib->attrs.max_fast_reg_page_list_len, 3U) - 2;

	return min_t(u64, (u64)pages * (SRP_PAGE_SIZE / SECTOR_SIZE), INT_MAX);
}

static void fill_host(struct Scsi_Host *host, const struct srp_params *p, struct ib_device *ib)
{
	bool registers = !srp_def.never_register;

	host->max_id = 1;
	host->max_channel = 0;
	host->max_lun = ~0ULL;
	host->max_cmd_len = SRP_MAX_CDB;
	host->max_sectors = p->max_sectors ?: SCSI_DEFAULT_MAX_SECTORS;
	if (registers)
		host->max_sectors = min(host->max_sectors, most_sectors(ib));
	host->can_queue = p->queue_size;
	host->cmd_per_lun = min_t(u32, p->cmd_per_lun ?: p->queue_size, S16_MAX);
	/* One region takes any list of whole pages; without, each piece needs an entry in the command. */
	host->sg_tablesize = registers ? (p->sg_tablesize ?: SG_CHUNK_SIZE) : p->cmd_sg_entries;
	if (registers)
		host->virt_boundary_mask = SRP_PAGE_SIZE - 1;
}

static bool same_nexus(const struct srp_port *a, const struct srp_port *b)
{
	return a->params.id_ext == b->params.id_ext && a->params.ioc_guid == b->params.ioc_guid &&
	       a->params.initiator_ext == b->params.initiator_ext && a->ib_port == b->ib_port &&
	       !strcmp(a->ib_name, b->ib_name);
}

static int add_to_list(struct srp_port *port)
{
	struct srp_port *other;
	int err = 0;

	spin_lock_irq(&srp_lists);
	if (srp_exiting)
		err = -ENODEV;
	list_for_each_entry(other, &srp_ports, entry)
		if (same_nexus(port, other))
			err = -EEXIST;
	if (!err)
		list_add_tail(&port->entry, &srp_ports);
	spin_unlock_irq(&srp_lists);
	if (err == -EEXIST)
		pr_err("add_target: this target is connected already\n");
	return err;
}

static void drop_from_list(struct srp_port *port)
{
	spin_lock_irq(&srp_lists);
	list_del_init(&port->entry);
	spin_unlock_irq(&srp_lists);
}

/* A request that the target takes for one of long ago is made once more, as another. */
static struct srp_conn *connect_first(struct srp_port *port)
{
	struct srp_conn *conn;
	int err = srp_gate_enter_first();

	if (err)
		return ERR_PTR(err);
	conn = srp_connect(port, true);
	if (PTR_ERR_OR_ZERO(conn) == -EAGAIN)
		conn = srp_connect(port, true);
	srp_gate_leave();
	return PTR_ERR_OR_ZERO(conn) == -EAGAIN ? ERR_PTR(-ECONNRESET) : conn;
}

static u32 least_credits(struct srp_conn *conn)
{
	s32 least = S32_MAX;
	int i;

	for (i = 0; i < conn->used; i++)
		least = min(least, conn->channels[i].credits);
	return least;
}

/* Makes host and port known, and looks for units. */
static int publish(struct srp_port *port, struct srp_conn *conn)
{
	struct Scsi_Host *host = port->host;
	int err;

	host->can_queue = min_t(u32, host->can_queue, least_credits(conn) - 1);
	host->cmd_per_lun = min_t(int, host->cmd_per_lun, host->can_queue);
	host->nr_hw_queues = conn->used;
	err = scsi_add_host(host, srp_root);
	if (err)
		return err;
	dev_set_name(&port->dev, "port-%d:1", host->host_no);
	err = device_add(&port->dev);
	if (err) {
		scsi_remove_host(host);
		return err;
	}
	queue_delayed_work(srp_wq, &port->watch_work, 0);
	check_attached(port, conn);
	scsi_scan_target(&host->shost_gendev, 0, 0, SCAN_WILD_CARD, SCSI_SCAN_INITIAL);
	return 0;
}

/* A loss while units were looked for leaves nothing half made (Clause SRP-STATE-013). */
static int end_scan(struct srp_port *port)
{
	bool whole;

	flush_work(&port->loss_work);
	mutex_lock(&port->mutex);
	port->scanning = false;
	whole = port->state == SRP_RUNNING;
	mutex_unlock(&port->mutex);
	if (whole)
		return 0;
	srp_port_delete(port);
	flush_work(&port->remove_work);
	return -ECONNRESET;
}

/**
 * srp_port_create - log in to a target, and look for its units
 * @local:	the local port
 * @params:	what the login string says
 *
 * Return: an error if there is nothing of the target afterwards.
 */
int srp_port_create(struct srp_local *local, const struct srp_params *params)
{
	struct Scsi_Host *host = scsi_host_alloc(&host_template, sizeof(struct srp_port));
	struct srp_port *port;
	struct srp_conn *conn;
	int err;

	if (!host)
		return -ENOMEM;
	port = host_port(host);
	fill_host(host, params, local->device->ib);
	init_port(port, host, local, params);
	err = add_to_list(port);
	if (err)
		goto put;
	conn = connect_first(port);
	local->last_reject = port->last_reject;
	if (IS_ERR(conn)) {
		err = PTR_ERR(conn);
		goto unlist;
	}
	attach(port, conn);
	get_device(&port->dev); /* it may be deleted as soon as it can be seen */
	err = publish(port, conn);
	if (err) {
		mutex_lock(&port->mutex);
		detach(port);
		mutex_unlock(&port->mutex);
		retire(port, conn, DID_NO_CONNECT << 16);
		cancel_work_sync(&port->loss_work);
		put_device(&port->dev);
		goto unlist;
	}
	err = end_scan(port);
	put_device(&port->dev);
	return err;
unlist:
	drop_from_list(port);
put:
	put_device(&port->dev);
	scsi_host_put(host);
	return err;
}

/* End */

/* An application that waits gets its error now, and a disk that is removed has nothing to wait for. */
static void stop_waiting(struct srp_port *port)
{
	bool blocked;

	mutex_lock(&port->mutex);
	blocked = port->state == SRP_BLOCKED;
	set_state(port, SRP_LOST);
	if (blocked)
		unblock(port, SDEV_TRANSPORT_OFFLINE);
	mutex_unlock(&port->mutex);
}

static void remove_disks(struct srp_port *port)
{
	struct scsi_device *sdev;

	shost_for_each_device(sdev, port->host)
		scsi_remove_device(sdev);
}

static void end_connection(struct srp_port *port)
{
	struct srp_conn *conn;

	mutex_lock(&port->mutex);
	conn = detach(port);
	mutex_unlock(&port->mutex);
	if (conn)
		retire(port, conn, DID_NO_CONNECT << 16);
	cancel_work_sync(&port->loss_work);
	cancel_work_sync(&port->kick_work);
}

static void remove_port(struct work_struct *work)
{
	struct srp_port *port = container_of(work, struct srp_port, remove_work);
	struct Scsi_Host *host = port->host;

	cancel_delayed_work_sync(&port->fast_fail_work);
	cancel_delayed_work_sync(&port->dev_loss_work);
	cancel_delayed_work_sync(&port->reconnect_work);
	stop_waiting(port);
	remove_disks(port); /* while their caches can still be flushed */
	cancel_delayed_work_sync(&port->watch_work);
	end_connection(port);
	drop_from_list(port);
	device_del(&port->dev);
	/* Who found it in the list, or wrote to its files, may have kicked it meanwhile. */
	cancel_delayed_work_sync(&port->reconnect_work);
	scsi_remove_host(host);
	put_device(&port->dev);
	scsi_host_put(host);
}

/**
 * srp_port_delete - begin to remove a port
 * @port:	port; may be removed already
 *
 * Returns at once.
 */
void srp_port_delete(struct srp_port *port)
{
	mutex_lock(&port->mutex);
	if (!port->removing) {
		WRITE_ONCE(port->removing, true);
		if (port->attempt)
			srp_conn_fail(port->attempt, -ECANCELED, "the port is removed");
		queue_work(srp_wq, &port->remove_work);
	}
	mutex_unlock(&port->mutex);
}
