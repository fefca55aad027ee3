-- SPDX-License-Identifier: Apache-2.0

-- Follows connections: pairs connection management messages, knows whose a queue pair is, and puts the packets of a
-- message together. Nothing here knows what the messages mean.

if not ... then return end -- loaded by itself from a plugin folder

local flow = {}

local PSNS = 16777216
local KEEP = 16384   -- bytes at the end of an RDMA WRITE that are kept; headers fit, data need not
local LONGEST = 4194304 -- bytes of a SEND

-- new returns the state of one capture.
function flow.new()
  return { requests = {}, queue_pairs = {}, connections = 0 }
end

local function key(host, number) return host .. "/" .. number end

-- requested notes a connection request and returns its connection; a repeated request returns the first one's.
function flow.requested(state, management, source, destination)
  local at = key(source, management.local_id)
  local known = state.requests[at]
  if known and known.client_qp == management.queue_pair then return known, true end
  state.connections = state.connections + 1
  local connection = {
    number = state.connections, client = source, server = destination, client_qp = management.queue_pair,
  }
  state.requests[at] = connection
  return connection, false
end

-- answered returns the connection that a reply or reject, sent from source to destination, is about.
function flow.answered(state, management, destination)
  return state.requests[key(destination, management.remote_id)]
end

-- established says that the queue pairs of the connection are its own from now on.
function flow.established(state, connection, server_qp)
  if connection.server_qp == server_qp then return end -- a repeated reply
  connection.server_qp = server_qp
  state.queue_pairs[key(connection.server, server_qp)] = { connection = connection, from_client = true }
  state.queue_pairs[key(connection.client, connection.client_qp)] = { connection = connection, from_client = false }
end

-- receiver returns the queue pair that a packet goes to. One whose connection was not seen is made up, without a
-- connection.
function flow.receiver(state, destination, number)
  local at = key(destination, number)
  state.queue_pairs[at] = state.queue_pairs[at] or {}
  return state.queue_pairs[at]
end

local function behind(psn, expected) return (psn - expected) % PSNS >= PSNS / 2 end

local function append(message, payload)
  message.length = message.length + #payload
  table.insert(message.parts, payload)
  message.kept = message.kept + #payload
  while message.op.verb == "write" and message.kept - #message.parts[1] >= KEEP do
    message.kept = message.kept - #table.remove(message.parts, 1)
  end
end

-- accept takes a packet to a queue pair. It returns a message if the packet completes one: its verb, address, key,
-- immediate data and invalidated key as in the packets, its length in bytes, and tail, the last bytes of it, all of
-- them in a SEND. Else it returns nil and why: "segment", "retransmission" or "unknown", if its beginning is missing.
function flow.accept(queue_pair, p, payload)
  local again = queue_pair.expected and behind(p.psn, queue_pair.expected)
  if again and not (p.op.first and p.op.last) then return nil, "retransmission" end
  if not again then queue_pair.expected = (p.psn + 1) % PSNS end

  local message = queue_pair.message
  if p.op.first then
    message = { op = p.op, address = p.address, rkey = p.rkey, announced = p.length, length = 0, kept = 0, parts = {} }
  elseif not message or message.op.verb ~= p.op.verb or message.next ~= p.psn then
    queue_pair.message = nil
    return nil, "unknown"
  end
  if p.op.verb ~= "read" then append(message, payload) end
  message.next = (p.psn + 1) % PSNS
  if message.kept > LONGEST then message = nil end
  if not again then queue_pair.message = not p.op.last and message or nil end
  if not p.op.last then return nil, "segment" end
  if not message or (message.op.verb == "write" and message.announced ~= message.length) then return nil, "unknown" end

  message.retransmission = again
  message.segmented = not p.op.first
  message.immediate, message.immediate_at, message.invalidate = p.immediate, p.immediate_at, p.invalidate
  message.payload_at = p.payload_at
  message.tail = table.concat(message.parts)
  message.parts = nil
  return message
end

return flow
