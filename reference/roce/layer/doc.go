// SPDX-License-Identifier: Apache-2.0

// Package layer gives the headers of package roce to gopacket: importing it makes gopacket.NewPacket understand UDP port 4791, and
// [Parser] is a gopacket.DecodingLayerParser for RoCEv2.
//
// Each header is a layer that decodes and serializes; its fields are those of Header, a struct of package roce. With FixLengths and
// ComputeChecksums off, what is in the structs goes out bit by bit, reserved bits included, so that every illegal packet can be
// made.
//
// It serves captures and tests. What sends and receives uses roce.Packet, which neither allocates nor needs gopacket.
package layer
