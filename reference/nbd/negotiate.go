// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var be = binary.BigEndian

// choice is what a client has chosen in the handshake.
type choice struct {
	disk       Disk
	structured bool // replies
	allocation bool // the context base:allocation
}

// handshake is the dialogue in which a client chooses.
type handshake struct {
	server     *Server
	conn       io.ReadWriter
	noZeroes   bool
	structured bool
	context    string // name of the disk of which the context base:allocation was chosen
	contextSet bool
}

// negotiate leads the handshake. It gives no disk, and no error, when the client goes in peace.
func (s *Server) negotiate(conn io.ReadWriter) (choice, error) {
	hello := be.AppendUint64(nil, magicServer)
	hello = be.AppendUint64(hello, magicOption)
	hello = be.AppendUint16(hello, flagFixedNewstyle|flagNoZeroes)
	if _, err := conn.Write(hello); err != nil {
		return choice{}, err
	}
	var answer [4]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return choice{}, err
	}
	flags := be.Uint32(answer[:])
	if flags&flagFixedNewstyle == 0 || flags&^(flagFixedNewstyle|flagNoZeroes) != 0 {
		return choice{}, fmt.Errorf("client flags %#x, must be 1 or 3", flags)
	}
	h := &handshake{server: s, conn: conn, noZeroes: flags&flagNoZeroes != 0}
	for {
		c, over, err := h.option()
		if over || err != nil {
			return c, err
		}
	}
}

// option deals with one option. over is told when the handshake is: with a disk, or without one.
func (h *handshake) option() (c choice, over bool, err error) {
	var head [optionHeader]byte
	if _, err := io.ReadFull(h.conn, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return c, true, nil
		}
		return c, true, err
	}
	magic, option, length := be.Uint64(head[:]), be.Uint32(head[8:]), be.Uint32(head[12:])
	if magic != magicOption {
		return c, true, fmt.Errorf("option begins with %#x, must be %#x", magic, uint64(magicOption))
	}
	if length > maxOption {
		return c, false, h.refuseLong(option, length)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(h.conn, data); err != nil {
		return c, true, err
	}
	switch option {
	case optExportName:
		c, err := h.exportName(string(data))
		return c, true, err
	case optAbort:
		_ = h.reply(option, repAck, nil) // which a client need not wait for
		return c, true, nil
	case optInfo, optGo:
		c, err := h.info(option, data)
		return c, c.disk != nil && option == optGo, err
	}
	return c, false, h.sideOption(option, data)
}

// sideOption deals with an option that chooses no disk.
func (h *handshake) sideOption(option uint32, data []byte) error {
	switch option {
	case optList:
		return h.list(data)
	case optStructured:
		return h.structuredReplies(data)
	case optListMeta, optSetMeta:
		return h.contexts(option, data)
	}
	return h.refuse(option, repErrUnsup, "this server does not know the option")
}

// refuse answers with an error, which has a text for people.
func (h *handshake) refuse(option, kind uint32, text string) error {
	return h.reply(option, kind, []byte(text))
}

// refuseLong passes over the data of an option that has too much of it.
func (h *handshake) refuseLong(option, length uint32) error {
	if _, err := io.CopyN(io.Discard, h.conn, int64(length)); err != nil {
		return err
	}
	return h.refuse(option, repErrTooBig, fmt.Sprintf("the option has %d bytes, at most %d are taken", length, maxOption))
}

func (h *handshake) reply(option, kind uint32, data []byte) error {
	b := be.AppendUint64(nil, magicOptionReply)
	b = be.AppendUint32(b, option)
	b = be.AppendUint32(b, kind)
	b = be.AppendUint32(b, uint32(len(data)))
	_, err := h.conn.Write(append(b, data...))
	return err
}

// exportName is the old way to choose: there is no way to refuse but to hang up.
func (h *handshake) exportName(name string) (choice, error) {
	c := h.choose(name)
	if c.disk == nil {
		return c, fmt.Errorf("no export %.64q", name)
	}
	info := c.disk.Info()
	b := be.AppendUint64(nil, uint64(info.Size))
	b = be.AppendUint16(b, info.flags(h.structured))
	if !h.noZeroes {
		b = append(b, make([]byte, oldPadding)...)
	}
	_, err := h.conn.Write(b)
	return c, err
}

// choose is what the client has chosen if it chooses this disk.
func (h *handshake) choose(name string) choice {
	d, name := h.server.find(name)
	return choice{disk: d, structured: h.structured, allocation: h.contextSet && h.context == name}
}

func (h *handshake) list(data []byte) error {
	if len(data) > 0 {
		return h.refuse(optList, repErrInvalid, hasData)
	}
	for _, name := range h.server.list() {
		if err := h.reply(optList, repServer, append(be.AppendUint32(nil, uint32(len(name))), name...)); err != nil {
			return err
		}
	}
	return h.reply(optList, repAck, nil)
}

const hasData = "the option has data, must have none"

// info describes a disk, and with go chooses it. Both are told what everybody should know, asked or not.
func (h *handshake) info(option uint32, data []byte) (choice, error) {
	r := optionData{rest: data}
	name := string(r.text())
	r.take(2 * int(r.uint16())) // what is asked for
	if !r.whole() {
		return choice{}, h.refuse(option, repErrInvalid, r.fault())
	}
	if len(name) > maxName {
		return choice{}, h.refuse(option, repErrTooBig, longName(name))
	}
	c := h.choose(name)
	if c.disk == nil {
		return c, h.refuse(option, repErrUnknown, "no such export")
	}
	info := c.disk.Info()
	export := be.AppendUint16(nil, infoExport)
	export = be.AppendUint64(export, uint64(info.Size))
	export = be.AppendUint16(export, info.flags(h.structured))
	blocks := be.AppendUint16(nil, infoBlockSize)
	blocks = be.AppendUint32(blocks, uint32(info.BlockSize))
	blocks = be.AppendUint32(blocks, uint32(max(info.PreferredBlock, info.BlockSize)))
	blocks = be.AppendUint32(blocks, maxIO)
	for _, piece := range [][]byte{export, blocks} {
		if err := h.reply(option, repInfo, piece); err != nil {
			return choice{}, err
		}
	}
	return c, h.reply(option, repAck, nil)
}

func longName(name string) string {
	return fmt.Sprintf("the name has %d bytes, at most %d are possible", len(name), maxName)
}
