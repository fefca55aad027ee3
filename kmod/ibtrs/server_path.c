// SPDX-License-Identifier: GPL-2.0
/* Paths: from their first connection over the INFO exchange to their end. */
#include <linux/slab.h>

#include "server.h"
#define CREATE_TRACE_POINTS
#include "server_trace.h"

static const char * const state_names[] = {
	[SERVER_PATH_CONNECTING] = "connecting",
	[SERVER_PATH_CONNECTED] = "connected",
	[SERVER_PATH_CLOSING] = "closing",
	[SERVER_PATH_CLOSED] = "closed",
};

/* Bit n of an entry: the state may be entered from state n (Clause IBTRS-PATH-002). */
static const u8 legal_from[] = {
	[SERVER_PATH_CONNECTING] = 0,
	[SERVER_PATH_CONNECTED] = BIT(SERVER_PATH_CONNECTING),
	[SERVER_PATH_CLOSING] = BIT(SERVER_PATH_CONNECTING) | BIT(SERVER_PATH_CONNECTED),
	[SERVER_PATH_CLOSED] = BIT(SERVER_PATH_CLOSING),
};

static bool move(struct server_path *path, enum server_path_state to)
{
	enum server_path_state from;
	unsigned long flags;
	bool moved;

	spin_lock_irqsave(&path->lock, flags);
	from = path->state;
	moved = legal_from[to] & BIT(from);
	if (moved) {
		WRITE_ONCE(path->state, to);
		trace_ibtrs_server_path_state(path->sess->name, path->name, state_names[from],
					      state_names[to]);
	}
	spin_unlock_irqrestore(&path->lock, flags);
	return moved;
}

bool server_path_connected(const struct server_path *path)
{
	return READ_ONCE(path->state) == SERVER_PATH_CONNECTED;
}

/**
 * server_path_fail - a path cannot go on
 * @path:	path that has not been taken down yet
 * @cause:	for the log
 *
 * In any context, any number of times: the first one counts.
 */
void server_path_fail(struct server_path *path, const char *cause)
{
	if (!move(path, SERVER_PATH_CLOSING))
		return;
	pr_info_ratelimited("ibtrs_server: %s: path %s closes: %s\n", path->sess->name, path->name,
			    cause);
	queue_work(ibtrs_server_wq, &path->close_work);
}

/* The INFO exchange */

static void info_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct server_path *path = container_of(wc->wr_cqe, struct server_path, info_recv);

	if (wc->status != IB_WC_SUCCESS) {
		server_path_fail(path, ib_wc_status_msg(wc->status));
		return;
	}
	path->info_wc = *wc;
	queue_work(ibtrs_server_wq, &path->info_work);
}

static void info_send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct server_path *path = container_of(wc->wr_cqe, struct server_path, info_send);

	if (wc->status != IB_WC_SUCCESS)
		server_path_fail(path, ib_wc_status_msg(wc->status));
}

/* Posts the one receive that there is before the INFO exchange. */
int server_path_await_info(struct server_path *path)
{
	path->info = kzalloc(sizeof(*path->info), GFP_KERNEL);
	if (!path->info)
		return -ENOMEM;
	path->info_dma =
		ib_dma_map_single(path->dev, path->info, sizeof(*path->info), DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(path->dev, path->info_dma)) {
		path->info_dma = 0;
		return -ENOMEM;
	}
	path->info_recv.done = info_recv_done;
	path->info_send.done = info_send_done;
	return ibtrs_post_recv(&path->cons[0]->con, &path->info_recv, path->pd, path->info_dma,
			       sizeof(*path->info));
}

/* Clauses IBTRS-INFO-009 to IBTRS-INFO-014, and -022 */
static const char *check_info(struct server_path *path)
{
	const struct ibtrs_info_request *info = path->info;
	size_t length;

	if (path->info_wc.opcode != IB_WC_RECV)
		return "immediate data instead of the INFO request";
	if (path->info_wc.byte_len < sizeof(*info))
		return "INFO request is too short";
	if (le16_to_cpu(info->type) != IBTRS_MSG_INFO_REQUEST)
		return "message is no INFO request";
	length = strnlen(info->session_name, sizeof(info->session_name));
	if (!length || length == sizeof(info->session_name))
		return "session name is empty or does not end";
	if (strpbrk(info->session_name, "/."))
		return "session name has '/' or '.' in it";
	return NULL;
}

static bool none_accepting(struct server_path *path)
{
	bool none;

	mutex_lock(&path->srv->mutex);
	none = !path->accepting;
	mutex_unlock(&path->srv->mutex);
	return none;
}

/* Clause IBTRS-INFO-015 */
static bool all_connected(struct server_path *path)
{
	u32 cid;

	wait_event(path->wait, none_accepting(path));
	for (cid = 0; cid < path->nr_cons; cid++)
		if (!READ_ONCE(path->cons[cid]) || !path->cons[cid]->con.id)
			return false;
	return true;
}

static int post_recvs(struct server_path *path)
{
	u32 cid, i;
	int err;

	for (cid = 0; cid < path->nr_cons; cid++) {
		struct server_con *con = path->cons[cid];
		u32 count = cid ? ibtrs_server_params->queue_depth : IBTRS_ADMIN_DEPTH;

		for (i = 0; i < count; i++) {
			err = ibtrs_post_empty_recv(&con->con, &con->recv);
			if (err)
				return err;
		}
	}
	return 0;
}

/* Clauses IBTRS-INFO-012, -013 and -027 */
static int take_name(struct server_path *path)
{
	struct server_session *sess = path->sess, *other;
	const char *name = path->info->session_name;
	int err = 0;

	mutex_lock(&path->srv->mutex);
	list_for_each_entry(other, &path->srv->sessions, entry)
		if (other != sess && !strcmp(other->name, name))
			err = -EEXIST;
	if (!err && !*sess->name)
		strscpy(sess->name, name, sizeof(sess->name));
	mutex_unlock(&path->srv->mutex);
	return err;
}

static int show(struct server_path *path)
{
	int err;

	mutex_lock(&path->srv->mutex);
	err = server_session_show(path->sess);
	if (!err)
		err = server_path_show(path);
	mutex_unlock(&path->srv->mutex);
	return err;
}

static int link_up(struct server_path *path)
{
	struct server_session *sess = path->sess;
	int err = 0;

	mutex_lock(&sess->link_mutex);
	if (!sess->connected) {
		sess->user = path->srv->ops->session_up(sess->name);
		err = PTR_ERR_OR_ZERO(sess->user);
	}
	if (!err) {
		sess->connected++;
		path->up = true;
	}
	mutex_unlock(&sess->link_mutex);
	return err;
}

static void link_down(struct server_path *path)
{
	struct server_session *sess = path->sess;

	mutex_lock(&sess->link_mutex);
	if (path->up && !--sess->connected)
		path->srv->ops->session_down(sess->user);
	mutex_unlock(&sess->link_mutex);
}

static int post_heartbeat(struct ibtrs_heartbeat *hb)
{
	struct ibtrs_con *con = &container_of(hb, struct server_path, heartbeat)->cons[0]->con;

	return ibtrs_post_empty_write(con, &con->beat, ibtrs_imm(IBTRS_IMM_HEARTBEAT, 0));
}

static int probe(struct ibtrs_heartbeat *hb)
{
	struct server_path *path = container_of(hb, struct server_path, heartbeat);
	int err = 0;
	u32 cid;

	for (cid = 0; !err && cid < path->nr_cons; cid++)
		err = ibtrs_con_probe(&path->cons[cid]->con, hb->forgiven);
	return err;
}

static void peer_dead(struct ibtrs_heartbeat *hb)
{
	server_path_fail(container_of(hb, struct server_path, heartbeat), "no heartbeat");
}

static void not_half_open(struct server_path *path)
{
	mutex_lock(&path->srv->mutex);
	if (path->half_open)
		path->srv->half_open--;
	path->half_open = false;
	mutex_unlock(&path->srv->mutex);
}

static void fill_answer(struct server_path *path)
{
	struct ibtrs_info_response *answer = path->answer;
	u32 length = server_chunks_per_region(path) * ibtrs_server_params->chunk_size;
	u32 i;

	answer->type = cpu_to_le16(IBTRS_MSG_INFO_RESPONSE);
	answer->count = cpu_to_le16(path->nr_regions);
	for (i = 0; i < path->nr_regions; i++) {
		struct ib_mr *mr = path->regions[i].mr;

		answer->region[i].address = cpu_to_le64(mr->iova);
		answer->region[i].rkey = cpu_to_le32(mr->rkey);
		answer->region[i].length = cpu_to_le32(length);
	}
}

/*
 * Publishes the chunks. The keys are made by the same chain, in front of the answer, so that they
 * are usable when the client learns of them (Clause IBTRS-INFO-008).
 */
static int answer_info(struct server_path *path)
{
	struct ib_sge sge = { .lkey = path->pd->local_dma_lkey };
	struct ib_send_wr send = {
		.wr_cqe = &path->info_send,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IB_WR_SEND,
		.send_flags = IB_SEND_SIGNALED,
	};
	struct ib_reg_wr *regs;
	u32 i;
	int err;

	path->answer_len = struct_size(path->answer, region, path->nr_regions);
	path->answer = kzalloc(path->answer_len, GFP_KERNEL);
	regs = kvcalloc(path->nr_regions, sizeof(*regs), GFP_KERNEL);
	if (!path->answer || !regs) {
		kvfree(regs);
		return -ENOMEM;
	}
	fill_answer(path);
	path->answer_dma =
		ib_dma_map_single(path->dev, path->answer, path->answer_len, DMA_TO_DEVICE);
	if (ib_dma_mapping_error(path->dev, path->answer_dma)) {
		path->answer_dma = 0;
		kvfree(regs);
		return -ENOMEM;
	}
	sge.addr = path->answer_dma;
	sge.length = path->answer_len;
	for (i = 0; i < path->nr_regions; i++) {
		struct ib_mr *mr = path->regions[i].mr;

		regs[i].wr.wr_cqe = &path->info_send;
		regs[i].wr.opcode = IB_WR_REG_MR;
		regs[i].wr.next = i + 1 < path->nr_regions ? &regs[i + 1].wr : &send;
		regs[i].mr = mr;
		regs[i].key = mr->rkey;
		regs[i].access = IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE;
	}
	err = ib_post_send(path->cons[0]->con.id->qp, &regs[0].wr, NULL);
	kvfree(regs);
	return err;
}

/* What the INFO request brings about, in the order of the protocol. */
static const char *connect_path(struct server_path *path)
{
	const struct server_params *p = ibtrs_server_params;
	const char *wrong;

	ib_dma_sync_single_for_cpu(path->dev, path->info_dma, sizeof(*path->info), DMA_FROM_DEVICE);
	wrong = check_info(path);
	if (wrong)
		return wrong;
	if (!all_connected(path))
		return "INFO request before all connections exist";
	if (post_recvs(path))
		return "cannot post receives";
	if (take_name(path))
		return "its session name is that of another session";
	if (server_memory_create(path))
		return "no memory for its chunks";
	if (show(path))
		return "cannot show it in sysfs";
	if (link_up(path))
		return "the user of the transport does not want it";
	if (!move(path, SERVER_PATH_CONNECTED))
		return "it closes already";
	not_half_open(path);
	if (answer_info(path))
		return "cannot answer the INFO request";
	ibtrs_heartbeat_start(&path->heartbeat, p->heartbeat_ms, p->misses);
	return NULL;
}

static void info_work(struct work_struct *work)
{
	struct server_path *path = container_of(work, struct server_path, info_work);
	const char *wrong = connect_path(path);

	if (wrong)
		server_path_fail(path, wrong);
	else
		pr_info("ibtrs_server: %s: path %s is connected\n", path->sess->name, path->name);
}

/* Clause IBTRS-CONN-050 */
static void overdue_work(struct work_struct *work)
{
	struct server_path *path =
		container_of(to_delayed_work(work), struct server_path, overdue);

	if (READ_ONCE(path->state) == SERVER_PATH_CONNECTING)
		server_path_fail(path, "no INFO request in time");
}

/* The end */

/* Connections that exist; no more come when the path closes and none is being accepted. */
#define for_each_con(path, cid, pos)                                  \
	for ((cid) = 0; (cid) < (path)->nr_cons; (cid)++)              \
		if (((pos) = (path)->cons[cid]) != NULL && (pos)->con.id)

static bool all_gone(struct server_path *path)
{
	struct server_con *con;
	u32 cid;

	for_each_con(path, cid, con)
		if (!READ_ONCE(con->gone))
			return false;
	return true;
}

static void free_info(struct server_path *path)
{
	if (path->info_dma)
		ib_dma_unmap_single(path->dev, path->info_dma, sizeof(*path->info),
				    DMA_FROM_DEVICE);
	if (path->answer_dma)
		ib_dma_unmap_single(path->dev, path->answer_dma, path->answer_len, DMA_TO_DEVICE);
	kfree(path->info);
	kfree(path->answer);
	path->info = NULL;
	path->answer = NULL;
}

static void destroy(struct server_path *path)
{
	struct server_con *con;
	u32 cid;

	for_each_con(path, cid, con)
		ibtrs_con_destroy_qp(&con->con);
	server_memory_destroy(path);
	free_info(path);
	ib_dealloc_pd(path->pd);
	for_each_con(path, cid, con)
		rdma_destroy_id(con->con.id);
}

/* Takes a path out of its session, and the session out of the server if it was its last. */
static void leave(struct server_path *path)
{
	struct server_session *sess = path->sess;
	struct ibtrs_server *srv = path->srv;
	u32 cid;

	mutex_lock(&srv->mutex);
	server_path_hide(path);
	list_del(&path->entry);
	sess->nr_paths--;
	srv->nr_paths--;
	for (cid = 0; cid < path->nr_cons; cid++)
		if (path->cons[cid])
			srv->nr_cons--;
	if (!sess->nr_paths) {
		server_session_hide(sess);
		list_del(&sess->entry);
		srv->nr_sessions--;
		put_device(&sess->dev);
	}
	move(path, SERVER_PATH_CLOSED);
	kobject_put(&path->kobj);
	wake_up_all(&srv->wait);
	mutex_unlock(&srv->mutex);
}

static void close_work(struct work_struct *work)
{
	struct server_path *path = container_of(work, struct server_path, close_work);
	struct server_con *con;
	u32 cid;

	wait_event(path->wait, none_accepting(path));
	cancel_delayed_work_sync(&path->overdue);
	cancel_work_sync(&path->info_work);
	not_half_open(path);
	ibtrs_heartbeat_stop(&path->heartbeat);
	synchronize_rcu();
	for_each_con(path, cid, con)
		ibtrs_con_drain(&con->con);
	/* A receive that was being handled may have queued it. */
	cancel_work_sync(&path->info_work);
	for_each_con(path, cid, con)
		rdma_disconnect(con->con.id);
	wait_event(path->wait, !atomic_read(&path->inflight));
	link_down(path);
	wait_event_timeout(path->wait, all_gone(path),
			   msecs_to_jiffies(ibtrs_server_params->teardown_ms));
	synchronize_rcu(); /* the last one that responded may still be about to wake us */
	destroy(path);
	leave(path);
}

/* The beginning. Needs srv->mutex. */
struct server_path *server_path_create(struct server_session *sess, struct rdma_cm_id *id,
				       const struct ibtrs_conn_request *request)
{
	struct server_path *path = kzalloc(sizeof(*path), GFP_KERNEL);
	int err = -ENOMEM;

	lockdep_assert_held(&sess->srv->mutex);
	if (!path)
		return ERR_PTR(-ENOMEM);
	path->nr_cons = le16_to_cpu(request->connection_count);
	path->counts = alloc_percpu(struct server_counts);
	path->cons = kvcalloc(path->nr_cons, sizeof(*path->cons), GFP_KERNEL);
	if (!path->counts || !path->cons)
		goto free;
	path->pd = ib_alloc_pd(id->device, 0);
	err = PTR_ERR_OR_ZERO(path->pd);
	if (err)
		goto free;
	kobject_init(&path->kobj, &server_path_ktype);
	path->sess = sess;
	path->srv = sess->srv;
	memcpy(path->uuid, request->path_uuid, IBTRS_UUID_SIZE);
	path->incarnation = le16_to_cpu(request->incarnation);
	path->client = id->route.addr.dst_addr;
	path->local = id->route.addr.src_addr;
	path->dev = id->device;
	path->port_num = id->port_num;
	ibtrs_path_name(&path->client, &path->local, path->name, sizeof(path->name));
	spin_lock_init(&path->lock);
	path->state = SERVER_PATH_CONNECTING;
	init_waitqueue_head(&path->wait);
	INIT_DELAYED_WORK(&path->overdue, overdue_work);
	INIT_WORK(&path->info_work, info_work);
	INIT_WORK(&path->close_work, close_work);
	ibtrs_heartbeat_init(&path->heartbeat);
	path->heartbeat.post = post_heartbeat;
	path->heartbeat.probe = probe;
	path->heartbeat.dead = peer_dead;
	get_device(&sess->dev);
	return path;
free:
	free_percpu(path->counts);
	kvfree(path->cons);
	kfree(path);
	return ERR_PTR(err);
}
