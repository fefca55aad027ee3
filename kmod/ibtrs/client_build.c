// SPDX-License-Identifier: GPL-2.0
/* What exists of a path while it is connected: making it, and taking it apart. */
#include <linux/overflow.h>
#include <linux/slab.h>

#include "client.h"

/* Waits */

static unsigned long time_left(struct build *build)
{
	unsigned long now = jiffies;

	return time_before(now, build->deadline) ? build->deadline - now : 0;
}

static bool ended(struct build *build)
{
	return READ_ONCE(build->err) || path_interrupted(build->path);
}

/*
 * Waits for a condition that the handlers bring about, until the attempt has failed, is not wanted
 * any more, or lasts too long.
 */
#define build_wait(build, condition)                                                           \
	({                                                                                     \
		struct build *b_ = (build);                                                    \
		long left_ =                                                                   \
			wait_event_timeout(b_->wait, (condition) || ended(b_), time_left(b_)); \
		(condition) ? 0 : READ_ONCE(b_->err) ?: left_ ? -ECANCELED : -ETIMEDOUT;       \
	})

/*
 * A handler stores what has come, then the step or the length that tells of it; who waits reads
 * them in the opposite order.
 */
static void tell_step(struct client_con *con, int step)
{
	smp_store_release(&con->step, step); /* pairs with at_step() */
	wake_up_all(&con->build->wait);
}

static bool at_step(struct client_con *con, int step)
{
	return smp_load_acquire(&con->step) == step; /* pairs with tell_step() */
}

/* Events of the connection manager */

static int rejected(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	const struct ibtrs_conn_response *response;
	u8 length;
	s16 err;

	response = rdma_consumer_reject_data(id, event, &length);
	if (!response || length < sizeof(*response) || le16_to_cpu(response->magic) != IBTRS_MAGIC)
		return -ECONNRESET;
	err = (s16)le16_to_cpu(response->errno);
	/* An error that is none must not look like success (Clause IBTRS-CONN-048). */
	return err < 0 && err >= -MAX_ERRNO ? err : -ECONNRESET;
}

static void established(struct client_con *con, struct rdma_cm_event *event)
{
	const struct rdma_conn_param *conn = &event->param.conn;

	if (conn->private_data && conn->private_data_len >= sizeof(con->response)) {
		memcpy(&con->response, conn->private_data, sizeof(con->response));
		con->answered = true;
	}
}

static int cm_event(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct client_con *con = id->context;
	struct build *build = con->build;

	switch (event->event) {
	case RDMA_CM_EVENT_ESTABLISHED:
		established(con, event);
		fallthrough;
	case RDMA_CM_EVENT_ADDR_RESOLVED:
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		tell_step(con, event->event);
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
		build_fail(build, -EHOSTUNREACH, rdma_event_msg(event->event));
		break;
	case RDMA_CM_EVENT_UNREACHABLE:
		build_fail(build, -ETIMEDOUT, rdma_event_msg(event->event));
		break;
	case RDMA_CM_EVENT_REJECTED:
		build_fail(build, rejected(id, event), rdma_reject_msg(id, event->status));
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		/* With a status it was only given up to wait for the peer. */
		if (!event->status)
			WRITE_ONCE(con->gone, true);
		build_fail(build, -ECONNRESET, rdma_event_msg(event->event));
		wake_up_all(&build->wait);
		break;
	case RDMA_CM_EVENT_DEVICE_REMOVAL:
		WRITE_ONCE(build->removed, true);
		fallthrough;
	default:
		build_fail(build, -ECONNRESET, rdma_event_msg(event->event));
	}
	/* The identifier is destroyed by build_destroy(), never by returning an error here. */
	return 0;
}

/* A port that goes down does so long before a heartbeat is missed. */
static void device_event(struct ib_event_handler *handler, struct ib_event *event)
{
	struct build *build = container_of(handler, struct build, events);

	if (event->event != IB_EVENT_PORT_ERR && event->event != IB_EVENT_DEVICE_FATAL)
		return;
	if (event->event == IB_EVENT_PORT_ERR &&
	    event->element.port_num != build->cons[0].con.id->port_num)
		return;
	build_fail(build, -ENETDOWN, ib_event_msg(event->event));
}

/* Resources */

static int alloc_headers(struct build *build)
{
	u32 pages = DIV_ROUND_UP(build->queue_depth, HEADERS_PER_PAGE);
	u32 i, k;

	build->header_pages = kvcalloc(pages, sizeof(*build->header_pages), GFP_KERNEL);
	build->header_dmas = kvcalloc(pages, sizeof(*build->header_dmas), GFP_KERNEL);
	if (!build->header_pages || !build->header_dmas)
		return -ENOMEM;
	for (i = 0; i < pages; i++) {
		u64 dma;

		build->header_pages[i] = alloc_page(GFP_KERNEL | __GFP_ZERO);
		if (!build->header_pages[i])
			return -ENOMEM;
		dma = ib_dma_map_page(build->dev, build->header_pages[i], 0, PAGE_SIZE,
				      DMA_TO_DEVICE);
		if (ib_dma_mapping_error(build->dev, dma)) {
			__free_page(build->header_pages[i]);
			build->header_pages[i] = NULL;
			return -ENOMEM;
		}
		build->header_dmas[i] = dma;
	}
	for (k = 0; k < build->queue_depth; k++) {
		u32 offset = k % HEADERS_PER_PAGE * HEADER_ROOM;

		build->slots[k].header =
			page_address(build->header_pages[k / HEADERS_PER_PAGE]) + offset;
		build->slots[k].header_dma = build->header_dmas[k / HEADERS_PER_PAGE] + offset;
	}
	return 0;
}

static void free_headers(struct build *build)
{
	u32 pages = DIV_ROUND_UP(build->queue_depth, HEADERS_PER_PAGE);
	u32 i;

	for (i = 0;
	     build->header_pages && build->header_dmas && i < pages && build->header_pages[i];
	     i++) {
		ib_dma_unmap_page(build->dev, build->header_dmas[i], PAGE_SIZE, DMA_TO_DEVICE);
		__free_page(build->header_pages[i]);
	}
	kvfree(build->header_pages);
	kvfree(build->header_dmas);
}

static int alloc_slots(struct build *build)
{
	u32 k;

	build->chunks = kvcalloc(build->queue_depth, sizeof(*build->chunks), GFP_KERNEL);
	build->slots = kvcalloc(build->queue_depth, sizeof(*build->slots), GFP_KERNEL);
	if (!build->chunks || !build->slots)
		return -ENOMEM;
	for (k = 0; k < build->queue_depth; k++) {
		struct slot *slot = &build->slots[k];
		struct ib_mr *mr;

		/* One more page than segments of whole pages: the data may begin inside one. */
		mr = ib_alloc_mr(build->pd, IB_MR_TYPE_MEM_REG,
				 build->max_io_size / REG_PAGE_SIZE + 1);
		if (IS_ERR(mr))
			return PTR_ERR(mr);
		slot->build = build;
		slot->mr = mr;
		slot->send.done = slot_send_done;
		slot->inv.done = slot_inv_done;
	}
	return alloc_headers(build);
}

static void free_slots(struct build *build)
{
	u32 k;

	for (k = 0; build->slots && k < build->queue_depth && build->slots[k].mr; k++)
		ib_dereg_mr(build->slots[k].mr);
	free_headers(build);
	kvfree(build->slots);
	kvfree(build->chunks);
}

static int alloc_key_recvs(struct client_con *con, u32 count)
{
	struct ib_device *dev = con->build->dev;
	u32 i;

	con->key_recvs = kvcalloc(count, sizeof(*con->key_recvs), GFP_KERNEL);
	con->keys = kcalloc(count, sizeof(*con->keys), GFP_KERNEL);
	if (!con->key_recvs || !con->keys)
		return -ENOMEM;
	con->keys_dma =
		ib_dma_map_single(dev, con->keys, count * sizeof(*con->keys), DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(dev, con->keys_dma))
		return -ENOMEM;
	con->nr_keys = count;
	for (i = 0; i < count; i++)
		con->key_recvs[i].cqe.done = key_recv_done;
	return 0;
}

static void free_key_recvs(struct client_con *con)
{
	if (con->nr_keys)
		ib_dma_unmap_single(con->build->dev, con->keys_dma,
				    con->nr_keys * sizeof(*con->keys), DMA_FROM_DEVICE);
	kvfree(con->key_recvs);
	kfree(con->keys);
}

static u32 recvs_of(struct build *build, u16 cid)
{
	return cid ? 2 * build->queue_depth : 2 * IBTRS_ADMIN_DEPTH;
}

/* Posts all receives of a connection, when the INFO response is there. */
int client_con_post_recvs(struct client_con *con)
{
	struct build *build = con->build;
	u32 i, count = recvs_of(build, con->con.cid);
	int err;

	if (build->key_refresh) {
		err = alloc_key_recvs(con, count);
		if (err)
			return err;
	}
	for (i = 0; i < count; i++) {
		if (build->key_refresh)
			err = ibtrs_post_recv(&con->con, &con->key_recvs[i].cqe, build->pd,
					      con->keys_dma + i * sizeof(*con->keys),
					      sizeof(*con->keys));
		else
			err = ibtrs_post_empty_recv(&con->con, &con->recv);
		if (err)
			return err;
	}
	return 0;
}

/*
 * How many work requests a connection can have at once. A read takes a registration, a write and
 * perhaps an invalidation; those before the last one that was signalled may still take room; and an
 * acknowledge that was lost holds some back for a while.
 */
static struct ibtrs_con_size con_size(struct build *build, u16 cid)
{
	u32 depth = cid ? build->queue_depth : IBTRS_ADMIN_DEPTH;
	u32 most = build->dev->attrs.max_qp_wr - 1;

	return (struct ibtrs_con_size){
		.sends = min(4 * depth + 2 * SIGNAL_PERIOD, most),
		.recvs = min(cid ? 2 * depth : 2 * IBTRS_ADMIN_DEPTH + 1, most),
		.send_sges = cid ? build->max_segments + 1 : 2,
		.poll = IB_POLL_SOFTIRQ,
	};
}

/* Handshake */

static int check_response(struct client_con *con)
{
	const struct ibtrs_conn_response *r = &con->response;

	if (!con->answered || le16_to_cpu(r->magic) != IBTRS_MAGIC ||
	    le16_to_cpu(r->version) >> 8 != IBTRS_VERSION_MAJOR || r->errno)
		return -ECONNRESET;
	return 0;
}

/* Takes the server's parameters from the accept of connection 0. */
static int adopt_response(struct build *build)
{
	const struct ibtrs_conn_response *r = &build->cons[0].response;
	struct ibtrs_path *path = build->path;
	u64 chunk;

	build->queue_depth = le16_to_cpu(r->queue_depth);
	build->max_io_size = le32_to_cpu(r->max_io_size);
	build->max_header_size = le32_to_cpu(r->max_header_size);
	build->key_refresh = le32_to_cpu(r->flags) & IBTRS_KEY_REFRESH;
	chunk = (u64)build->max_io_size + build->max_header_size;
	if (build->max_header_size < SMALLEST_HEADER_SIZE ||
	    build->max_io_size < SMALLEST_IO_SIZE ||
	    !ibtrs_geometry_fits(build->queue_depth, chunk)) {
		pr_warn("ibtrs_client: %s: refuse accept with queue depth %u, max I/O size %u, max header size %u\n",
			path->sess->name, build->queue_depth, build->max_io_size,
			build->max_header_size);
		return -ECONNRESET;
	}
	build->chunk_size = chunk;
	build->shift = ibtrs_imm_shift(build->queue_depth);
	if (path->queue_depth && path->queue_depth != build->queue_depth) {
		pr_warn("ibtrs_client: %s: queue depth of the server has changed from %u to %u\n",
			path->sess->name, path->queue_depth, build->queue_depth);
		path->hopeless = true;
		return -ECONNRESET;
	}
	return session_adopt(path->sess, build);
}

/*
 * A request may create the session on the server when no path is connected. Behind connection 0 the
 * session is there, and may be created again should the server have been restarted meanwhile. But
 * while another path is taken for connected, connection 0 must find its session: a server that has
 * forgotten it refuses, instead of making another one in which the identifiers of this one mean
 * something else.
 */
static bool may_create(struct build *build, u16 cid)
{
	return cid || !READ_ONCE(build->sess->connected);
}

static void fill_request(struct build *build, u16 cid, struct ibtrs_conn_request *request)
{
	struct ibtrs_path *path = build->path;

	*request = (struct ibtrs_conn_request){
		.magic = cpu_to_le16(IBTRS_MAGIC),
		.version = cpu_to_le16(IBTRS_VERSION),
		.cid = cpu_to_le16(cid),
		.connection_count = cpu_to_le16(build->nr_cons),
		.incarnation = cpu_to_le16(path->incarnation),
		.first_connection = may_create(build, cid) ? IBTRS_FIRST_CONNECTION : 0,
	};
	memcpy(request->path_uuid, path->uuid, IBTRS_UUID_SIZE);
	memcpy(request->group_uuid, path->sess->uuid, IBTRS_UUID_SIZE);
}

/*
 * What connection 0 brings for all of them: the device, a protection domain, and the size of
 * things.
 */
static int prepare_device(struct build *build, struct rdma_cm_id *id)
{
	const struct ib_device_attr *attrs;

	build->dev = id->device;
	attrs = &build->dev->attrs;
	if (!(attrs->device_cap_flags & IB_DEVICE_MEM_MGT_EXTENSIONS)) {
		pr_warn("ibtrs_client: %s: device %s has no memory management extensions\n",
			build->sess->name, build->dev->name);
		return -EOPNOTSUPP;
	}
	build->max_segments = min(attrs->max_send_sge - 1, MAX_SEGMENTS);
	build->pd = ib_alloc_pd(build->dev, 0);
	if (IS_ERR(build->pd)) {
		int err = PTR_ERR(build->pd);

		build->pd = NULL;
		return err;
	}
	return 0;
}

static int connect_id(struct client_con *con)
{
	struct build *build = con->build;
	struct ibtrs_path *path = build->path;
	struct sockaddr *src = path->src.ss_family == AF_UNSPEC ? NULL :
								  (struct sockaddr *)&path->src;
	int err;

	rdma_set_reuseaddr(con->con.id, 1);
	err = rdma_resolve_addr(con->con.id, src, (struct sockaddr *)&path->dst,
				jiffies_to_msecs(time_left(build)));
	if (err)
		return err == -ENODEV || err == -ENETUNREACH ? -EHOSTUNREACH : err;
	err = build_wait(build, at_step(con, RDMA_CM_EVENT_ADDR_RESOLVED));
	if (err)
		return err;
	err = rdma_resolve_route(con->con.id, max(jiffies_to_msecs(time_left(build)), 1U));
	if (err)
		return err;
	return build_wait(build, at_step(con, RDMA_CM_EVENT_ROUTE_RESOLVED));
}

static int connect_con(struct build *build, u16 cid)
{
	struct client_con *con = &build->cons[cid];
	struct ibtrs_conn_request request;
	struct rdma_conn_param param = {
		.private_data = &request,
		.private_data_len = sizeof(request),
		.retry_count = IBTRS_DEFAULT_RETRIES,
		.rnr_retry_count = IBTRS_RNR_FOR_EVER,
	};
	enum rdma_ucm_port_space ps = build->path->dst.ss_family == AF_IB ? RDMA_PS_IB :
									    RDMA_PS_TCP;
	struct rdma_cm_id *id;
	int err;

	con->build = build;
	con->con.cid = cid;
	con->con.owner = build;
	con->recv.done = con_recv_done;
	con->send.done = con_send_done;
	con->step = -1;
	spin_lock_init(&con->post_lock);
	id = rdma_create_id(&init_net, cm_event, con, ps, IB_QPT_RC);
	if (IS_ERR(id))
		return PTR_ERR(id);
	con->con.id = id;
	build->made = cid + 1;
	err = connect_id(con);
	if (err)
		return err;
	if (cid == 0)
		err = prepare_device(build, id);
	else if (id->device != build->dev)
		err = -EHOSTUNREACH; /* the route has changed between two connections */
	if (err)
		return err;
	err = ibtrs_con_create_qp(&con->con, build->pd, cid, con_size(build, cid));
	if (err)
		return err;
	fill_request(build, cid, &request);
	err = rdma_connect(id, &param);
	if (err)
		return err;
	err = build_wait(build, at_step(con, RDMA_CM_EVENT_ESTABLISHED));
	if (err)
		return err;
	err = check_response(con);
	if (!err && cid == 0)
		err = adopt_response(build);
	return err;
}

/* INFO exchange */

static void info_recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct build *build = container_of(wc->wr_cqe, struct build, info_recv);

	if (wc->status != IB_WC_SUCCESS) {
		build_fail(build, -ECONNRESET, ib_wc_status_msg(wc->status));
		return;
	}
	smp_store_release(&build->info_len, (int)wc->byte_len); /* pairs with has_info() */
	wake_up_all(&build->wait);
}

static bool has_info(struct build *build)
{
	return smp_load_acquire(&build->info_len) >= 0; /* pairs with info_recv_done() */
}

static void info_send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct build *build = container_of(wc->wr_cqe, struct build, info_send);

	if (wc->status != IB_WC_SUCCESS)
		build_fail(build, -ECONNRESET, ib_wc_status_msg(wc->status));
}

static size_t info_size(struct build *build)
{
	return struct_size(build->info, region, build->queue_depth);
}

static int post_info(struct build *build)
{
	struct ibtrs_con *con = &build->cons[0].con;
	int err;

	build->info = kzalloc(info_size(build), GFP_KERNEL);
	build->name = kzalloc(sizeof(*build->name), GFP_KERNEL);
	if (!build->info || !build->name)
		return -ENOMEM;
	build->name->type = cpu_to_le16(IBTRS_MSG_INFO_REQUEST);
	strscpy(build->name->session_name, build->sess->name, sizeof(build->name->session_name));
	build->info_dma =
		ib_dma_map_single(build->dev, build->info, info_size(build), DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(build->dev, build->info_dma)) {
		build->info_dma = 0;
		return -ENOMEM;
	}
	build->name_dma =
		ib_dma_map_single(build->dev, build->name, sizeof(*build->name), DMA_TO_DEVICE);
	if (ib_dma_mapping_error(build->dev, build->name_dma)) {
		build->name_dma = 0;
		return -ENOMEM;
	}
	build->info_recv.done = info_recv_done;
	build->info_send.done = info_send_done;
	err = ibtrs_post_recv(con, &build->info_recv, build->pd, build->info_dma, info_size(build));
	if (err)
		return err;
	return ibtrs_post_send(con, &build->info_send, build->pd, build->name_dma,
			       sizeof(*build->name));
}

static void free_info(struct build *build)
{
	if (build->info_dma)
		ib_dma_unmap_single(build->dev, build->info_dma, info_size(build), DMA_FROM_DEVICE);
	if (build->name_dma)
		ib_dma_unmap_single(build->dev, build->name_dma, sizeof(*build->name),
				    DMA_TO_DEVICE);
	kfree(build->info);
	kfree(build->name);
}

/*
 * Lays the chunks out over the regions; they must come out even (Clauses IBTRS-INFO-016 and -017).
 */
static int adopt_regions(struct build *build, u16 count)
{
	u32 i, k = 0;

	for (i = 0; i < count; i++) {
		const struct ibtrs_descriptor *region = &build->info->region[i];
		u32 length = le32_to_cpu(region->length);
		u32 offset;

		if (!length || length % build->chunk_size ||
		    length / build->chunk_size > build->queue_depth - k)
			return -ECONNRESET;
		for (offset = 0; offset < length; offset += build->chunk_size, k++) {
			build->chunks[k].addr = le64_to_cpu(region->address) + offset;
			build->chunks[k].rkey = le32_to_cpu(region->rkey);
		}
	}
	return k == build->queue_depth ? 0 : -ECONNRESET;
}

static int adopt_info(struct build *build)
{
	const struct ibtrs_info_response *info = build->info;
	u32 length = build->info_len;
	u16 count;

	ib_dma_sync_single_for_cpu(build->dev, build->info_dma, info_size(build), DMA_FROM_DEVICE);
	if (length < sizeof(*info) || le16_to_cpu(info->type) != IBTRS_MSG_INFO_RESPONSE)
		return -ECONNRESET;
	count = le16_to_cpu(info->count);
	if (!count || build->queue_depth % count || length < struct_size(info, region, count))
		return -ECONNRESET;
	return adopt_regions(build, count);
}

static int exchange_info(struct build *build)
{
	int err;

	build->info_len = -1;
	err = post_info(build);
	if (err)
		return err;
	err = build_wait(build, has_info(build));
	if (err)
		return err;
	err = adopt_info(build);
	if (err)
		pr_warn("ibtrs_client: %s: refuse INFO response of %d bytes with %u regions\n",
			build->sess->name, build->info_len, le16_to_cpu(build->info->count));
	return err;
}

/* The whole */

/* So many attempts in a row that get no answer are cut short but one. */
#define PATIENT_EVERY	4

/*
 * How long an attempt waits for the first answer, in milliseconds.
 *
 * The connection manager repeats a request only after seconds, so an attempt that began before the
 * network was whole again is in vain, and must not last. A path that has been connected before waits
 * for @answer ms, but for at least four times what its server took the last time.
 *
 * Some attempts are patient: one that is cut short does not tell how long a server takes that has
 * become slower.
 */
static u32 answer_limit(const struct ibtrs_path *path)
{
	const struct timers *t = &path->sess->timers;
	u32 took = path->answered;

	if (!took || path->attempts % PATIENT_EVERY == 0)
		return t->connect;
	return min(t->connect, max(t->answer, 4 * took));
}

struct build *build_create(struct ibtrs_path *path)
{
	struct build *build = kzalloc(sizeof(*build), GFP_KERNEL);

	if (!build)
		return NULL;
	build->path = path;
	build->sess = path->sess;
	build->nr_cons = min(num_online_cpus() + 1, IBTRS_MAX_CONNECTIONS);
	build->cons = kvcalloc(build->nr_cons, sizeof(*build->cons), GFP_KERNEL);
	if (!build->cons) {
		kfree(build);
		return NULL;
	}
	init_waitqueue_head(&build->wait);
	ibtrs_heartbeat_init(&build->heartbeat);
	build->begun = jiffies;
	build->deadline = build->begun + msecs_to_jiffies(answer_limit(path));
	return build;
}

/* The server has answered: the rest of the attempt has the rest of its time. */
static void note_answer(struct build *build)
{
	u32 took = jiffies_to_msecs(jiffies - build->begun);

	build->path->answered = max(took, 1U);
	build->deadline = build->begun + msecs_to_jiffies(build->sess->timers.connect);
}

/**
 * build_connect - establish all connections, one after the other, and exchange INFO
 * @build:	new build of a path that is CONNECTING
 *
 * All of it within the connect timeout of the session, and the first answer sooner. Whatever the
 * outcome, build_destroy() takes the build apart.
 */
int build_connect(struct build *build)
{
	u32 cid;
	int err;

	for (cid = 0; cid < build->nr_cons; cid++) {
		err = connect_con(build, cid);
		if (err)
			return err;
		if (cid == 0)
			note_answer(build);
	}
	INIT_IB_EVENT_HANDLER(&build->events, build->dev, device_event);
	ib_register_event_handler(&build->events);
	build->events_registered = true;
	err = alloc_slots(build);
	if (!err)
		err = exchange_info(build);
	for (cid = 0; !err && cid < build->nr_cons; cid++)
		err = client_con_post_recvs(&build->cons[cid]);
	return err ?: READ_ONCE(build->err);
}

/* Ends the connections. When it returns no completion is handled any more. */
void build_disconnect(struct build *build)
{
	u32 cid;

	for (cid = 0; cid < build->made; cid++)
		if (build->cons[cid].con.id->qp)
			rdma_disconnect(build->cons[cid].con.id);
	for (cid = 0; cid < build->made; cid++)
		ibtrs_con_drain(&build->cons[cid].con);
}

static bool all_gone(struct build *build)
{
	u32 cid;

	for (cid = 0; cid < build->made; cid++)
		if (!READ_ONCE(build->cons[cid].gone))
			return false;
	return true;
}

/*
 * Waits until the server has confirmed that each connection is disconnected, but not for longer
 * than @timeout_ms.
 */
void build_wait_gone(struct build *build, u32 timeout_ms)
{
	wait_event_timeout(build->wait, all_gone(build) || READ_ONCE(build->removed),
			   msecs_to_jiffies(timeout_ms));
}

/*
 * Takes apart what build_connect() has made of a build, however far it came. Its connections must
 * be drained.
 */
void build_destroy(struct build *build)
{
	u32 cid;

	if (build->events_registered)
		ib_unregister_event_handler(&build->events);
	for (cid = 0; cid < build->made; cid++)
		ibtrs_con_destroy_qp(&build->cons[cid].con);
	if (build->dev) {
		for (cid = 0; cid < build->made; cid++)
			free_key_recvs(&build->cons[cid]);
		free_slots(build);
		free_info(build);
	}
	if (build->pd)
		ib_dealloc_pd(build->pd);
	for (cid = 0; cid < build->made; cid++)
		rdma_destroy_id(build->cons[cid].con.id);
	kvfree(build->cons);
	kfree(build);
}
