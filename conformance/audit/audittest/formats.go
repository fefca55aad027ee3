// SPDX-License-Identifier: Apache-2.0

package audittest

import "encoding/binary"

// Numbers of the formats, as their specifications give them: a mistake in those of package audit shows.

var be byteOrder = binary.BigEndian

// Capture files.
const (
	pcapMagic          = 0xA1B2C3D4
	pcapNanoMagic      = 0xA1B23C4D
	pcapKuznetzovMagic = 0xA1B2CD34
	pcapHeaderLen      = 24
	pcapRecordLen      = 16

	ngSection      = 0x0A0D0D0A
	ngByteOrder    = 0x1A2B3C4D
	ngInterface    = 1
	ngPacket       = 2
	ngSimple       = 3
	ngEnhanced     = 6
	ngOptionName   = 2
	ngOptionUnit   = 9
	ngOptionOffset = 14

	snoopMagic     = "snoop\x00\x00\x00"
	snoopHeaderLen = 16
	snoopRecordLen = 24

	rawIPBSD  = 12
	rawIPOpen = 14
)

// Headers around a packet.
const (
	etherIPv4     = 0x0800
	etherIPv6     = 0x86DD
	etherMPLS     = 0x8847
	etherPPPoE    = 0x8864
	etherBackbone = 0x88E7

	protocolIPv4    = 4
	protocolUDP     = 17
	protocolGRE     = 47
	protocolEtherIP = 97

	portGREinUDP  = 4754
	portVXLAN     = 4789
	portVXLANGPE  = 4790
	portGeneve    = 6081
	portMPLSinUDP = 6635
	portOldVXLAN  = 8472

	erfEthernet   = 2
	erfInfiniBand = 21
	erfIPv4       = 22
)
