-- SPDX-License-Identifier: Apache-2.0

-- Makes the fields of the protocols out of the layout tables, and adds messages to the tree by them.

local layouts = ...
if not layouts then return end -- loaded by itself from a plugin folder

local fields = { of = {}, message = {} }

local HEXADECIMAL = { address = true, rkey = true, magic = true, version = true, table_address = true, table_rkey = true }

local function words(name) return (name:gsub("_", " ")) end

local function integer(abbreviation, row, size, signed, base, values, mask)
  local make = ProtoField[(signed and "int" or "uint") .. 8 * size]
  if size == 8 then return make(abbreviation, words(row.name), base, values, nil, row.meaning) end
  return make(abbreviation, words(row.name), base, values, mask, row.meaning)
end

local function make(abbreviation, row)
  if row.encoding == "bytes" or row.encoding == "reserved" then
    return ProtoField.bytes(abbreviation, words(row.name), base.NONE, row.meaning)
  elseif row.encoding == "text" then
    return ProtoField.stringz(abbreviation, words(row.name), base.ASCII, row.meaning)
  end
  local hexadecimal = HEXADECIMAL[row.name] or row.bits
  local signed = row.encoding:find("signed") ~= nil
  return integer(abbreviation, row, row.size, signed, hexadecimal and base.HEX or base.DEC, row.values)
end

-- define makes all fields of a protocol, those of its messages and those in extra, a list of { name, type, title,
-- base, values }, and returns them for Proto.fields.
function fields.define(prefix, extra)
  local all, of = {}, {}
  for name, message in pairs(layouts[prefix].messages) do
    local rows = {}
    for i, row in ipairs(message.fields) do
      local abbreviation = prefix .. "." .. name .. "." .. row.name
      local made = { row = row, field = make(abbreviation, row), bits = {} }
      table.insert(all, made.field)
      for _, bits in ipairs(row.bits or {}) do
        local f = integer(abbreviation .. "." .. bits.name, bits, row.size, false, base.DEC, bits.values, bits.mask)
        table.insert(made.bits, f)
        table.insert(all, f)
      end
      rows[i] = made
    end
    message.rows = rows
    message.field = ProtoField.none(prefix .. "." .. name, message.title)
    table.insert(all, message.field)
  end
  for _, e in ipairs(extra) do
    of[e[1]] = ProtoField[e[2]](prefix .. "." .. e[1], e[3], e[4], e[5])
    table.insert(all, of[e[1]])
  end
  fields.of[prefix] = of
  return all
end

-- add shows a message that lies at offset of tvb below tree, and returns its subtree. on_reserved is called with the
-- tree item of each reserved field that is not zero.
function fields.add(tree, prefix, name, tvb, offset, on_reserved)
  local message = layouts[prefix].messages[name]
  local sub = tree:add(message.field, tvb(offset, message.size))
  for _, made in ipairs(message.rows) do
    local row = made.row
    local range = tvb(offset + row.offset, row.size)
    local little = row.encoding:find("little") ~= nil
    local item = little and sub:add_le(made.field, range) or sub:add(made.field, range)
    for _, f in ipairs(made.bits) do
      if little then item:add_le(f, range) else item:add(f, range) end
    end
    if row.encoding == "reserved" and range:bytes():tohex():find("[1-9A-F]") then on_reserved(item) end
  end
  return sub
end

return fields
