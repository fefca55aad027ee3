-- SPDX-License-Identifier: Apache-2.0

-- Dissector for IBTRS and IBNBD (mainline Linux: RTRS and RNBD) and for SRP over RDMA. It adds to what Wireshark shows
-- of InfiniBand and RoCE packets; see README.md beside this folder. This file ties the others together.

local here = __DIR__ or debug.getinfo(1, "S").source:match("^@(.*)[/\\]") or "."

local function part(name, ...)
  return assert(loadfile(here .. "/" .. name .. ".lua"))(...)
end

local fields = part("fields", part("layouts"))
local packet = part("packet", true)
local flow = part("flow", true)
local record = part("record", fields)
local block = part("block", packet, record)
local transport = part("transport", packet, record, block)
local scsi = part("scsi", packet, record)

local function protocol(prefix, description, extra)
  local proto = Proto(prefix, description)
  local experts = {
    reserved = ProtoExpert.new(prefix .. ".reserved_set", "Reserved bytes are not zero", expert.group.PROTOCOL, expert.severity.NOTE),
    error = ProtoExpert.new(prefix .. ".failed", "Answered with an error", expert.group.RESPONSE_CODE, expert.severity.WARN),
  }
  proto.fields = fields.define(prefix, extra)
  proto.experts = { experts.reserved, experts.error }
  return { proto = proto, experts = experts }
end

local protocols = {
  ibtrs = protocol("ibtrs", "InfiniBand Transport (IBTRS, RTRS)", transport.fields),
  ibnbd = protocol("ibnbd", "InfiniBand Network Block Device (IBNBD, RNBD)", block.fields),
  srp_rdma = protocol("srp_rdma", "SCSI RDMA Protocol", scsi.fields),
}

local header_field = Field.new("infiniband.bth")
local checksum_field = Field.new("infiniband.invariant.crc")
local address_fields = {
  { Field.new("ip.src"), Field.new("ip.dst") },
  { Field.new("ipv6.src"), Field.new("ipv6.dst") },
  { Field.new("infiniband.grh.sgid"), Field.new("infiniband.grh.dgid") },
  { Field.new("infiniband.lrh.slid"), Field.new("infiniband.lrh.dlid") },
}

-- hosts returns the addresses of a packet, the innermost if it is in a tunnel.
local function hosts()
  for _, pair in ipairs(address_fields) do
    local sources, destinations = { pair[1]() }, { pair[2]() }
    if #sources > 0 and #destinations > 0 then
      return tostring(sources[#sources].value), tostring(destinations[#destinations].value)
    end
  end
end

local state, frames

local function reset()
  state, frames = flow.new(), {}
end

local handlers = { ibtrs = transport, srp = scsi }

local function managed(management, tvb, source, destination)
  local private = tvb(management.private_at, management.private_size):raw()
  local at = management.private_at
  if management.kind == "REQ" then
    local connection = flow.requested(state, management, source, destination)
    if transport.is_request(private) then
      connection.protocol = "ibtrs"
      return transport.request(state, connection, private, at)
    end
    local form = scsi.is_login(private, management.by_address)
    if form then
      connection.protocol = "srp"
      return scsi.login(connection, form, private, at)
    end
    return nil
  end
  local connection = flow.answered(state, management, destination)
  if not connection then return nil end
  if management.kind == "REP" then flow.established(state, connection, management.queue_pair) end
  if connection.protocol == "ibtrs" and management.kind == "REP" then return transport.reply(connection, private, at) end
  if connection.protocol == "ibtrs" and management.kind == "REJ" then
    return transport.reject(connection, private, at, management.reason)
  end
  if connection.protocol == "srp" and management.kind == "REP" then return scsi.accept(connection, private, at) end
  if connection.protocol == "srp" and management.kind == "REJ" then
    return scsi.reject(connection, private, at, management.reason)
  end
end

local function guess(queue_pair, message)
  queue_pair.connection, queue_pair.from_client = transport.guess(state, message)
  if not queue_pair.connection then
    queue_pair.connection, queue_pair.from_client = scsi.guess(state, message)
  end
end

local function carried(p, tvb, destination, frame, time)
  local queue_pair = flow.receiver(state, destination, p.qp)
  local message, reason = flow.accept(queue_pair, p, packet.payload(tvb, p))
  if message and not queue_pair.connection then guess(queue_pair, message) end
  local connection = queue_pair.connection
  local handler = connection and handlers[connection.protocol]
  if not handler then return nil end
  if not message then return handler.segment(connection, queue_pair.from_client, reason) end
  return handler.message(connection, queue_pair.from_client, message, frame, time)
end

-- analyse makes the record of a frame, or nil if it is about something else.
local function analyse(tvb, pinfo, p)
  local source, destination = hosts()
  if not source then return nil end
  local management = packet.management(tvb, p)
  if management then return managed(management, tvb, source, destination) end
  if p.op.verb == "datagram" then return nil end
  return carried(p, tvb, destination, pinfo.number, pinfo.abs_ts)
end

local watcher = Proto("ibnbd_watcher", "IBTRS, IBNBD and SRP over RDMA")

function watcher.init() reset() end

function watcher.dissector(tvb, pinfo, tree)
  local header = header_field()
  if not header then return end
  local frame = pinfo.number
  if not pinfo.visited or frames[frame] == nil then
    local checksum = checksum_field()
    local p = packet.parse(tvb, header.offset, checksum and checksum.offset)
    frames[frame] = p and analyse(tvb, pinfo, p) or false
  end
  local r = frames[frame]
  if not r then return end
  pinfo.cols.protocol = r.protocol
  pinfo.cols.info = r.info
  r:draw(protocols, tvb, tvb(header.offset, header.len), tree)
end

register_postdissector(watcher)
