// SPDX-License-Identifier: Apache-2.0

package ibnbd

import l "github.com/ibnbd/ibnbd/reference/layout"

// Layout is the wire format of IBNBD, one table for each message. All sizes and offsets are in bytes.
var Layout = l.Protocol{
	Name:  "ibnbd",
	Title: "InfiniBand Network Block Device",
	Messages: []l.Message{
		sessInfoLayout, sessInfoResponseLayout, openLayout, openResponseLayout, ioLayout, shortIOLayout, closeLayout,
	},
}

var messageTypes = []l.Value{
	{Number: TypeSessInfo, Name: "SESS_INFO"},
	{Number: TypeSessInfoResponse, Name: "SESS_INFO_RSP"},
	{Number: TypeOpen, Name: "OPEN"},
	{Number: TypeOpenResponse, Name: "OPEN_RSP"},
	{Number: TypeIO, Name: "IO"},
	{Number: TypeClose, Name: "CLOSE"},
}

var ioModes = []l.Value{{Number: 0, Name: "fileio"}, {Number: 1, Name: "blockio"}, {Number: 2, Name: "server default"}}

var (
	typeField    = l.Field{Name: "type", Offset: 0, Size: 2, Encoding: l.Little, Meaning: "kind of message", Values: messageTypes}
	paddingField = l.Field{Name: "padding", Offset: 2, Size: 2, Encoding: l.Reserved}
)

var sessInfoLayout = l.Message{
	Name: "sess_info", Title: "IBNBD SESS_INFO", Size: SessInfoSize, Fields: sessInfoFields,
}

var sessInfoResponseLayout = l.Message{
	Name: "sess_info_rsp", Title: "IBNBD SESS_INFO_RSP", Size: SessInfoSize, Fields: sessInfoFields,
}

var sessInfoFields = []l.Field{
	typeField, paddingField,
	{Name: "version", Offset: 4, Size: 1, Encoding: l.Little, Meaning: "highest major version of the client; in the response the lower of both"},
	{Name: "reserved", Offset: 5, Size: 3, Encoding: l.Reserved},
	{Name: "marker", Offset: 8, Size: 8, Encoding: l.Opaque, Meaning: "IBNBD+01 if feature bits follow"},
	{Name: "features", Offset: 16, Size: 4, Encoding: l.Little, Meaning: "valid only with the marker", Bits: []l.Bits{
		{Name: "io_mode", Mask: uint64(FeatureIOMode), Meaning: "OPEN names an I/O mode and is told the one in use"},
		{Name: "write_same", Mask: uint64(FeatureWriteSame), Meaning: "operation 5 with data is write-same"},
		{Name: "flags", Mask: uint64(FeatureFlags), Meaning: "preflush and no-unmap are honoured"},
	}},
	{Name: "reserved_tail", Offset: 20, Size: 16, Encoding: l.Reserved},
}

var openLayout = l.Message{
	Name: "open", Title: "IBNBD OPEN", Size: OpenRequestSize,
	Fields: []l.Field{
		typeField, paddingField,
		{Name: "access_mode", Offset: 4, Size: 1, Encoding: l.Little, Meaning: "what the client may do", Values: []l.Value{
			{Number: uint64(ReadOnly), Name: "ro"}, {Number: uint64(ReadWrite), Name: "rw"}, {Number: uint64(Migration), Name: "migration"},
		}},
		{Name: "io_mode", Offset: 5, Size: 1, Encoding: l.Little, Meaning: "of profiles L and X; profile M leaves it undefined", Values: ioModes},
		{Name: "device_path", Offset: 6, Size: 255, Encoding: l.Text, Meaning: "path on the server, below its search path"},
		{Name: "reserved", Offset: 261, Size: 3, Encoding: l.Reserved},
	},
}

var openResponseLayout = l.Message{
	Name: "open_rsp", Title: "IBNBD OPEN_RSP", Size: OpenResponseSize,
	Fields: []l.Field{
		typeField, paddingField,
		{Name: "device_id", Offset: 4, Size: 4, Encoding: l.Little, Meaning: "unique in the session; 0 is valid"},
		{Name: "capacity", Offset: 8, Size: 8, Encoding: l.Little, Meaning: "size of the device", Unit: "512-byte sectors"},
		{Name: "max_hw_sectors", Offset: 16, Size: 4, Encoding: l.Little, Meaning: "largest request", Unit: "512-byte sectors"},
		{Name: "max_write_zeroes_sectors", Offset: 20, Size: 4, Encoding: l.Little, Meaning: "0 not supported; of profile L the limit of write-same", Unit: "512-byte sectors"},
		{Name: "max_discard_sectors", Offset: 24, Size: 4, Encoding: l.Little, Meaning: "0 not supported", Unit: "512-byte sectors"},
		{Name: "discard_granularity", Offset: 28, Size: 4, Encoding: l.Little, Meaning: "unit of a discard", Unit: "bytes"},
		{Name: "discard_alignment", Offset: 32, Size: 4, Encoding: l.Little, Meaning: "offset of the first unit of a discard", Unit: "bytes"},
		{Name: "physical_block_size", Offset: 36, Size: 2, Encoding: l.Little, Meaning: "of the device", Unit: "bytes"},
		{Name: "logical_block_size", Offset: 38, Size: 2, Encoding: l.Little, Meaning: "of the device, not 0", Unit: "bytes"},
		{Name: "max_segments", Offset: 40, Size: 2, Encoding: l.Little, Meaning: "scatter elements of a request"},
		{Name: "secure_erase", Offset: 42, Size: 2, Encoding: l.Little, Meaning: "not 0 if supported"},
		{Name: "rotational", Offset: 44, Size: 1, Encoding: l.Little, Meaning: "1 rotating; always 0 in profile M"},
		{Name: "cache_policy", Offset: 45, Size: 1, Encoding: l.Little, Meaning: "of profile L the I/O mode in use", Bits: []l.Bits{
			{Name: "fua", Mask: uint64(CacheFUA), Meaning: "forced unit access is supported"},
			{Name: "writeback", Mask: uint64(CacheWriteBack), Meaning: "the device has a volatile cache"},
		}},
		{Name: "io_mode", Offset: 46, Size: 1, Encoding: l.Little, Meaning: "in use, of profile X; else 0", Values: ioModes},
		{Name: "reserved", Offset: 47, Size: 9, Encoding: l.Reserved},
	},
}

var ioFields = []l.Field{
	typeField, paddingField,
	{Name: "device_id", Offset: 4, Size: 4, Encoding: l.Little, Meaning: "of the OPEN_RSP"},
	{Name: "sector", Offset: 8, Size: 8, Encoding: l.Little, Meaning: "the first", Unit: "512-byte sectors"},
	{Name: "op_flags", Offset: 16, Size: 4, Encoding: l.Little, Meaning: "operation and flags", Bits: []l.Bits{
		{Name: "op", Mask: opMask, Meaning: "operation", Values: []l.Value{
			{Number: uint64(OpRead), Name: "read"}, {Number: uint64(OpWrite), Name: "write"},
			{Number: uint64(OpFlush), Name: "flush"}, {Number: uint64(OpDiscard), Name: "discard"},
			{Number: uint64(OpSecureErase), Name: "secure erase"}, {Number: uint64(OpWriteZeroes), Name: "write zeroes"},
		}},
		{Name: "sync", Mask: FlagSync, Meaning: "somebody waits for it"},
		{Name: "fua", Mask: FlagFUA, Meaning: "forced unit access"},
		{Name: "preflush", Mask: FlagPreflush, Meaning: "flush the cache before"},
		{Name: "nounmap", Mask: FlagNoUnmap, Meaning: "write zeroes, do not unmap"},
	}},
	{Name: "size", Offset: 20, Size: 4, Encoding: l.Little, Meaning: "how much of the device", Unit: "bytes"},
	{Name: "priority", Offset: 24, Size: 2, Encoding: l.Little, Meaning: "I/O priority, of version 2"},
	{Name: "tail", Offset: 26, Size: 6, Encoding: l.Reserved},
}

var ioLayout = l.Message{Name: "io", Title: "IBNBD IO", Size: IORequestSize, Fields: ioFields}

var shortIOLayout = l.Message{
	Name: "io_short", Title: "IBNBD IO without priority", Size: ShortIORequestSize, Fields: ioFields[:6],
}

var closeLayout = l.Message{
	Name: "close", Title: "IBNBD CLOSE", Size: CloseRequestSize,
	Fields: []l.Field{
		typeField, paddingField,
		{Name: "device_id", Offset: 4, Size: 4, Encoding: l.Little, Meaning: "of the OPEN_RSP"},
	},
}
