-- SPDX-License-Identifier: Apache-2.0

-- SRP: what private data, SENDs and RDMA of the target mean on a channel.

local packet, record = ...
if not packet then return end -- loaded by itself from a plugin folder

local scsi = {}

local LOGIN_CM_SIZE, LOGIN_SIZE, LOGIN_RSP_SIZE, LOGIN_REJ_SIZE = 56, 64, 52, 32
local CMD_SIZE, RSP_SIZE, DESCRIPTOR, INDIRECT = 48, 36, 16, 20
local LEAST_IU, GREATEST_IU, FORMATS = 64, 1048576, 6
local DIRECT, INDIRECT_FORMAT, IMMEDIATE = 1, 2, 3
local LOGIN_RSP, RSP, LOGIN_REJ, CMD = 0xc0, 0xc1, 0xc2, 0x02
local be = packet.be

local operations = {
  [0x00] = "TEST UNIT READY", [0x03] = "REQUEST SENSE", [0x08] = "READ(6)", [0x0a] = "WRITE(6)", [0x12] = "INQUIRY",
  [0x1a] = "MODE SENSE(6)", [0x1b] = "START STOP UNIT", [0x25] = "READ CAPACITY(10)", [0x28] = "READ(10)",
  [0x2a] = "WRITE(10)", [0x35] = "SYNCHRONIZE CACHE(10)", [0x41] = "WRITE SAME(10)", [0x42] = "UNMAP",
  [0x5a] = "MODE SENSE(10)", [0x5e] = "PERSISTENT RESERVE IN", [0x5f] = "PERSISTENT RESERVE OUT", [0x88] = "READ(16)",
  [0x89] = "COMPARE AND WRITE", [0x8a] = "WRITE(16)", [0x91] = "SYNCHRONIZE CACHE(16)", [0x93] = "WRITE SAME(16)",
  [0x9e] = "SERVICE ACTION IN(16)", [0xa0] = "REPORT LUNS", [0xa3] = "MAINTENANCE IN",
}
-- Where READ, WRITE and SYNCHRONIZE CACHE have logical block and number of blocks.
local extents = {
  [0x28] = { 2, 4, 7, 2 }, [0x2a] = { 2, 4, 7, 2 }, [0x35] = { 2, 4, 7, 2 }, [0x41] = { 2, 4, 7, 2 },
  [0x88] = { 2, 8, 10, 4 }, [0x8a] = { 2, 8, 10, 4 }, [0x91] = { 2, 8, 10, 4 }, [0x93] = { 2, 8, 10, 4 },
}
local statuses = {
  [0x00] = "GOOD", [0x02] = "CHECK CONDITION", [0x04] = "CONDITION MET", [0x08] = "BUSY",
  [0x18] = "RESERVATION CONFLICT", [0x28] = "TASK SET FULL", [0x30] = "ACA ACTIVE", [0x40] = "TASK ABORTED",
}
local formats = { [0] = "none", "direct", "indirect", "immediate" }
local multichannel = { [0] = "single", "multiple" }
local results = { [0] = "no other channel", "other channels terminated", "other channels kept" }

scsi.fields = {
  { "connection", "uint32", "Connection in this capture", base.DEC },
  { "from_initiator", "bool", "Sent by the initiator" },
  { "guessed", "bool", "Recognised by its shape, the login is not in the capture" },
  { "opcode", "uint8", "Operation", base.HEX, operations },
  { "lba", "uint64", "Logical block", base.DEC },
  { "blocks", "uint32", "Number of blocks", base.DEC },
  { "data_out_length", "uint32", "Bytes of data-out", base.DEC },
  { "data_in_length", "uint32", "Bytes of data-in", base.DEC },
  { "sense_key", "uint8", "Sense key", base.HEX },
  { "asc", "uint16", "Additional sense code and qualifier", base.HEX },
  { "response_code", "uint8", "Response code", base.DEC,
    { [0] = "complete", [2] = "invalid fields", [4] = "function not supported", [5] = "function failed" } },
  { "immediate_offset", "uint16", "Agreed offset of immediate data", base.DEC },
  { "rdma_length", "uint32", "Bytes moved by RDMA", base.DEC },
  { "unknown", "string", "Not known" },
  { "segment", "bool", "Segment of a message that later packets complete" },
  { "retransmission", "bool", "Repeated by the sender" },
  { "request_in", "framenum", "Request in", base.NONE, frametype and frametype.REQUEST },
  { "response_in", "framenum", "Response in", base.NONE, frametype and frametype.RESPONSE },
  { "time", "relative_time", "Time since the request" },
}

local function start(connection, from_initiator)
  local r = record.new("SRP")
  local t = r:tree("srp_rdma")
  t:value("connection", connection.number)
  t:value("from_initiator", from_initiator)
  if connection.guessed then t:value("guessed", true) end
  return r, t
end

-- Login -------------------------------------------------------------------------------------------------------------

local function plausible(formats_wanted, iu_length)
  return formats_wanted > 0 and formats_wanted <= FORMATS and formats_wanted % 2 == 0 and iu_length >= LEAST_IU and iu_length <= GREATEST_IU
end

-- is_login tells which form of a login request private data of a connection request has, if any.
function scsi.is_login(private, by_address)
  if by_address then
    return #private >= LOGIN_CM_SIZE and be(private, 11, 1) == 0 and packet.zero(private, 50, 6)
      and plausible(be(private, 8, 2), be(private, 12, 4)) and "login_req_cm"
  end
  return #private >= LOGIN_SIZE and packet.zero(private, 0, 8) and packet.zero(private, 20, 4)
    and plausible(be(private, 24, 2), be(private, 16, 4)) and "login_req"
end

function scsi.login(connection, form, private, at)
  local r, t = start(connection, true)
  local flags = be(private, form == "login_req" and 26 or 10, 1)
  connection.wanted_offset = flags >= 0x80 and be(private, form == "login_req" and 28 or 48, 2) or 0
  t:message(form, at, true)
  r.info = "Login request, " .. (multichannel[flags % 4] or "reserved action") .. " channel"
  return r
end

function scsi.accept(connection, private, at)
  local r, t = start(connection, false)
  if be(private, 0, 1) ~= LOGIN_RSP then
    t:value("unknown", "the private data of this accept is no login response")
    r.info = "Accept with unknown private data"
    return r
  end
  local flags = be(private, 26, 1)
  connection.immediate_offset = flags >= 0x80 and connection.wanted_offset or 0
  t:message("login_rsp", at, true)
  t:value("immediate_offset", connection.immediate_offset)
  r.info = string.format("Login response, %d credits, %s", be(private, 4, 4), results[flags % 4] or "reserved result")
  return r
end

function scsi.reject(connection, private, at, reason)
  local r, t = start(connection, false)
  r.info = "Reject with reason " .. reason
  if be(private, 0, 1) == LOGIN_REJ then
    t:message("login_rej", at, true)
    r.info = string.format("Login reject 0x%08x", be(private, 4, 4))
  end
  return r
end

-- Commands ----------------------------------------------------------------------------------------------------------

local function descriptor_size(format, count)
  if format == DIRECT then return DESCRIPTOR end
  if format == INDIRECT_FORMAT then return INDIRECT + DESCRIPTOR * count end
  if format == IMMEDIATE then return 4 end
  return 0
end

-- show_buffer shows a descriptor at offset at and returns its end and the bytes of data it describes.
local function show_buffer(t, connection, unit, at, format, count)
  local stop = at + descriptor_size(format, count)
  if format == 0 then return stop, 0 end
  if stop > #unit then
    t:value("unknown", "a data descriptor that ends behind the unit")
    return stop, 0
  end
  if format == DIRECT then
    t:message("memory_descriptor", at)
    connection.places[be(unit, at + 8, 4) .. "/" .. packet.hex(unit, at, 8)] = connection.current
    return stop, be(unit, at + 12, 4)
  elseif format == INDIRECT_FORMAT then
    t:message("indirect", at)
    for i = 0, count - 1 do
      local entry = at + INDIRECT + DESCRIPTOR * i
      t:message("memory_descriptor", entry)
      connection.places[be(unit, entry + 8, 4) .. "/" .. packet.hex(unit, entry, 8)] = connection.current
    end
    return stop, be(unit, at + 16, 4)
  elseif format == IMMEDIATE then
    t:message("immediate", at)
    return stop, be(unit, at, 4)
  end
  t:value("unknown", "data descriptor format " .. format)
  return stop, 0
end

local function show_cdb(t, unit)
  local opcode = be(unit, 32, 1)
  local text = operations[opcode] or string.format("operation 0x%02x", opcode)
  t:value("opcode", opcode)
  local e = extents[opcode]
  if e then
    local at = 32 + e[1]
    local high = e[2] == 8 and be(unit, at, 4) or 0
    local low = be(unit, at + e[2] - 4, 4)
    local blocks = be(unit, 32 + e[3], e[4])
    t:value("lba", UInt64(low, high))
    t:value("blocks", blocks)
    text = string.format("%s block %.0f, %d blocks", text, high * 2 ^ 32 + low, blocks)
  end
  return text
end

local function command(connection, r, t, unit, frame, time)
  if #unit < CMD_SIZE then
    t:value("unknown", "a command of " .. #unit .. " bytes")
    return
  end
  t:message("cmd", 0)
  connection.current = { frame = frame, time = time, record = r }
  local out_format, in_format = math.floor(be(unit, 5, 1) / 16), be(unit, 5, 1) % 16
  local at = CMD_SIZE + be(unit, 31, 1) - be(unit, 31, 1) % 4
  local out, into
  at, out = show_buffer(t, connection, unit, at, out_format, be(unit, 6, 1))
  at, into = show_buffer(t, connection, unit, at, in_format, be(unit, 7, 1))
  local data_at = connection.immediate_offset
  if out_format == IMMEDIATE and data_at and data_at > at and data_at <= #unit and not packet.zero(unit, at, data_at - at) then
    t:expert("reserved", "Padding before immediate data is not zero")
  end
  if out > 0 then t:value("data_out_length", out) end
  if into > 0 then t:value("data_in_length", into) end
  local text = show_cdb(t, unit)
  if out > 0 then text = text .. string.format(", %d bytes out %s", out, formats[out_format]) end
  if into > 0 then text = text .. string.format(", %d bytes in %s", into, formats[in_format]) end
  connection.current.text = text
  connection.outstanding[packet.hex(unit, 8, 8)] = connection.current
  r.info = text
end

local function response(connection, r, t, unit, frame, time)
  if #unit < RSP_SIZE then
    t:value("unknown", "a response of " .. #unit .. " bytes")
    return
  end
  t:message("rsp", 0)
  local flags, status = be(unit, 18, 1), be(unit, 19, 1)
  local sense, data = be(unit, 28, 4), be(unit, 32, 4)
  local text = statuses[status] or string.format("status 0x%02x", status)
  if flags % 2 == 1 and RSP_SIZE + 4 <= #unit then
    t:value("response_code", be(unit, RSP_SIZE + 3, 1))
    text = "response code " .. be(unit, RSP_SIZE + 3, 1)
  end
  if math.floor(flags / 2) % 2 == 1 and sense >= 14 and RSP_SIZE + data + sense <= #unit then
    local key, asc = be(unit, RSP_SIZE + data + 2, 1) % 16, be(unit, RSP_SIZE + data + 12, 2)
    t:value("sense_key", key)
    t:value("asc", asc)
    text = string.format("%s %x/%02x/%02x", text, key, math.floor(asc / 256), asc % 256)
  end
  if status ~= 0 then t:expert("error", "Answered with " .. text) end
  r.info = "Response " .. text
  local tag = packet.hex(unit, 8, 8)
  local request = connection.outstanding[tag]
  if not request then
    t:value("unknown", "the request of this response")
    return
  end
  t:value("request_in", request.frame)
  t:value("time", time - request.time)
  request.record:answered_in(frame)
  connection.outstanding[tag] = nil
  r.info = r.info .. ": " .. request.text
end

local functions = { [0x01] = "abort task", [0x02] = "abort task set", [0x04] = "clear task set", [0x08] = "logical unit reset", [0x40] = "clear ACA" }

local function task_management(connection, r, t, unit, frame, time)
  t:message("tsk_mgmt", 0)
  local text = functions[be(unit, 30, 1)] or "task management function " .. be(unit, 30, 1)
  connection.outstanding[packet.hex(unit, 8, 8)] = { frame = frame, time = time, record = r, text = text }
  r.info = text
end

local function plain(name, text)
  return function(_, r, t)
    t:message(name, 0)
    r.info = text
  end
end

local units = {
  [0x01] = { size = 48, show = task_management },
  [CMD] = { size = 0, show = command },
  [0x03] = { size = 16, show = plain("i_logout", "Initiator logout") },
  [0x41] = { size = 16, show = plain("cred_rsp", "Credit response") },
  [0x42] = { size = 16, show = plain("aer_rsp", "Asynchronous event response") },
  [0x80] = { size = 16, show = plain("t_logout", "Target logout") },
  [0x81] = { size = 16, show = plain("cred_req", "Credit request") },
  [0x82] = { size = 36, show = plain("aer_req", "Asynchronous event") },
  [RSP] = { size = 0, show = response },
}

local function rdma(connection, r, t, message)
  local length = message.op.verb == "read" and message.announced or message.length
  t:value("rdma_length", length)
  local what = message.op.verb == "read" and "Data-out read by the target" or "Data-in"
  r.info = string.format("%s, %d bytes", what, length)
  local request = connection.places[message.rkey .. "/" .. message.address]
  if request and length > 0 then
    t:value("request_in", request.frame)
    r.info = r.info .. ": " .. request.text
  end
end

-- message makes the record of a message on a channel.
function scsi.message(connection, from_initiator, message, frame, time)
  local r, t = start(connection, from_initiator)
  connection.outstanding = connection.outstanding or {}
  connection.places = connection.places or {}
  if message.retransmission then t:value("retransmission", true) end
  if message.op.verb ~= "send" then
    rdma(connection, r, t, message)
    return r
  end
  local unit = message.tail
  local kind = #unit > 0 and units[be(unit, 0, 1)]
  if not kind or #unit < kind.size then
    t:value("unknown", "a unit of " .. #unit .. " bytes")
    r.info = "Unknown unit of " .. #unit .. " bytes"
    return r
  end
  r:source(message)
  kind.show(connection, r, t, unit, frame, time)
  return r
end

-- segment makes the record of a packet that does not complete a message, for the reason given.
function scsi.segment(connection, from_initiator, reason)
  local r, t = start(connection, from_initiator)
  if reason == "unknown" then
    t:value("unknown", "the beginning of this message is not in the capture")
    r.info = "Segment of an unknown message"
    return r
  end
  t:value(reason, true)
  r.info = reason == "segment" and "Segment" or "Retransmission of a segment"
  return r
end

-- guess returns a connection made up for a unit that has the shape of SRP, or nil, and whether the initiator sent it.
function scsi.guess(state, message)
  local unit = message.tail
  if message.op.verb ~= "send" or message.immediate or message.invalidate or #unit < RSP_SIZE then return nil end
  local kind = be(unit, 0, 1)
  local is_command = kind == CMD and #unit >= CMD_SIZE and be(unit, 1, 1) <= 6 and packet.zero(unit, 2, 3)
    and packet.zero(unit, 16, 4) and packet.zero(unit, 28, 1) and packet.zero(unit, 30, 1)
    and math.floor(be(unit, 5, 1) / 16) <= IMMEDIATE and be(unit, 5, 1) % 16 <= INDIRECT_FORMAT
  local is_response = kind == RSP and be(unit, 1, 1) <= 1 and packet.zero(unit, 2, 2) and packet.zero(unit, 16, 2)
    and RSP_SIZE + be(unit, 28, 4) + be(unit, 32, 4) == #unit
  if not is_command and not is_response then return nil end
  state.connections = state.connections + 1
  return { protocol = "srp", number = state.connections, guessed = true }, is_command
end

return scsi
