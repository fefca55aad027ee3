// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"fmt"
	"slices"
)

// structuredReplies turns structured replies on.
func (h *handshake) structuredReplies(data []byte) error {
	if len(data) > 0 {
		return h.refuse(optStructured, repErrInvalid, hasData)
	}
	h.structured = true
	return h.reply(optStructured, repAck, nil)
}

// contexts lists metadata contexts, or chooses from them for one disk. Whatever was chosen before is not any more.
func (h *handshake) contexts(option uint32, data []byte) error {
	choosing := option == optSetMeta
	if choosing {
		h.contextSet = false
	}
	name, queries, fault := parseContexts(data)
	switch {
	case !h.structured:
		return h.refuse(option, repErrInvalid, "structured replies must be asked for first")
	case fault != "":
		return h.refuse(option, repErrInvalid, fault)
	case len(name) > maxName:
		return h.refuse(option, repErrTooBig, longName(name))
	}
	d, name := h.server.find(name)
	if d == nil {
		return h.refuse(option, repErrUnknown, "no such export")
	}
	id := uint32(0) // has no meaning in a list
	asked := slices.Contains(queries, allocation)
	if choosing {
		id, h.context, h.contextSet = allocationID, name, asked
	} else {
		asked = asked || len(queries) == 0 || slices.Contains(queries, "base:")
	}
	if asked {
		if err := h.reply(option, repMeta, append(be.AppendUint32(nil, id), allocation...)); err != nil {
			return err
		}
	}
	return h.reply(option, repAck, nil)
}

// parseContexts reads the data of the options about contexts. fault, if any, is what is wrong with it.
func parseContexts(data []byte) (name string, queries []string, fault string) {
	r := optionData{rest: data}
	name = string(r.text())
	for range min(r.uint32(), uint32(len(data))) {
		queries = append(queries, string(r.text()))
	}
	if !r.whole() {
		return "", nil, r.fault()
	}
	return name, queries, ""
}

// optionData reads the data of an option from the front. What is read behind the end is empty.
type optionData struct {
	rest  []byte
	short bool
}

func (r *optionData) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.rest, r.short = nil, true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *optionData) uint16() uint16 {
	if b := r.take(2); b != nil {
		return be.Uint16(b)
	}
	return 0
}

func (r *optionData) uint32() uint32 {
	if b := r.take(4); b != nil {
		return be.Uint32(b)
	}
	return 0
}

// text reads a text behind its length.
func (r *optionData) text() []byte { return r.take(int(r.uint32())) }

// whole tells whether the data was neither too short nor too long.
func (r *optionData) whole() bool { return !r.short && len(r.rest) == 0 }

func (r *optionData) fault() string {
	if r.short {
		return "the data of the option ends within a field"
	}
	return fmt.Sprintf("the data of the option has %d bytes too many", len(r.rest))
}
