/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ibtrs_server as its user sees it: sessions that come and go, and requests.
 */
#ifndef IBTRS_SERVER_H
#define IBTRS_SERVER_H

#include <linux/types.h>

#include "ibtrs.h"

struct ibtrs_server;

/**
 * struct ibtrs_server_request - one request, from @request until ibtrs_server_respond()
 * @direction:	whether data goes to the client or comes from it
 * @header:	a copy of the user header, which the client cannot change any more
 * @header_len:	its length, as it was sent. What is longer than IBTRS_MAX_USER_HEADER is cut there:
 *		no message is, and what follows one means nothing
 * @data:	memory of the data, which begins at a page. Of a write that came with a key that is
 *		kept, the client can change it at any time
 * @data_len:	bytes of it; of a read, how many the client has room for
 * @scratch:	the user's own, of ops->scratch_size bytes, zeroed once, when the path was connected
 */
struct ibtrs_server_request {
	enum ibtrs_direction	direction;
	const void		*header;
	u32			header_len;
	void			*data;
	u32			data_len;
	void			*scratch;
};

/**
 * struct ibtrs_server_ops - what a server tells its user
 * @scratch_size:	bytes that the user wants with each request
 * @session_up:		a session of this name has its first connected path. Gives what the user
 *			wants to see with each of its requests, or an error, which closes the path
 * @session_down:	the last connected path is lost. All requests have been responded to, and
 *			none comes any more
 * @request:		a request. May sleep, but must not wait for another request: it holds up the
 *			connection on which it has come
 *
 * All are called in process context.
 */
struct ibtrs_server_ops {
	size_t	scratch_size;
	void	*(*session_up)(const char *name);
	void	(*session_down)(void *session);
	void	(*request)(void *session, struct ibtrs_server_request *rq);
};

struct ibtrs_server *ibtrs_server_open(const struct ibtrs_server_ops *ops, u16 port);
void ibtrs_server_close(struct ibtrs_server *srv);
u32 ibtrs_server_max_io_size(void);
bool ibtrs_server_abandoned(const struct ibtrs_server_request *rq);
void ibtrs_server_respond(struct ibtrs_server_request *rq, int err);

#endif /* IBTRS_SERVER_H */
