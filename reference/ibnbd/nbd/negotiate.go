// SPDX-License-Identifier: Apache-2.0

package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

var be = binary.BigEndian

// handshake is the dialogue in which a client chooses a disk.
type handshake struct {
	server   *Server
	conn     io.ReadWriter
	noZeroes bool
}

// negotiate leads the handshake. It gives nil without an error when the client goes in peace.
func (s *Server) negotiate(conn io.ReadWriter) (Disk, error) {
	hello := be.AppendUint64(nil, magicServer)
	hello = be.AppendUint64(hello, magicOption)
	hello = be.AppendUint16(hello, flagFixedNewstyle|flagNoZeroes)
	if _, err := conn.Write(hello); err != nil {
		return nil, err
	}
	var answer [4]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return nil, err
	}
	flags := be.Uint32(answer[:])
	if flags&flagFixedNewstyle == 0 || flags&^(flagFixedNewstyle|flagNoZeroes) != 0 {
		return nil, fmt.Errorf("client flags %#x, must be 1 or 3", flags)
	}
	h := &handshake{s, conn, flags&flagNoZeroes != 0}
	for {
		d, over, err := h.option()
		if over || err != nil {
			return d, err
		}
	}
}

// option deals with one option. over is told when the handshake is: with a disk, or without one.
func (h *handshake) option() (d Disk, over bool, err error) {
	var head [optionHeader]byte
	if _, err := io.ReadFull(h.conn, head[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, true, nil
		}
		return nil, true, err
	}
	magic, option, length := be.Uint64(head[:]), be.Uint32(head[8:]), be.Uint32(head[12:])
	if magic != magicOption {
		return nil, true, fmt.Errorf("option begins with %#x, must be %#x", magic, uint64(magicOption))
	}
	if length > maxOption {
		return nil, true, fmt.Errorf("option %d has %d bytes, at most %d are taken", option, length, maxOption)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(h.conn, data); err != nil {
		return nil, true, err
	}
	switch option {
	case optExportName:
		d, err := h.exportName(string(data))
		return d, true, err
	case optAbort:
		return nil, true, h.reply(option, repAck, nil)
	case optList:
		return nil, false, h.list(data)
	case optInfo, optGo:
		d, err := h.info(option, data)
		return d, d != nil && option == optGo, err
	}
	return nil, false, h.reply(option, repErrUnsup, nil)
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
func (h *handshake) exportName(name string) (Disk, error) {
	d := h.server.disk(name)
	if d == nil {
		return nil, fmt.Errorf("no export %q", name)
	}
	info := d.Info()
	b := be.AppendUint64(nil, uint64(info.Size))
	b = be.AppendUint16(b, info.flags())
	if !h.noZeroes {
		b = append(b, make([]byte, oldPadding)...)
	}
	_, err := h.conn.Write(b)
	return d, err
}

func (h *handshake) list(data []byte) error {
	if len(data) > 0 {
		return h.reply(optList, repErrInvalid, nil)
	}
	for _, name := range h.server.list() {
		if err := h.reply(optList, repServer, append(be.AppendUint32(nil, uint32(len(name))), name...)); err != nil {
			return err
		}
	}
	return h.reply(optList, repAck, nil)
}

// info describes a disk, and with go chooses it. Both are told what everybody should know, asked or not.
func (h *handshake) info(option uint32, data []byte) (Disk, error) {
	name, ok := parseInfo(data)
	if !ok {
		return nil, h.reply(option, repErrInvalid, nil)
	}
	d := h.server.disk(name)
	if d == nil {
		return nil, h.reply(option, repErrUnknown, []byte("no such export"))
	}
	info := d.Info()
	export := be.AppendUint16(nil, infoExport)
	export = be.AppendUint64(export, uint64(info.Size))
	export = be.AppendUint16(export, info.flags())
	blocks := be.AppendUint16(nil, infoBlockSize)
	blocks = be.AppendUint32(blocks, uint32(info.BlockSize))
	blocks = be.AppendUint32(blocks, uint32(max(info.PreferredBlock, info.BlockSize)))
	blocks = be.AppendUint32(blocks, maxIO)
	for _, piece := range [][]byte{export, blocks} {
		if err := h.reply(option, repInfo, piece); err != nil {
			return nil, err
		}
	}
	return d, h.reply(option, repAck, nil)
}

// parseInfo reads the data of info and go: a name, and a list of wishes, which must be whole but is not looked at.
func parseInfo(data []byte) (name string, ok bool) {
	if len(data) < 6 {
		return "", false
	}
	n := be.Uint32(data)
	if n > maxName || uint64(len(data)) < 6+uint64(n) {
		return "", false
	}
	wishes := be.Uint16(data[4+n:])
	return string(data[4 : 4+n]), len(data) == int(6+n)+2*int(wishes)
}
