// SPDX-License-Identifier: Apache-2.0

package ibtrs

import l "github.com/ibnbd/ibnbd/reference/layout"

// Layout is the wire format of IBTRS, one table for each message. All sizes and offsets are in bytes.
var Layout = l.Protocol{
	Name:  "ibtrs",
	Title: "InfiniBand Transport",
	Messages: []l.Message{
		connRequestLayout, connResponseLayout, infoRequestLayout, infoResponseLayout, descriptorLayout,
		writeMessageLayout, readMessageLayout, keyResponseLayout, immediateLayout, responseImmediateLayout,
	},
}

var messageTypes = []l.Value{
	{Number: TypeInfoRequest, Name: "INFO request"},
	{Number: TypeInfoResponse, Name: "INFO response"},
	{Number: TypeWrite, Name: "write"},
	{Number: TypeRead, Name: "read"},
	{Number: TypeKeyResponse, Name: "key response"},
}

var connRequestLayout = l.Message{
	Name: "conn_request", Title: "IBTRS connection request", Size: ConnRequestSize,
	Fields: []l.Field{
		{Name: "overlay", Offset: 0, Size: 2, Encoding: l.Reserved, Meaning: "zero, so that no receiver takes it for a connection manager header"},
		{Name: "magic", Offset: 2, Size: 2, Encoding: l.Little, Meaning: "0x1BBD"},
		{Name: "version", Offset: 4, Size: 2, Encoding: l.Little, Meaning: "major * 256 + minor"},
		{Name: "cid", Offset: 6, Size: 2, Encoding: l.Little, Meaning: "number of this connection in its path"},
		{Name: "connection_count", Offset: 8, Size: 2, Encoding: l.Little, Meaning: "number of connections of the path"},
		{Name: "incarnation", Offset: 10, Size: 2, Encoding: l.Little, Meaning: "low 16 bits of the path's reconnect counter"},
		{Name: "path_uuid", Offset: 12, Size: 16, Encoding: l.Opaque, Meaning: "identifies the path over reconnects"},
		{Name: "group_uuid", Offset: 28, Size: 16, Encoding: l.Opaque, Meaning: "identifies the session"},
		{Name: "first_connection", Offset: 44, Size: 1, Encoding: l.Little, Meaning: "may this request create a session",
			Bits: []l.Bits{{Name: "first", Mask: FirstConnection, Meaning: "the request may create a session"}}},
		{Name: "reserved", Offset: 45, Size: 11, Encoding: l.Reserved},
	},
}

var connResponseLayout = l.Message{
	Name: "conn_response", Title: "IBTRS connection response", Size: ConnResponseSize,
	Fields: []l.Field{
		{Name: "magic", Offset: 0, Size: 2, Encoding: l.Little, Meaning: "0x1BBD"},
		{Name: "version", Offset: 2, Size: 2, Encoding: l.Little, Meaning: "major * 256 + minor"},
		{Name: "errno", Offset: 4, Size: 2, Encoding: l.LittleSigned, Meaning: "0 in an accept, a negative error number in a reject"},
		{Name: "queue_depth", Offset: 6, Size: 2, Encoding: l.Little, Meaning: "number of chunks of the session"},
		{Name: "max_io_size", Offset: 8, Size: 4, Encoding: l.Little, Meaning: "largest user data of one request", Unit: "bytes"},
		{Name: "max_header_size", Offset: 12, Size: 4, Encoding: l.Little, Meaning: "largest user header with its transport message", Unit: "bytes"},
		{Name: "flags", Offset: 16, Size: 4, Encoding: l.Little, Meaning: "features of the server",
			Bits: []l.Bits{{Name: "key_refresh", Mask: KeyRefresh, Meaning: "each response brings a new key for its chunk"}}},
		{Name: "reserved", Offset: 20, Size: 36, Encoding: l.Reserved},
	},
}

var infoRequestLayout = l.Message{
	Name: "info_request", Title: "IBTRS INFO request", Size: InfoRequestSize,
	Fields: []l.Field{
		{Name: "type", Offset: 0, Size: 2, Encoding: l.Little, Meaning: "0", Values: messageTypes},
		{Name: "session_name", Offset: 2, Size: 255, Encoding: l.Text, Meaning: "the session's name for people"},
		{Name: "reserved", Offset: 257, Size: 15, Encoding: l.Reserved},
	},
}

var infoResponseLayout = l.Message{
	Name: "info_response", Title: "IBTRS INFO response", Size: InfoResponseSize, Repeats: "descriptor",
	Fields: []l.Field{
		{Name: "type", Offset: 0, Size: 2, Encoding: l.Little, Meaning: "1", Values: messageTypes},
		{Name: "count", Offset: 2, Size: 2, Encoding: l.Little, Meaning: "number of regions that follow, in chunk order"},
		{Name: "reserved", Offset: 4, Size: 4, Encoding: l.Reserved},
	},
}

var descriptorLayout = l.Message{
	Name: "descriptor", Title: "IBTRS memory descriptor", Size: DescriptorSize,
	Fields: []l.Field{
		{Name: "address", Offset: 0, Size: 8, Encoding: l.Little, Meaning: "I/O virtual address"},
		{Name: "rkey", Offset: 8, Size: 4, Encoding: l.Little, Meaning: "remote key"},
		{Name: "length", Offset: 12, Size: 4, Encoding: l.Little, Meaning: "of the region", Unit: "bytes"},
	},
}

var writeMessageLayout = l.Message{
	Name: "write_message", Title: "IBTRS write message", Size: WriteMessageSize,
	Fields: []l.Field{
		{Name: "type", Offset: 0, Size: 2, Encoding: l.Little, Meaning: "2", Values: messageTypes},
		{Name: "header_length", Offset: 2, Size: 2, Encoding: l.Little, Meaning: "length of the user header in front", Unit: "bytes"},
	},
}

var readMessageLayout = l.Message{
	Name: "read_message", Title: "IBTRS read message", Size: ReadMessageSize, Repeats: "descriptor",
	Fields: []l.Field{
		{Name: "type", Offset: 0, Size: 2, Encoding: l.Little, Meaning: "3", Values: messageTypes},
		{Name: "header_length", Offset: 2, Size: 2, Encoding: l.Little, Meaning: "length of the user header in front", Unit: "bytes"},
		{Name: "flags", Offset: 4, Size: 2, Encoding: l.Little, Meaning: "how to answer",
			Bits: []l.Bits{{Name: "invalidate", Mask: NeedInvalidate, Meaning: "invalidate the key of the descriptor with the response"}}},
		{Name: "count", Offset: 6, Size: 2, Encoding: l.Little, Meaning: "number of descriptors that follow"},
	},
}

var keyResponseLayout = l.Message{
	Name: "key_response", Title: "IBTRS key response", Size: KeyResponseSize,
	Fields: []l.Field{
		{Name: "type", Offset: 0, Size: 2, Encoding: l.Little, Meaning: "4", Values: messageTypes},
		{Name: "chunk", Offset: 2, Size: 2, Encoding: l.Little, Meaning: "number of the chunk"},
		{Name: "rkey", Offset: 4, Size: 4, Encoding: l.Little, Meaning: "the chunk's key from now on"},
	},
}

var immediateLayout = l.Message{
	Name: "immediate", Title: "IBTRS immediate data", Size: ImmediateSize,
	Fields: []l.Field{{Name: "value", Offset: 0, Size: 4, Encoding: l.Big, Meaning: "type and payload", Bits: []l.Bits{
		immediateTypeBits,
		{Name: "payload", Mask: 0x0fffffff, Meaning: "by type; of a request: chunk and offset, split by the queue depth"},
	}}},
}

var responseImmediateLayout = l.Message{
	Name: "response_immediate", Title: "IBTRS immediate data of a response", Size: ImmediateSize,
	Fields: []l.Field{{Name: "value", Offset: 0, Size: 4, Encoding: l.Big, Meaning: "type, errno and message id", Bits: []l.Bits{
		immediateTypeBits,
		{Name: "errno", Mask: 0x0ff80000, Meaning: "0, or the error number without sign"},
		{Name: "id", Mask: 0x0007ffff, Meaning: "chunk number of the request"},
	}}},
}

var immediateTypeBits = l.Bits{Name: "type", Mask: 0xf0000000, Meaning: "kind of event", Values: []l.Value{
	{Number: uint64(ImmRequest), Name: "request"},
	{Number: uint64(ImmResponse), Name: "response"},
	{Number: uint64(ImmResponseInvalidated), Name: "response, key invalidated"},
	{Number: uint64(ImmHeartbeat), Name: "heartbeat"},
	{Number: uint64(ImmHeartbeatAck), Name: "heartbeat acknowledge"},
}}
