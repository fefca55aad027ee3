/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ibtrs_client

#if !defined(IBTRS_CLIENT_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define IBTRS_CLIENT_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(ibtrs_path_state,
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

TRACE_EVENT(ibtrs_call_sent,
	TP_PROTO(const char *session, const char *path, u32 permit, bool write, u32 data,
		 bool again),
	TP_ARGS(session, path, permit, write, data, again),
	TP_STRUCT__entry(
		__string(session, session)
		__string(path, path)
		__field(u32, permit)
		__field(u32, data)
		__field(bool, write)
		__field(bool, again)
	),
	TP_fast_assign(
		__assign_str(session);
		__assign_str(path);
		__entry->permit = permit;
		__entry->data = data;
		__entry->write = write;
		__entry->again = again;
	),
	TP_printk("session=%s path=%s permit=%u %s data=%u again=%d", __get_str(session),
		  __get_str(path), __entry->permit, __entry->write ? "write" : "read",
		  __entry->data, __entry->again)
);

TRACE_EVENT(ibtrs_call_done,
	TP_PROTO(const char *session, u32 permit, int err),
	TP_ARGS(session, permit, err),
	TP_STRUCT__entry(
		__string(session, session)
		__field(u32, permit)
		__field(int, err)
	),
	TP_fast_assign(
		__assign_str(session);
		__entry->permit = permit;
		__entry->err = err;
	),
	TP_printk("session=%s permit=%u err=%d", __get_str(session), __entry->permit, __entry->err)
);

#endif /* IBTRS_CLIENT_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE client_trace
#include <trace/define_trace.h>
