/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ibtrs_server

#if !defined(IBTRS_SERVER_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define IBTRS_SERVER_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(ibtrs_server_path_state,
	TP_PROTO(const char *session, const char *path, const char *from, const char *to),
	TP_ARGS(session, path, from, to),
	TP_STRUCT__entry(
		__string(session, session)
		__string(path, path)
		__string(from, from)
		__string(to, to)
	),
	TP_fast_assign(
		__assign_str(session);
		__assign_str(path);
		__assign_str(from);
		__assign_str(to);
	),
	TP_printk("session=%s path=%s from=%s to=%s", __get_str(session), __get_str(path),
		  __get_str(from), __get_str(to))
);

TRACE_EVENT(ibtrs_server_request,
	TP_PROTO(const char *session, const char *path, u32 chunk, bool write, u32 data),
	TP_ARGS(session, path, chunk, write, data),
	TP_STRUCT__entry(
		__string(session, session)
		__string(path, path)
		__field(u32, chunk)
		__field(u32, data)
		__field(bool, write)
	),
	TP_fast_assign(
		__assign_str(session);
		__assign_str(path);
		__entry->chunk = chunk;
		__entry->data = data;
		__entry->write = write;
	),
	TP_printk("session=%s path=%s chunk=%u %s data=%u", __get_str(session), __get_str(path),
		  __entry->chunk, __entry->write ? "write" : "read", __entry->data)
);

TRACE_EVENT(ibtrs_server_response,
	TP_PROTO(const char *session, const char *path, u32 chunk, int err),
	TP_ARGS(session, path, chunk, err),
	TP_STRUCT__entry(
		__string(session, session)
		__string(path, path)
		__field(u32, chunk)
		__field(int, err)
	),
	TP_fast_assign(
		__assign_str(session);
		__assign_str(path);
		__entry->chunk = chunk;
		__entry->err = err;
	),
	TP_printk("session=%s path=%s chunk=%u err=%d", __get_str(session), __get_str(path),
		  __entry->chunk, __entry->err)
);

#endif /* IBTRS_SERVER_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE server_trace
#include <trace/define_trace.h>
