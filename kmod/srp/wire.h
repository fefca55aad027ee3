/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The information units of SRP (ANSI INCITS 365-2002), with immediate data. All integers are big
 * endian, but for the tag, which only its maker interprets.
 */
#ifndef IB_SRP_WIRE_H
#define IB_SRP_WIRE_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include <scsi/scsi_proto.h>

enum srp_iu_type {
	SRP_LOGIN_REQ	= 0x00,
	SRP_TSK_MGMT	= 0x01,
	SRP_CMD		= 0x02,
	SRP_I_LOGOUT	= 0x03,
	SRP_CRED_RSP	= 0x41,
	SRP_AER_RSP	= 0x42,
	SRP_T_LOGOUT	= 0x80,
	SRP_CRED_REQ	= 0x81,
	SRP_AER_REQ	= 0x82,
	SRP_LOGIN_RSP	= 0xc0,
	SRP_RSP		= 0xc1,
	SRP_LOGIN_REJ	= 0xc2,
};

/* Buffer formats, as bits of a login and as nibbles of a command */
#define SRP_BUF_DIRECT		0x0002
#define SRP_BUF_INDIRECT	0x0004
#define SRP_FMT_NONE		0
#define SRP_FMT_DIRECT		1
#define SRP_FMT_INDIRECT	2
#define SRP_FMT_IMMEDIATE	3
#define SRP_FMT_OUT_SHIFT	4

/* Flags of a login */
#define SRP_MULTICHAN_SINGLE	0x00
#define SRP_MULTICHAN_MULTI	0x01
#define SRP_IMMEDIATE		0x80

/* The login request in the form for RDMA/CM, whose own header leaves no room for the longer one */
struct srp_login_req {
	__be64	tag;
	__be16	formats;
	u8	flags;
	u8	type;
	__be32	it_length;
	u8	initiator_port[16];
	u8	target_port[16];
	__be16	imm_offset;
	u8	reserved[6];
} __packed;

struct srp_login_rsp {
	u8	type;
	u8	reserved1[3];
	__be32	delta;
	__be64	tag;
	__be32	it_length;
	__be32	ti_length;
	__be16	formats;
	u8	flags;
	u8	reserved2[25];
} __packed;

#define SRP_REJ_UNSPECIFIED	0x00010000
#define SRP_REJ_RESOURCES	0x00010001

struct srp_login_rej {
	u8	type;
	u8	reserved1[3];
	__be32	reason;
	__be64	tag;
	u8	reserved2[8];
	__be16	formats;
	u8	reserved3[6];
} __packed;

struct srp_desc {
	__be64	addr;
	__be32	key;
	__be32	length;
} __packed;

struct srp_indirect {
	struct srp_desc	table;
	__be32		length;
	struct srp_desc	entries[];
} __packed;

#define SRP_CDB_LENGTH	16

struct srp_cmd {
	u8	type;
	u8	solicited;
	u8	reserved1[3];
	u8	formats;
	u8	out_count;
	u8	in_count;
	u64	tag;
	u8	reserved2[4];
	u8	lun[8];
	u8	reserved3;
	u8	attribute;
	u8	reserved4;
	u8	more_cdb;	/* bytes, a multiple of 4 */
	u8	cdb[SRP_CDB_LENGTH];
	u8	more[];
} __packed;

#define SRP_TM_ABORT_TASK	0x01
#define SRP_TM_LUN_RESET	0x08

struct srp_tsk_mgmt {
	u8	type;
	u8	solicited;
	u8	reserved1[6];
	u64	tag;
	u8	reserved2[4];
	u8	lun[8];
	u8	reserved3[2];
	u8	function;
	u8	reserved4;
	u64	task_tag;
	u8	reserved5[8];
} __packed;

/* Flags of a response */
#define SRP_RSPVALID	0x01
#define SRP_SNSVALID	0x02
#define SRP_DOUNDER	0x08
#define SRP_DIUNDER	0x20

#define SRP_CODE_LENGTH	4	/* of response data, whose last byte is the code */

struct srp_rsp {
	u8	type;
	u8	solicited;
	u8	reserved1[2];
	__be32	delta;
	u64	tag;
	u8	reserved2[2];
	u8	flags;
	u8	status;
	__be32	out_residual;
	__be32	in_residual;
	__be32	sense_length;
	__be32	code_length;
	u8	data[];		/* response data, then sense */
} __packed;

/* SRP_CRED_REQ, and the answers to it and to SRP_AER_REQ; SRP_AER_REQ begins with it */
struct srp_short {
	u8	type;
	u8	solicited;
	u8	reserved[2];
	__be32	delta;		/* SRP_T_LOGOUT: the reason */
	u64	tag;
} __packed;

#define SRP_AER_REQ_LENGTH	36	/* without sense */

static_assert(sizeof(struct srp_login_req) == 56);
static_assert(sizeof(struct srp_login_rsp) == 52);
static_assert(sizeof(struct srp_login_rej) == 32);
static_assert(sizeof(struct srp_desc) == 16);
static_assert(sizeof(struct srp_indirect) == 20);
static_assert(sizeof(struct srp_cmd) == 48);
static_assert(sizeof(struct srp_tsk_mgmt) == 48);
static_assert(sizeof(struct srp_rsp) == 36);
static_assert(sizeof(struct srp_short) == 16);

#endif
