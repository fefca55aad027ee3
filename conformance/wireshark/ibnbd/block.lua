-- SPDX-License-Identifier: Apache-2.0

-- IBNBD: the user header of a request, and the bodies of replies.

local packet, record = ...
if not packet then return end -- loaded by itself from a plugin folder

local block = {}

local SESS_INFO, OPEN, IO, CLOSE = 0, 2, 4, 5
local SESS_INFO_SIZE, OPEN_SIZE, OPEN_RSP_SIZE, IO_SIZE, SHORT_IO_SIZE, CLOSE_SIZE = 36, 264, 56, 32, 24, 8
local le = packet.le

local operations = { [0] = "read", "write", "flush", "discard", "secure erase", "write zeroes" }
local flags = { { 0x100, "sync" }, { 0x200, "FUA" }, { 0x400, "preflush" }, { 0x800, "no-unmap" } }

block.fields = {
  { "device_path", "string", "Device path" },
  { "op", "uint8", "Operation", base.DEC, operations },
  { "sector", "uint64", "Sector", base.DEC },
  { "size", "uint32", "Bytes of the device", base.DEC },
  { "device_id", "uint32", "Device", base.DEC },
}

local function text_of(tail, at) return tail:sub(at + 1, at + 255):match("^[^%z]*") end

local function sector_text(tail, at)
  if le(tail, at + 4, 4) >= 2 ^ 21 then return "0x" .. packet.hex(tail:sub(at + 1, at + 8):reverse(), 0, 8) end
  return string.format("%.0f", le(tail, at, 8))
end

local function device_text(session, id)
  local path = session.devices[id]
  return path and string.format("device %d (%s)", id, path) or string.format("device %d", id)
end

local function io(r, session, tail, at, length)
  local t = r:tree("ibnbd")
  t:message(length >= IO_SIZE and "io" or "io_short", at)
  local id, op_flags, size = le(tail, at + 4, 4), le(tail, at + 16, 4), le(tail, at + 20, 4)
  local op = op_flags % 256
  t:value("device_id", id)
  if session.devices[id] then t:value("device_path", session.devices[id]) end
  t:value("op", op)
  t:value("sector", UInt64(le(tail, at + 8, 4), le(tail, at + 12, 4)))
  t:value("size", size)
  local text = operations[op] or ("operation " .. op)
  if op ~= 2 then text = string.format("%s %d bytes at sector %s", text, size, sector_text(tail, at + 8)) end
  for _, f in ipairs(flags) do
    if math.floor(op_flags / f[1]) % 2 == 1 then text = text .. " " .. f[2] end
  end
  r.info = text .. " of " .. device_text(session, id)
  return { kind = "io", op = op, text = r.info }
end

local function open(r, _, tail, at)
  local t = r:tree("ibnbd")
  local path = text_of(tail, at + 6)
  t:message("open", at)
  t:value("device_path", path)
  local mode = ({ [0] = "ro", "rw", "migration" })[le(tail, at + 4, 1)] or "mode " .. le(tail, at + 4, 1)
  r.info = string.format("OPEN %s %s", path, mode)
  return { kind = "open", path = path, text = r.info }
end

local function close(r, session, tail, at)
  local t = r:tree("ibnbd")
  local id = le(tail, at + 4, 4)
  t:message("close", at)
  t:value("device_id", id)
  if session.devices[id] then t:value("device_path", session.devices[id]) end
  r.info = "CLOSE " .. device_text(session, id)
  return { kind = "close", id = id, text = r.info }
end

local function sess_info(r, _, tail, at)
  r:tree("ibnbd"):message("sess_info", at)
  r.info = "SESS_INFO version " .. le(tail, at + 4, 1)
  return { kind = "sess_info", text = r.info }
end

local requests = {
  [SESS_INFO] = { size = SESS_INFO_SIZE, show = sess_info },
  [OPEN] = { size = OPEN_SIZE, show = open },
  [IO] = { size = SHORT_IO_SIZE, show = io },
  [CLOSE] = { size = CLOSE_SIZE, show = close },
}

-- is_message tells whether length bytes have the type and just the size of a message that clients send.
function block.is_message(tail, at, length)
  if length < CLOSE_SIZE or not packet.zero(tail, at + 2, 2) then return false end
  local kind = le(tail, at, 2)
  local request = requests[kind]
  return request and (request.size == length or (kind == IO and length == IO_SIZE)) or false
end

-- request shows the user header of length bytes at offset at of tail, sets the record's text, and returns what the
-- response needs to know.
function block.request(r, session, tail, at, length, direction, data)
  local request = length >= 4 and at >= 0 and requests[le(tail, at, 2)]
  if not request or length < request.size then
    r.info = string.format("%s of %d bytes with a user header of %d bytes", direction, data, length)
    return { kind = "unknown", text = r.info }
  end
  r.protocol = "IBNBD"
  return request.show(r, session, tail, at, length)
end

-- response notes what a response means for the session and returns what to add to its text.
function block.response(r, session, request, errno)
  local b = request.block
  if errno == 0 and b.kind == "open" and b.id then session.devices[b.id] = b.path end
  if errno == 0 and b.kind == "close" then session.devices[b.id] = nil end
  if b.kind ~= "unknown" then r.protocol = "IBNBD" end
  return ": " .. b.text
end

-- reply_body shows the data of a read if it is a message, and returns its text.
function block.reply_body(r, request, tail)
  local b = request.block
  if b.kind == "io" then
    r.protocol = "IBNBD"
    return "Data: " .. b.text
  elseif b.kind == "sess_info" and #tail >= SESS_INFO_SIZE then
    r.protocol = "IBNBD"
    r:tree("ibnbd"):message("sess_info_rsp", 0)
    return "SESS_INFO_RSP version " .. le(tail, 4, 1)
  elseif b.kind == "open" and #tail >= OPEN_RSP_SIZE then
    r.protocol = "IBNBD"
    local t = r:tree("ibnbd")
    t:message("open_rsp", 0)
    t:value("device_path", b.path)
    b.id = le(tail, 4, 4)
    return string.format("OPEN_RSP %s is device %d, %.0f sectors", b.path, b.id, le(tail, 8, 8))
  end
end

return block
