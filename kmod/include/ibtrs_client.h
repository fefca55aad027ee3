/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ibtrs_client as its users see it: sessions over one path or more, and requests.
 */
#ifndef IBTRS_CLIENT_H
#define IBTRS_CLIENT_H

#include <linux/scatterlist.h>
#include <linux/socket.h>
#include <linux/types.h>

#include "ibtrs.h"

struct ibtrs_session;

/**
 * struct ibtrs_request - one request, from ibtrs_submit() until its callback
 * @direction:	whether data goes to the caller or to the server
 * @admin:	to connection 0; else the connection follows from the CPU
 * @header:	user header, which stays as it is until @done, for the request may be sent again
 * @header_len:	at most IBTRS_MAX_USER_HEADER
 * @sg:		memory of the data; NULL if there is none
 * @nents:	elements of @sg; inner ones begin and end at multiples of 4096 bytes
 * @data_len:	bytes of the data
 * @still:	may be NULL; called under rcu_read_lock() right before the request is sent for the
 *		first time. It may fill in the header, and may say that the request is not to be
 *		sent any more: then ibtrs_submit() gives -ENOTCONN. What it has seen stays true
 *		until the request is sent, if whoever changes it in @link waits for a grace period.
 * @done:	called exactly once, in any context that cannot sleep, with 0 or a negative errno:
 *		that of the server, or -ECONNABORTED when no path is left. The request is the
 *		caller's again.
 */
struct ibtrs_request {
	enum ibtrs_direction	direction;
	bool			admin;
	const void		*header;
	u16			header_len;
	struct scatterlist	*sg;
	unsigned int		nents;
	u32			data_len;
	bool			(*still)(struct ibtrs_request *rq);
	void			(*done)(struct ibtrs_request *rq, int err);
};

/**
 * struct ibtrs_session_ops - what a session tells its user
 * @link:	the last connected path is lost, or the first is back. Called one at a time, in
 *		process context; must not wait for requests of the session. Not called for the first
 *		connect, and not by ibtrs_close().
 */
struct ibtrs_session_ops {
	void (*link)(void *user, bool up);
};

struct ibtrs_path_addr {
	struct sockaddr_storage src;	/* AF_UNSPEC: routing chooses */
	struct sockaddr_storage dst;
};

struct ibtrs_limits {
	u32 queue_depth;	/* requests in flight */
	u32 max_io_size;	/* bytes of data of one request */
	u32 max_segments;	/* elements of its memory */
};

struct ibtrs_session *ibtrs_open(const char *name, const struct ibtrs_session_ops *ops, void *user,
				 const struct ibtrs_path_addr *paths, unsigned int count);
void ibtrs_close(struct ibtrs_session *sess);
void ibtrs_get_limits(struct ibtrs_session *sess, struct ibtrs_limits *limits);
bool ibtrs_connected(struct ibtrs_session *sess);
int ibtrs_submit(struct ibtrs_session *sess, struct ibtrs_request *rq, bool wait);

#endif /* IBTRS_CLIENT_H */
