/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What travels between a client and a server: IBTRS, the transport, and IBNBD, the block protocol
 * above it.
 *
 * Each message is a packed structure of fixed-size fields. The WIRE_ macros behind it hold every
 * offset, size and byte order at compile time, and are compared with the tables of the userspace
 * reference by a test (conformance/ibnbd/subject/kmod_layout_test.go): the two cannot differ.
 *
 * Integers are little-endian, but for immediate data, which the adapter sends most significant byte
 * first.
 */
#ifndef IBNBD_WIRE_H
#define IBNBD_WIRE_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler_types.h>
#include <linux/stddef.h>
#include <linux/types.h>

#define wire_type(msg, field) typeof(((struct msg *)NULL)->field)

#define WIRE_SIZE(msg, size) \
	static_assert(sizeof(struct msg) == (size))
#define WIRE_FIELD(msg, field, offset, type)				\
	static_assert(offsetof(struct msg, field) == (offset) &&	\
		      __same_type(wire_type(msg, field), type))
#define WIRE_BYTES(msg, field, offset, size)				\
	static_assert(offsetof(struct msg, field) == (offset) &&	\
		      sizeof(wire_type(msg, field)) == (size))
#define WIRE_BITS(name, mask) \
	static_assert((name) == (mask))

#define IBTRS_MAGIC		0x1bbd
#define IBTRS_VERSION		0x0200
#define IBTRS_VERSION_MAJOR	2
#define IBTRS_DEFAULT_PORT	1234

#define IBTRS_UUID_SIZE		16
#define IBTRS_NAME_SIZE		255	/* of a session's name, the NUL at its end included */

enum ibtrs_msg_type {
	IBTRS_MSG_INFO_REQUEST	= 0,
	IBTRS_MSG_INFO_RESPONSE	= 1,
	IBTRS_MSG_WRITE		= 2,
	IBTRS_MSG_READ		= 3,
	IBTRS_MSG_KEY_RESPONSE	= 4,
};

/* Private data of a connection request. */
struct ibtrs_conn_request {
	u8	overlay[2];	/* zero: else a CM header may be seen here */
	__le16	magic;
	__le16	version;
	__le16	cid;
	__le16	connection_count;
	__le16	incarnation;
	u8	path_uuid[IBTRS_UUID_SIZE];
	u8	group_uuid[IBTRS_UUID_SIZE];
	u8	first_connection;
	u8	reserved[11];
} __packed;

WIRE_SIZE(ibtrs_conn_request, 56);
WIRE_BYTES(ibtrs_conn_request, overlay, 0, 2);
WIRE_FIELD(ibtrs_conn_request, magic, 2, __le16);
WIRE_FIELD(ibtrs_conn_request, version, 4, __le16);
WIRE_FIELD(ibtrs_conn_request, cid, 6, __le16);
WIRE_FIELD(ibtrs_conn_request, connection_count, 8, __le16);
WIRE_FIELD(ibtrs_conn_request, incarnation, 10, __le16);
WIRE_BYTES(ibtrs_conn_request, path_uuid, 12, 16);
WIRE_BYTES(ibtrs_conn_request, group_uuid, 28, 16);
WIRE_FIELD(ibtrs_conn_request, first_connection, 44, u8);
WIRE_BYTES(ibtrs_conn_request, reserved, 45, 11);

#define IBTRS_FIRST_CONNECTION BIT(0)
WIRE_BITS(IBTRS_FIRST_CONNECTION, 0x1);

/* Private data of an accept, and of a reject. */
struct ibtrs_conn_response {
	__le16	magic;
	__le16	version;
	__le16	errno;		/* two's complement: negative in a reject */
	__le16	queue_depth;
	__le32	max_io_size;
	__le32	max_header_size;
	__le32	flags;
	u8	reserved[36];
} __packed;

WIRE_SIZE(ibtrs_conn_response, 56);
WIRE_FIELD(ibtrs_conn_response, magic, 0, __le16);
WIRE_FIELD(ibtrs_conn_response, version, 2, __le16);
WIRE_FIELD(ibtrs_conn_response, errno, 4, __le16);
WIRE_FIELD(ibtrs_conn_response, queue_depth, 6, __le16);
WIRE_FIELD(ibtrs_conn_response, max_io_size, 8, __le32);
WIRE_FIELD(ibtrs_conn_response, max_header_size, 12, __le32);
WIRE_FIELD(ibtrs_conn_response, flags, 16, __le32);
WIRE_BYTES(ibtrs_conn_response, reserved, 20, 36);

#define IBTRS_KEY_REFRESH BIT(1)
WIRE_BITS(IBTRS_KEY_REFRESH, 0x2);

struct ibtrs_info_request {
	__le16	type;
	char	session_name[IBTRS_NAME_SIZE];
	u8	reserved[15];
} __packed;

WIRE_SIZE(ibtrs_info_request, 272);
WIRE_FIELD(ibtrs_info_request, type, 0, __le16);
WIRE_BYTES(ibtrs_info_request, session_name, 2, 255);
WIRE_BYTES(ibtrs_info_request, reserved, 257, 15);

/* Memory of the sender that the receiver may write to. */
struct ibtrs_descriptor {
	__le64	address;
	__le32	rkey;
	__le32	length;
} __packed;

WIRE_SIZE(ibtrs_descriptor, 16);
WIRE_FIELD(ibtrs_descriptor, address, 0, __le64);
WIRE_FIELD(ibtrs_descriptor, rkey, 8, __le32);
WIRE_FIELD(ibtrs_descriptor, length, 12, __le32);

struct ibtrs_info_response {
	__le16	type;
	__le16	count;
	u8	reserved[4];
	struct ibtrs_descriptor region[];
} __packed;

WIRE_SIZE(ibtrs_info_response, 8);
WIRE_FIELD(ibtrs_info_response, type, 0, __le16);
WIRE_FIELD(ibtrs_info_response, count, 2, __le16);
WIRE_BYTES(ibtrs_info_response, reserved, 4, 4);

struct ibtrs_write_message {
	__le16	type;
	__le16	header_length;
} __packed;

WIRE_SIZE(ibtrs_write_message, 4);
WIRE_FIELD(ibtrs_write_message, type, 0, __le16);
WIRE_FIELD(ibtrs_write_message, header_length, 2, __le16);

struct ibtrs_read_message {
	__le16	type;
	__le16	header_length;
	__le16	flags;
	__le16	count;
	struct ibtrs_descriptor descriptor[];
} __packed;

WIRE_SIZE(ibtrs_read_message, 8);
WIRE_FIELD(ibtrs_read_message, type, 0, __le16);
WIRE_FIELD(ibtrs_read_message, header_length, 2, __le16);
WIRE_FIELD(ibtrs_read_message, flags, 4, __le16);
WIRE_FIELD(ibtrs_read_message, count, 6, __le16);

#define IBTRS_READ_INVALIDATE BIT(0)
WIRE_BITS(IBTRS_READ_INVALIDATE, 0x1);

struct ibtrs_key_response {
	__le16	type;
	__le16	chunk;
	__le32	rkey;
} __packed;

WIRE_SIZE(ibtrs_key_response, 8);
WIRE_FIELD(ibtrs_key_response, type, 0, __le16);
WIRE_FIELD(ibtrs_key_response, chunk, 2, __le16);
WIRE_FIELD(ibtrs_key_response, rkey, 4, __le32);

/* Immediate data, as an integer of the host. */
#define IBTRS_IMM_TYPE		GENMASK(31, 28)
#define IBTRS_IMM_PAYLOAD	GENMASK(27, 0)
#define IBTRS_IMM_ERRNO		GENMASK(27, 19)	/* of a response */
#define IBTRS_IMM_ID		GENMASK(18, 0)
WIRE_BITS(IBTRS_IMM_TYPE, 0xf0000000);
WIRE_BITS(IBTRS_IMM_PAYLOAD, 0xfffffff);
WIRE_BITS(IBTRS_IMM_ERRNO, 0xff80000);
WIRE_BITS(IBTRS_IMM_ID, 0x7ffff);

#define IBTRS_IMM_PAYLOAD_BITS	28
#define IBTRS_IMM_MAX_ERRNO	511

enum ibtrs_imm_type {
	IBTRS_IMM_REQUEST		= 0,
	IBTRS_IMM_RESPONSE		= 1,
	IBTRS_IMM_RESPONSE_INVALIDATED	= 2,
	IBTRS_IMM_HEARTBEAT		= 8,
	IBTRS_IMM_HEARTBEAT_ACK		= 9,
};

#define IBNBD_VERSION		2	/* the only one that travels; its minor does not */
#define IBNBD_VERSION_ORIGINAL	1
#define IBNBD_PATH_SIZE		255	/* of a device path, the NUL at its end included */

enum ibnbd_msg_type {
	IBNBD_MSG_SESS_INFO	= 0,
	IBNBD_MSG_SESS_INFO_RSP	= 1,
	IBNBD_MSG_OPEN		= 2,
	IBNBD_MSG_OPEN_RSP	= 3,
	IBNBD_MSG_IO		= 4,
	IBNBD_MSG_CLOSE		= 5,
};

#define IBNBD_MARKER		"IBNBD+01"
#define IBNBD_MARKER_SIZE	8

/* The request and its response alike. */
struct ibnbd_sess_info {
	__le16	type;
	u8	padding[2];
	u8	version;
	u8	reserved[3];
	u8	marker[IBNBD_MARKER_SIZE];
	__le32	features;	/* valid only with the marker */
	u8	reserved_tail[16];
} __packed;

WIRE_SIZE(ibnbd_sess_info, 36);
WIRE_FIELD(ibnbd_sess_info, type, 0, __le16);
WIRE_BYTES(ibnbd_sess_info, padding, 2, 2);
WIRE_FIELD(ibnbd_sess_info, version, 4, u8);
WIRE_BYTES(ibnbd_sess_info, reserved, 5, 3);
WIRE_BYTES(ibnbd_sess_info, marker, 8, 8);
WIRE_FIELD(ibnbd_sess_info, features, 16, __le32);
WIRE_BYTES(ibnbd_sess_info, reserved_tail, 20, 16);

#define IBNBD_FEATURE_IO_MODE		BIT(0)
#define IBNBD_FEATURE_WRITE_SAME	BIT(1)
#define IBNBD_FEATURE_FLAGS		BIT(2)
WIRE_BITS(IBNBD_FEATURE_IO_MODE, 0x1);
WIRE_BITS(IBNBD_FEATURE_WRITE_SAME, 0x2);
WIRE_BITS(IBNBD_FEATURE_FLAGS, 0x4);

enum ibnbd_access_mode {
	IBNBD_ACCESS_RO		= 0,
	IBNBD_ACCESS_RW		= 1,
	IBNBD_ACCESS_MIGRATION	= 2,
};

enum ibnbd_io_mode {
	IBNBD_IO_FILE	= 0,
	IBNBD_IO_BLOCK	= 1,
	IBNBD_IO_AUTO	= 2,
};

struct ibnbd_open {
	__le16	type;
	u8	padding[2];
	u8	access_mode;
	u8	io_mode;
	char	device_path[IBNBD_PATH_SIZE];
	u8	reserved[3];
} __packed;

WIRE_SIZE(ibnbd_open, 264);
WIRE_FIELD(ibnbd_open, type, 0, __le16);
WIRE_BYTES(ibnbd_open, padding, 2, 2);
WIRE_FIELD(ibnbd_open, access_mode, 4, u8);
WIRE_FIELD(ibnbd_open, io_mode, 5, u8);
WIRE_BYTES(ibnbd_open, device_path, 6, 255);
WIRE_BYTES(ibnbd_open, reserved, 261, 3);

struct ibnbd_open_rsp {
	__le16	type;
	u8	padding[2];
	__le32	device_id;
	__le64	capacity;			/* 512-byte sectors */
	__le32	max_hw_sectors;
	__le32	max_write_zeroes_sectors;	/* of write-same in version 1 */
	__le32	max_discard_sectors;
	__le32	discard_granularity;
	__le32	discard_alignment;
	__le16	physical_block_size;
	__le16	logical_block_size;
	__le16	max_segments;
	__le16	secure_erase;
	u8	rotational;
	u8	cache_policy;			/* the I/O mode in version 1 */
	u8	io_mode;			/* with IBNBD_FEATURE_IO_MODE */
	u8	reserved[9];
} __packed;

WIRE_SIZE(ibnbd_open_rsp, 56);
WIRE_FIELD(ibnbd_open_rsp, type, 0, __le16);
WIRE_BYTES(ibnbd_open_rsp, padding, 2, 2);
WIRE_FIELD(ibnbd_open_rsp, device_id, 4, __le32);
WIRE_FIELD(ibnbd_open_rsp, capacity, 8, __le64);
WIRE_FIELD(ibnbd_open_rsp, max_hw_sectors, 16, __le32);
WIRE_FIELD(ibnbd_open_rsp, max_write_zeroes_sectors, 20, __le32);
WIRE_FIELD(ibnbd_open_rsp, max_discard_sectors, 24, __le32);
WIRE_FIELD(ibnbd_open_rsp, discard_granularity, 28, __le32);
WIRE_FIELD(ibnbd_open_rsp, discard_alignment, 32, __le32);
WIRE_FIELD(ibnbd_open_rsp, physical_block_size, 36, __le16);
WIRE_FIELD(ibnbd_open_rsp, logical_block_size, 38, __le16);
WIRE_FIELD(ibnbd_open_rsp, max_segments, 40, __le16);
WIRE_FIELD(ibnbd_open_rsp, secure_erase, 42, __le16);
WIRE_FIELD(ibnbd_open_rsp, rotational, 44, u8);
WIRE_FIELD(ibnbd_open_rsp, cache_policy, 45, u8);
WIRE_FIELD(ibnbd_open_rsp, io_mode, 46, u8);
WIRE_BYTES(ibnbd_open_rsp, reserved, 47, 9);

#define IBNBD_CACHE_FUA		BIT(0)
#define IBNBD_CACHE_WRITEBACK	BIT(1)
WIRE_BITS(IBNBD_CACHE_FUA, 0x1);
WIRE_BITS(IBNBD_CACHE_WRITEBACK, 0x2);

struct ibnbd_io {
	__le16	type;
	u8	padding[2];
	__le32	device_id;
	__le64	sector;
	__le32	op_flags;
	__le32	size;
	__le16	priority;	/* from version 2 on, and only if it was sent */
	u8	tail[6];
} __packed;

#define IBNBD_IO_SHORT_SIZE	offsetof(struct ibnbd_io, priority)

WIRE_SIZE(ibnbd_io, 32);
WIRE_FIELD(ibnbd_io, type, 0, __le16);
WIRE_BYTES(ibnbd_io, padding, 2, 2);
WIRE_FIELD(ibnbd_io, device_id, 4, __le32);
WIRE_FIELD(ibnbd_io, sector, 8, __le64);
WIRE_FIELD(ibnbd_io, op_flags, 16, __le32);
WIRE_FIELD(ibnbd_io, size, 20, __le32);
WIRE_FIELD(ibnbd_io, priority, 24, __le16);
WIRE_BYTES(ibnbd_io, tail, 26, 6);

enum ibnbd_op {
	IBNBD_OP_READ		= 0,
	IBNBD_OP_WRITE		= 1,
	IBNBD_OP_FLUSH		= 2,
	IBNBD_OP_DISCARD	= 3,
	IBNBD_OP_SECURE_ERASE	= 4,
	IBNBD_OP_WRITE_ZEROES	= 5,
};

#define IBNBD_OP_MASK		GENMASK(7, 0)
#define IBNBD_FLAG_SYNC		BIT(8)
#define IBNBD_FLAG_FUA		BIT(9)
#define IBNBD_FLAG_PREFLUSH	BIT(10)
#define IBNBD_FLAG_NOUNMAP	BIT(11)
WIRE_BITS(IBNBD_OP_MASK, 0xff);
WIRE_BITS(IBNBD_FLAG_SYNC, 0x100);
WIRE_BITS(IBNBD_FLAG_FUA, 0x200);
WIRE_BITS(IBNBD_FLAG_PREFLUSH, 0x400);
WIRE_BITS(IBNBD_FLAG_NOUNMAP, 0x800);

#define IBNBD_FLUSH_SECTOR	U64_MAX

struct ibnbd_close {
	__le16	type;
	u8	padding[2];
	__le32	device_id;
} __packed;

WIRE_SIZE(ibnbd_close, 8);
WIRE_FIELD(ibnbd_close, type, 0, __le16);
WIRE_BYTES(ibnbd_close, padding, 2, 2);
WIRE_FIELD(ibnbd_close, device_id, 4, __le32);

#endif /* IBNBD_WIRE_H */
