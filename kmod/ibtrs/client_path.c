// SPDX-License-Identifier: GPL-2.0
/* Paths: their states, what loses them, and what brings them back. */
#include <linux/random.h>
#include <linux/slab.h>

#include "client.h"
#define CREATE_TRACE_POINTS
#include "client_trace.h"

static const char * const state_names[PATH_STATES] = {
	[PATH_CONNECTING] = "connecting",
	[PATH_CONNECTING_ERR] = "connecting_err",
	[PATH_RECONNECTING] = "reconnecting",
	[PATH_CONNECTED] = "connected",
	[PATH_CLOSING] = "closing",
	[PATH_CLOSED] = "closed",
	[PATH_DEAD] = "dead",
};

/*
 * Bit n of an entry: the state may be entered from state n. Nothing else is legal (Clause IBTRS-
 * PATH-001).
 */
static const u8 legal_from[PATH_STATES] = {
	[PATH_CONNECTING] = BIT(PATH_RECONNECTING),
	[PATH_CONNECTING_ERR] = BIT(PATH_CONNECTING),
	[PATH_RECONNECTING] = BIT(PATH_CONNECTED) | BIT(PATH_CONNECTING_ERR) | BIT(PATH_CLOSED),
	[PATH_CONNECTED] = BIT(PATH_CONNECTING),
	[PATH_CLOSING] = BIT(PATH_CONNECTING) | BIT(PATH_CONNECTING_ERR) | BIT(PATH_RECONNECTING) |
			 BIT(PATH_CONNECTED),
	[PATH_CLOSED] = BIT(PATH_CLOSING),
	[PATH_DEAD] = BIT(PATH_CLOSED),
};

const char *path_state_name(enum path_state state)
{
	return state_names[state];
}

static bool move_locked(struct ibtrs_path *path, enum path_state to)
{
	enum path_state from = path->state;

	lockdep_assert_held(&path->state_lock);
	if (!(legal_from[to] & BIT(from)))
		return false;
	path->state = to;
	trace_ibtrs_path_state(path->sess->name, path->name, state_names[from], state_names[to]);
	return true;
}

static bool move(struct ibtrs_path *path, enum path_state to)
{
	bool moved;

	spin_lock_irq(&path->state_lock);
	moved = move_locked(path, to);
	spin_unlock_irq(&path->state_lock);
	return moved;
}

/* Interrupting attempts */

/*
 * Who wants path->mutex says so before, so that an attempt does not hold it for the whole connect
 * timeout.
 */
void path_interrupt(struct ibtrs_path *path)
{
	unsigned long flags;

	atomic_inc(&path->interrupts);
	spin_lock_irqsave(&path->state_lock, flags);
	if (path->live)
		wake_up_all(&path->live->wait);
	spin_unlock_irqrestore(&path->state_lock, flags);
}

bool path_interrupted(struct ibtrs_path *path)
{
	return atomic_read(&path->interrupts);
}

static void lock_now(struct ibtrs_path *path)
{
	path_interrupt(path);
	mutex_lock(&path->mutex);
	atomic_dec(&path->interrupts);
}

/* path->live changes under path->mutex, and is looked at under either lock. */
static void set_live(struct ibtrs_path *path, struct build *build)
{
	lockdep_assert_held(&path->mutex);
	spin_lock_irq(&path->state_lock);
	path->live = build;
	spin_unlock_irq(&path->state_lock);
}

/* Up and down */

/**
 * build_fail - a build cannot go on
 * @build:	the live build of its path
 * @err:	negative errno; that of the attempt, if it is one
 * @cause:	for the log
 *
 * In any context, any number of times: the first one counts.
 */
void build_fail(struct build *build, int err, const char *cause)
{
	struct ibtrs_path *path = build->path;
	enum path_state to = READ_ONCE(build->removed) ? PATH_CLOSING : PATH_RECONNECTING;
	unsigned long flags;
	bool lost = false;

	spin_lock_irqsave(&path->state_lock, flags);
	if (path->state == PATH_CONNECTED && path->live == build) {
		lost = move_locked(path, to);
		RCU_INIT_POINTER(path->build, NULL);
		queue_work(ibtrs_lost_wq, &path->lost);
	}
	if (!build->err)
		WRITE_ONCE(build->err, err);
	spin_unlock_irqrestore(&path->state_lock, flags);
	wake_up_all(&build->wait);
	if (lost)
		pr_warn("ibtrs_client: %s: path %s is lost: %s\n", path->sess->name, path->name,
			cause);
}

static void link_down(struct ibtrs_session *sess)
{
	mutex_lock(&sess->link_mutex);
	if (!--sess->connected && sess->open && !sess->closing)
		sess->ops->link(sess->user, false);
	mutex_unlock(&sess->link_mutex);
}

/*
 * Takes down a build that was connected; the path has left CONNECTED. Reads go elsewhere at once.
 * Writes wait until the server has confirmed the disconnect, or until nothing of them can be in the
 * network any more: one that is sent again, or that fails, must not land behind a newer one.
 */
static void take_down(struct ibtrs_path *path)
{
	struct build *build = path->live;

	lockdep_assert_held(&path->mutex);
	synchronize_rcu();
	ibtrs_heartbeat_stop(&build->heartbeat);
	build_disconnect(build);
	calls_failover(build, false);
	build_wait_gone(build, path->sess->timers.packet_lifetime);
	calls_failover(build, true);
	link_down(path->sess);
	set_live(path, NULL);
	build_destroy(build);
}

static int post_heartbeat(struct ibtrs_heartbeat *hb)
{
	struct ibtrs_con *con = &container_of(hb, struct build, heartbeat)->cons[0].con;

	return ibtrs_post_empty_write(con, &con->beat, ibtrs_imm(IBTRS_IMM_HEARTBEAT, 0));
}

static int probe(struct ibtrs_heartbeat *hb)
{
	struct build *build = container_of(hb, struct build, heartbeat);
	int err = 0;
	u32 cid;

	for (cid = 0; !err && cid < build->nr_cons; cid++)
		err = ibtrs_con_probe(&build->cons[cid].con, hb->forgiven);
	return err;
}

static void peer_dead(struct ibtrs_heartbeat *hb)
{
	build_fail(container_of(hb, struct build, heartbeat), -ETIMEDOUT, "no heartbeat");
}

/* What people see of a path follows from its connection 0. */
static void describe(struct ibtrs_path *path, struct build *build)
{
	struct rdma_cm_id *id = build->cons[0].con.id;

	if (path->src.ss_family == AF_UNSPEC) {
		path->src = id->route.addr.src_addr;
		/* The next connection has another port. */
		if (path->src.ss_family == AF_INET)
			((struct sockaddr_in *)&path->src)->sin_port = 0;
		else if (path->src.ss_family == AF_INET6)
			((struct sockaddr_in6 *)&path->src)->sin6_port = 0;
	}
	ibtrs_path_name(&path->src, &path->dst, path->name, sizeof(path->name));
	strscpy(path->hca_name, build->dev->name, sizeof(path->hca_name));
	path->hca_port = id->port_num;
}

/* Makes a connected build the one that requests are sent over; false if it has failed meanwhile. */
static bool publish(struct ibtrs_path *path, struct build *build)
{
	struct ibtrs_session *sess = path->sess;
	struct timers *t = &sess->timers;
	bool moved = false;

	build->heartbeat.post = post_heartbeat;
	build->heartbeat.probe = probe;
	build->heartbeat.dead = peer_dead;
	/* Requests flow only after the loss of the last path, if there was one, has been told. */
	mutex_lock(&sess->link_mutex);
	spin_lock_irq(&path->state_lock);
	if (!build->err)
		moved = move_locked(path, PATH_CONNECTED);
	if (moved)
		rcu_assign_pointer(path->build, build);
	spin_unlock_irq(&path->state_lock);
	if (moved) {
		ibtrs_heartbeat_start(&build->heartbeat, t->heartbeat, t->misses);
		path->attempts = 0;
		atomic_inc(&path->reconnected);
		if (!sess->connected++ && sess->open && !sess->closing)
			sess->ops->link(sess->user, true);
	}
	mutex_unlock(&sess->link_mutex);
	return moved;
}

/*
 * One attempt, from CONNECTING. It ends in CONNECTED, or in CONNECTING_ERR with nothing left of it.
 */
static int attempt(struct ibtrs_path *path)
{
	struct build *build;
	int err;

	lockdep_assert_held(&path->mutex);
	path->incarnation++;
	build = build_create(path);
	if (!build) {
		move(path, PATH_CONNECTING_ERR);
		return -ENOMEM;
	}
	set_live(path, build);
	err = build_connect(build);
	if (!err) {
		describe(path, build);
		if (publish(path, build)) {
			pr_info("ibtrs_client: %s: path %s is connected\n", path->sess->name,
				path->name);
			return 0;
		}
		err = READ_ONCE(build->err);
	}
	move(path, PATH_CONNECTING_ERR);
	build_disconnect(build);
	set_live(path, NULL);
	build_destroy(build);
	return err;
}

/* Reconnecting */

static void reconnect_later(struct ibtrs_path *path)
{
	struct timers *t = &path->sess->timers;
	u32 spread = t->reconnect_spread ? get_random_u32_below(t->reconnect_spread + 1) : 0;

	mod_delayed_work(ibtrs_reconnect_wq, &path->reconnect,
			 msecs_to_jiffies(t->reconnect_delay + spread));
}

static void give_up(struct ibtrs_path *path)
{
	move(path, PATH_CLOSING);
	move(path, PATH_CLOSED);
	pr_warn("ibtrs_client: %s: path %s is given up after %d attempts\n", path->sess->name,
		path->name, path->attempts);
}

/*
 * The workqueue is an ordered one: attempts are made one at a time, whatever session they are of.
 */
static void reconnect_work(struct work_struct *work)
{
	struct ibtrs_path *path = container_of(to_delayed_work(work), struct ibtrs_path, reconnect);
	int most = READ_ONCE(path->sess->max_reconnect_attempts);
	int err;

	mutex_lock(&path->mutex);
	if (path->state != PATH_RECONNECTING || path->live)
		goto unlock;
	if (path->hopeless || (most >= 0 && path->attempts >= most)) {
		give_up(path);
		goto unlock;
	}
	path->attempts++;
	move(path, PATH_CONNECTING);
	err = attempt(path);
	if (err) {
		atomic_inc(&path->failed);
		pr_info("ibtrs_client: %s: path %s: attempt %d failed: %d\n", path->sess->name,
			path->name, path->attempts, err);
		move(path, PATH_RECONNECTING);
		reconnect_later(path);
	}
unlock:
	mutex_unlock(&path->mutex);
}

static void lost_work(struct work_struct *work)
{
	struct ibtrs_path *path = container_of(work, struct ibtrs_path, lost);

	mutex_lock(&path->mutex);
	if (path->live && path->state != PATH_CONNECTED) {
		take_down(path);
		if (path->state == PATH_CLOSING)
			move(path, PATH_CLOSED);
		else
			reconnect_later(path);
	}
	mutex_unlock(&path->mutex);
}

/* Commands */

/* Leaves CONNECTED for @to, with all that belongs to it. */
static void leave(struct ibtrs_path *path, enum path_state to)
{
	spin_lock_irq(&path->state_lock);
	move_locked(path, to);
	RCU_INIT_POINTER(path->build, NULL);
	spin_unlock_irq(&path->state_lock);
	if (path->live)
		take_down(path);
}

/* Closes a path. It is not reconnected by itself. */
void path_disconnect(struct ibtrs_path *path)
{
	lock_now(path);
	cancel_delayed_work(&path->reconnect);
	if (path->state != PATH_CLOSED && path->state != PATH_DEAD) {
		leave(path, PATH_CLOSING);
		move(path, PATH_CLOSED);
	}
	mutex_unlock(&path->mutex);
}

/**
 * path_reconnect - build a path anew, now
 * @path:	path
 *
 * Return: 0, -EBUSY if it is being connected or closed, -ENOTCONN if the attempt failed. Then it
 * goes on by itself.
 */
int path_reconnect(struct ibtrs_path *path)
{
	enum path_state state = READ_ONCE(path->state);

	if (state == PATH_CONNECTING || state == PATH_CLOSING || state == PATH_DEAD)
		return -EBUSY;
	mutex_lock(&path->mutex);
	if (path->state == PATH_DEAD) {
		mutex_unlock(&path->mutex);
		return -EBUSY;
	}
	leave(path, PATH_RECONNECTING);
	path->attempts = 0;
	path->hopeless = false;
	mod_delayed_work(ibtrs_reconnect_wq, &path->reconnect, 0);
	mutex_unlock(&path->mutex);
	flush_delayed_work(&path->reconnect);
	return READ_ONCE(path->state) == PATH_CONNECTED ? 0 : -ENOTCONN;
}

/* The beginning and the end of a path */

struct ibtrs_path *path_create(struct ibtrs_session *sess, const struct ibtrs_path_addr *addr)
{
	struct ibtrs_path *path = kzalloc(sizeof(*path), GFP_KERNEL);

	if (!path)
		return NULL;
	path->counts = alloc_percpu(struct path_counts);
	if (!path->counts) {
		kfree(path);
		return NULL;
	}
	kobject_init(&path->kobj, &path_ktype);
	path->sess = sess;
	path->src = addr->src;
	path->dst = addr->dst;
	ibtrs_path_name(&path->src, &path->dst, path->name, sizeof(path->name));
	get_random_bytes(path->uuid, sizeof(path->uuid));
	spin_lock_init(&path->state_lock);
	mutex_init(&path->mutex);
	path->state = PATH_CONNECTING;
	INIT_WORK(&path->lost, lost_work);
	INIT_DELAYED_WORK(&path->reconnect, reconnect_work);
	atomic_set(&path->reconnected, -1);
	get_device(&sess->dev);
	return path;
}

/*
 * Connects a new path for the first time. If that fails it is dead, and only path_remove() is left.
 */
int path_open(struct ibtrs_path *path)
{
	int err;

	mutex_lock(&path->mutex);
	err = attempt(path);
	if (err) {
		move(path, PATH_CLOSING);
		move(path, PATH_CLOSED);
		move(path, PATH_DEAD);
		pr_warn("ibtrs_client: %s: cannot connect path %s: %d\n", path->sess->name,
			path->name, err);
	}
	mutex_unlock(&path->mutex);
	return err;
}

/*
 * Takes a path out of sysfs and of its session, closes it, and drops the session's reference. Needs
 * sess->mutex. Commands of the path's own files that are under way end first; so the one that
 * removes it must have given up its file before.
 */
void path_remove(struct ibtrs_path *path)
{
	lockdep_assert_held(&path->sess->mutex);
	path->removed = true;
	path_interrupt(path);
	path_hide(path);
	atomic_dec(&path->interrupts);
	path_disconnect(path);
	mutex_lock(&path->mutex);
	if (path->state == PATH_CLOSED)
		move(path, PATH_DEAD);
	mutex_unlock(&path->mutex);
	cancel_delayed_work_sync(&path->reconnect);
	cancel_work_sync(&path->lost);
	list_del_rcu(&path->entry);
	path->sess->nr_paths--;
	synchronize_rcu();
	kobject_put(&path->kobj);
}
