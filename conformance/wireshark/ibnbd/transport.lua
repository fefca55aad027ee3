-- SPDX-License-Identifier: Apache-2.0

-- IBTRS: what private data, SENDs, RDMA WRITEs and immediate data mean on a connection of a path.

local packet, record, block = ...
if not packet then return end -- loaded by itself from a plugin folder

local transport = {}

local MAGIC = 0x1bbd
local WRITE, READ, KEY_RESPONSE, INFO_REQUEST, INFO_RESPONSE = 2, 3, 4, 0, 1
local REQUEST, RESPONSE, RESPONSE_INVALIDATED, HEARTBEAT, HEARTBEAT_ACK = 0, 1, 2, 8, 9
local WRITE_MESSAGE, READ_MESSAGE, DESCRIPTOR = 4, 8, 16
local INFO_REQUEST_SIZE, KEY_RESPONSE_SIZE, HANDSHAKE_SIZE = 272, 8, 56
local MOST_DESCRIPTORS = 16 -- that original clients send
local PAYLOAD = 2 ^ 28
local le = packet.le

local errnos = {
  [0] = "success", "EPERM", "ENOENT", [5] = "EIO", [6] = "ENXIO", [11] = "EAGAIN", [12] = "ENOMEM", [13] = "EACCES",
  [15] = "ENOTBLK", [16] = "EBUSY", [17] = "EEXIST", [19] = "ENODEV", [22] = "EINVAL", [28] = "ENOSPC",
  [30] = "EROFS", [34] = "ERANGE", [36] = "ENAMETOOLONG", [52] = "EBADE", [61] = "ENODATA", [67] = "ENOLINK",
  [84] = "EILSEQ", [90] = "EMSGSIZE", [93] = "EPROTONOSUPPORT", [95] = "EOPNOTSUPP", [103] = "ECONNABORTED",
  [104] = "ECONNRESET", [107] = "ENOTCONN", [110] = "ETIMEDOUT", [113] = "EHOSTUNREACH", [114] = "EALREADY",
  [121] = "EREMOTEIO",
}

local function errno_text(n) return errnos[n] or ("errno " .. n) end

transport.fields = {
  { "connection", "uint32", "Connection in this capture", base.DEC },
  { "session", "string", "Session name" },
  { "cid", "uint16", "Connection of its path", base.DEC },
  { "from_client", "bool", "Sent by the client" },
  { "guessed", "bool", "Recognised by its shape, the connection's set-up is not in the capture" },
  { "chunk", "uint32", "Chunk", base.DEC },
  { "offset", "uint32", "Offset of the transport message in the chunk", base.DEC },
  { "data_length", "uint32", "Bytes of user data", base.DEC },
  { "errno", "uint16", "Result", base.DEC, errnos },
  { "unknown", "string", "Not known" },
  { "segment", "bool", "Segment of a message that later packets complete" },
  { "retransmission", "bool", "Repeated by the sender" },
  { "invalidated_key", "uint32", "Key invalidated by this SEND", base.HEX },
  { "request_in", "framenum", "Request in", base.NONE, frametype and frametype.REQUEST },
  { "response_in", "framenum", "Response in", base.NONE, frametype and frametype.RESPONSE },
  { "time", "relative_time", "Time since the request" },
}

local function shift_of(depth)
  local bits, n = 0, depth - 1
  while n > 0 do bits, n = bits + 1, math.floor(n / 2) end
  return 28 - bits
end

local function path_of(state, uuid)
  state.paths = state.paths or {}
  state.paths[uuid] = state.paths[uuid] or { outstanding = {}, places = {} }
  return state.paths[uuid]
end

local function session_of(state, uuid)
  state.sessions = state.sessions or {}
  state.sessions[uuid] = state.sessions[uuid] or { devices = {} }
  return state.sessions[uuid]
end

-- start begins the record of a packet on a connection.
local function start(connection, from_client)
  local r = record.new("IBTRS")
  local t = r:tree("ibtrs")
  t:value("connection", connection.number)
  if connection.session and connection.session.name then t:value("session", connection.session.name) end
  if connection.cid then t:value("cid", connection.cid) end
  t:value("from_client", from_client)
  if connection.guessed then t:value("guessed", true) end
  return r, t
end

-- Connection management ---------------------------------------------------------------------------------------------

-- is_request tells whether private data of a connection request is one of IBTRS.
function transport.is_request(private) return #private >= HANDSHAKE_SIZE and le(private, 2, 2) == MAGIC end

function transport.request(state, connection, private, at)
  connection.cid, connection.count = le(private, 6, 2), le(private, 8, 2)
  connection.path = path_of(state, packet.hex(private, 12, 16))
  connection.session = session_of(state, packet.hex(private, 28, 16))
  if connection.cid == 0 then connection.path.outstanding, connection.path.places = {}, {} end
  local r, t = start(connection, true)
  t:message("conn_request", at, true)
  r.info = string.format("Connection request %d of %d, incarnation %d", connection.cid, connection.count, le(private, 10, 2))
  return r
end

function transport.reply(connection, private, at)
  local r, t = start(connection, false)
  if le(private, 0, 2) ~= MAGIC then
    t:value("unknown", "the private data of this accept is not that of IBTRS")
    r.info = "Accept with unknown private data"
    return r
  end
  t:message("conn_response", at, true)
  local path = connection.path
  path.depth, path.chunk_size = le(private, 6, 2), le(private, 8, 4) + le(private, 12, 4)
  path.key_refresh = math.floor(le(private, 16, 4) / 2) % 2 == 1
  r.info = string.format("Accept %d of %d, queue depth %d, chunks of %d bytes%s", connection.cid, connection.count,
    path.depth, path.chunk_size, path.key_refresh and ", key refresh" or "")
  return r
end

function transport.reject(connection, private, at, reason)
  local r, t = start(connection, false)
  r.info = "Reject with reason " .. reason
  if le(private, 0, 2) == MAGIC then
    local errno = 65536 - le(private, 4, 2)
    t:message("conn_response", at, true)
    t:value("errno", errno)
    r.info = "Reject: " .. errno_text(errno)
  end
  return r
end

-- Messages of the client --------------------------------------------------------------------------------------------

-- find_message looks for the transport message at the end of a request of length bytes, of which tail is kept. It
-- returns the direction, the position of the message in the request, the length of the user header and the number of
-- descriptors.
local function find_message(tail, length, offset)
  local cut = length - #tail -- bytes in front that were not kept
  for count = 0, MOST_DESCRIPTORS do
    local position = length - READ_MESSAGE - DESCRIPTOR * count
    if position - cut < 0 then break end
    local header = le(tail, position - cut + 2, 2)
    if le(tail, position - cut, 2) == READ and le(tail, position - cut + 6, 2) == count and header == position then
      return "read", position, header, count
    end
  end
  local position = length - WRITE_MESSAGE
  if position - cut < 0 or le(tail, position - cut, 2) ~= WRITE then return nil end
  local header = le(tail, position - cut + 2, 2)
  if header > position or (offset and offset ~= position) then return nil end
  return "write", position, header, 0
end

local function io_request(connection, message, frame, time)
  local path = connection.path
  local r, t = start(connection, true)
  t:message("immediate", message.immediate_at, true)
  local chunk, offset
  if path.depth then
    local unit = 2 ^ shift_of(path.depth)
    chunk, offset = math.floor(message.immediate % PAYLOAD / unit), message.immediate % PAYLOAD % unit
    t:value("chunk", chunk)
    t:value("offset", offset)
  else
    t:value("unknown", "chunk and offset, for the queue depth was not captured")
  end
  local direction, position, header, count = find_message(message.tail, message.length, offset)
  if not direction then
    t:value("unknown", "no transport message at the end of this request")
    r.info = "Request without transport message"
    return r
  end

  local cut = message.length - #message.tail
  r:source(message)
  t:message(direction .. "_message", position - cut)
  local place
  for i = 1, count do
    local at = position - cut + READ_MESSAGE + DESCRIPTOR * (i - 1)
    t:message("descriptor", at)
    place = place or { address = packet.hex(message.tail:sub(at + 1, at + 8):reverse(), 0, 8), rkey = le(message.tail, at + 8, 4), length = le(message.tail, at + 12, 4) }
  end
  local data = position - header
  if direction == "read" then data = offset and offset - header or (place and place.length or 0) end
  t:value("data_length", data)

  local request = {
    frame = frame, time = time, record = r, chunk = chunk, direction = direction, place = place,
    block = block.request(r, connection.session, message.tail, position - cut - header, header, direction, data),
  }
  r.info = r.info .. (chunk and string.format(", chunk %d", chunk) or "")
  if not message.retransmission then
    if chunk then path.outstanding[chunk] = request end
    if place then path.places[place.rkey] = request end
  end
  return r
end

-- guess_request tells whether a message on an unknown connection has the shape of a request.
local function guess_request(message)
  if message.op.verb ~= "write" or not message.immediate or math.floor(message.immediate / PAYLOAD) ~= REQUEST then return false end
  local direction, position, header = find_message(message.tail, message.length)
  local at = direction and position - (message.length - #message.tail) - header
  return at and at >= 0 and block.is_message(message.tail, at, header)
end

-- Messages of the server --------------------------------------------------------------------------------------------

local function response(connection, message, frame, time)
  local path = connection.path
  local r, t = start(connection, false)
  t:message("response_immediate", message.immediate_at, true)
  local id, errno = message.immediate % 2 ^ 19, math.floor(message.immediate % PAYLOAD / 2 ^ 19)
  t:value("chunk", id)
  t:value("errno", errno)
  if errno ~= 0 then t:expert("error", "Answered with " .. errno_text(errno)) end
  r.info = string.format("Response %s, chunk %d", errno_text(errno), id)

  if message.op.verb == "send" and message.length >= KEY_RESPONSE_SIZE then
    r:source(message)
    t:message("key_response", 0)
  end
  local request = path.outstanding[id]
  if not request then
    t:value("unknown", "the request of this response")
    return r
  end
  t:value("request_in", request.frame)
  t:value("time", time - request.time)
  r.info = r.info .. block.response(r, connection.session, request, errno)
  if not message.retransmission then
    request.record:answered_in(frame)
    path.outstanding[id] = nil
  end
  return r
end

local function guess_response(message)
  if message.op.verb ~= "send" or not message.immediate or message.length ~= KEY_RESPONSE_SIZE then return false end
  local kind = math.floor(message.immediate / PAYLOAD)
  return (kind == RESPONSE or kind == RESPONSE_INVALIDATED) and le(message.tail, 0, 2) == KEY_RESPONSE
    and le(message.tail, 2, 2) == message.immediate % 2 ^ 19
end

local function read_data(connection, message)
  local r, t = start(connection, false)
  t:value("data_length", message.length)
  r.info = string.format("Read data, %d bytes", message.length)
  local request = connection.path.places[message.rkey]
  if request and request.place.address == message.address then
    t:value("request_in", request.frame)
    r:source(message)
    r.info = block.reply_body(r, request, message.tail) or r.info
  end
  return r
end

local function invalidation(connection, message)
  local r, t = start(connection, false)
  t:value("invalidated_key", message.invalidate)
  local request = connection.path.places[message.invalidate]
  if request then t:value("request_in", request.frame) end
  r.info = string.format("Invalidate key 0x%08x", message.invalidate)
  return r
end

-- INFO and heartbeats -----------------------------------------------------------------------------------------------

local function info_request(connection, message)
  local r, t = start(connection, true)
  local name = message.tail:sub(3, 257):match("^[^%z]*")
  connection.session.name = name
  r:source(message)
  t:message("info_request", 0)
  r.info = "INFO request, session " .. name
  return r
end

local function info_response(connection, message)
  local r, t = start(connection, false)
  local count = le(message.tail, 2, 2)
  r:source(message)
  t:message("info_response", 0)
  for i = 0, count - 1 do
    local at = 8 + DESCRIPTOR * i
    if at + DESCRIPTOR > #message.tail then break end
    t:message("descriptor", at)
  end
  r.info = string.format("INFO response, %d regions", count)
  return r
end

local function heartbeat(connection, from_client, message, text)
  local r, t = start(connection, from_client)
  t:message("immediate", message.immediate_at, true)
  r.info = text
  return r
end

local function unknown(connection, from_client, text)
  local r, t = start(connection, from_client)
  t:value("unknown", text)
  r.info = "Unknown: " .. text
  return r
end

local function with_immediate(connection, from_client, message, frame, time)
  local kind = math.floor(message.immediate / PAYLOAD)
  if kind == HEARTBEAT then return heartbeat(connection, from_client, message, "Heartbeat") end
  if kind == HEARTBEAT_ACK then return heartbeat(connection, from_client, message, "Heartbeat acknowledge") end
  if kind == REQUEST and from_client and message.op.verb == "write" then return io_request(connection, message, frame, time) end
  if (kind == RESPONSE or kind == RESPONSE_INVALIDATED) and not from_client then
    return response(connection, message, frame, time)
  end
  local r = unknown(connection, from_client, string.format("immediate data 0x%08x", message.immediate))
  r:tree("ibtrs"):message("immediate", message.immediate_at, true)
  return r
end

local function dispatch(connection, from_client, message, frame, time)
  if message.immediate then return with_immediate(connection, from_client, message, frame, time) end
  if message.invalidate then return invalidation(connection, message) end
  if message.op.verb == "write" and not from_client then return read_data(connection, message) end
  if message.op.verb == "send" and from_client and message.length >= INFO_REQUEST_SIZE and le(message.tail, 0, 2) == INFO_REQUEST then
    return info_request(connection, message)
  end
  if message.op.verb == "send" and not from_client and message.length >= 8 and le(message.tail, 0, 2) == INFO_RESPONSE then
    return info_response(connection, message)
  end
  return unknown(connection, from_client, message.op.verb .. " of " .. message.length .. " bytes")
end

-- message makes the record of a message on an IBTRS connection.
function transport.message(connection, from_client, message, frame, time)
  local r = dispatch(connection, from_client, message, frame, time)
  if message.retransmission then r:tree("ibtrs"):value("retransmission", true) end
  return r
end

-- segment makes the record of a packet that does not complete a message, for the reason given.
function transport.segment(connection, from_client, reason)
  local r, t = start(connection, from_client)
  if reason == "segment" then
    t:value("segment", true)
    r.info = "Segment"
  elseif reason == "retransmission" then
    t:value("retransmission", true)
    r.info = "Retransmission of a segment"
  else
    t:value("unknown", "the beginning of this message is not in the capture")
    r.info = "Segment of an unknown message"
  end
  return r
end

-- guess returns a connection made up for a message that has the shape of IBTRS, or nil, and whether the client sent it.
function transport.guess(state, message)
  local from_client = guess_request(message)
  if not from_client and not guess_response(message) then return nil end
  state.connections = state.connections + 1
  local connection = {
    protocol = "ibtrs", number = state.connections, guessed = true,
    path = { outstanding = {}, places = {} }, session = { devices = {} },
  }
  return connection, from_client
end

return transport
