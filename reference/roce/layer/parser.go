// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/ibnbd/ibnbd/reference/roce"
)

// UDP is gopacket's UDP layer, but it hands a datagram to RoCEv2 by its
// destination port alone. A source port of 4791 says nothing.
type UDP struct{ layers.UDP }

// NextLayerType gives TypeBTH for destination port 4791 and never else.
func (u *UDP) NextLayerType() gopacket.LayerType {
	if u.DstPort == roce.UDPPort {
		return TypeBTH
	}
	if u.SrcPort == roce.UDPPort {
		return u.DstPort.LayerType()
	}
	return u.UDP.NextLayerType()
}

// Layers is one of each RoCEv2 layer, for a gopacket.DecodingLayerParser. They
// know each other, so that an extension header knows from the opcode what
// follows it.
type Layers struct {
	BTH          BTH
	XRCETH       XRCETH
	DETH         DETH
	FETH         FETH
	RETH         RETH
	AtomicETH    AtomicETH
	AETH         AETH
	AtomicAckETH AtomicAckETH
	ImmDt        ImmDt
	IETH         IETH
	CNPReserved  CNPReserved
	MAD          MAD
	CMReq        CMReq
	CMMra        CMMra
	CMRej        CMRej
	CMRep        CMRep
	CMRtu        CMRtu
	CMDreq       CMDreq
	CMDrep       CMDrep
	IPCM         IPCM
}

// DecodingLayers gives all layers. udp is the UDP layer of the same parser; nil
// if there is none, then a datagram is taken to be as long as its bytes.
func (l *Layers) DecodingLayers(udp *UDP) []gopacket.DecodingLayer {
	if udp != nil {
		l.BTH.udp = &udp.UDP
	}
	above := []interface {
		gopacket.DecodingLayer
		follow(*BTH)
	}{
		&l.XRCETH, &l.DETH, &l.FETH, &l.RETH, &l.AtomicETH, &l.AETH, &l.AtomicAckETH,
		&l.ImmDt, &l.IETH, &l.CNPReserved, &l.MAD, &l.CMReq, &l.CMMra, &l.CMRej, &l.CMRep,
		&l.CMRtu, &l.CMDreq, &l.CMDrep, &l.IPCM,
	}
	all := []gopacket.DecodingLayer{&l.BTH}
	for _, layer := range above {
		layer.follow(&l.BTH)
		all = append(all, layer)
	}
	return all
}

// Parser decodes frames into layers that it uses again for every frame, without
// allocating: a gopacket.DecodingLayerParser with all it needs for RoCEv2.
type Parser struct {
	Ethernet layers.Ethernet
	VLAN     layers.Dot1Q
	IPv4     layers.IPv4
	IPv6     layers.IPv6
	UDP      UDP
	Layers
	Payload gopacket.Payload

	Decoded   []gopacket.LayerType // layers of the last frame, outermost first
	Truncated bool                 // bytes of the last frame are missing

	parser *gopacket.DecodingLayerParser
}

// NewParser gives a parser of Ethernet frames.
func NewParser() *Parser {
	p := &Parser{Decoded: make([]gopacket.LayerType, 0, 16)}
	own := []gopacket.DecodingLayer{&p.Ethernet, &p.VLAN, &p.IPv4, &p.IPv6, &p.UDP, &p.Payload}
	p.parser = gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet)
	container := gopacket.DecodingLayerContainer(gopacket.DecodingLayerSparse(nil))
	for _, l := range append(own, p.DecodingLayers(&p.UDP)...) {
		container = container.Put(l)
	}
	p.parser.SetDecodingLayerContainer(container)
	p.parser.IgnoreUnsupported = true
	return p
}

// Decode decodes a frame; Decoded then says which layers are valid. A frame
// that is not RoCEv2 gives [roce.ErrNotRoCE].
func (p *Parser) Decode(frame []byte) error {
	err := p.parser.DecodeLayers(frame, &p.Decoded)
	p.Truncated = p.parser.Truncated
	if !p.Has(TypeBTH) && (err == nil || !isOurs(err)) {
		if err == nil {
			return roce.ErrNotRoCE
		}
		return fmt.Errorf("%w: %w", roce.ErrNotRoCE, err)
	}
	return err
}

// isOurs tells an error of package roce from one of gopacket's layers.
func isOurs(err error) bool {
	var e *roce.Error
	return errors.As(err, &e)
}

// Has reports whether the last frame has a layer.
func (p *Parser) Has(t gopacket.LayerType) bool {
	for _, have := range p.Decoded {
		if have == t {
			return true
		}
	}
	return false
}

// CheckICRC judges the ICRC of the last frame.
func (p *Parser) CheckICRC() roce.ICRCVerdict {
	if !p.Has(TypeBTH) {
		return roce.ICRCUnverifiable
	}
	ip := p.IPv4.Contents
	if p.Has(layers.LayerTypeIPv6) {
		ip = p.IPv6.Contents
	}
	return roce.CheckICRC(ip, p.UDP.Contents, p.UDP.Payload)
}
