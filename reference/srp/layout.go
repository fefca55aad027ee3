// SPDX-License-Identifier: Apache-2.0

package srp

import l "github.com/ibnbd/ibnbd/reference/layout"

// Layout is the wire format of SRP, one table for each information unit. All sizes and offsets are in bytes.
var Layout = l.Protocol{
	Name:  "srp",
	Title: "SCSI RDMA Protocol",
	Messages: []l.Message{
		loginReqLayout, loginReqCMLayout, loginRspLayout, loginRejLayout, cmdLayout, memoryDescriptorLayout,
		indirectLayout, immediateLayout, rspLayout, credReqLayout, credRspLayout, aerReqLayout, aerRspLayout,
		tskMgmtLayout, iLogoutLayout, tLogoutLayout,
	},
}

var iuTypes = []l.Value{
	{Number: TypeLoginReq, Name: "SRP_LOGIN_REQ"}, {Number: TypeTskMgmt, Name: "SRP_TSK_MGMT"},
	{Number: TypeCmd, Name: "SRP_CMD"}, {Number: TypeILogout, Name: "SRP_I_LOGOUT"},
	{Number: TypeCredRsp, Name: "SRP_CRED_RSP"}, {Number: TypeAERRsp, Name: "SRP_AER_RSP"},
	{Number: TypeTLogout, Name: "SRP_T_LOGOUT"}, {Number: TypeCredReq, Name: "SRP_CRED_REQ"},
	{Number: TypeAERReq, Name: "SRP_AER_REQ"}, {Number: TypeLoginRsp, Name: "SRP_LOGIN_RSP"},
	{Number: TypeRsp, Name: "SRP_RSP"}, {Number: TypeLoginRej, Name: "SRP_LOGIN_REJ"},
}

var (
	typeField     = l.Field{Name: "type", Offset: 0, Size: 1, Encoding: l.Big, Meaning: "kind of unit", Values: iuTypes}
	tagField      = l.Field{Name: "tag", Offset: 8, Size: 8, Encoding: l.Opaque, Meaning: "names the request; only its creator interprets it"}
	lunField      = l.Field{Name: "lun", Offset: 20, Size: 8, Encoding: l.Opaque, Meaning: "logical unit, 8-byte SCSI form"}
	deltaField    = l.Field{Name: "request_limit_delta", Offset: 4, Size: 4, Encoding: l.BigSigned, Meaning: "is added to the request limit"}
	solicitField  = l.Field{Name: "notify", Offset: 1, Size: 1, Encoding: l.Big, Meaning: "solicited notification", Bits: []l.Bits{{Name: "solnt", Mask: 0x01}}}
	wantSolicited = l.Field{Name: "notify", Offset: 1, Size: 1, Encoding: l.Big, Meaning: "solicited notification wanted",
		Bits: []l.Bits{{Name: "scsolnt", Mask: 0x02, Meaning: "upon success"}, {Name: "ucsolnt", Mask: 0x04, Meaning: "upon failure"}}}
	formatBits = []l.Bits{
		{Name: "direct", Mask: FormatsDirect, Meaning: "one memory descriptor"},
		{Name: "indirect", Mask: FormatsIndirect, Meaning: "a table of memory descriptors"},
	}
	loginFlagBits = []l.Bits{
		{Name: "multichannel", Mask: multiChannelMask, Meaning: "what becomes of other channels of the nexus",
			Values: []l.Value{{Number: 0, Name: "terminate"}, {Number: 1, Name: "keep"}}},
		{Name: "losolnt", Mask: 0x10}, {Name: "crsolnt", Mask: 0x20}, {Name: "aesolnt", Mask: 0x40},
		{Name: "immediate", Mask: LoginImmediate, Meaning: "immediate data wanted"},
	}
)

var loginReqLayout = l.Message{
	Name: "login_req", Title: "SRP_LOGIN_REQ", Size: LoginReqSize,
	Fields: []l.Field{
		typeField,
		{Name: "reserved1", Offset: 1, Size: 7, Encoding: l.Reserved},
		tagField,
		{Name: "requested_iu_length", Offset: 16, Size: 4, Encoding: l.Big, Meaning: "largest unit the initiator wants to send, at least 64", Unit: "bytes"},
		{Name: "reserved20", Offset: 20, Size: 4, Encoding: l.Reserved},
		{Name: "required_formats", Offset: 24, Size: 2, Encoding: l.Big, Meaning: "buffer formats the initiator needs", Bits: formatBits},
		{Name: "flags", Offset: 26, Size: 1, Encoding: l.Big, Meaning: "login options", Bits: loginFlagBits},
		{Name: "reserved27", Offset: 27, Size: 1, Encoding: l.Reserved},
		{Name: "immediate_offset", Offset: 28, Size: 2, Encoding: l.Big, Meaning: "distance from the start of SRP_CMD to immediate data; 0 if not wanted", Unit: "bytes"},
		{Name: "reserved30", Offset: 30, Size: 2, Encoding: l.Reserved},
		{Name: "initiator_port", Offset: 32, Size: 16, Encoding: l.Opaque, Meaning: "initiator port identifier"},
		{Name: "target_port", Offset: 48, Size: 16, Encoding: l.Opaque, Meaning: "target port identifier"},
	},
}

var loginReqCMLayout = l.Message{
	Name: "login_req_cm", Title: "SRP_LOGIN_REQ (RDMA/CM form)", Size: LoginReqCMSize,
	Fields: []l.Field{
		{Name: "tag", Offset: 0, Size: 8, Encoding: l.Opaque, Meaning: "names the request"},
		{Name: "required_formats", Offset: 8, Size: 2, Encoding: l.Big, Meaning: "buffer formats the initiator needs", Bits: formatBits},
		{Name: "flags", Offset: 10, Size: 1, Encoding: l.Big, Meaning: "login options", Bits: loginFlagBits},
		{Name: "type", Offset: 11, Size: 1, Encoding: l.Big, Meaning: "kind of unit", Values: iuTypes},
		{Name: "requested_iu_length", Offset: 12, Size: 4, Encoding: l.Big, Meaning: "largest unit the initiator wants to send, at least 64", Unit: "bytes"},
		{Name: "initiator_port", Offset: 16, Size: 16, Encoding: l.Opaque, Meaning: "initiator port identifier"},
		{Name: "target_port", Offset: 32, Size: 16, Encoding: l.Opaque, Meaning: "target port identifier"},
		{Name: "immediate_offset", Offset: 48, Size: 2, Encoding: l.Big, Meaning: "distance from the start of SRP_CMD to immediate data; 0 if not wanted", Unit: "bytes"},
		{Name: "reserved50", Offset: 50, Size: 6, Encoding: l.Reserved},
	},
}

var loginRspLayout = l.Message{
	Name: "login_rsp", Title: "SRP_LOGIN_RSP", Size: LoginRspSize,
	Fields: []l.Field{
		typeField,
		{Name: "reserved1", Offset: 1, Size: 3, Encoding: l.Reserved},
		{Name: "request_limit_delta", Offset: 4, Size: 4, Encoding: l.BigSigned, Meaning: "the initial request limit"},
		tagField,
		{Name: "max_initiator_iu_length", Offset: 16, Size: 4, Encoding: l.Big, Meaning: "largest unit the target takes", Unit: "bytes"},
		{Name: "max_target_iu_length", Offset: 20, Size: 4, Encoding: l.Big, Meaning: "largest unit the target sends", Unit: "bytes"},
		{Name: "supported_formats", Offset: 24, Size: 2, Encoding: l.Big, Meaning: "buffer formats the target knows", Bits: formatBits},
		{Name: "flags", Offset: 26, Size: 1, Encoding: l.Big, Meaning: "login result", Bits: []l.Bits{
			{Name: "multichannel", Mask: multiChannelMask, Meaning: "what became of other channels of the nexus",
				Values: []l.Value{{Number: 0, Name: "none existed"}, {Number: 1, Name: "terminated"}, {Number: 2, Name: "kept"}}},
			{Name: "solntsup", Mask: 0x10, Meaning: "solicited notification supported"},
			{Name: "immediate", Mask: LoginImmediate, Meaning: "immediate data granted"},
		}},
		{Name: "reserved27", Offset: 27, Size: 25, Encoding: l.Reserved},
	},
}

var loginRejLayout = l.Message{
	Name: "login_rej", Title: "SRP_LOGIN_REJ", Size: LoginRejSize,
	Fields: []l.Field{
		typeField,
		{Name: "reserved1", Offset: 1, Size: 3, Encoding: l.Reserved},
		{Name: "reason", Offset: 4, Size: 4, Encoding: l.Big, Meaning: "why the login is refused", Values: rejectReasons},
		tagField,
		{Name: "reserved16", Offset: 16, Size: 8, Encoding: l.Reserved},
		{Name: "supported_formats", Offset: 24, Size: 2, Encoding: l.Big, Meaning: "buffer formats the target knows", Bits: formatBits},
		{Name: "reserved26", Offset: 26, Size: 6, Encoding: l.Reserved},
	},
}

var cmdLayout = l.Message{
	Name: "cmd", Title: "SRP_CMD", Size: CmdSize,
	Fields: []l.Field{
		typeField, wantSolicited,
		{Name: "reserved2", Offset: 2, Size: 3, Encoding: l.Reserved},
		{Name: "formats", Offset: 5, Size: 1, Encoding: l.Big, Meaning: "how the data buffers are described", Bits: []l.Bits{
			{Name: "data_out", Mask: 0xf0, Values: bufferFormats}, {Name: "data_in", Mask: 0x0f, Values: bufferFormats},
		}},
		{Name: "data_out_count", Offset: 6, Size: 1, Encoding: l.Big, Meaning: "entries of an indirect data-out list in this unit"},
		{Name: "data_in_count", Offset: 7, Size: 1, Encoding: l.Big, Meaning: "entries of an indirect data-in list in this unit"},
		tagField,
		{Name: "reserved16", Offset: 16, Size: 4, Encoding: l.Reserved},
		lunField,
		{Name: "reserved28", Offset: 28, Size: 1, Encoding: l.Reserved},
		{Name: "task_attribute", Offset: 29, Size: 1, Encoding: l.Big, Meaning: "order of execution", Bits: []l.Bits{
			{Name: "value", Mask: 0x07, Values: []l.Value{{Number: 0, Name: "simple"}, {Number: 1, Name: "head of queue"}, {Number: 2, Name: "ordered"}, {Number: 4, Name: "ACA"}}},
		}},
		{Name: "reserved30", Offset: 30, Size: 1, Encoding: l.Reserved},
		{Name: "add_cdb_length", Offset: 31, Size: 1, Encoding: l.Big, Meaning: "with the two low bits cleared, bytes of additional CDB",
			Bits: []l.Bits{{Name: "words", Mask: 0xfc, Meaning: "in units of 4 bytes"}}},
		{Name: "cdb", Offset: 32, Size: 16, Encoding: l.Opaque, Meaning: "SCSI command, filled up with zeros"},
	},
}

var bufferFormats = []l.Value{
	{Number: uint64(NoData), Name: "none"}, {Number: uint64(Direct), Name: "direct"},
	{Number: uint64(Indirect), Name: "indirect"}, {Number: uint64(Immediate), Name: "immediate"},
}

var memoryDescriptorLayout = l.Message{
	Name: "memory_descriptor", Title: "SRP memory descriptor", Size: MemoryDescriptorSize,
	Fields: []l.Field{
		{Name: "address", Offset: 0, Size: 8, Encoding: l.Big, Meaning: "virtual address"},
		{Name: "rkey", Offset: 8, Size: 4, Encoding: l.Big, Meaning: "memory handle"},
		{Name: "length", Offset: 12, Size: 4, Encoding: l.Big, Meaning: "of the buffer", Unit: "bytes"},
	},
}

var indirectLayout = l.Message{
	Name: "indirect", Title: "SRP indirect descriptor", Size: indirectHeaderSize, Repeats: "memory_descriptor",
	Fields: []l.Field{
		{Name: "table_address", Offset: 0, Size: 8, Encoding: l.Big, Meaning: "virtual address of the whole table"},
		{Name: "table_rkey", Offset: 8, Size: 4, Encoding: l.Big, Meaning: "memory handle of the table"},
		{Name: "table_length", Offset: 12, Size: 4, Encoding: l.Big, Meaning: "length of the table, 16 an entry", Unit: "bytes"},
		{Name: "total", Offset: 16, Size: 4, Encoding: l.Big, Meaning: "length of data", Unit: "bytes"},
	},
}

var immediateLayout = l.Message{
	Name: "immediate", Title: "SRP immediate data descriptor", Size: immediateHeaderSize,
	Fields: []l.Field{{Name: "length", Offset: 0, Size: 4, Encoding: l.Big, Meaning: "length of data, at the agreed offset", Unit: "bytes"}},
}

var rspLayout = l.Message{
	Name: "rsp", Title: "SRP_RSP", Size: RspSize,
	Fields: []l.Field{
		typeField, solicitField,
		{Name: "reserved2", Offset: 2, Size: 2, Encoding: l.Reserved},
		deltaField, tagField,
		{Name: "reserved16", Offset: 16, Size: 2, Encoding: l.Reserved},
		{Name: "flags", Offset: 18, Size: 1, Encoding: l.Big, Meaning: "what of the rest is valid", Bits: []l.Bits{
			{Name: "rspvalid", Mask: uint64(RspValid), Meaning: "response data is there"},
			{Name: "snsvalid", Mask: uint64(SenseValid), Meaning: "sense data is there"},
			{Name: "doover", Mask: uint64(DataOutOver), Meaning: "data-out did not fit"},
			{Name: "dounder", Mask: uint64(DataOutUnder), Meaning: "less data-out than the buffer"},
			{Name: "diover", Mask: uint64(DataInOver), Meaning: "data-in did not fit"},
			{Name: "diunder", Mask: uint64(DataInUnder), Meaning: "less data-in than the buffer"},
		}},
		{Name: "status", Offset: 19, Size: 1, Encoding: l.Big, Meaning: "SCSI status", Values: scsiStatuses},
		{Name: "data_out_residual", Offset: 20, Size: 4, Encoding: l.Big, Meaning: "what is missing, or did not fit, of data-out", Unit: "bytes"},
		{Name: "data_in_residual", Offset: 24, Size: 4, Encoding: l.Big, Meaning: "what is missing, or did not fit, of data-in", Unit: "bytes"},
		{Name: "sense_length", Offset: 28, Size: 4, Encoding: l.Big, Meaning: "length of sense data, behind the response data", Unit: "bytes"},
		{Name: "response_length", Offset: 32, Size: 4, Encoding: l.Big, Meaning: "length of response data", Unit: "bytes"},
	},
}

var scsiStatuses = []l.Value{
	{Number: 0x00, Name: "GOOD"}, {Number: 0x02, Name: "CHECK CONDITION"}, {Number: 0x04, Name: "CONDITION MET"},
	{Number: 0x08, Name: "BUSY"}, {Number: 0x18, Name: "RESERVATION CONFLICT"}, {Number: 0x28, Name: "TASK SET FULL"},
	{Number: 0x30, Name: "ACA ACTIVE"}, {Number: 0x40, Name: "TASK ABORTED"},
}

var credReqLayout = l.Message{
	Name: "cred_req", Title: "SRP_CRED_REQ", Size: CredReqSize,
	Fields: []l.Field{
		typeField, solicitField,
		{Name: "reserved2", Offset: 2, Size: 2, Encoding: l.Reserved},
		deltaField, tagField,
	},
}

var credRspLayout = l.Message{Name: "cred_rsp", Title: "SRP_CRED_RSP", Size: CredRspSize, Fields: typeAndTag}

var aerRspLayout = l.Message{Name: "aer_rsp", Title: "SRP_AER_RSP", Size: AERRspSize, Fields: typeAndTag}

var iLogoutLayout = l.Message{Name: "i_logout", Title: "SRP_I_LOGOUT", Size: ILogoutSize, Fields: typeAndTag}

var typeAndTag = []l.Field{typeField, {Name: "reserved1", Offset: 1, Size: 7, Encoding: l.Reserved}, tagField}

var aerReqLayout = l.Message{
	Name: "aer_req", Title: "SRP_AER_REQ", Size: AERReqSize,
	Fields: []l.Field{
		typeField, solicitField,
		{Name: "reserved2", Offset: 2, Size: 2, Encoding: l.Reserved},
		deltaField, tagField,
		{Name: "reserved16", Offset: 16, Size: 4, Encoding: l.Reserved},
		lunField,
		{Name: "sense_length", Offset: 28, Size: 4, Encoding: l.Big, Meaning: "length of sense data that follow", Unit: "bytes"},
		{Name: "reserved32", Offset: 32, Size: 4, Encoding: l.Reserved},
	},
}

var tskMgmtLayout = l.Message{
	Name: "tsk_mgmt", Title: "SRP_TSK_MGMT", Size: TskMgmtSize,
	Fields: []l.Field{
		typeField, wantSolicited,
		{Name: "reserved2", Offset: 2, Size: 6, Encoding: l.Reserved},
		tagField,
		{Name: "reserved16", Offset: 16, Size: 4, Encoding: l.Reserved},
		lunField,
		{Name: "reserved28", Offset: 28, Size: 2, Encoding: l.Reserved},
		{Name: "function", Offset: 30, Size: 1, Encoding: l.Big, Meaning: "what to do", Values: taskFunctions},
		{Name: "reserved31", Offset: 31, Size: 1, Encoding: l.Reserved},
		{Name: "managed_tag", Offset: 32, Size: 8, Encoding: l.Opaque, Meaning: "of the task to abort"},
		{Name: "reserved40", Offset: 40, Size: 8, Encoding: l.Reserved},
	},
}

var tLogoutLayout = l.Message{
	Name: "t_logout", Title: "SRP_T_LOGOUT", Size: TLogoutSize,
	Fields: []l.Field{
		typeField, solicitField,
		{Name: "reserved2", Offset: 2, Size: 2, Encoding: l.Reserved},
		{Name: "reason", Offset: 4, Size: 4, Encoding: l.Big, Meaning: "why the target logs out", Values: logoutReasons},
		tagField,
	},
}
