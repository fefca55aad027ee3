-- SPDX-License-Identifier: Apache-2.0

-- What lies in one InfiniBand packet, from its base transport header on: Wireshark's own dissector shows these headers,
-- but does not hand them to scripts with their payload, and throws away packets it believes to be malformed.

if not ... then return end -- loaded by itself from a plugin folder

local packet = {}

local RETH, ATOMIC_ETH, DETH, IMMEDIATE, INVALIDATE = 16, 28, 8, 4, 4
local BTH = 12

-- The opcodes of reliable connections that carry messages, and the datagram that carries connection management.
local opcodes = {
  [0x00] = { verb = "send", first = true },
  [0x01] = { verb = "send" },
  [0x02] = { verb = "send", last = true },
  [0x03] = { verb = "send", last = true, immediate = true },
  [0x04] = { verb = "send", first = true, last = true },
  [0x05] = { verb = "send", first = true, last = true, immediate = true },
  [0x06] = { verb = "write", first = true, reth = true },
  [0x07] = { verb = "write" },
  [0x08] = { verb = "write", last = true },
  [0x09] = { verb = "write", last = true, immediate = true },
  [0x0a] = { verb = "write", first = true, last = true, reth = true },
  [0x0b] = { verb = "write", first = true, last = true, reth = true, immediate = true },
  [0x0c] = { verb = "read", first = true, last = true, reth = true },
  [0x16] = { verb = "send", last = true, invalidate = true },
  [0x17] = { verb = "send", first = true, last = true, invalidate = true },
  [0x64] = { verb = "datagram", first = true, last = true },
}

-- parse reads the packet whose base transport header begins at byte bth of tvb. checksum is the offset of the
-- invariant CRC if Wireshark found it. It returns nil for packets that are of no interest or cut off.
function packet.parse(tvb, bth, checksum)
  if tvb:len() < bth + BTH then return nil end
  local op = opcodes[tvb(bth, 1):uint()]
  if not op then return nil end

  local p = { op = op, qp = tvb(bth + 5, 3):uint(), psn = tvb(bth + 9, 3):uint(), header = { bth, BTH } }
  local at = bth + BTH
  local extension = (op.reth and RETH or 0) + (op.immediate and IMMEDIATE or 0) + (op.invalidate and INVALIDATE or 0)
    + (op.verb == "datagram" and DETH or 0)
  if tvb:len() < at + extension then return nil end
  if op.reth then
    p.address = tvb(at, 8):bytes():tohex()
    p.rkey = tvb(at + 8, 4):uint()
    p.length = tvb(at + 12, 4):uint()
  end
  if op.immediate then
    p.immediate = tvb(at + extension - IMMEDIATE, 4):uint()
    p.immediate_at = at + extension - IMMEDIATE
  end
  if op.invalidate then p.invalidate = tvb(at, 4):uint() end

  local pad = math.floor(tvb(bth + 1, 1):uint() / 16) % 4
  p.payload_at = at + extension
  p.payload_length = (checksum or tvb:reported_len() - 4) - pad - p.payload_at
  if p.payload_length < 0 or p.payload_at + p.payload_length > tvb:len() then return nil end
  return p
end

-- payload returns the packet's payload as a string.
function packet.payload(tvb, p)
  if p.payload_length == 0 then return "" end
  return tvb(p.payload_at, p.payload_length):raw()
end

-- le and be read an unsigned integer of size bytes from a string, at an offset counted from 0.
function packet.le(s, offset, size)
  local n = 0
  for i = size, 1, -1 do n = n * 256 + s:byte(offset + i) end
  return n
end

function packet.be(s, offset, size)
  local n = 0
  for i = 1, size do n = n * 256 + s:byte(offset + i) end
  return n
end

-- hex writes size bytes of a string in hexadecimal.
function packet.hex(s, offset, size)
  return (s:sub(offset + 1, offset + size):gsub(".", function(c) return string.format("%02X", c:byte()) end))
end

-- zero tells whether size bytes of a string are zero.
function packet.zero(s, offset, size)
  return not s:sub(offset + 1, offset + size):find("[^%z]")
end

-- Connection management: the kind of message, the ids that pair them, the queue pair, and private data.
local MAD_CLASS_CM = 0x07
local IP_ADDRESSED = "0000000001" -- how service ids begin that the RDMA connection manager makes of TCP ports
local kinds = {
  [0x0010] = { name = "REQ", private = 140, size = 92, queue_pair = 32 },
  [0x0012] = { name = "REJ", private = 84, size = 148 },
  [0x0013] = { name = "REP", private = 36, size = 196, queue_pair = 12 },
  [0x0015] = { name = "DREQ", private = 12, size = 220 },
}
local MAD, MAD_HEADER, IP_CM_HEADER = 256, 24, 36

function packet.management(tvb, p)
  if p.op.verb ~= "datagram" or p.payload_length < MAD or tvb(p.payload_at + 1, 1):uint() ~= MAD_CLASS_CM then
    return nil
  end
  local kind = kinds[tvb(p.payload_at + 16, 2):uint()]
  if not kind then return nil end
  local data = p.payload_at + MAD_HEADER
  local m = {
    kind = kind.name,
    local_id = tvb(data, 4):uint(),
    remote_id = tvb(data + 4, 4):uint(),
    queue_pair = kind.queue_pair and tvb(data + kind.queue_pair, 3):uint(),
    private_at = data + kind.private,
    private_size = kind.size,
  }
  if m.kind == "REJ" then m.reason = tvb(data + 10, 2):uint() end
  if m.kind == "REQ" and tvb(data + 8, 5):bytes():tohex() == IP_ADDRESSED then
    m.private_at, m.private_size = m.private_at + IP_CM_HEADER, m.private_size - IP_CM_HEADER
    m.by_address = true
  end
  return m
end

return packet
