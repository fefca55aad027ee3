-- SPDX-License-Identifier: Apache-2.0

-- What is to be shown of one frame. It is made when the frame is seen first, in the order of the capture, and drawn as
-- often as Wireshark asks.

local fields = ...
if not fields then return end -- loaded by itself from a plugin folder

local record = {}
record.__index = record
local tree = {}
tree.__index = tree

function record.new(protocol)
  return setmetatable({ protocol = protocol, info = "", trees = {} }, record)
end

-- tree returns the part of the record that belongs to the protocol with the given prefix.
function record:tree(prefix)
  for _, t in ipairs(self.trees) do
    if t.prefix == prefix then return t end
  end
  local t = setmetatable({ prefix = prefix, items = {} }, tree)
  table.insert(self.trees, t)
  return t
end

-- source says that messages lie in the tail of message: in the frame if it was one packet, else in the bytes that were
-- put together.
function record:source(message)
  self.at = message.payload_at
  self.bytes = message.segmented and message.tail or nil
end

-- answered_in notes the frame that answers this one.
function record:answered_in(frame)
  self.trees[1].answer = frame
end

-- message shows the layout of that name at an offset: of the frame if in_frame, else of the source.
function tree:message(name, at, in_frame)
  table.insert(self.items, { message = name, at = at, in_frame = in_frame })
end

-- value shows a field that is not in the bytes.
function tree:value(name, value)
  table.insert(self.items, { field = name, value = value })
end

-- expert attaches a remark.
function tree:expert(name, text)
  table.insert(self.items, { expert = name, text = text })
end

local function draw_item(item, root, prefix, experts, tvb, source, base)
  if item.message then
    local from, at = source, base + item.at
    if item.in_frame then from, at = tvb, item.at end
    fields.add(root, prefix, item.message, from, at, function(bad)
      bad:add_proto_expert_info(experts.reserved)
    end)
  elseif item.field then
    local value = item.value
    if item.field == "time" then value = NSTime.new(math.floor(value), math.floor((value % 1) * 1e9 + 0.5)) end
    root:add(fields.of[prefix][item.field], value):set_generated()
  else
    root:add_proto_expert_info(experts[item.expert], item.text)
  end
end

-- draw adds the record to the tree. protocols gives Proto and experts by prefix, header the range of the base transport
-- header, where values that have no bytes of their own are anchored.
function record:draw(protocols, tvb, header, root)
  local source, base = tvb, self.at or 0
  if self.bytes then
    source, base = ByteArray.new(self.bytes, true):tvb("Message of " .. self.protocol), 0
  end
  for _, t in ipairs(self.trees) do
    local p = protocols[t.prefix]
    local sub = root:add(p.proto, header)
    for _, item in ipairs(t.items) do
      draw_item(item, sub, t.prefix, p.experts, tvb, source, base)
    end
    if t.answer then sub:add(fields.of[t.prefix].response_in, t.answer):set_generated() end
  end
end

return record
